"""Estimate how long packs take: from finished runs of equal shape, a short measurement, or documented defaults."""

import heapq
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any

from algorithms.settings import AlgorithmSettings
from harness.environments.families import FETCH, KITCHEN, POINTMAZE, WINDING_ROAD, family
from harness.errors import UserError
from harness.folders import attempts
from harness.folders.run_folder import RunFolder, run_folders
from harness.folders.state import RunState
from harness.folders.usage import PARTS, parts
from harness.launching.measurement import MEASURED_SECONDS, measured
from harness.settings import HostedData, Run, Schedule, Task, total_updates

# Largest number of finished runs used per shape and pack size, and of folders in which they are looked for.
SAMPLES, LOOKED_AT = 20, 1_000

# Smallest number of a run's updates for its seconds to count.
FEWEST_UPDATES = 100


@dataclass(frozen=True)
class Work:
    """What a run still computes: gradient steps, environment steps of the online phase, and evaluations."""

    updates: float
    steps: float
    evaluations: float

    def part(self, fraction: float) -> "Work":
        """A fraction of the work."""
        return Work(fraction * self.updates, fraction * self.steps, fraction * self.evaluations)


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


@dataclass(frozen=True)
class Cost:
    """Seconds that a worker spends on a pack.

    Attributes:
        start: what happens once: start of processes, imports, data, kernels, floors, the last checkpoint.
        update: a gradient step of the pack, with the checkpoints.
        step: an environment step of each of its runs in the online phase.
        evaluation: an evaluation of all its runs.
        pack: number of runs in the pack.
        source: where the numbers come from, in words.
    """

    start: float
    update: float
    step: float
    evaluation: float
    pack: int
    source: str

    def of(self, work: Work) -> float:
        """Seconds of a pack whose runs do this work."""
        return self.start + self.update * work.updates + self.step * work.steps + self.evaluation * work.evaluations

    def times(self, factor: float, source: str) -> "Cost":
        """The cost on a machine that takes `factor` times as long."""
        return replace(self, source=source, **{name: factor * getattr(self, name) for name in SECONDS})


# The fields of a cost that are seconds.
SECONDS = ("start", "update", "step", "evaluation")

# Settings that decide what an update, a step and an evaluation cost.
SHAPE = attrgetter(
    "task.environment", "task.maze", "task.horizon", "schedule.evaluation_episodes", "schedule.probe_states",
    *(f"algorithm.{name}" for name in ("kernel", "precision", "batch_size", "n_actions", "critic_hidden",
      "policy_hidden", "critics", "target_critics")),
)  # fmt: skip

# Defaults, where nothing was measured: processor time of packs of 1 to 8 runs of the grids smoke, floors, truth and
# switch on two cores of an AMD EPYC (2 of 3 parts busy with other work), in seconds.
START = 0.5
# Until a worker owns its runs.
PROCESS = 0.1
# A gradient step of a pack of R runs: fixed + R * (per run + floating-point operations / speed).
UPDATES = {"fused": (0.0, 5e-5, 1.2e11), "torch": (2.5e-3, 1e-4, 2.5e10)}
# An environment step in an evaluation, by family, and what is added to it in training.
QUICK_STEP, FETCH_STEP, KITCHEN_STEP, MANIPULATION_STEP, OTHER_STEP = 2.4e-5, 1.25e-3, 2.4e-3, 2.7e-3, 4.5e-4
TRAINING_STEP = 7e-5
# One step of all episodes of a pack together, and what an evaluation takes besides the episodes, per run.
COMMON_STEP, PROBES = 1e-4, 5e-3
# Length of an evaluation episode as a fraction of the horizon: 0.5 to 0.7 in most of the published runs.
EPISODE_LENGTH = 0.6
# Saving the last checkpoint, per run.
SAVE = 1e-2
# Fitting the networks of a learned floor, per run.
FIT = 1.0
DEFAULTS = "defaults, not measured here"
# The command itself with the imports of its fork server; collecting a transition in addition to the environment's step.
COMMAND, COLLECTED = 4.0, 1e-4
# Numbers per observation and action, where no environment is created to count them.
NOMINAL_INPUTS = 32


def default_cost(run: Run, pack: int, gpu_models: Collection[str] | None = None) -> Cost:
    """The documented defaults for packs of `pack` such runs; for updates on a GPU, its known or assumed rates.

    `gpu_models`: see `known_rates`.
    """
    source = DEFAULTS
    if run.algorithm.on_gpu:
        from algorithms.kernels import gpu

        source = gpu.known_rates(gpu_models).source
    update = _default_update(run.algorithm, pack, gpu_models)
    return _cost(run, pack, update, _default_step(run.task), source)


