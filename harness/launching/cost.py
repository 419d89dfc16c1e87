"""What runs will cost: seconds per update, from finished runs of equal shape or measured here for a few seconds."""

import heapq
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from algorithms.settings import AlgorithmSettings
from harness.folders.run_folder import run_folders
from harness.folders.state import RunState
from harness.settings import Run, pack_key, total_updates

if TYPE_CHECKING:
    from harness.environments.environment import Environment

# Seconds for which updates, and steps of the environment, are measured after a first one.
MEASURED_SECONDS = 2.0

# Finished runs of one shape and pack size that are looked at, at most.
SAMPLES = 20

# Share of a finished run's updates that one process must have made for its speed to count: starting takes time too.
WHOLE = 0.5


class UnknownCostError(Exception):
    """Why nobody knows what runs will cost, in one line."""


@dataclass(frozen=True)
class Cost:
    """What one gradient step of a whole pack takes.

    Attributes:
        seconds: of one core, with the evaluations and everything else that comes between the steps.
        pack: runs in the pack.
        source: where the number comes from, in words.
    """

    seconds: float
    pack: int
    source: str

    def of_pack(self, runs: int) -> float:
        """Seconds per gradient step of a pack of another size: a larger one takes longer in proportion, at most."""
        return self.seconds * max(1.0, runs / self.pack)


def costs(runs: Sequence[Run], root: Path, pack: int) -> dict[str, Cost]:
    """The cost of every shape among some runs, by `pack_key`, for packs of `pack` runs or less.

    Finished runs in the root tell it, of the same pack size if there are any; else it is measured.
    """
    wanted = {pack_key(run): run for run in runs}
    known = finished_costs(root, set(wanted), pack) if Path(root).is_dir() else {}
    return {key: known.get(key) or measured_cost(run, pack) for key, run in wanted.items()}


def finished_costs(root: Path, keys: set[str], pack: int) -> dict[str, Cost]:
    """The costs of shapes that some finished runs in the root have, medians over runs in packs of the nearest size."""
    seconds: dict[tuple[str, int], list[float]] = {}
    for folder in run_folders(root):
        status = folder.status()
        speed, size = status.get("updates_per_second"), status.get("pack")
        if status["state"] != RunState.DONE or not speed or not size:
            continue
        run = folder.run()
        found = seconds.setdefault((pack_key(run), size), []) if pack_key(run) in keys else []
        if status.get("updates", 0) >= WHOLE * total_updates(run.schedule) and len(found) < SAMPLES:
            found.append(1.0 / speed)
    result = {}
    for key in keys:
        sizes = [size for other, size in seconds if other == key and seconds[other, size]]
        if sizes:
            nearest = min(sizes, key=lambda size: (abs(size - pack), size))
            found = seconds[key, nearest]
            result[key] = Cost(
                statistics.median(found), nearest, f"{len(found)} finished runs in {root}, in packs of {nearest}"
            )
    return result


def measured_cost(run: Run, pack: int, seconds: float = MEASURED_SECONDS) -> Cost:
    """The cost of a run's shape on this machine: updates of random networks on random data, and the environment.

    Evaluation episodes are taken to last to the horizon. Raises UnknownCostError where a card is needed and none here.
    """
    from algorithms.kernels import gpu
    from harness.environments.environment import Environment
    from harness.training.kernels import provide_kernels, uses_gpu
    from harness.training.timing import offline_marks, online_marks

    on_gpu = uses_gpu([run])
    if on_gpu and (reason := gpu.obstacle()):
        raise UnknownCostError(f"no run of this shape is finished, and {reason}")
    environment = Environment(run.task)
    dimensions = environment.observation_dim, environment.action_dim
    provide_kernels([run])
    per_update = update_seconds(run.algorithm, *dimensions, pack, seconds)
    per_step = step_seconds(environment, seconds)
    schedule = run.schedule
    evaluations = len(offline_marks(schedule)) + len(online_marks(schedule))
    steps = schedule.online_steps + evaluations * schedule.evaluation_episodes * run.task.horizon
    updates = max(total_updates(schedule), 1)
    return Cost(
        per_update + per_step * steps * pack / updates,
        pack,
        f"a few seconds of updates on {'a card' if on_gpu else 'one core'} here",
    )


@cache
def update_seconds(
    settings: AlgorithmSettings, observation_dim: int, action_dim: int, pack: int, seconds: float
) -> float:
    """Seconds of one gradient step of a pack, on one thread; measured once for all tasks with equal shapes."""
    import torch

    from algorithms.batch import Batch, backup_actions
    from algorithms.learner import Learner
    from harness.training.streams import UpdateStreams, generator, normal_source

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    sources = [normal_source(generator(seed, "init")) for seed in range(pack)]
    learner = Learner([settings] * pack, observation_dim, action_dim, [0.99] * pack, sources)
    sizes = settings.batch_size, settings.n_actions, backup_actions(settings), action_dim
    streams = UpdateStreams(range(pack), *sizes, learner.device)
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
    """Seconds of one step of a task's environment."""
    import numpy as np

    action = np.zeros(environment.action_dim, np.float32)
    over = True

    def step(number: int) -> None:
        nonlocal over
        if over:
            environment.reset(seed=number)
        *_, terminated, truncated = environment.step(action)
        over = terminated or truncated

    return repeated(step, seconds / 4)


def makespan(seconds: Iterable[float], places: int) -> float:
    """How long jobs of known lengths take in so many places, each begun as soon as one before it has ended."""
    ends = [0.0] * places
    for each in seconds:
        heapq.heappushpop(ends, ends[0] + each)
    return max(ends)


def repeated(action: Callable[[int], None], seconds: float) -> float:
    """Seconds that an action takes, on average over at least so many seconds; its first time does not count."""
    action(0)
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        count += 1
        action(count)
    return (time.perf_counter() - begin) / count
