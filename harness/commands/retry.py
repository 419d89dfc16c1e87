"""`floorbench retry`: what came to a bad end, or to none, is started again through `run` or `submit`."""

from collections.abc import Sequence
from pathlib import Path

from harness.commands.output import remark_console
from harness.commands.queue import QueueView
from harness.commands.runs import DONE, run_grid
from harness.commands.selection import described
from harness.settings import Run
from harness.watching.overview import overview


def retry_runs(
    runs: Sequence[Run], root: Path, workers: int | None, pack_limit: int | None, cluster: str | None, words: str
) -> int:
    """Start those of the runs again that failed, were interrupted or cancelled, or are lost; returns the exit code.

    On the cluster of a profile, if one is named, else here. Packs are cut anew from the runs' checkpoints.
    """
    queue = QueueView(root)
    states = {row.run: row.state for row in overview(root, runs, queue.now())}
    chosen = [run for run in runs if states[run.id].may_be_retried]
    console = remark_console()
    for remark in queue.remarks:
        console.print(remark)
    if not chosen:
        console.print("nothing to retry: none of these runs is failed, interrupted, cancelled or lost")
        return DONE
    console.print(f"retrying {described(chosen)}")
    if cluster is None:
        return run_grid(chosen, root, workers, pack_limit, retry_failed=True)
    from harness.commands.submit import submit_grid
    from slurm.profile import load

    submit_grid(chosen, root, load(cluster), words, retry_failed=True, as_json=False)
    return DONE
