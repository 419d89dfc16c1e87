"""A pack in training: its phases, evaluations, checkpoints and rows."""
