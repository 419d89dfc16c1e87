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


def fill_uniform(into: Tensor, seeds: Sequence[int], stream: str, update: int) -> None:
    """Fill `into` [R, U, ...] with uniform numbers on [-1, 1) for U updates from number `update` on, by run seed."""
    for part, words in _pieces(into, seeds, stream, update):
        part.copy_((words[..., : part.shape[-1]] >> 8).to(torch.float32) * (2.0 * FRACTION) - 1.0)


def fill_normal(into: Tensor, seeds: Sequence[int], stream: str, update: int) -> None:
    """Fill `into` [R, U, ...] with standard normal numbers, see `fill_uniform`.

    By Box and Muller's transform of pairs of words; the largest number is sqrt(48 ln 2) = 5.8.
    """
    for part, words in _pieces(into, seeds, stream, update):
        radius = torch.sqrt(-2.0 * torch.log(((words[..., 0::2] >> 8) + 1).to(torch.float32) * FRACTION))
        angle = (words[..., 1::2] >> 8).to(torch.float32) * (2.0 * pi * FRACTION)
        pairs = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], -1).flatten(-2)
        part.copy_(pairs[..., : part.shape[-1]])


def _pieces(into: Tensor, seeds: Sequence[int], stream: str, update: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Views [P, n] of `into`, a row per run and update, with words [P, n'] (n' the next multiple of 4)."""
    rows = into.view(-1, into[0, 0].numel())
    device, updates, size = into.device, into.shape[1], rows.shape[1]
    quarters = torch.arange(-(-size // 4), device=device)
    seed = torch.tensor(seeds, dtype=torch.int64, device=device).repeat_interleave(updates)[:, None]
    number = torch.arange(update, update + updates, device=device).repeat(len(seeds))[:, None]
    name = torch.tensor(crc32(stream.encode()), device=device)
    step = max(1, CHUNK // (4 * len(quarters)))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        counter = (quarters, number[part] & MASK, name, number[part] >> 32)
        words = torch.stack(philox(counter, (seed[part] & MASK, seed[part] >> 32)), -1).flatten(-2)
        yield rows[part], words
