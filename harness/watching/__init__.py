"""What runs are doing, what is wrong with their folders, whether they repeat themselves; what this machine can do."""
