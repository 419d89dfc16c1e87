"""Short measurements of what runs are computed with: the seconds of an update and of an environment step."""

import time
from collections.abc import Callable, Collection
from functools import cache
from typing import TYPE_CHECKING

from algorithms.settings import AlgorithmSettings
from harness.settings import Run

if TYPE_CHECKING:
    from harness.environments.environment import Environment

# Seconds for which updates and environment steps are timed, after a warm-up.
MEASURED_SECONDS = 2.0


def measured(
    run: Run, pack: int, seconds: float = MEASURED_SECONDS, gpu_models: Collection[str] | None = None
) -> tuple[float, float, str]:
    """Seconds of an update of a pack and of an environment step, and where they were measured.

    Updates are timed with random networks on random data. If a GPU is needed and missing, or is none of the
    `gpu_models`, their time is estimated from the rates of the last gpu-check of one of these (`known_rates`), or else
    from assumed ones.
    """
    from algorithms.kernels import gpu
    from harness.environments.environment import Environment
    from harness.training.kernels import provide_kernels, uses_gpu

    on_gpu = uses_gpu([run])
    environment = Environment(run.task)
    dimensions = environment.observation_dim, environment.action_dim
    if on_gpu and (gpu.obstacle() or (gpu_models and not gpu.is_visible(gpu_models))):
        rates = gpu.known_rates(gpu_models)
        update, place = gpu.estimated_update_seconds(run.algorithm, sum(dimensions), pack, rates), rates.source
    else:
        provide_kernels([run])
        update = update_seconds(run.algorithm, *dimensions, pack, seconds)
        place = f"a short measurement on {'a GPU' if on_gpu else 'one core'} of this machine"
    return update, step_seconds(environment, seconds), place


@cache
def update_seconds(
    settings: AlgorithmSettings, observation_dim: int, action_dim: int, pack: int, seconds: float
) -> float:
    """Seconds of one gradient step of a pack on one thread, measured once per shape; on a GPU as part of a block."""
    import torch

    from algorithms.batch import Batch
    from algorithms.device_replay import DeviceReplay
    from algorithms.kernels.gpu import BLOCK
    from algorithms.learner import Learner
    from harness.training.streams import UpdateStreams, generator, normal_source

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    sources = [normal_source(generator(seed, "init")) for seed in range(pack)]
    learner = Learner([settings] * pack, observation_dim, action_dim, [0.99] * pack, sources)
    if settings.on_gpu:
        table = torch.zeros(1, 2 * observation_dim + action_dim + 2)
        replay = DeviceReplay(range(pack), settings, table, 0, observation_dim, action_dim, learner.device)
        replay.floor.zero_()
    else:
        streams = UpdateStreams(range(pack), settings, action_dim)
        column = torch.zeros(pack, settings.batch_size)
        states = torch.randn(*column.shape, observation_dim)
        batch = Batch(states, torch.rand(*column.shape, action_dim), column, states, column, column, column)

    def update(number: int) -> None:
        if settings.on_gpu:
            learner.update_from(replay, BLOCK)
            learner.synchronize()
        else:
            learner.update(batch, streams.at(number)[1])

    try:
        return repeated(update, seconds) / (BLOCK if settings.on_gpu else 1)
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


def repeated(action: Callable[[int], None], seconds: float) -> float:
    """The mean duration of an action over at least `seconds` seconds, after a warm-up."""
    action(0)
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        count += 1
        action(count)
    return (time.perf_counter() - begin) / count
