"""Plan a grid: the state of each run, what to compute, and in which packs."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any

from harness import extensions
from harness.errors import UserError
from harness.files import check_folder, read_many
from harness.folders.reader import RunReader, RunSummary, refuse, summaries
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState, counted
from harness.settings import Run, pack_key, trains_alone


@dataclass(frozen=True)
class Plan:
    """The runs of a grid, in grid order, and their states in `root`. Planning writes nothing."""

    root: Path
    runs: tuple[Run, ...]
    states: tuple[RunState, ...]

    def in_state(self, *states: RunState) -> list[Run]:
        """The runs in one of the given states, in grid order."""
        return self.where(lambda state: state in states)

    def where(self, condition: Callable[[RunState], bool]) -> list[Run]:
        """The runs whose state meets a condition, in grid order."""
        return [run for run, state in zip(self.runs, self.states, strict=True) if condition(state)]

    def counts(self) -> dict[RunState, int]:
        """The number of runs in each state that occurs."""
        return counted(self.states)

    def to_start(self, retry_failed: bool = False) -> list[Run]:
        """The runs that `run` and `submit` start: failed ones only with `retry_failed`."""
        also = {RunState.CANCELLED, RunState.FAILED} if retry_failed else {RunState.CANCELLED}
        return self.where(lambda state: state.starts_by_itself or state in also)


def plan(runs: Sequence[Run], root: Path) -> Plan:
    """The states of runs in `root`.

    Raises UserError for duplicate runs, and for a folder that is damaged or belongs to another schema version or run.
    """
    refuse_duplicates(runs)
    check_folder(root)
    return Plan(Path(root), tuple(runs), tuple(read_many(lambda run: state_of(RunFolder.of(root, run)), runs)))


def checked_plan(runs: Sequence[Run], root: Path) -> Plan:
    """The plan of runs, after checking their folders; raises UserError for any fault.

    Finished runs, of which large roots have most, are checked as the status does: by means of the user's cache. Of the
    others, which may be continued, everything is checked.
    """
    refuse_duplicates(runs)
    reader = RunReader(root)

    def checked(pair: tuple[Run, RunSummary]) -> tuple[RunState, list[tuple[RunFolder, str]]]:
        run, summary = pair
        state, faults = summary.state, summary.faults
        # Settings are compared with those of the run, which is faster than reading them.
        folder = RunFolder.of(root, run)
        if state not in (RunState.NEW, RunState.DONE, RunState.DAMAGED):
            contents = reader.contents(folder)
            state, faults = contents.status.get("state", RunState.DAMAGED), contents.faults
        return state, [(folder, fault) for fault in faults]

    results = read_many(checked, list(zip(runs, summaries(root, runs), strict=True)))
    refuse([problem for _, problems in results for problem in problems])
    states = [state for state, _ in results]
    return Plan(Path(root), tuple(runs), tuple(states))


def commit(runs: Sequence[Run], root: Path) -> list[RunFolder]:
    """Create missing run folders and undo cancellations; returns the folders of all runs."""
    extensions.keep((label for run in runs for label in run.extensions), root)
    folders = [RunFolder.of(root, run) for run in runs]
    for folder, run in zip(folders, runs, strict=True):
        folder.create(run)
        folder.uncancel()
    return folders


def state_of(folder: RunFolder) -> RunState:
    """The state of a run folder, after checking that its settings have the folder's id."""
    if not folder.exists:
        # A launcher killed while creating the folder leaves at most a temporary file.
        return RunState.NEW
    folder.run()
    return folder.state


def refuse_duplicates(runs: Sequence[Run]) -> None:
    """Raise UserError if a grid contains a run more than once."""
    of_id = {run.id: run for run in runs}
    repeated = [id for id, count in Counter(run.id for run in runs).items() if count > 1]
    if repeated:
        named = ", ".join(f"{id} ({describe([of_id[id]])})" for id in repeated[:3])
        more = f" and {len(repeated) - 3} more" if len(repeated) > 3 else ""
        raise UserError(f"grid: contains runs more than once: {named}{more}; change their arms or settings")


def packs(
    runs: Sequence[Run], limit: int, workers: int, positions: Mapping[str, Collection[Any]] | None = None
) -> list[list[Run]]:
    """Cut runs into packs of at most `limit`, in grid order.

    Runs with equal `pack_key` and a common checkpoint position (`positions` by run id) are cut into packs whose sizes
    differ by at most one, larger ones first. Their number is the smallest multiple of `workers` that respects the
    limit, so that all workers are equally busy.
    """
    of_key: dict[str, list[Run]] = {}
    for run in runs:
        of_key.setdefault(pack_key(run), []).append(run)
    result = []
    for equal in of_key.values():
        for together in _resumable(equal, positions or {}):
            result += _cut(together, 1 if trains_alone(equal[0]) else limit, workers)
    return result


def _resumable(runs: list[Run], positions: Mapping[str, Collection[Any]]) -> list[list[Run]]:
    """Groups of runs that can be resumed from a common position."""
    if not any(positions.get(run.id) for run in runs):
        return [runs]
    # Imports NumPy, which plans of new runs do not need.
    from harness.folders.checkpoint import grouped

    by_id = {run.id: run for run in runs}
    return [[by_id[id] for id in ids] for ids, _ in grouped({id: set(positions.get(id, ())) for id in by_id})]


def cut_packs(runs: Sequence[Run], root: Path, limit: int, workers: int) -> list[list[RunFolder]]:
    """The folders of runs, in `packs` that can be resumed from their checkpoints."""
    from harness.folders.checkpoint import Checkpoints

    positions = {run.id: Checkpoints(RunFolder.of(root, run).checkpoints).positions() for run in runs}
    return [[RunFolder.of(root, run) for run in pack] for pack in packs(runs, limit, workers, positions)]


def _cut(runs: list[Run], limit: int, workers: int) -> list[list[Run]]:
    count = min(len(runs), workers * ceil(len(runs) / (limit * workers)))
    size, larger = divmod(len(runs), count)
    edges = [number * size + min(number, larger) for number in range(count + 1)]
    return [runs[start:end] for start, end in pairwise(edges)]


def describe(runs: Sequence[Run]) -> str:
    """Tasks, arms and seeds of some runs in a few words."""
    tasks = dict.fromkeys(run.task.name for run in runs)
    arms = dict.fromkeys(run.arm for run in runs)
    seeds = sorted({run.seed for run in runs})
    consecutive = len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1))
    shown = f"{seeds[0]}-{seeds[-1]}" if consecutive else ",".join(str(seed) for seed in seeds)
    data_seeds = sorted({run.task.data_seed for run in runs})
    on_data = f" on data {','.join(map(str, data_seeds))}" if any(data_seeds) else ""
    return f"{'+'.join(tasks)} {'+'.join(arms)} seed{'s' if len(seeds) > 1 else ''} {shown}{on_data}"
