"""Which runs: arms and the grids made of them."""
