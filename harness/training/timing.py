"""When a pack is evaluated, when it is saved, what it spends its time on, and whether it has been asked to stop."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from harness.folders.usage import Effort
from harness.settings import Schedule

# Seconds between two checkpoints, and the largest fraction of the time to spend on saving them.
CHECKPOINT_INTERVAL = 60.0
CHECKPOINT_FRACTION = 0.02

# Environment variable that overrides the interval; with 0 every step is saved.
CHECKPOINT_VARIABLE = "FLOORBENCH_CHECKPOINT_SECONDS"


def offline_marks(schedule: Schedule) -> set[int]:
    """Gradient steps at which the offline phase is evaluated: the first, every interval, the last."""
    return {*range(0, schedule.offline_steps, schedule.offline_interval), schedule.offline_steps}


def online_marks(schedule: Schedule) -> set[int]:
    """Environment steps at which the online phase is evaluated.

    Densely after the switch, then every interval; or at log-spaced steps, which are rounded, so that close ones may
    coincide.
    """
    if schedule.log_spaced_evaluations and schedule.online_steps:
        # Imported here, because the command line imports this module for every command.
        import numpy as np

        first = min(schedule.dense_interval, schedule.online_steps)
        steps = np.geomspace(schedule.online_steps, first, schedule.log_spaced_evaluations)
        return {round(float(step)) for step in steps}
    dense_end = min(schedule.dense_steps, schedule.online_steps)
    dense = range(schedule.dense_interval, dense_end + 1, schedule.dense_interval)
    sparse = range(schedule.online_interval, schedule.online_steps + 1, schedule.online_interval)
    last = {schedule.online_steps} if schedule.online_steps else set()
    return {*dense, *(step for step in sparse if step > dense_end), *last}


class CheckpointTimer:
    """Decides when the next checkpoint is due: after the interval, or later if saving is slow."""

    def __init__(self) -> None:
        self._saved = time.monotonic()
        self._cost = 0.0

    def is_due(self) -> bool:
        """Whether to save now."""
        seconds = float(os.environ.get(CHECKPOINT_VARIABLE, CHECKPOINT_INTERVAL))
        return time.monotonic() - self._saved >= max(seconds, self._cost / CHECKPOINT_FRACTION if seconds else 0.0)

    def saved(self, began: float) -> None:
        """Record a checkpoint whose saving began at the monotonic time `began`."""
        self._saved = time.monotonic()
        self._cost = self._saved - began


class Clock:
    """Adds up the processor time of a pack by part: update, environment, evaluation, checkpoint.

    The environment includes the columns of finished episodes, a checkpoint the transitions written with it. What a GPU
    computes meanwhile does not count.

    Attributes:
        effort: the sums so far.
        used: processor time of other processes that work for the pack, in seconds, kept up to date by their owner.
    """

    def __init__(self, before: Effort):
        """`before` is the effort of the same attempt so far."""
        self.effort = Effort(dict(before.seconds), before.elsewhere)
        self.used: Sequence[float] = ()
        # Of the parts within the current one, which do not count for it.
        self._within = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the processor time of the block for a part; that of a part within it counts for the latter."""
        began, elsewhere, before = time.process_time(), sum(self.used), self._within
        self._within = 0.0
        try:
            yield
        finally:
            elsewhere = sum(self.used) - elsewhere
            seconds = time.process_time() - began
            self.effort.elsewhere += elsewhere
            self.effort.seconds[name] = self.effort.seconds.get(name, 0.0) + seconds - self._within + elsewhere
            self._within = before + seconds


class Stopped(BaseException):
    """Work was interrupted on request. Not an Exception, so that `except Exception` cannot swallow it."""


class Stop:
    """A request to stop: set by a signal at any time, checked where a run can be left in a consistent state."""

    def __init__(self) -> None:
        self.reason = ""

    @property
    def requested(self) -> bool:
        return bool(self.reason)

    def request(self, reason: str) -> None:
        """Request a stop, for example because of "SIGTERM"; the first reason is kept."""
        self.reason = self.reason or reason

    def check(self) -> None:
        """Raise `Stopped` if a stop was requested."""
        if self.requested:
            raise Stopped(self.reason)