def _cost(run: Run, pack: int, update: float, step: float, source: str) -> Cost:
    """The cost of a pack by the seconds of one of its updates and of an environment step."""
    schedule, horizon = run.schedule, run.task.horizon
    episode_steps = schedule.evaluation_episodes * EPISODE_LENGTH * horizon
    return Cost(
        start=PROCESS + START + pack * SAVE,
        update=update,
        step=pack * (step + TRAINING_STEP),
        evaluation=horizon * COMMON_STEP + pack * (episode_steps * step + PROBES),
        pack=pack,
        source=source,
    )


def _default_update(settings: AlgorithmSettings, pack: int, gpu_models: Collection[str] | None = None) -> float:
    if settings.on_gpu:
        from algorithms.kernels import gpu

        return gpu.estimated_update_seconds(settings, NOMINAL_INPUTS, pack, gpu.known_rates(gpu_models))
    fixed, per_run, speed = UPDATES[settings.kernel]
    widths = [NOMINAL_INPUTS, *settings.critic_hidden, 1]
    parameters = sum(first * second for first, second in pairwise(widths))
    # Critics on the batch and on n_actions of three kinds; forward and twice as much backward.
    evaluations = settings.critics * settings.batch_size * (3 * settings.n_actions + 2)
    return fixed + pack * (per_run + 6 * evaluations * parameters / speed)


def _default_step(task: Task) -> float:
    name = family(task)
    if name == POINTMAZE or task.environment == WINDING_ROAD:
        return QUICK_STEP
    if name in FETCH:
        return FETCH_STEP
    if name.startswith(("cube", "scene", "puzzle")):
        return MANIPULATION_STEP
    return KITCHEN_STEP if name == KITCHEN else OTHER_STEP


def measured_cost(
    run: Run, pack: int, seconds: float = MEASURED_SECONDS, gpu_models: Collection[str] | None = None
) -> Cost:
    """Measured seconds of updates and environment steps on this machine (`measured`); defaults for the rest."""
    update, step, place = measured(run, pack, seconds, gpu_models)
    return _cost(run, pack, update, step, place)


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
    ):
        """`done`: ids of finished runs of the root to read first. With `measures` unknown shapes are measured.

        `gpu_models`: models of the GPUs on which the runs will be computed, see `known_rates`.
        """
        self.root, self.measures, self._gpu_models = root, measures, gpu_models
        self.sources: list[str] = []
        shapes = {SHAPE(run) for run in runs}
        samples = finished_costs(root, shapes, done) if root is not None and root.is_dir() else []
        self._known: dict[Any, list[tuple[Run, Cost, Work]]] = {}
        for sample in samples:
            self._known.setdefault(SHAPE(sample[0]), []).append(sample)
        ratios = [cost.of(work) / default_cost(run, cost.pack).of(work)
                  for run, cost, work in samples if not run.algorithm.on_gpu]  # fmt: skip
        self._factor = statistics.median(ratios) if ratios else None
        self._made: dict[Any, Cost] = {}

    def seconds(self, pack: Sequence[Run], works: Iterable[Work]) -> float:
        """Seconds that a worker takes for a pack, whose runs have still to do these works."""
        works = list(works)
        most = Work(*(max(getattr(work, name) for work in works) for name in ("updates", "steps", "evaluations")))
        cost = self.cost(pack[0], len(pack))
        fits = 0.0 if SHAPE(pack[0]) in self._known else FIT * sum(run.floor.base == "learned" for run in pack)
        return cost.of(most) + fits

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
            return _of_size(median, run.algorithm, pack)
        if self.measures:
            return measured_cost(run, pack, gpu_models=self._gpu_models)
        cost = default_cost(run, pack, self._gpu_models)
        if self._factor is None or run.algorithm.on_gpu:
            return cost
        return cost.times(self._factor, f"defaults, adjusted by the finished runs in {self.root}")


def _of_size(cost: Cost, settings: AlgorithmSettings, pack: int) -> Cost:
    """The cost for another number of runs: updates grow as by default, steps and evaluations in proportion."""
    ratio = pack / cost.pack
    update = _default_update(settings, pack) / _default_update(settings, cost.pack)
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


def preparation(tasks: Iterable[Task]) -> float:
    """Seconds before the first pack starts: the command itself, and collecting missing datasets."""
    from harness.data.files import dataset_exists

    seconds = COMMAND
    for task in tasks:
        if not isinstance(task.data, HostedData) and not dataset_exists(task):
            seconds += task.data.transitions * (_default_step(task) + COLLECTED)
    return seconds


def makespan(seconds: Iterable[float], places: int) -> float:
    """The time that jobs of known durations take on `places` workers, each started as soon as a worker is free."""
    ends = [0.0] * places
    for duration in seconds:
        heapq.heappushpop(ends, ends[0] + duration)
    return max(ends)
