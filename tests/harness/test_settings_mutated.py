"""Settings after arbitrary mutations, in files and on the command line, are valid or refused in one line."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablations.commands.selection import grid_runs
from harness.errors import UserError
from harness.launching.planner import plan
from harness.launching.preflight import check_floors
from harness.plain_values import dotted
from harness.settings import run_from_dict, run_to_dict
from harness.tasks.registry import SCALES, base_run
from tests.harness.test_settings import setting_paths

RUN_ID = re.compile("[0-9a-f]{12}")

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 1, 2, 2**31, 2**53 + 1, 2**63, 10**30, -(10**400), 10**4000]),
    st.floats(),
    st.sampled_from([0.0, -0.0, 5e-324, 1e-300, 1.7e308, -1e300, 0.999999999999999999]),
    st.text(max_size=8),
    st.text(st.characters(), max_size=8),
    st.sampled_from(["", "none", "learned", "exact", "sum", "NaN", "1e5", "a\nb", "\x00", "\ud800", "x" * 10_000]),
    st.sampled_from(["\u2028", "../..", "pointmaze-umaze", "floorbench/WindingRoad-v0"]),
)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
GROUPS = ["task", "task.data", "floor", "behaviour_value", "algorithm", "schedule"]
BASES = [
    base_run(task, scale, seed=1)
    for scale, recipes in SCALES.items()
    for task in ("pointmaze-umaze", "winding-road", "antmaze-umaze", "kitchen-mixed")
    if task in recipes
]
PATHS = sorted({path for base in BASES for path in setting_paths(base)} | set(GROUPS))


def nested(values, path):
    """The dictionary with the last name of a path; None if an earlier mutation removed it."""
    for name in path[:-1]:
        values = values.get(name) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else None


@st.composite
def mutated_runs(draw):
    """A valid run's dictionary after one to three mutations, and the paths that were mutated."""
    values = json.loads(json.dumps(run_to_dict(draw(st.sampled_from(BASES)))))
    mutated = []
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(PATHS)).split(".")
        kind = draw(st.sampled_from(["replace", "replace", "delete", "add", "wrap", "nudge", "nudge"]))
        if kind == "add":
            path = [*path[:-1], draw(st.text(max_size=6) | st.sampled_from(["seed", "colour", "id", "a.b"]))]
        holder, name = nested(values, path), path[-1]
        if holder is None or (kind != "add" and name not in holder):
            continue
        mutated.append(dotted(tuple(path)))
        if kind == "delete":
            del holder[name]
        elif kind == "wrap":
            holder[name] = draw(st.sampled_from([[holder[name]], {"value": holder[name]}, str(holder[name])]))
        elif kind == "nudge" and isinstance(holder[name], int | float) and abs(holder[name]) < 1e15:
            holder[name] *= draw(st.sampled_from([-1, 0, 0.5, 2, 1e-12, 1e12]))
        else:
            holder[name] = draw(JUNK)
    return values, mutated


def judge(values, mutated, root):
    """A mutated run is one and the same run after JSON, or is refused with one line that names what was mutated."""
    try:
        run = run_from_dict(values, source="config.json")
        again = run_from_dict(json.loads(json.dumps(run_to_dict(run))))
        assert again == run
        assert again.id == run.id
        assert RUN_ID.fullmatch(run.id)
        check_floors([run])
        assert plan([run], root).states == ("new",)
    except UserError as error:
        line = str(error)
        assert line.isprintable(), repr(line)
        assert len(line) < 500
        assert any(path in line for path in mutated) or "schema version" in line, (line, mutated)


@given(mutated_runs())
@settings(max_examples=1_000, deadline=None)
def test_a_mutated_run_is_accepted_or_refused_in_one_line(tmp_path_factory, case):
    judge(*case, tmp_path_factory.getbasetemp())


@pytest.mark.slow
@given(mutated_runs())
@settings(max_examples=10_000, deadline=None)
def test_ten_thousand_mutated_runs_are_accepted_or_refused_in_one_line(tmp_path_factory, case):
    judge(*case, tmp_path_factory.getbasetemp())


CHANGES = st.one_of(
    st.builds("{}={}".format, st.sampled_from(PATHS), st.text(max_size=10)),
    st.builds("{}={}".format, st.sampled_from(PATHS), JUNK.map(json.dumps)),
    st.text(max_size=20),
    st.sampled_from(["=", "a=", "=1", "algorithm.=1", ".=", "seed=" + "9" * 5000, "seed=" + "[" * 100_000]),
)


@given(st.lists(CHANGES, min_size=1, max_size=2))
@settings(max_examples=500, deadline=None)
def test_any_change_of_the_command_line_is_accepted_or_refused_in_one_line(changes):
    try:
        for run in grid_runs("smoke", "demo", changes)[:1]:
            assert run_from_dict(json.loads(json.dumps(run_to_dict(run)))) == run
    except UserError as error:
        line = str(error)
        assert line.startswith("--set"), line
        assert line.isprintable(), repr(line)
        assert len(line) < 500
