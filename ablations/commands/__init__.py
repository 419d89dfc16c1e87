"""The commands that take a grid or runs."""
