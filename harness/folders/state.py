"""The state of a run."""

import functools
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum


class RunState(StrEnum):
    """The state of a run, in the order in which tables show them.

    A run folder has one of the states from planned to done. A plan and the status add `NEW`, `QUEUED` and `DAMAGED`.
    """

    # No run folder exists.
    NEW = "new"
    # The run folder exists, but no attempt has begun.
    PLANNED = "planned"
    # A cluster job will compute the run, or is about to.
    QUEUED = "queued"
    # A process with a recent heartbeat owns the run.
    RUNNING = "running"
    # The last attempt stopped on request, or had no space left; it can be resumed.
    INTERRUPTED = "interrupted"
    # Somebody cancelled the run; it is not computed until somebody starts it again.
    CANCELLED = "cancelled"
    # The owner stopped without reporting an end.
    LOST = "lost"
    # The run itself failed.
    FAILED = "failed"
    DONE = "done"
    # A file of the run folder is damaged, or its data have changed.
    DAMAGED = "damaged"

    @property
    def is_terminal(self) -> bool:
        """Whether the state stays until somebody asks for another attempt."""
        return self in (RunState.CANCELLED, RunState.FAILED, RunState.DONE, RunState.DAMAGED)

    @property
    def is_cancellable(self) -> bool:
        """Whether a process computes the run or may yet do so: what `cancel` stops."""
        return not self.is_terminal and self is not RunState.NEW

    @property
    def is_active(self) -> bool:
        """Whether the run is being computed or waits in a queue."""
        return self in (RunState.QUEUED, RunState.RUNNING)

    @property
    def is_under_way(self) -> bool:
        """Whether the run counts towards the expected end."""
        return self.is_active or self is RunState.PLANNED

    @property
    def starts_by_itself(self) -> bool:
        """Whether `run` and `submit` start the run without being asked to retry it."""
        return self in (RunState.NEW, RunState.PLANNED, RunState.INTERRUPTED, RunState.LOST)

    @property
    def may_be_retried(self) -> bool:
        """Whether an attempt ended before the run was done: what `retry` starts again."""
        return self in (RunState.INTERRUPTED, RunState.CANCELLED, RunState.LOST, RunState.FAILED)

    @property
    def needs_attention(self) -> bool:
        """Whether something went wrong that needs attention."""
        return self in (RunState.LOST, RunState.FAILED, RunState.DAMAGED)

    @property
    def has_reason(self) -> bool:
        """Whether the status gives a reason for this state."""
        return self.may_be_retried or self in (RunState.QUEUED, RunState.DAMAGED)

    @classmethod
    @functools.cache
    def of_folder(cls) -> tuple["RunState", ...]:
        """The states that the status of a run folder can have."""
        return tuple(state for state in cls if state not in (cls.NEW, cls.QUEUED, cls.DAMAGED))


def counted(states: Iterable[RunState]) -> dict[RunState, int]:
    """The number of times each state occurs, in display order."""
    counts = Counter(states)
    return {state: counts[state] for state in RunState if counts[state]}
