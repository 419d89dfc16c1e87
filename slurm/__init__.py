"""Run packs as job arrays on a SLURM cluster."""
