"""Claims about runs name known arms and measure columns that runs have."""

import pytest

from ablations.arms import ARMS
from ablations.axes import split_variant
from ablations.claim import Difference, DoseResponse, Equivalence, Level, arms_of
from ablations.claims import CLAIMS
from ablations.exact import lab
from ablations.grids import runs_of
from ablations.measures import behaviour_value
from harness.settings import with_settings
from results.frame import evaluations, runs
from results.frame.per_run import per_run
from results.verdicts.runs import measured
from tests.support.run_folder_factory import RETURN_TO_GO, write_done

TINY = {"schedule.offline_steps": 400, "schedule.offline_interval": 200, "schedule.online_steps": 600,
        "schedule.online_interval": 300, "schedule.dense_interval": 150, "schedule.dense_steps": 300,
        "schedule.log_spaced_evaluations": 3}  # fmt: skip


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    named = [run for grid in ("truth", "doses", "truncation", "floors") for run in runs_of(grid) if run.seed < 2]
    named += [run for run in runs_of("study") if run.seed < 2 and run.task.name == "winding-road"]
    fine_tuning = ("dip", "cause", "alphas", "floor_error", "best_value")
    named += [run for grid in fine_tuning for run in runs_of(grid) if run.seed == 300 and run.task.data_seed == 1]
    named += [run for run in runs_of("remedies") if run.task.data_seed == 1]
    write_done(root, [with_settings(run, TINY) for run in {run.id: run for run in named}.values()])
    return per_run(runs([root]), evaluations([root]))


def test_claim_ids_are_unique():
    ids = [claim.id for claim in (*CLAIMS, *lab.CLAIMS)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_names_known_arms_and_measures_their_runs(claim, frame):
    arms = arms_of(claim.test)
    assert {split_variant(arm)[0] for arm in arms} <= set(ARMS)
    numbers = measured(claim, frame)
    assert len(numbers) == len(frame)
    known = numbers[numbers["arm"].isin(arms)].groupby("task")["value"].apply(lambda values: values.notna().all())
    assert known.any(), "no task on which all arms have the number"


def test_every_control_is_a_claim_about_a_difference_in_the_same_metric():
    by_id = {claim.id: claim for claim in CLAIMS}
    controlled = [claim for claim in CLAIMS if claim.control]
    assert controlled
    for claim in controlled:
        control = by_id[claim.control]
        assert isinstance(control.test, Difference), claim.id
        assert control.metric == claim.metric, claim.id


def test_behaviour_value_is_exact_where_it_is_known(frame):
    values = behaviour_value(frame)
    assert values.to_numpy() == pytest.approx(RETURN_TO_GO), "the exact value of the factory equals its return-to-go"


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Level((), "above"), "must be distinct"),
        (lambda: Level(("cql", "cql"), "above"), "must be distinct"),
        (lambda: Level(("cql",), "above", alpha=0.5), "alpha"),
        (lambda: Equivalence("cql", "learned", 0.0, control="c"), "margin"),
        (lambda: DoseResponse(("cql", "learned"), "rises"), "at least 3 doses"),
    ],
)
def test_invalid_decision_rules_raise(make, what):
    with pytest.raises(ValueError, match=what):
        make()
