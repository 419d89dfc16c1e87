"""What a submission will take, in all and task by task, before anything is submitted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.folders.run_folder import RunFolder
from harness.launching.cost import costs, makespan
from harness.launching.progress import duration
from harness.settings import pack_key, total_updates
from harness.terminal import text_table
from slurm.profile import Profile
from slurm.submission import Draft


@dataclass(frozen=True)
class TaskExpectation:
    """What the runs on one task (an environment with its data) will take; hours as in `Expectation`."""

    task: str
    runs: int
    packs: int
    updates: int  # still to be made by these runs together
    update_seconds: float  # of one gradient step of a pack, everything between steps included; mean over the packs
    longest_pack: float  # seconds
    core_hours: float
    gpu_hours: float


@dataclass(frozen=True)
class Expectation:
    """What a submission will take: times in seconds, cores and GPUs counted as they are reserved."""

    longest_task: float
    all_tasks: float  # until the last task has ended, if as many run at once as may
    core_hours: float
    gpu_hours: float
    source: str
    by_task: tuple[TaskExpectation, ...]


@dataclass(frozen=True)
class _Pack:
    """A pack of a draft: its task, runs, what is left to do, and the part it has in its SLURM task's time."""

    task: str
    runs: int
    updates: float  # of each run
    seconds: float
    reserved: float  # seconds


def expectation(drafted: Draft, profile: Profile) -> Expectation:
    """What the tasks of a draft will take, by the cost of their packs' shapes and what is left of each run.

    Packs that share a SLURM task share its reserved time in proportion to their own.
    """
    known = costs(drafted.runs, drafted.plan.root, profile.runs_per_pack)
    by_id = {run.id: run for run in drafted.runs}

    def updates_of(pack: Sequence[str]) -> float:
        pack_runs = [by_id[id] for id in pack]
        left = max(1.0 - RunFolder.of(drafted.plan.root, run).status().get("progress", 0.0) for run in pack_runs)
        return left * total_updates(pack_runs[0].schedule)

    def seconds_of(pack: Sequence[str]) -> float:
        return updates_of(pack) * known[pack_key(by_id[pack[0]])].of_pack(len(pack))

    lengths, packs = [], list[_Pack]()
    for task in drafted.tasks:
        seconds = [seconds_of(pack) for pack in task]
        lengths.append(makespan(seconds, profile.workers))
        stretch = lengths[-1] / max(sum(seconds), 1e-9)
        packs += [
            _Pack(by_id[pack[0]].task.name, len(pack), updates_of(pack), own, stretch * own)
            for pack, own in zip(task, seconds, strict=True)
        ]
    hours = sum(lengths) / 3600
    return Expectation(
        longest_task=max(lengths),
        all_tasks=makespan(lengths, profile.array_limit),
        core_hours=hours * profile.cpus_per_task,
        gpu_hours=hours * profile.gpus,
        source="; ".join(dict.fromkeys(cost.source for cost in known.values())),
        by_task=tuple(
            _of_task([pack for pack in packs if pack.task == name], profile)
            for name in dict.fromkeys(pack.task for pack in packs)
        ),
    )


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
        f"expected: {expected.core_hours:.3g} core-hours{gpus}; the longest task takes {longest} of its {limit}, all "
        f"of them {duration(expected.all_tasks)} with {profile.array_limit} at once and nobody in the way "
        f"(by {expected.source})"
    )


def expectation_table(expected: Expectation, profile: Profile) -> Any:
    """One line per task; GPU-hours where GPUs are asked for."""
    columns = ["on", "runs", "packs", "updates", "s/update of a pack", "longest pack", "core-hours", "GPU-hours"]
    rows = [
        [own.task, own.runs, own.packs, f"{own.updates:,}", f"{own.update_seconds:.3g}", duration(own.longest_pack),
         f"{own.core_hours:.3g}", f"{own.gpu_hours:.3g}"]
        for own in expected.by_task
    ]  # fmt: skip
    shown = len(columns) if profile.gpus else len(columns) - 1
    return text_table(columns[:shown], [row[:shown] for row in rows])
