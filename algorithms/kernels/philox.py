"""Random numbers from counters, the same on every device and for any number of runs that are drawn together.

Philox-4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") maps a key and a counter to four
32-bit words. Here the key is the seed of a run and the counter names stream, update and element. torch's own generator
on a GPU divides the elements among threads, whose number depends on the model of the GPU, and so would its numbers.
"""

from collections.abc import Iterator, Sequence
from math import pi
from zlib import crc32

import torch
from torch import Tensor

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
MASK = 0xFFFFFFFF

# Words computed at once, to bound the memory of intermediate results.
CHUNK = 2**22

# The 24 upper bits of a word as a fraction: all float32 numbers k / 2^24 in [0, 1).
FRACTION = 2.0**-24


def philox(counter: Sequence[Tensor], key: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four words of 32 bits from four words of a counter and two of a key, all int64 and broadcast together."""
    a, b, c, d = counter
    first, second = key
    for _ in range(ROUNDS):
        # Products of 64 bits wrap around in int64; shifted and masked, their halves are those of unsigned numbers.
        left, right = MULTIPLIERS[0] * a, MULTIPLIERS[1] * c
        a, b, c, d = ((right >> 32) & MASK) ^ b ^ first, right & MASK, ((left >> 32) & MASK) ^ d ^ second, left & MASK
        first, second = (first + KEY_STEPS[0]) & MASK, (second + KEY_STEPS[1]) & MASK
    return a, b, c, d


class Counters:
    """The words of a stream of R runs for consecutive updates, made by operations on tensors of one device only.

    They can therefore be recorded as part of a CUDA graph: the number of the first update is a tensor.
    """

    def __init__(self, seeds: Sequence[int], stream: str, updates: int, size: int, device: torch.device | str):
        """`size` words per run and update."""
        self.size = size
        self._quarters = torch.arange(-(-size // 4), device=device)
        seed = torch.tensor(seeds, dtype=torch.int64, device=device).repeat_interleave(updates)[:, None]
        self._key = seed & MASK, seed >> 32
        self._number = torch.arange(updates, device=device).repeat(len(seeds))[:, None]
        self._name = torch.tensor(crc32(stream.encode()), device=device)

    def words(self, first: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Rows, one per run and update, with their words [rows, n] for updates from number `first` [1] on.

        n is the next multiple of 4.
        """
        number = self._number + first
        step = max(1, CHUNK // (4 * len(self._quarters)))
        for start in range(0, len(number), step):
            rows = slice(start, start + step)
            counter = (self._quarters, number[rows] & MASK, self._name, number[rows] >> 32)
            words = philox(counter, (self._key[0][rows], self._key[1][rows]))
            yield rows, torch.stack(words, -1).flatten(-2)

    def fill_words(self, into: Tensor, first: Tensor) -> None:
        """Fill `into` [R, U, ...] (int64) with words."""
        for rows, words in self.words(first):
            into.view(-1, self.size)[rows] = words[:, : self.size]

    def fill_uniform(self, into: Tensor, first: Tensor) -> None:
        """Fill `into` [R, U, ...] with uniform numbers on [-1, 1)."""
        for rows, words in self.words(first):
            values = (words[:, : self.size] >> 8).to(torch.float32) * (2.0 * FRACTION) - 1.0
            into.view(-1, self.size)[rows] = values

    def fill_normal(self, into: Tensor, first: Tensor) -> None:
        """Fill `into` [R, U, ...] with standard normal numbers.

        By Box and Muller's transform of pairs of words; the largest number is sqrt(48 ln 2) = 5.8.
        """
        for rows, words in self.words(first):
            radius = torch.sqrt(-2.0 * torch.log(((words[:, 0::2] >> 8) + 1).to(torch.float32) * FRACTION))
            angle = (words[:, 1::2] >> 8).to(torch.float32) * (2.0 * pi * FRACTION)
            pairs = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], -1).flatten(-2)
            into.view(-1, self.size)[rows] = pairs[:, : self.size]


def scaled(words: Tensor, count: Tensor | int) -> Tensor:
    """Words as numbers 0 ... count - 1, for counts below 2^31: the same on every device."""
    return (words * count) >> 32
