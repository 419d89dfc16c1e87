"""Prefixes: one offline phase for several runs that differ only in the online phase.

A prefix is an ordinary run of the same root, without an online phase (`prefix_of`). The runs that start from it are
named by their `prefix.json`, which is written before anything is computed, so that it does not matter who computes the
prefix and when. They are computed once it is done.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.folders.provenance import attempt_details
from harness.folders.run_folder import PREFIX, RunFolder
from harness.folders.state import RunState
from harness.launching.planner import Plan, cut_packs, plan
from harness.launching.worker import mark
from harness.settings import Run, prefix_of


@dataclass(frozen=True)
class SharedPrefixes:
    """The prefixes of some runs.

    Attributes:
        plan: the prefixes and their states.
        of_run: the id of the prefix, by the id of a run that will start from it. Runs that are not in it train their
            offline phase themselves or have begun.
    """

    plan: Plan
    of_run: dict[str, str]

    def to_start(self, retry_failed: bool = False) -> list[Run]:
        """The prefixes to compute, before the runs that start from them."""
        return self.plan.to_start(retry_failed)

    def state(self, prefix: str) -> RunState:
        """The state of a prefix by its id."""
        return next(state for run, state in zip(self.plan.runs, self.plan.states, strict=True) if run.id == prefix)

    def runs_of(self, prefix: str) -> list[str]:
        """Ids of the runs that will start from a prefix."""
        return self._runs.get(prefix, [])

    @cached_property
    def _runs(self) -> dict[str, list[str]]:
        """Ids of runs by their prefix, grouped once: large grids have thousands of prefixes."""
        runs: dict[str, list[str]] = {}
        for run, prefix in self.of_run.items():
            runs.setdefault(prefix, []).append(run)
        return runs

    def updates_saved(self, prefix: Run, state: RunState) -> int:
        """Gradient steps that need not be made because of a prefix, compared with training every run completely."""
        repeated = len(self.runs_of(prefix.id)) - (0 if state is RunState.DONE else 1)
        return repeated * prefix.schedule.offline_steps

    @property
    def all_updates_saved(self) -> int:
        """Gradient steps saved by all prefixes."""
        return sum(map(self.updates_saved, self.plan.runs, self.plan.states))

    def line(self) -> str:
        """The prefixes and the updates that they save, in one line; empty without prefixes."""
        count = len(self.plan.runs)
        if not count:
            return ""
        states = ", ".join(f"{number} {state}" for state, number in self.plan.counts().items())
        prefixes = f"{count} shared prefix{'es' if count > 1 else ''}"
        return f"{len(self.of_run)} runs start from {prefixes} ({states}); {self.all_updates_saved:,} updates saved"


def shared_prefixes(runs: Sequence[Run], root: Path, enabled: bool = True) -> SharedPrefixes:
    """The prefixes from which those of the `runs` will start that have not begun. Writes nothing.

    A run starts from a prefix if another of the runs has the same one, or if the prefix is in the root already.
    """
    # Equal prefixes as one object, whose id is computed once.
    prefixes: dict[Run, Run] = {}
    of_run: dict[str, str] = {}
    for run in runs if enabled else ():
        prefix = prefix_of(run)
        if prefix is not None and not RunFolder.of(root, run).newest_checkpoint:
            of_run[run.id] = prefixes.setdefault(prefix, prefix).id
    counts = Counter(of_run.values())
    kept = [prefix for prefix in prefixes if counts[prefix.id] > 1 or RunFolder.of(root, prefix).path.exists()]
    ids = {prefix.id for prefix in kept}
    return SharedPrefixes(plan(kept, root), {run: id for run, id in of_run.items() if id in ids})


def commit_prefixes(runs: Sequence[Run], shared: SharedPrefixes) -> None:
    """Write for each of the `runs`, whose folders exist like those of the prefixes, whether it starts from a prefix."""
    for run in runs:
        folder = RunFolder.of(shared.plan.root, run)
        if not folder.newest_checkpoint and not folder.is_owned():
            prefix = shared.of_run.get(run.id)
            if (folder.prefix_record() or {}).get("prefix") != prefix:
                folder.write_prefix(None if prefix is None else {"prefix": prefix})


def packs_in_order(
    runs: Sequence[Run], shared: SharedPrefixes, limit: int, workers: int, retry_failed: bool = False
) -> list[list[RunFolder]]:
    """The packs of some runs and of their prefixes: prefixes first, then runs that need none, then the others."""
    root = shared.plan.root
    parts = (
        shared.to_start(retry_failed),
        [run for run in runs if run.id not in shared.of_run],
        [run for run in runs if run.id in shared.of_run],
    )
    return [pack for part in parts for pack in cut_packs(part, root, limit, workers)]


def startable(pack: Sequence[RunFolder], pending: Collection[Path]) -> list[RunFolder] | None:
    """The runs of a pack that can be computed now, or None if one must wait for its prefix.

    A prefix is waited for while it is `pending` in this pool or computed elsewhere. Runs whose prefix failed are marked
    failed, those whose prefix ended otherwise interrupted, with the reason.
    """
    unfinished = []
    for folder in pack:
        prefix = None if folder.newest_checkpoint else folder.prefix
        state = RunState.DONE if prefix is None else prefix.state
        if prefix is not None and state is not RunState.DONE:
            if prefix.path in pending or state is RunState.RUNNING:
                return None
            unfinished.append((folder, prefix, state))
    for folder, prefix, state in unfinished:
        leave(folder, prefix, state)
    left = {folder.path for folder, *_ in unfinished}
    return [folder for folder in pack if folder.path not in left]


def leave(folder: RunFolder, prefix: RunFolder, state: RunState) -> None:
    """Mark a run that cannot start from its prefix, unless another process computes it."""
    cause = prefix.status().get("reason")
    ending = "failed" if state is RunState.FAILED else f"is {state}"
    reason = f"its prefix {prefix.id} {ending}" + (f": {cause}" if cause else "")
    if state is not RunState.FAILED:
        if not folder.is_owned():
            mark(folder, RunState.INTERRUPTED, reason)
    elif folder.begin_attempt(attempt_details()):
        mark(folder, RunState.FAILED, reason)
        folder.end_attempt(f"failed: {reason}")


def with_prefixes(runs: Iterable[Run], root: Path) -> list[Run]:
    """The runs, and after them the prefixes from which unfinished ones of them start."""
    runs = list(runs)
    named = {run.id for run in runs}
    prefixes = {}
    for run in runs:
        folder = RunFolder.of(root, run)
        prefix = None if folder.newest_checkpoint else folder.prefix
        if prefix is not None and prefix.id not in named and prefix.path.exists():
            prefixes[prefix.id] = prefix.run()
    return [*runs, *prefixes.values()]


def with_unneeded_prefixes(runs: Sequence[Run], root: Path) -> list[Run]:
    """The runs, and after them the prefixes that only these runs wait for."""
    named = {run.id for run in runs}
    needed = set()
    for file in Path(root).glob(f"*/{PREFIX}"):
        folder = RunFolder(file.parent)
        prefix = folder.prefix
        waits = folder.id not in named and not folder.newest_checkpoint and folder.state.is_cancellable
        if prefix is not None and waits:
            needed.add(prefix.id)
    return [run for run in with_prefixes(runs, root) if run.id in named or run.id not in needed]
