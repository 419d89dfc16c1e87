"""Named random streams: each run draws from its own, derived from its seed and the stream's name, never from the arm.

Arms with the same seed so see the same initial weights, batches, noise, resets and evaluations, and their differences
are paired. A stream is a sequence of blocks, each with a generator of its own: where a run stands in its streams is
known from its step counters alone.
"""

from collections.abc import Callable, Sequence
from zlib import crc32

import numpy as np
import torch

from algorithms.learner import Noise

# Updates for which the pack draws its noise at once.
BLOCK = 32


def generator(seed: int, stream: str, block: int = 0) -> np.random.Generator:
    """The generator of one block of one stream of one seed."""
    return np.random.Generator(np.random.SFC64([seed, crc32(stream.encode()), block]))


def normal_source(rng: np.random.Generator) -> Callable[..., torch.Tensor]:
    """Standard normal float32 tensors of a given shape."""
    return lambda *shape: torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


def uniform_source(rng: np.random.Generator) -> Callable[[int], torch.Tensor]:
    """Uniform float64 tensors on [0, 1) of a given length."""
    return lambda count: torch.from_numpy(rng.random(count))


def reset_seed(seed: int, stream: str, episode: int) -> int:
    """The seed with which the environment is reset for an episode of a stream."""
    return int(generator(seed, stream, episode).integers(2**31))


class UpdateStreams:
    """The random numbers of consecutive updates of a pack: which transitions, and the noise of the policies."""

    def __init__(self, seeds: Sequence[int], batch_size: int, n_actions: int, backup_actions: int, action_dim: int):
        self.seeds = list(seeds)
        self.batch_size = batch_size
        self.shapes = {
            "state": (batch_size, 1 + n_actions, action_dim),
            "following": (batch_size, n_actions + backup_actions, action_dim),
        }
        self.uniform_shape = (batch_size, n_actions, action_dim)
        self._block = -1

    def at(self, update: int) -> tuple[np.ndarray, Noise]:
        """For update number `update`: uniform numbers [R, B] on [0, 1) that choose transitions, and the noise."""
        block, within = divmod(update, BLOCK)
        if block != self._block:
            self._draw(block)
        noise = {name: values[within] for name, values in self._noise.items()}
        return self._rows[within], Noise(**noise)

    def _draw(self, block: int) -> None:
        runs = len(self.seeds)
        self._rows = np.empty((BLOCK, runs, self.batch_size))
        noise = {name: np.empty((BLOCK, runs, *shape), np.float32) for name, shape in self.shapes.items()}
        uniform = np.empty((BLOCK, runs, *self.uniform_shape), np.float32)
        for run, seed in enumerate(self.seeds):
            self._rows[:, run] = generator(seed, "batch", block).random((BLOCK, self.batch_size))
            rng = generator(seed, "policy", block)
            for name, shape in self.shapes.items():
                noise[name][:, run] = rng.standard_normal((BLOCK, *shape), dtype=np.float32)
            uniform[:, run] = rng.random((BLOCK, *self.uniform_shape), dtype=np.float32) * 2.0 - 1.0
        self._noise = {name: torch.from_numpy(values) for name, values in {**noise, "uniform": uniform}.items()}
        self._block = block


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
            self._values = torch.from_numpy(np.stack(draws, axis=1))
            self._block = block
        return self._values[within]
