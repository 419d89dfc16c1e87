"""Cutting many tasks into arrays that SLURM takes."""

from dataclasses import dataclass
from itertools import pairwise
from math import ceil


@dataclass(frozen=True)
class Chunk:
    """Consecutive tasks that make one array.

    Attributes:
        start: its first task.
        count: how many there are; their indices in the array go from 0 to `count` - 1.
        limit: how many of them may run at once.
        after: number of the chunk that must have ended before this one begins, or None.
    """

    start: int
    count: int
    limit: int
    after: int | None = None


def chunks(tasks: int, largest: int, at_once: int) -> list[Chunk]:
    """`tasks` tasks as arrays of at most `largest` each, of which at most `at_once` tasks run at a time, in all.

    The fewest arrays of nearly equal size share the limit as equally as it goes. Where there are more arrays than may
    run tasks at once, some wait for others: each has to be allowed one task.
    """
    if tasks == 0:
        return []
    count = ceil(tasks / largest)
    edges = [number * tasks // count for number in range(count + 1)]
    lanes = min(count, at_once)
    shares = [(lane + 1) * at_once // lanes - lane * at_once // lanes for lane in range(lanes)]
    return [
        Chunk(start, end - start, min(shares[number % lanes], end - start), number - lanes if number >= lanes else None)
        for number, (start, end) in enumerate(pairwise(edges))
    ]
