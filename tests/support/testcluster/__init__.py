"""A real SLURM in a folder: two nodes on one machine, fake GPUs, accounting; for tests. Made for SLURM 22.05."""
