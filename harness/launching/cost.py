"""Estimate the cost of runs: seconds per update, from finished runs of equal shape or from a short measurement."""

import heapq
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from algorithms.settings import AlgorithmSettings
from harness.folders.run_folder import run_folders
from harness.folders.state import RunState
from harness.settings import Run, Schedule, pack_key, total_updates

if TYPE_CHECKING:
    from harness.environments.environment import Environment

# Seconds for which updates and environment steps are timed, after a warm-up.
MEASURED_SECONDS = 2.0

# Largest number of finished runs used per shape and pack size.
SAMPLES = 20

# Smallest fraction of a run's updates in one process for its speed to count, because starting takes time too.
SMALLEST_FRACTION = 0.5


@dataclass(frozen=True)
class Cost:
    """The cost of one gradient step of a pack.

    Attributes:
        seconds: seconds on one core, including evaluations and everything else between the steps.
        pack: number of runs in the pack.
        source: where the number comes from, in words.
    """

    seconds: float
    pack: int
    source: str

    def of_pack(self, runs: int) -> float:
        """Seconds per gradient step of a pack of another size; larger packs take proportionally longer."""
        return self.seconds * max(1.0, runs / self.pack)


def costs(runs: Sequence[Run], root: Path, pack: int) -> dict[str, Cost]:
    """The cost of every shape among some runs, by `pack_key`, for packs of at most `pack` runs.

    The source is finished runs in the root, preferably in packs of that size, or else a measurement.
    """
    wanted = {pack_key(run): run for run in runs}
    known = finished_costs(root, set(wanted), pack) if Path(root).is_dir() else {}
    return {key: known.get(key) or measured_cost(run, pack) for key, run in wanted.items()}


def finished_costs(root: Path, keys: set[str], pack: int) -> dict[str, Cost]:
    """Median costs of shapes over finished runs in the root, in packs of the nearest size."""
    seconds: dict[tuple[str, int], list[float]] = {}
    for folder in run_folders(root):
        status = folder.status()
        speed, size = status.get("updates_per_second"), status.get("pack")
        if status["state"] != RunState.DONE or not speed or not size:
            continue
        run = folder.run()
        samples = seconds.setdefault((pack_key(run), size), []) if pack_key(run) in keys else []
        if status.get("updates", 0) >= SMALLEST_FRACTION * total_updates(run) and len(samples) < SAMPLES:
            samples.append(1.0 / speed)
    result = {}
    for key in keys:
        sizes = [size for other, size in seconds if other == key and seconds[other, size]]
        if sizes:
            nearest = min(sizes, key=lambda size: (abs(size - pack), size))
            samples = seconds[key, nearest]
            result[key] = Cost(
                statistics.median(samples), nearest, f"{len(samples)} finished runs in {root}, in packs of {nearest}"
            )
    return result


# Floating-point operations per second of one core with the fused kernel, and seconds of an environment step with its
# share of everything else: 1,720 runs of the published study (23.9 million updates of 64 x 64 networks, 174 million
# environment steps if evaluation episodes last to the horizon) took 8.5 core-hours. Fetch's simulation is slower.
NOMINAL_SPEED, NOMINAL_STEP, NOMINAL_FETCH_STEP = 2e11, 1.4e-4, 6e-4

# Numbers per observation and action, where no environment is created to count them.
NOMINAL_INPUTS = 32


def nominal_core_seconds(run: Run) -> float:
    """A rough estimate of a run's time on one core, without a measurement."""
    from harness.environments.families import FETCH, family

    algorithm, schedule = run.algorithm, run.schedule
    widths = [NOMINAL_INPUTS, *algorithm.critic_hidden, 1]
    parameters = sum(first * second for first, second in pairwise(widths))
    # Two critics on the batch and on n_actions of three kinds; forward and twice as much backward.
    evaluations = 2 * algorithm.batch_size * (3 * algorithm.n_actions + 2)
    updates = total_updates(run) * 6 * evaluations * parameters / NOMINAL_SPEED
    steps = schedule.online_steps + _evaluations(schedule) * schedule.evaluation_episodes * run.task.horizon
    return updates + (NOMINAL_FETCH_STEP if family(run.task) in FETCH else NOMINAL_STEP) * steps


