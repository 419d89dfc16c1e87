"""What is generated from the published runs: `findings` and `readme` look up numbers in the `evidence` of grids."""
