"""The registry of claims about runs: every claim names arms that exist, and measures what real rows hold."""

import pytest

from ablations.arms import ARMS
from ablations.claims import CLAIMS
from ablations.decision import DoseResponse, Equivalence, Level, arms_of
from ablations.exact import lab
from ablations.grids import runs_of
from ablations.measures import behaviour_value
from harness.settings import with_settings
from results.frame import evaluations, runs
from results.verdicts.per_run import measured, per_run
from tests.support.run_folder_factory import RETURN_TO_GO, write_done

TINY = {"schedule.offline_steps": 400, "schedule.offline_interval": 200, "schedule.online_steps": 600,
        "schedule.online_interval": 300, "schedule.dense_interval": 150, "schedule.dense_steps": 300}  # fmt: skip


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    named = [run for grid in ("truth", "doses", "truncation", "floors") for run in runs_of(grid) if run.seed < 2]
    named += [run for run in runs_of("study") if run.seed < 2 and run.task.name == "winding-road"]
    write_done(root, [with_settings(run, TINY) for run in {run.id: run for run in named}.values()])
    return per_run(runs([root]), evaluations([root]))


def test_ids_are_unique_among_all_claims():
    ids = [claim.id for claim in (*CLAIMS, *lab.CLAIMS)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_names_arms_that_exist_and_measures_their_runs(claim, frame):
    arms = arms_of(claim.test)
    assert set(arms) <= set(ARMS)
    numbers = measured(claim, frame)
    assert len(numbers) == len(frame)
    known = numbers[numbers["arm"].isin(arms)].groupby("task")["value"].apply(lambda values: values.notna().all())
    assert known.any(), "no task on which every arm has the number"


def test_the_reference_is_exact_where_it_is_known(frame):
    values = behaviour_value(frame)
    assert values.to_numpy() == pytest.approx(RETURN_TO_GO), "the made-up truth is the made-up return-to-go"


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Level((), "above"), "different arms"),
        (lambda: Level(("cql", "cql"), "above"), "different arms"),
        (lambda: Level(("cql",), "above", alpha=0.5), "alpha"),
        (lambda: Equivalence("cql", "learned", 0.0), "margin"),
        (lambda: DoseResponse(("cql", "learned"), "rises"), "3 doses"),
    ],
)
def test_a_test_that_cannot_be_made_is_refused(make, what):
    with pytest.raises(ValueError, match=what):
        make()
