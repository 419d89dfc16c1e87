"""Updates per second of this project beside its peers, in one run: `make bench-peers`."""
