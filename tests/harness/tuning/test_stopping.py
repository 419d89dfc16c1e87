"""Trials are pruned when their runs are worse than others at equal evaluations; cases computed by hand."""

import json
from dataclasses import replace

import pytest

from harness.launching.planner import commit
from harness.tuning.driver import pruner
from harness.tuning.search import OpenTrial, Search
from harness.tuning.stopping import EarlyStopping, is_worse, rungs
from harness.tuning.study import OBJECTIVES
from tests.support.made_study import STUDY

HALVED = replace(STUDY, first_rung=1, seeds=(1000, 1001, 1002, 1003))


def rows_of(*scores):
    """Metrics with these scores; the first row is before training."""
    return [{"phase": "offline", "score": score} for score in (0.0, *scores)]


@pytest.fixture
def ask(tmp_path):
    """A function that asks for a trial and plans its runs."""
    search = Search(None, "made/cql", STUDY.space, "maximize", pruner=pruner(HALVED))

    def asked():
        frozen = search.ask(lambda settings: {"runs": [run.id for run in HALVED.runs_of_trial("cql", settings)]})
        trial = OpenTrial(search, frozen.number, tuple(HALVED.runs_of_trial("cql", frozen.params)))
        commit(trial.runs, tmp_path)
        return trial

    return asked


def write_rows(trial, root, *scores_by_run):
    for folder, scores in zip(trial.folders(root), scores_by_run, strict=True):
        folder.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows_of(*scores)))


def states(trial, root):
    return trial.search.trial(trial.number).state.name, [folder.status()["state"] for folder in trial.folders(root)]


def test_rungs_do_not_count_the_first_evaluation():
    # Evaluations at 0, 200, 400 gradient steps and 150, 300, 600 steps online.
    assert rungs(HALVED) == [1, 3]
    assert rungs(replace(HALVED, first_rung=2)) == [2]
    assert rungs(replace(HALVED, first_rung=5)) == []


def test_halving_waits_until_all_runs_have_reached_the_rung(tmp_path, ask):
    good, bad = ask(), ask()
    stopping = EarlyStopping(HALVED, tmp_path, [good, bad])
    write_rows(good, tmp_path, [0.5], [0.5], [0.7], [0.7])
    write_rows(bad, tmp_path, [0.2], [0.4], [0.2], [])
    stopping.check()
    assert good.search.trial(good.number).intermediate_values == {1: pytest.approx(0.6)}
    assert states(bad, tmp_path) == ("RUNNING", ["planned"] * 4)
    write_rows(bad, tmp_path, [0.2], [0.4], [0.2], [0.4])
    stopping.check()
    assert states(good, tmp_path) == ("RUNNING", ["planned"] * 4)
    assert states(bad, tmp_path) == ("PRUNED", ["cancelled"] * 4)
    assert bad.search.trial(bad.number).value == pytest.approx(0.3)
    assert bad.folders(tmp_path)[0].status()["reason"] == "cancelled by study made: pruned"
    assert [trial.number for trial in stopping.open] == [good.number]


def test_a_study_without_a_rung_prunes_nothing(tmp_path, ask):
    good, bad = ask(), ask()
    write_rows(good, tmp_path, *[[0.9, 0.9, 0.9, 0.9]] * 4)
    write_rows(bad, tmp_path, *[[0.1, 0.1, 0.1, 0.1]] * 4)
    EarlyStopping(STUDY, tmp_path, [good, bad]).check()
    assert states(bad, tmp_path)[0] == "RUNNING"


def test_a_trial_is_compared_with_the_best_seed_by_seed(tmp_path, ask):
    """Halving does not apply before the second rung; all four seeds are behind those of the best."""
    best, worse = ask(), ask()
    write_rows(best, tmp_path, *[[0.5, 0.5, 0.5, 0.5, 0.9]] * 4)
    best.search.tell(best.number, 0.9)
    stopping = EarlyStopping(HALVED, tmp_path, [worse])
    write_rows(worse, tmp_path, [0.5, 0.4], [0.5, 0.4], [0.5, 0.4], [0.5])
    stopping.check()
    assert states(worse, tmp_path)[0] == "RUNNING"
    write_rows(worse, tmp_path, [0.5, 0.4], [0.5, 0.4], [0.5, 0.4], [0.5, 0.4])
    stopping.check()
    assert states(worse, tmp_path) == ("PRUNED", ["cancelled"] * 4)


def test_a_failed_run_ends_its_trial_and_what_is_done_stays(tmp_path, ask):
    trial = ask()
    folders = trial.folders(tmp_path)
    folders[0].write_status("failed", reason="parameters not finite")
    folders[1].finish({})
    stopping = EarlyStopping(STUDY, tmp_path, [trial])
    stopping.check()
    assert states(trial, tmp_path) == ("FAIL", ["failed", "done", "cancelled", "cancelled"])
    assert stopping.open == []


@pytest.mark.parametrize(
    ("scores", "worse"),
    [
        ([0.5, 0.5, 0.5, 0.5], True),
        # One better seed, by less than the others are worse: p = 2/16.
        ([0.5, 0.5, 0.5, 0.99], False),
        ([0.8, 0.8, 0.8, 0.8], False),
        ([0.9, 0.9, 0.9, 0.9], False),
    ],
)
def test_four_of_four_pairs_decide_and_three_do_not(scores, worse):
    score, best = OBJECTIVES["final_score"], [rows_of(0.1, 0.8)] * 4
    assert is_worse(score, [rows_of(0.1, final_score) for final_score in scores], best, 1) == worse
    assert not is_worse(score, [rows_of(0.1, final_score) for final_score in scores[:3]], best[:3], 1)
    # Regret is smaller where scores are larger.
    regret = OBJECTIVES["regret_eval"]
    assert is_worse(regret, [rows_of(0.1, final_score) for final_score in scores], best, 1) == worse


def test_objectives_by_hand():
    rows = [
        {"phase": "offline", "score": 0.0},
        {"phase": "offline", "score": 0.5},
        {"phase": "online", "score": 0.25},
    ]
    values = {name: objective.so_far(rows) for name, objective in OBJECTIVES.items()}
    assert values == {"final_score": 0.25, "offline_score": 0.5, "regret_eval": 0.75}
