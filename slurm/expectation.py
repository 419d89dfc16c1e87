"""The expected time and cost of a submission, in total and by task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.command_line import FittedTable
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.launching.cost import Costs, makespan, work_of
from harness.launching.defaults import Work
from harness.launching.progress import duration
from harness.settings import Run
from slurm.profile import Profile

if TYPE_CHECKING:
    from slurm.submission import Draft


@dataclass(frozen=True)
class TaskExpectation:
    """The expected cost of the runs on one task; hours as in `Expectation`."""

    task: str
    runs: int
    packs: int
    updates: int  # remaining, of all runs
    update_seconds: float  # per update of a pack, all else included; mean over the packs
    longest_pack: float  # seconds
    core_hours: float
    gpu_hours: float


@dataclass(frozen=True)
class Expectation:
    """The expected cost of a submission: times in seconds; reserved cores and GPUs."""

    longest_task: float
    all_tasks: float  # until the last array task ends, with `array_limit` running at once
    core_hours: float
    gpu_hours: float
    source: str
    by_task: tuple[TaskExpectation, ...]


@dataclass(frozen=True)
class _Pack:
    """A pack of a draft: its task, number of runs, remaining work, and share of its array task's time."""

    task: str
    runs: int
    updates: float  # remaining, per run
    seconds: float
    reserved: float  # seconds


def expectation(drafted: Draft, profile: Profile) -> Expectation:
    """The expected cost of a draft, by finished runs of the root, or measurements of each shape on this machine.

    The packs of an array task share its reserved time, its start included, in proportion to their expected times.
    """
    planned = drafted.plan
    done = [run.id for run in planned.in_state(RunState.DONE)]
    costs = Costs(drafted.runs, planned.root, done, measures=True, gpu_models=profile.gpu_models)
    by_id = {run.id: run for run in drafted.runs}
    works = {run.id: _work(run, drafted) for run in drafted.runs}

    def updates_of(pack: Sequence[str]) -> float:
        return max(works[id].updates for id in pack)

    def seconds_of(pack: Sequence[str]) -> float:
        return costs.seconds([by_id[id] for id in pack], [works[id] for id in pack])

    lengths, packs = [], list[_Pack]()
    for array_task in drafted.tasks:
        seconds = [seconds_of(pack) for pack in array_task]
        # An array task starts as the command does: it imports the same and starts a fork server.
        lengths.append(costs.preparation(()) + makespan(seconds, profile.workers))
        stretch = lengths[-1] / max(sum(seconds), 1e-9)
        packs += [
            _Pack(by_id[pack[0]].task.name, len(pack), updates_of(pack), pack_seconds, stretch * pack_seconds)
            for pack, pack_seconds in zip(array_task, seconds, strict=True)
        ]
    hours = sum(lengths) / 3600
    return Expectation(
        longest_task=max(lengths),
        all_tasks=makespan(lengths, profile.array_limit),
        core_hours=hours * profile.cpus_per_task,
        gpu_hours=hours * profile.gpus,
        source="; ".join(costs.sources),
        by_task=tuple(
            _of_task([pack for pack in packs if pack.task == name], profile)
            for name in dict.fromkeys(pack.task for pack in packs)
        ),
    )


def _work(run: Run, drafted: Draft) -> Work:
    """The remaining work of a run, without its prefix."""
    if run.id in drafted.shared.of_run:
        return work_of(run, offline=False)
    return work_of(run, progress=RunFolder.of(drafted.plan.root, run).status().get("progress", 0.0))


def _of_task(packs: Sequence[_Pack], profile: Profile) -> TaskExpectation:
    hours = sum(pack.reserved for pack in packs) / 3600
    return TaskExpectation(
        task=packs[0].task,
        runs=sum(pack.runs for pack in packs),
        packs=len(packs),
        updates=round(sum(pack.runs * pack.updates for pack in packs)),
        update_seconds=sum(pack.seconds for pack in packs) / max(sum(pack.updates for pack in packs), 1e-9),
        longest_pack=max(pack.seconds for pack in packs),
        core_hours=hours * profile.cpus_per_task,
        gpu_hours=hours * profile.gpus,
    )


def expectation_line(expected: Expectation, profile: Profile) -> str:
    """The expectation in one line."""
    gpus = f" and {expected.gpu_hours:.3g} GPU-hours" if profile.gpus else ""
    longest, limit = duration(expected.longest_task), duration(60 * profile.time_minutes)
    return (
        f"expected: {expected.core_hours:.3g} core-hours{gpus}; the longest array task takes {longest} of its {limit}, "
        f"all of them {duration(expected.all_tasks)} with {profile.array_limit} at once, without queueing "
        f"(estimated from {expected.source})"
    )


def expectation_table(expected: Expectation, profile: Profile) -> Any:
    """One line per task; with GPU-hours if the profile requests GPUs."""
    lines = [
        {"task": task.task, "runs": task.runs, "packs": task.packs, "updates": f"{task.updates:,}",
         "s per pack update": f"{task.update_seconds:.3g}", "longest pack": duration(task.longest_pack),
         "core-hours": f"{task.core_hours:.3g}", "GPU-hours": f"{task.gpu_hours:.3g}" if profile.gpus else ""}
        for task in expected.by_task
    ]  # fmt: skip
    return FittedTable(lines, ("s per pack update", "updates", "packs", "longest pack"))
