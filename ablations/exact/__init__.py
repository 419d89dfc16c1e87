"""The exact lab: finite problems whose values are computed exactly, and the claims tested on them."""
