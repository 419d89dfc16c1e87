"""Named random streams, derived from the seed of a run and the name of the stream, not from the arm.

Arms with the same seed therefore see the same initial weights, batches, noise, resets and evaluations, so that their
differences are paired. A stream is a sequence of blocks, each with a separate generator: the position of a run in its
streams follows from its step counts.
"""

from collections.abc import Callable, Sequence
from zlib import crc32

import numpy as np
import torch

from algorithms.batch import Noise, backup_actions
from algorithms.draws import Draws
from algorithms.kernels.gpu import BLOCK
from algorithms.kernels.philox import Counters
from algorithms.settings import AlgorithmSettings

CPU = torch.device("cpu")

# Fills a tensor with random numbers.
Fill = Callable[[torch.Tensor], object]


def generator(seed: int, stream: str, block: int = 0) -> np.random.Generator:
    """The generator of one block of one stream of one seed."""
    return np.random.Generator(np.random.SFC64([seed, crc32(stream.encode()), block]))


def normal_source(rng: np.random.Generator) -> Callable[..., torch.Tensor]:
    """Standard normal float32 tensors of a given shape."""
    return lambda *shape: torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


def uniform_source(rng: np.random.Generator) -> Callable[[int], torch.Tensor]:
    """Uniform float64 tensors on [0, 1) of a given length."""
    return lambda count: torch.from_numpy(rng.random(count))


def cpu_noise(seed: int, block: int) -> tuple[Fill, Fill]:
    """Functions that fill tensors with normal and with uniform [-1, 1) numbers of a block of a policy stream."""
    rng = generator(seed, "policy", block)

    def uniform(into: torch.Tensor) -> None:
        values = rng.random(out=into.numpy(), dtype=np.float32)
        values *= 2.0
        values -= 1.0

    return lambda into: rng.standard_normal(out=into.numpy(), dtype=np.float32), uniform


def target_critics(seed: int, block: int, settings: AlgorithmSettings) -> np.ndarray:
    """The critics that give the Bellman targets of a block of updates, [BLOCK, k] (see `AlgorithmSettings`)."""
    critics, count = settings.critics, settings.target_critics
    if count is None:
        return np.tile(np.arange(critics), (BLOCK, 1))
    rng = generator(seed, "target_critics", block)
    if settings.target_replacement:
        return (rng.random((BLOCK, count)) * critics).astype(np.int64)
    return rng.random((BLOCK, critics)).argsort(1)[:, :count]


def reset_seed(seed: int, stream: str, episode: int) -> int:
    """The reset seed of the environment for an episode of a stream."""
    return int(generator(seed, stream, episode).integers(2**31))


class ResetSeeds:
    """Reset seeds of the episodes of a pack, drawn some at a time: one by one, cache misses take most of the time."""

    def __init__(self, seeds: Sequence[int], stream: str, block: int = 16):
        self.seeds, self.stream, self.size = list(seeds), stream, block
        self._drawn: dict[tuple[int, int], list[int]] = {}

    def at(self, run: int, episode: int) -> int:
        """The seed of an episode of a run, see `reset_seed`."""
        block, within = divmod(episode, self.size)
        if (run, block) not in self._drawn:
            episodes = range(block * self.size, (block + 1) * self.size)
            self._drawn.pop((run, block - 1), None)
            self._drawn[run, block] = [reset_seed(self.seeds[run], self.stream, number) for number in episodes]
        return self._drawn[run, block][within]


class UpdateStreams:
    """Random numbers of consecutive updates of a pack: the choice of transitions, noise and subsets of critics.

    For kernels for GPUs the noise is drawn on the device that uses it, because a core cannot keep up with a GPU. All
    numbers then come from counters (`algorithms.draws`) and depend neither on the pack nor on the model of the GPU.
    """

    def __init__(self, seeds: Sequence[int], settings: AlgorithmSettings, action_dim: int, device: torch.device = CPU):
        self.seeds, self.settings = list(seeds), settings
        self._block = -1
        self._draws: Draws | None = None
        if settings.on_gpu or device != CPU:
            self._draws = Draws(seeds, settings, action_dim, device)
            self._by_update = self._draws.by_update()
            # The choice is drawn here once more, because the host would have to wait for that of a GPU.
            self._choice = torch.empty_like(self._draws.choice, device=CPU)
            self._of_choice = Counters(seeds, "batch", BLOCK, settings.batch_size, CPU)
            self._rows = self._choice.numpy()
            return
        n_actions = settings.n_actions
        block = len(self.seeds), BLOCK, settings.batch_size
        shapes = {
            "state": (*block, 1 + n_actions, action_dim),
            "following": (*block, n_actions + backup_actions(settings), action_dim),
            "uniform": (*block, n_actions, action_dim),
        }
        self._rows = np.empty(block)
        self._noise = {name: torch.empty(shape) for name, shape in shapes.items()}
        subset = len(self.seeds), BLOCK, settings.target_critics or settings.critics
        self._target_critics = torch.empty(subset, dtype=torch.int64)
        by_name = {**self._noise, "target_critics": self._target_critics}
        by_update = zip(*(values.unbind(1) for values in by_name.values()), strict=True)
        self._by_update = [Noise(**dict(zip(by_name, values, strict=True))) for values in by_update]

    def at(self, update: int) -> tuple[np.ndarray, Noise]:
        """For update number `update`: numbers [R, B] that choose transitions (see `Transitions.batch`), and the noise.

        Both are views, valid until another block is drawn.
        """
        block, within = divmod(update, BLOCK)
        if block != self._block:
            self._draw(block)
        return self._rows[:, within], self._by_update[within]

    def _draw(self, block: int) -> None:
        self._block = block
        if self._draws is not None:
            first = block * BLOCK
            self._draws.draw(torch.full((1,), first, device=self._draws.choice.device))
            self._of_choice.fill_words(self._choice, torch.tensor([first]))
            return
        for run, seed in enumerate(self.seeds):
            generator(seed, "batch", block).random(out=self._rows[run])
            self._target_critics[run] = torch.from_numpy(target_critics(seed, block, self.settings))
            normal, uniform = cpu_noise(seed, block)
            for name, values in self._noise.items():
                (uniform if name == "uniform" else normal)(values[run])


class StepStreams:
    """Standard normal numbers for consecutive environment steps of a pack, [R, A] a step."""

    def __init__(self, seeds: Sequence[int], stream: str, action_dim: int, block: int = 1024):
        self.seeds, self.stream, self.action_dim, self.size = list(seeds), stream, action_dim, block
        self._block = -1

    def at(self, step: int) -> torch.Tensor:
        """The numbers [R, A] of environment step number `step`."""
        block, within = divmod(step, self.size)
        if block != self._block:
            shape = (self.size, self.action_dim)
            draws = [generator(s, self.stream, block).standard_normal(shape, dtype=np.float32) for s in self.seeds]
            self._by_step = torch.from_numpy(np.stack(draws, axis=1)).unbind()
            self._block = block
        return self._by_step[within]
