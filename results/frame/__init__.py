"""Tidy frames from run folders: a row per run, and a row per run and evaluation.

`gathering` reads run folders, `record` makes the rows of one run, `frames` defines columns and files, `columns`
explains them, `per_run` joins both frames, `comparison` decides what may be compared and averaged.
"""

from results.frame.frames import PAIRING, Frames, done, settings_columns
from results.frame.gathering import evaluations, gather, runs

__all__ = ["PAIRING", "Frames", "done", "evaluations", "gather", "runs", "settings_columns"]
