"""Run folders become tidy frames: a row per run, and a row per run and evaluation.

`gathering` from folders to frames; `record` one folder; `memory` what need not be read again; `columns` what the frames
hold; `mixture` what must not be averaged; `common` what can be, over tasks; `remarks` what a reader must know of them;
`store` frames as files.
"""

from results.frame.columns import done, settings_columns
from results.frame.gathering import evaluations, gather, runs
from results.frame.store import Frames

__all__ = ["Frames", "done", "evaluations", "gather", "runs", "settings_columns"]
