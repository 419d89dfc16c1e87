"""Axes of a grid: which runs they give, and how the arms are called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablations.axes import grid, split_variant, variant_name, varied
from harness.errors import UserError

ALPHA, MIXING = "algorithm.alpha", "schedule.mixing_ratio"


def runs(arms=("cql",), seeds=range(1)):
    return grid(["pointmaze-umaze"], arms, seeds, "demo")


def test_the_product_of_axes():
    variants = varied(runs(), {ALPHA: [1, 5], MIXING: [0, 0.25]})
    assert [(run.arm, run.algorithm.alpha, run.schedule.mixing_ratio) for run in variants] == [
        ("cql[alpha=1,mixing_ratio=0]", 1.0, 0.0),
        ("cql[alpha=1,mixing_ratio=0.25]", 1.0, 0.25),
        ("cql[alpha=5,mixing_ratio=0]", 5.0, 0.0),
        ("cql[alpha=5,mixing_ratio=0.25]", 5.0, 0.25),
    ]


def test_joint_axes_vary_together():
    variants = varied(runs(), {ALPHA: [1, 5], MIXING: [0, 0.25]}, joint=True)
    assert [(run.algorithm.alpha, run.schedule.mixing_ratio) for run in variants] == [(1.0, 0.0), (5.0, 0.25)]


def test_a_combination_that_changes_nothing_is_the_arm_itself():
    """The demo's alpha is 20."""
    base = runs()
    variants = varied(base, {ALPHA: [5, 20.0]})
    assert [run.arm for run in variants] == ["cql[alpha=5]", "cql"]
    assert variants[1].id == base[0].id


def test_a_variant_can_be_varied_further():
    variants = varied(
        varied(runs(), {MIXING: [0.0, 0.5]}), {"online.alpha": [None, 0], "online.alpha_decay": [0, 1]}, True
    )
    assert [run.arm for run in variants] == [
        "cql[mixing_ratio=0]", "cql[mixing_ratio=0,alpha=0,alpha_decay=1]", "cql", "cql[alpha=0,alpha_decay=1]",
    ]  # fmt: skip


def test_every_arm_and_seed_is_varied_and_ids_differ():
    variants = varied(runs(("cql", "monte_carlo"), range(3)), {ALPHA: [1, 2]})
    assert len({run.id for run in variants}) == 2 * 3 * 2
    assert {run.arm for run in variants} == {f"{arm}[alpha={n}]" for arm in ("cql", "monte_carlo") for n in (1, 2)}


def test_equal_values_give_one_run():
    assert [run.arm for run in varied(runs(), {ALPHA: [1, 1.0]})] == ["cql[alpha=1]"]


@pytest.mark.parametrize(
    ("axes", "joint", "message"),
    [
        ({ALPHA: []}, False, r"axes: algorithm.alpha = \[\]: must be a list of values"),
        ({ALPHA: "15"}, False, "axes: algorithm.alpha = '15': must be a list of values"),
        (
            {ALPHA: [1, 2], MIXING: [0]},
            True,
            "joint axes need equally many values, not algorithm.alpha 2",
        ),
        ({ALPHA: [1], "online.alpha": [0]}, False, "algorithm.alpha and online.alpha: end in the same word"),
        (
            {"algorithm.alhpa": [1]},
            False,
            "axes: setting algorithm.alhpa: unknown setting; did you mean",
        ),
        ({ALPHA: [-1]}, False, "axes: setting algorithm.alpha = -1"),
    ],
)
def test_bad_axes_are_refused(axes, joint, message):
    with pytest.raises(UserError, match=message):
        varied(runs(), axes, joint)


VALUES = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none(),
                   st.text(max_size=8), st.lists(st.integers(), max_size=3))  # fmt: skip


@given(st.dictionaries(st.sampled_from(["a.alpha", "a.tau", "b.hidden"]), VALUES, min_size=1))
def test_names_of_variants_can_be_split(changes):
    arm, values = split_variant(variant_name("cql", changes))
    assert arm == "cql"
    assert len(values.split(",")) == len(changes)


def test_names_of_arms_have_no_variant():
    assert split_variant("inflated_0.25") == ("inflated_0.25", "")
