"""A real SLURM cluster for tests: two nodes on one machine, fake GPUs, accounting. Written for SLURM 22.05."""
