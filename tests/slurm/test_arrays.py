"""Arrays: every task in exactly one, none too large, and never more at once than allowed."""

from hypothesis import given, settings
from hypothesis import strategies as st

from slurm.arrays import Chunk, chunks


def test_by_hand():
    assert chunks(0, 10, 2) == []
    assert chunks(7, 10, 3) == [Chunk(0, 7, 3)]
    assert chunks(2, 10, 3) == [Chunk(0, 2, 2)]
    assert chunks(1200, 1001, 16) == [Chunk(0, 600, 8), Chunk(600, 600, 8)]
    assert chunks(1200, 1001, 1) == [Chunk(0, 600, 1), Chunk(600, 600, 1, after=0)]
    assert chunks(7, 2, 3) == [Chunk(0, 1, 1), Chunk(1, 2, 1), Chunk(3, 2, 1), Chunk(5, 2, 1, after=0)]


def most_at_once(found):
    """Tasks that can run at the same time: every chunk's limit, of those that may run beside each other."""
    lanes = {}
    for number, chunk in enumerate(found):
        lanes[number] = number if chunk.after is None else lanes[chunk.after]
    return sum(
        max(chunk.limit for number, chunk in enumerate(found) if lanes[number] == lane) for lane in set(lanes.values())
    )


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(1, 90), st.integers(1, 100))
def test_nothing_is_lost_doubled_too_large_or_too_many_at_once(tasks, largest, at_once):
    found = chunks(tasks, largest, at_once)
    assert [task for chunk in found for task in range(chunk.start, chunk.start + chunk.count)] == list(range(tasks))
    assert all(1 <= chunk.count <= largest and 1 <= chunk.limit <= chunk.count for chunk in found)
    assert all(chunk.after is None or chunk.after < number for number, chunk in enumerate(found))
    assert most_at_once(found) <= at_once
    if found:
        sizes = [chunk.count for chunk in found]
        assert max(sizes) - min(sizes) <= 1
        assert len(found) == -(-tasks // largest)
        # The whole limit is used, but for what an array too small for its share leaves of it.
        assert most_at_once(found) >= min(at_once, len(found) * min(sizes))
