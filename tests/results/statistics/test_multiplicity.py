"""Holm's adjustment, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.statistics.multiplicity import holm


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.5.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])


def test_a_smaller_p_never_ends_above_a_larger_one():
    # 0.02 x 2 = 0.04, then 0.03 x 1 would fall below it.
    assert holm([0.02, 0.03]) == pytest.approx([0.04, 0.04])


def test_tests_that_could_not_be_made_do_not_count():
    assert holm([np.nan, 0.02, np.nan, 0.03]) == pytest.approx([np.nan, 0.04, np.nan, 0.04], nan_ok=True)
    assert holm([]).shape == (0,)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_adjusted_values_lie_between_their_own_and_bonferroni(p_values):
    adjusted, own = holm(p_values), np.array(p_values)
    assert (adjusted >= own).all()
    assert (adjusted <= np.minimum(own * len(own), 1.0)).all()
