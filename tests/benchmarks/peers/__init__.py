"""Updates per second of this project and of others, measured in one run: `make bench-peers`."""
