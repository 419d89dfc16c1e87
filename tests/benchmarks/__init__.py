"""Speed, measured with pytest-benchmark: `make bench`. Nothing here asserts a time."""
