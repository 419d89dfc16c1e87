"""Packs on a SLURM cluster, and a cluster to try them on."""
