"""The exact lab: finite problems in which every value is computable, and the claims that are checked on them."""
