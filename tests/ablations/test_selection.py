"""Selections by task, arm and seed, and grids without a name."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablations.axes import varied
from ablations.grids import runs_of
from ablations.selection import Selection, numbers
from harness.errors import UserError

FLOORS = runs_of("floors")


def test_a_grid_without_a_name_has_the_ids_of_the_named_grid():
    named = Selection(arms=("cql", "monte_carlo"), seeds=("0-2",)).runs(FLOORS, "grid floors")
    unnamed = Selection(("pointmaze-medium",), ("cql", "monte_carlo"), ("0-2",)).grid("demo")
    assert [run.id for run in unnamed] == [run.id for run in named]
    assert len(named) == 6


def test_patterns_and_ranges():
    runs = Selection(("winding-*",), ("inflated_0.*", "cql"), ("7", "1-2", "2")).grid("demo")
    assert {run.task.name for run in runs} == {"winding-road", "winding-road-short"}
    assert list(dict.fromkeys(run.arm for run in runs)) == ["inflated_0.1", "inflated_0.25", "inflated_0.5", "cql"]
    assert [run.seed for run in runs[:3]] == [7, 1, 2]
    assert len({run.id for run in runs}) == len(runs) == 2 * 4 * 3


def test_the_name_of_a_variant_selects_it():
    runs = varied(FLOORS[:1], {"algorithm.alpha": [1, 2]})
    assert Selection(arms=("cql[alpha=1]",)).runs(runs, "these") == runs[:1]


PATTERNS = st.sets(st.sampled_from(["cql", "inflated*", "?earned"]))


@given(st.sets(st.sampled_from(["pointmaze-*", "*"])), PATTERNS, st.sets(st.integers(0, 5)))
def test_selected_runs_are_in_grid_order_and_match(tasks, arms, seeds):
    chosen = Selection(tuple(tasks), tuple(arms), tuple(map(str, seeds))).runs(FLOORS, "grid floors")
    allowed = {"cql": {"cql"}, "inflated*": {"inflated_0.25", "inflated_1"}, "?earned": {"learned"}}
    wanted = set().union(*(allowed[arm] for arm in arms)) or {run.arm for run in FLOORS}
    assert chosen == [run for run in FLOORS if run.arm in wanted and (not seeds or run.seed in seeds)]


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(tasks=("antmaze-*",)), "--task antmaze-*: selects nothing; grid floors has pointmaze-medium"),
        (Selection(arms=("cql", "sac")), "--arm sac: selects nothing; grid floors has cql, monte_carlo, learned, infl"),
        (Selection(seeds=("4-9", "11")), "--seed 11: selects nothing; grid floors has 0-5"),
        (Selection(seeds=("4-1",)), "--seed 4-1: must be a number or a range, such as 3 or 0-4"),
        (Selection(seeds=("-1",)), "--seed -1: must be a number or a range"),
        (Selection(seeds=("0-99999999",)), "--seed 0-99999999: 100,000,000 seeds; must be at most 1,000,000"),
    ],
)
def test_empty_selections_say_what_would_have_matched(selection, message):
    with pytest.raises(UserError, match=re.escape(message)):
        selection.runs(FLOORS, "grid floors")


def test_options_that_match_alone_but_not_together():
    runs = [run for run in FLOORS if (run.arm == "cql") == (run.seed == 0)]
    with pytest.raises(UserError, match="--arm cql --seed 1: no run in these has all of these; leave one out"):
        Selection(arms=("cql",), seeds=("1",)).runs(runs, "these")


def test_grids_without_a_name_need_tasks_arms_and_seeds():
    with pytest.raises(UserError, match="--task fetch-reach --seed 0: without a grid, --arm is needed as well"):
        Selection(tasks=("fetch-reach",), seeds=("0",)).grid("demo")
    with pytest.raises(UserError, match="--task pen-binary: selects nothing; scale demo has pointmaze-umaze, "):
        Selection(("pen-binary",), ("cql",), ("0",)).grid("demo")
    with pytest.raises(UserError, match="scale 'huge': unknown scale"):
        Selection(("fetch-reach",), ("cql",), ("0",)).grid("huge")


def test_numbers():
    assert numbers([0, "3", "5-7", "6"], "seeds") == [0, 3, 5, 6, 7]
    with pytest.raises(UserError, match="seeds True: must be a number"):
        numbers([True], "seeds")
