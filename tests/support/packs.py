"""Small packs with random data, for tests of the update, and the settings of runs of about a second."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from algorithms.batch import Batch, Noise
from algorithms.learner import Learner
from algorithms.settings import AlgorithmSettings
from harness.training.streams import UpdateStreams, generator, normal_source

STATE_DIM, ACTION_DIM = 6, 2

TINY = AlgorithmSettings(
    policy_hidden=(16, 16), critic_hidden=(16, 16), batch_size=8, n_actions=3, alpha=2.0, policy_learning_rate=1e-3
)


# With the grid `smoke`: both phases in about a second.
SHORT = {
    "schedule.offline_steps": 60,
    "schedule.online_steps": 80,
    "schedule.offline_interval": 40,
    "schedule.dense_interval": 20,
    "schedule.dense_steps": 40,
    "schedule.online_interval": 80,
    "schedule.evaluation_episodes": 1,
    "task.horizon": 30,
    "task.data.transitions": 300,
    "behaviour_value.max_steps": 50,
}


def make_learner(
    settings: Sequence[AlgorithmSettings], seeds: Sequence[int], dtype=torch.float32, device=None
) -> Learner:
    """A learner whose runs are initialised from the streams of their seeds."""

    def source(seed):
        normal = normal_source(generator(seed, "init"))
        return lambda *shape: normal(*shape).to(dtype)

    sources = [source(seed) for seed in seeds]
    return Learner(settings, STATE_DIM, ACTION_DIM, [0.9] * len(seeds), sources, dtype, device)


def make_batch(seeds: Sequence[int], update: int, size: int, floor: float | None = None, dtype=torch.float32) -> Batch:
    """Random transitions, which depend on a run's seed; the floor is `floor`, or random if None."""

    def draw(name, *shape):
        return torch.stack([normal_source(generator(seed, name, update))(*shape) for seed in seeds]).to(dtype)

    random_floor = draw("floor", size)
    return Batch(
        states=draw("states", size, STATE_DIM),
        actions=draw("actions", size, ACTION_DIM).tanh(),
        rewards=draw("rewards", size),
        next_states=draw("next", size, STATE_DIM),
        terminals=(draw("terminals", size) > 1.0).to(dtype),
        return_to_go=draw("returns", size),
        floor=random_floor if floor is None else torch.full_like(random_floor, floor),
    )


def make_noise(settings: AlgorithmSettings, seeds: Sequence[int], update: int, dtype=torch.float32) -> Noise:
    """The noise of an update from the runs' random streams."""
    noise = UpdateStreams(seeds, replace(settings, kernel="torch"), ACTION_DIM).at(update)[1]
    return Noise(**{
        name: value.to(dtype) if value.is_floating_point() else value for name, value in vars(noise).items()
    })  # fmt: skip


def train(
    settings: Sequence[AlgorithmSettings], seeds: Sequence[int], updates: int, floor: float | None = None, device=None
) -> Learner:
    """A learner after `updates` updates."""
    learner = make_learner(settings, seeds, device=device)
    continue_training(learner, seeds, range(updates), floor)
    return learner


def interrupt(patch: pytest.MonkeyPatch, at: int, action: Callable[[], object]) -> None:
    """Do something before the first call for updates from number `at` on, once."""
    done: list[int] = []

    def wrapped(update: Callable[..., None]) -> Callable[..., None]:
        def counted(learner: Learner, *inputs: Any) -> None:
            if learner.counters["updates"] >= at and not done:
                done.append(at)
                action()
            update(learner, *inputs)

        return counted

    for name in ("update", "update_from"):
        patch.setattr(Learner, name, wrapped(getattr(Learner, name)))


def continue_training(
    learner: Learner, seeds: Sequence[int], updates: Iterable[int], floor: float | None = None
) -> None:
    """Make the updates of these numbers."""
    for update in updates:
        batch = make_batch(seeds, update, learner.shape.batch_size, floor)
        learner.update(batch, make_noise(learner.shape, seeds, update))
