"""Run folders: their files, owners, states, checkpoints and costs."""
