"""Tasks and arms that can be compared."""

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from results.frame.common import common


def runs_of(arms):
    """A finished run per arm and task."""
    return pd.DataFrame([(arm, task) for arm, tasks in arms.items() for task in tasks], columns=["arm", "task"])


def test_the_most_pairs_of_arm_and_task_are_taken():
    """Three arms on two tasks are six pairs, four on one task four, one on three tasks three."""
    finished = runs_of({"cql": "abc", "monte_carlo": "ab", "learned": "ab", "expectation": "b"})
    assert common(finished) == (["a", "b"], ["cql", "monte_carlo", "learned"])


def test_of_equally_many_pairs_more_tasks_are_taken():
    assert common(runs_of({"cql": "ab", "monte_carlo": "a"})) == (["a", "b"], ["cql"])


def test_a_grid_elsewhere_does_not_narrow_the_comparison():
    study = dict.fromkeys(("cql", "monte_carlo", "learned"), "abc")
    elsewhere = {"cql": "abcd", "reference": "d", "official": "d"}
    assert common(runs_of(study | elsewhere)) == (["a", "b", "c"], ["cql", "monte_carlo", "learned"])


def test_a_baseline_is_among_the_arms_and_too_few_tasks_are_none():
    finished = runs_of({"cql": "ab", "monte_carlo": "bc", "learned": "bc", "inflated_1": "bc"})
    assert common(finished) == (["b", "c"], ["monte_carlo", "learned", "inflated_1"])
    assert common(finished, "cql") == (["b"], ["cql", "monte_carlo", "learned", "inflated_1"])
    assert common(finished, "cql", fewest=2) == (["a", "b"], ["cql"])
    assert common(finished, "expectation") == ([], [])
    assert common(finished, fewest=3) == ([], [])
    assert common(finished.iloc[:0]) == ([], [])


@given(st.dictionaries(st.sampled_from("uvwxyz"), st.sets(st.sampled_from("abcdef"), min_size=1), min_size=1))
def test_every_arm_has_every_task(arms):
    tasks, compared = common(runs_of(arms))
    assert tasks
    assert compared
    assert all(set(tasks) <= arms[arm] for arm in compared)
    assert all(not set(tasks) <= arms[arm] for arm in arms if arm not in compared)
