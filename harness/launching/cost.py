"""Estimate how long packs take: from finished runs of equal shape, a short measurement, or documented defaults."""

import heapq
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

from algorithms.kernels.speed import Speed, machine_speed
from algorithms.settings import AlgorithmSettings
from harness.errors import UserError
from harness.folders import attempts
from harness.folders.run_folder import RunFolder, run_folders
from harness.folders.state import RunState
from harness.folders.usage import PARTS, parts
from harness.launching.defaults import (
    COLLECTED,
    COMMAND,
    FIT,
    PROCESS,
    SECONDS,
    Cost,
    Slowness,
    Work,
    cost_of,
    default_cost,
    default_step,
    default_update,
)
from harness.launching.measurement import MEASURED_SECONDS, measured
from harness.settings import HostedData, Run, Schedule, Task, total_updates

# Largest number of finished runs used per shape and pack size, and of folders in which they are looked for.
SAMPLES, LOOKED_AT = 20, 1_000

# Smallest number of a run's updates for its seconds to count.
FEWEST_UPDATES = 100


def work_of(run: Run, offline: bool = True, progress: float = 0.0) -> Work:
    """The work of a run: without its offline phase if it starts after it, and after a fraction of all its updates."""
    schedule = run.schedule
    evaluations = _evaluations(schedule)
    total = updates = total_updates(run)
    if run.online.start is not None or not offline:
        updates -= schedule.offline_steps
        evaluations -= _offline_evaluations(schedule)
    remaining = min(1.0, (1.0 - progress) * total / updates) if updates else 1.0
    return Work(updates, schedule.online_steps, evaluations).part(remaining)


@cache
def _evaluations(schedule: Schedule) -> int:
    from harness.training.timing import online_marks

    # Rounded log-spaced steps may coincide, which hardly matters here; placing them needs NumPy.
    log_spaced = schedule.log_spaced_evaluations if schedule.online_steps else 0
    return _offline_evaluations(schedule) + (log_spaced or len(online_marks(schedule)))


def _offline_evaluations(schedule: Schedule) -> int:
    from harness.training.timing import offline_marks

    return len(offline_marks(schedule))


# Settings that decide what an update, a step and an evaluation cost.
SHAPE = attrgetter(
    "task.environment", "task.maze", "task.horizon", "schedule.evaluation_episodes", "schedule.probe_states",
    *(f"algorithm.{name}" for name in ("kernel", "precision", "batch_size", "n_actions", "critic_hidden",
      "policy_hidden", "critics", "target_critics")),
)  # fmt: skip


def measured_cost(
    run: Run,
    pack: int,
    slowness: Slowness,
    seconds: float = MEASURED_SECONDS,
    gpu_models: Collection[str] | None = None,
) -> Cost:
    """Measured seconds of updates and environment steps on this machine (`measured`); defaults for the rest."""
    update, step, place = measured(run, pack, seconds, gpu_models)
    return cost_of(run, pack, update, step, slowness, place)


def finished_costs(root: Path, shapes: Collection[Any], first: Iterable[str] = ()) -> list[tuple[Run, Cost, Work]]:
    """Finished runs of a root whose seconds by part were recorded: each with the cost of its pack, and its work.

    Reads the runs `first`, by id, then others; at most `SAMPLES` of each shape among `shapes` and size of pack.
    """
    result: list[tuple[Run, Cost, Work]] = []
    counts: dict[tuple[Any, int], int] = {}
    for folder in _distinct(chain((RunFolder(root / id) for id in first), run_folders(root))):
        try:
            sample = _finished(folder)
        except (UserError, KeyError, OSError):
            continue
        if sample is not None:
            key = (SHAPE(sample[0]), sample[1].pack)
            counts[key] = counts.get(key, 0) + 1
            if counts[key] <= SAMPLES:
                result.append(sample)
            elif {shape for (shape, _), count in counts.items() if count > SAMPLES}.issuperset(shapes):
                break
    return result


def _distinct(folders: Iterable[RunFolder]) -> Iterator[RunFolder]:
    """The folders without repetitions, at most `LOOKED_AT`."""
    paths: set[Path] = set()
    for folder in folders:
        if len(paths) == LOOKED_AT:
            return
        if folder.path not in paths:
            paths.add(folder.path)
            yield folder


def _finished(folder: RunFolder) -> tuple[Run, Cost, Work] | None:
    """The run of a folder with the cost of its pack, if it is done and its attempts have recorded seconds by part.

    The time of a core that was idle is divided among the parts in proportion to their processor time.
    """
    if folder.status()["state"] != RunState.DONE:
        return None
    accounts = [account for account in attempts.history(folder.path) if account.get("seconds")]
    if not accounts:
        return None
    run, spent = folder.run(), parts(accounts)
    busy = sum(spent.get(name, 0.0) for name in PARTS if name != "idle")
    work = work_of(run, offline=not (folder.prefix_record() or {}).get("prefix"))
    if not busy or work.updates < FEWEST_UPDATES:
        return None
    stretch = sum(account["ended"] - account["started"] for account in accounts) / busy

    def of(name: str, units: float) -> float:
        return stretch * spent.get(name, 0.0) / units if units else 0.0

    cost = Cost(
        start=PROCESS + of("start", len(accounts)),
        update=of("update", work.updates) + of("checkpoint", work.updates),
        step=of("environment", work.steps),
        evaluation=of("evaluation", work.evaluations),
        pack=accounts[-1].get("pack_size", 1),
        source=str(folder.path.parent),
    )
    return run, cost, work


