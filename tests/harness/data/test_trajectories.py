"""Trajectories and their rows contain the same numbers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.data.trajectories import Trajectory, stack


@st.composite
def trajectories(draw):
    """One to four trajectories of the same widths, terminated or truncated."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    states, actions = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    made = []
    for steps in draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)):
        ends = np.arange(steps) == steps - 1
        terminated = draw(st.booleans())
        made.append(
            Trajectory(
                observations=generator.normal(size=(steps + 1, states)).astype(np.float32),
                actions=generator.normal(size=(steps, actions)).astype(np.float32),
                rewards=generator.normal(size=steps).astype(np.float32),
                terminated=ends & terminated,
                truncated=ends & (not terminated),
            )
        )
    return made


@given(trajectories())
def test_rows_round_trip_to_trajectories(made):
    rows = stack(made)
    again = rows.trajectories()
    assert len(again) == len(made)
    for one, other in zip(made, again, strict=True):
        for name, array in vars(one).items():
            np.testing.assert_array_equal(getattr(other, name), array)
    assert rows.lengths.sum() == len(rows.table) == len(rows.rewards)
    np.testing.assert_array_equal(rows.terminated, np.concatenate([one.terminated for one in made]))
