"""Where a command has runs computed while it waits: on this machine's cores, or on a cluster."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.commands.output import remark_console
from harness.commands.queue import QueueView
from harness.commands.runs import train_runs
from harness.launching.planner import plan
from harness.settings import Run
from harness.watching.overview import overview

# Seconds between two looks at runs on a cluster.
INTERVAL = 5.0

# Computes runs in a root, calling the watch meanwhile; False if it was stopped on request.
Launch = Callable[[Sequence[Run], Path, Callable[[], None]], bool]


def local(workers: int | None, pack_limit: int | None) -> Launch:
    """The local pool."""
    return lambda runs, root, watch: train_runs(runs, root, workers, pack_limit, watch=watch)


def on_cluster(profile_name: str, words: str) -> Launch:
    """Arrays of SLURM, submitted as often as it takes while that brings anything; `words` name them to a reader.

    Whoever stops waiting leaves the jobs in the queue. The same runs launched again are taken up there.
    """
    from slurm.profile import load

    profile = load(profile_name)

    def launch(runs: Sequence[Run], root: Path, watch: Callable[[], None]) -> bool:
        from harness.commands.submit import submit_grid

        try:
            before = len(runs) + 1
            while (waiting := plan(runs, root).where(lambda state: not state.is_terminal)) and len(waiting) < before:
                before = len(waiting)
                submit_grid(waiting, root, profile, words, retry_failed=False, as_json=False)
                wait_for(waiting, root, watch)
        except KeyboardInterrupt:
            remark_console().print("stopped waiting; the jobs go on, and the same command finds them")
            return False
        return True

    return launch


def wait_for(runs: Sequence[Run], root: Path, watch: Callable[[], None]) -> None:
    """Return when none of the runs is running or queued. A queue that does not answer is asked again."""
    queue = QueueView(root)
    while True:
        rows = overview(root, runs, queue.now())
        if not queue.remarks and not any(row.state.is_active for row in rows):
            return
        watch()
        time.sleep(INTERVAL)