class Costs:
    """What packs cost: by finished runs of equal shape in a root, else a measurement or the defaults.

    The defaults are adjusted by what other finished runs of the root have taken in comparison with them.

    Attributes:
        sources: where the numbers used so far come from, in words.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        root: Path | None,
        done: Iterable[str] = (),
        measures: bool = False,
        gpu_models: Collection[str] | None = None,
        speed: Speed | None = None,
    ):
        """`done`: ids of finished runs of the root to read first. With `measures` unknown shapes are measured.

        `gpu_models`: models of the GPUs on which the runs will be computed, see `known_rates`. `speed`: of the machine
        that computes them, by default this one.
        """
        self.root, self.measures, self._gpu_models = root, measures, gpu_models
        self.sources: list[str] = []
        self._slowness = Slowness.of(speed or machine_speed())
        shapes = {SHAPE(run) for run in runs}
        samples = finished_costs(root, shapes, done) if root is not None and root.is_dir() else []
        self._known: dict[Any, list[tuple[Run, Cost, Work]]] = {}
        for sample in samples:
            self._known.setdefault(SHAPE(sample[0]), []).append(sample)
        ratios = [cost.of(work) / default_cost(run, cost.pack, self._slowness).of(work)
                  for run, cost, work in samples if not run.algorithm.on_gpu]  # fmt: skip
        self._factor = statistics.median(ratios) if ratios else None
        self._made: dict[Any, Cost] = {}

    def seconds(self, pack: Sequence[Run], works: Iterable[Work]) -> float:
        """Seconds that a worker takes for a pack, whose runs have still to do these works."""
        works = list(works)
        most = Work(*(max(getattr(work, name) for work in works) for name in ("updates", "steps", "evaluations")))
        cost = self.cost(pack[0], len(pack))
        fits = 0 if SHAPE(pack[0]) in self._known else sum(run.floor.base == "learned" for run in pack)
        return cost.of(most) + fits * FIT * self._slowness.other

    def preparation(self, tasks: Iterable[Task]) -> float:
        """Seconds before the first pack starts: the command itself, and collecting missing datasets."""
        from harness.data.files import dataset_exists

        seconds = COMMAND
        for task in tasks:
            if not isinstance(task.data, HostedData) and not dataset_exists(task):
                seconds += task.data.transitions * (default_step(task) + COLLECTED)
        return self._slowness.other * seconds

    def cost(self, run: Run, pack: int) -> Cost:
        """The cost of packs of `pack` runs of the same shape."""
        key = SHAPE(run), pack
        if key not in self._made:
            self._made[key] = self._cost(run, pack)
        if self._made[key].source not in self.sources:
            self.sources.append(self._made[key].source)
        return self._made[key]

    def _cost(self, run: Run, pack: int) -> Cost:
        if samples := self._known.get(SHAPE(run)):
            size = min((cost.pack for _, cost, _ in samples), key=lambda size: (abs(size - pack), size))
            known = [cost for _, cost, _ in samples if cost.pack == size]
            source = f"{len(known)} finished runs in {self.root}, in packs of {size}"
            medians = {name: statistics.median(getattr(cost, name) for cost in known) for name in SECONDS}
            median = Cost(**medians, pack=size, source=source)
            return self._of_size(median, run.algorithm, pack)
        if self.measures:
            return measured_cost(run, pack, self._slowness, gpu_models=self._gpu_models)
        cost = default_cost(run, pack, self._slowness, self._gpu_models)
        if self._factor is None or run.algorithm.on_gpu:
            return cost
        return cost.times(self._factor, f"defaults, adjusted by the finished runs in {self.root}")

    def _of_size(self, cost: Cost, settings: AlgorithmSettings, pack: int) -> Cost:
        """The cost for another number of runs: updates grow as by default, steps and evaluations in proportion."""
        ratio = pack / cost.pack
        update = default_update(settings, pack, self._slowness) / default_update(settings, cost.pack, self._slowness)
        return replace(cost, update=update * cost.update, step=ratio * cost.step, evaluation=ratio * cost.evaluation)


@dataclass(frozen=True)
class Expected:
    """The expected time of some packs in seconds: until the last has ended, and on all cores together.

    `source` says in words where it comes from.
    """

    seconds: float
    core_seconds: float
    workers: int
    source: str


def expected(
    packs: Sequence[Sequence[Run]],
    workers: int,
    costs: Costs,
    shared: Collection[str] = (),
    progress: Mapping[str, float] | None = None,
    before: float = 0.0,
) -> Expected:
    """The expected time of packs on `workers` cores, started in this order.

    Args:
        shared: ids of the runs that start from a prefix, which is a run of its own.
        progress: fractions of their updates that runs have made, by id.
        before: seconds until the first pack starts.
    """
    progress = progress or {}
    seconds = [
        costs.seconds(pack, [work_of(run, run.id not in shared, progress.get(run.id, 0.0)) for run in pack])
        for pack in packs
    ]
    return Expected(before + makespan(seconds, workers), before + sum(seconds), workers, "; ".join(costs.sources))


def makespan(seconds: Iterable[float], places: int) -> float:
    """The time that jobs of known durations take on `places` workers, each started as soon as a worker is free."""
    ends = [0.0] * places
    for duration in seconds:
        heapq.heappushpop(ends, ends[0] + duration)
    return max(ends)
