"""The algorithms: networks for packs of runs, the critic loss with its floor, floors and returns."""
