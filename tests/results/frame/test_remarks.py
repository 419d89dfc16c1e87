"""Gaps and differences are named; sound frames have none."""

import math

import pytest

from ablations.grids import runs_of
from harness.settings import with_settings
from results.frame import Frames, gather
from results.frame.remarks import listed, remarks
from tests.support.run_folder_factory import fail, write_done


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Smoke: CQL and Cal-QL on pointmaze-umaze, seeds 0 and 1."""
    root = tmp_path_factory.mktemp("runs")
    write_done(root, runs_of("smoke"))
    return gather(root)


def without(frames, **names):
    """The frames without the runs that have all these values."""
    own = frames.runs[(frames.runs[list(names)] == list(names.values())).all(axis=1)]["run"]
    return Frames(*(frame[~frame["run"].isin(own)] for frame in (frames.runs, frames.evaluations, frames.provenance)))


def test_sound_frames_have_no_remark(frames):
    assert remarks(frames) == []


def test_a_missing_seed_is_named_and_a_single_one(frames):
    found = remarks(without(frames, arm="monte_carlo", seed=1))
    assert found == [
        "pointmaze-umaze, Cal-QL, Monte Carlo floor: no run of seed 1, which other arms have",
        "pointmaze-umaze: one finished seed, so no interval, of Cal-QL, Monte Carlo floor",
    ]


def test_a_failed_run_leaves_one_seed_but_lacks_none(tmp_path):
    runs = runs_of("smoke")
    write_done(tmp_path, runs[:3])
    fail(tmp_path, runs[3], "diverged")
    assert remarks(gather(tmp_path)) == [
        "pointmaze-umaze: one finished seed, so no interval, of Cal-QL, Monte Carlo floor"
    ]


def test_an_arm_that_a_task_lacks_is_named(tmp_path):
    runs = runs_of("smoke")
    elsewhere = [with_settings(run, {"task.name": "elsewhere"}) for run in runs if run.arm == "cql"]
    write_done(tmp_path, [*runs, *elsewhere])
    assert remarks(gather(tmp_path)) == ["elsewhere: no run of Cal-QL, Monte Carlo floor; other tasks have it"]


def test_tasks_of_different_grids_lack_nothing_of_each_other(tmp_path):
    runs = [run for run in runs_of("study") if run.seed < 2]
    arms = {"fetch-push": ("cql", "monte_carlo"), "fetch-reach": ("monte_carlo", "learned")}
    write_done(tmp_path, [run for run in runs if run.arm in arms.get(run.task.name, ())])
    assert remarks(gather(tmp_path)) == []


def test_tasks_that_lack_the_same_arms_share_a_line(tmp_path):
    runs = [run for run in runs_of("study") if run.seed < 2]
    whole = [run for run in runs if run.task.name == "fetch-push" and run.arm in ("cql", "monte_carlo", "learned")]
    others = [run for run in runs if run.task.name in ("fetch-reach", "winding-road") and run.arm == "cql"]
    write_done(tmp_path, [*whole, *others])
    assert remarks(gather(tmp_path)) == [
        "fetch-reach, winding-road: no run of Cal-QL, Monte Carlo floor; Cal-QL, learned floor; other tasks have them"
    ]


def test_numbers_that_finished_runs_lack_are_named(frames):
    runs, evaluations = frames.runs.copy(), frames.evaluations.copy()
    runs.loc[2, "regret_train"] = math.nan
    evaluations.loc[evaluations["run"] == runs.loc[0, "run"], "score"] = math.nan
    found = remarks(Frames(runs, evaluations, frames.provenance))
    assert found == [
        f"pointmaze-umaze: 1 finished run has no regret_train and not in its mean: {runs.loc[2, 'run']} (Cal-QL, Monte "
        "Carlo floor, seed 0)",
        f"pointmaze-umaze: 1 finished run has evaluations without a score: {runs.loc[0, 'run']} (CQL, seed 0)",
    ]


def test_a_number_that_no_run_of_the_task_has_does_not_apply(frames):
    assert remarks(Frames(frames.runs.assign(regret_eval=math.nan), frames.evaluations, frames.provenance)) == []


def test_unequal_steps_are_named(frames):
    odd = frames.runs.loc[3, "run"]
    evaluations = frames.evaluations
    dropped = evaluations.drop(evaluations.index[(evaluations["run"] == odd) & (evaluations["step"] == 150)])
    assert remarks(Frames(frames.runs, dropped, frames.provenance)) == [
        f"pointmaze-umaze: 1 of 4 runs were evaluated at other steps than most: {odd} (Cal-QL, Monte Carlo floor, "
        "seed 1)"
    ]


def test_versions_of_the_code_are_counted(frames):
    provenance = frames.provenance.copy()
    provenance.loc[0, "commit"] = "89abcdef" * 5
    provenance["difference"] = [None, None, None, "fedcba9876543210"]
    assert remarks(Frames(frames.runs, frames.evaluations, provenance)) == [
        "computed by 3 versions of the code: 0123456 (2 runs), 89abcde (1 runs), 0123456 with changes fedcba (1 runs)"
    ]


def test_long_lists_are_cut():
    assert listed([str(number) for number in range(14)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more"
    assert listed(["a", "b"]) == "a, b"
