"""Arms, grids, studies and claims: which runs are compared, and what is tested on them."""