@cache
def _evaluations(schedule: Schedule) -> int:
    from harness.training.timing import offline_marks, online_marks

    # Rounded log-spaced steps may coincide, which hardly matters here; placing them needs NumPy.
    log_spaced = schedule.log_spaced_evaluations if schedule.online_steps else 0
    return len(offline_marks(schedule)) + (log_spaced or len(online_marks(schedule)))


def measured_cost(run: Run, pack: int, seconds: float = MEASURED_SECONDS) -> Cost:
    """Time updates of random networks on random data, and the environment, on this machine.

    Evaluation episodes are assumed to last to the horizon. If a GPU is needed and missing, the time of updates is
    estimated from the rates of the last gpu-check, or else from assumed ones.
    """
    from algorithms.kernels import gpu
    from harness.environments.environment import Environment
    from harness.training.kernels import provide_kernels, uses_gpu
    from harness.training.timing import offline_marks, online_marks

    on_gpu = uses_gpu([run])
    environment = Environment(run.task)
    dimensions = environment.observation_dim, environment.action_dim
    if on_gpu and gpu.obstacle():
        rates = gpu.known_rates()
        per_update, source = gpu.estimated_update_seconds(run.algorithm, sum(dimensions), pack, rates), rates.source
    else:
        provide_kernels([run])
        per_update = update_seconds(run.algorithm, *dimensions, pack, seconds)
        source = f"a short measurement on {'a GPU' if on_gpu else 'one core'} of this machine"
    per_step = step_seconds(environment, seconds)
    schedule = run.schedule
    evaluations = len(offline_marks(schedule)) + len(online_marks(schedule))
    steps = schedule.online_steps + evaluations * schedule.evaluation_episodes * run.task.horizon
    updates = max(total_updates(run), 1)
    return Cost(
        per_update + per_step * steps * pack / updates,
        pack,
        source,
    )


@cache
def update_seconds(
    settings: AlgorithmSettings, observation_dim: int, action_dim: int, pack: int, seconds: float
) -> float:
    """Seconds of one gradient step of a pack on one thread, measured once per shape."""
    import torch

    from algorithms.batch import Batch
    from algorithms.learner import Learner
    from harness.training.streams import UpdateStreams, generator, normal_source

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    sources = [normal_source(generator(seed, "init")) for seed in range(pack)]
    learner = Learner([settings] * pack, observation_dim, action_dim, [0.99] * pack, sources)
    streams = UpdateStreams(range(pack), settings, action_dim, learner.device)
    column = torch.zeros(pack, settings.batch_size)
    states = torch.randn(*column.shape, observation_dim)
    batch = Batch(states, torch.rand(*column.shape, action_dim), column, states, column, column, column)

    def update(number: int) -> None:
        learner.update(batch, streams.at(number)[1])
        learner.synchronize()

    try:
        return repeated(update, seconds)
    finally:
        torch.set_num_threads(threads)


def step_seconds(environment: "Environment", seconds: float) -> float:
    """Seconds of one environment step."""
    import numpy as np

    action = np.zeros(environment.action_dim, np.float32)
    finished = True

    def step(number: int) -> None:
        nonlocal finished
        if finished:
            environment.reset(seed=number)
        *_, terminated, truncated = environment.step(action)
        finished = terminated or truncated

    return repeated(step, seconds / 4)


def makespan(seconds: Iterable[float], places: int) -> float:
    """The time that jobs of known durations take on `places` workers, each started as soon as a worker is free."""
    ends = [0.0] * places
    for duration in seconds:
        heapq.heappushpop(ends, ends[0] + duration)
    return max(ends)


def repeated(action: Callable[[int], None], seconds: float) -> float:
    """The mean duration of an action over at least `seconds` seconds, after a warm-up."""
    action(0)
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        count += 1
        action(count)
    return (time.perf_counter() - begin) / count
