"""Run folders in, tidy frames out; nothing is dropped in silence."""

import math

import pytest

from ablations.grids import runs_of
from harness.errors import UserError
from harness.run_folder import RunFolder
from harness.settings import with_settings
from results.frame import done, evaluations, runs
from tests.run_folder_factory import begin, fail, lose, metrics, write_done


@pytest.fixture
def smoke():
    return runs_of("smoke")


def test_a_row_per_run_with_settings_and_summary(tmp_path, smoke):
    write_done(tmp_path, smoke)
    frame = runs([tmp_path])
    assert list(zip(frame["arm"], frame["seed"], strict=True)) == [
        ("cql", 0), ("cql", 1), ("monte_carlo", 0), ("monte_carlo", 1),
    ]  # fmt: skip
    assert set(frame["run"]) == {run.id for run in smoke}
    assert list(frame["floor.base"]) == ["none", "none", "monte_carlo", "monte_carlo"]
    assert set(frame["task.data.transitions"]) == {600}
    summary = RunFolder.of(tmp_path, smoke[0]).summary()
    row = frame[frame["run"] == smoke[0].id].iloc[0]
    assert row["offline_score"] == summary["offline_score"]
    assert row["regret_eval"] == summary["regret_eval"]
    assert math.isnan(row["learned_floor.held_out_rmse"])


def test_every_state_is_a_row(tmp_path, smoke):
    finished, failed, lost, running = smoke
    write_done(tmp_path, [finished])
    fail(tmp_path, failed, "critic loss is not finite at gradient step 120")
    lose(tmp_path, lost)
    begin(tmp_path, running)
    planned = with_settings(finished, {"seed": 7})
    RunFolder.of(tmp_path, planned).create(planned)

    frame = runs([tmp_path]).set_index("run")
    states = {finished.id: "done", failed.id: "failed", lost.id: "lost", running.id: "running", planned.id: "planned"}
    assert frame["state"].to_dict() == states
    assert frame.loc[failed.id, "reason"] == "critic loss is not finite at gradient step 120"
    assert frame.loc[finished.id, "reason"] == ""
    assert math.isnan(frame.loc[failed.id, "final_score"])
    assert len(done(runs([tmp_path]))) == 1
    assert set(evaluations([tmp_path])["run"]) == {finished.id}


def test_steps_run_from_minus_offline_over_the_switch(tmp_path, smoke):
    # Smoke: offline 400 by 200; online 600, by 150 up to 300, then by 300.
    write_done(tmp_path, smoke)
    frame = evaluations([tmp_path])
    one = frame[frame["run"] == smoke[0].id]
    assert list(one["step"]) == [-400, -200, 0, 150, 300, 600]
    assert list(one["phase"]) == ["offline"] * 3 + ["online"] * 3
    assert list(one["score"]) == [row["score"] for row in metrics(smoke[0])]
    assert frame[frame["arm"] == "cql"]["floor_mean"].isna().all()
    assert frame["floor_mean"].dtype == float


def test_a_run_in_two_roots_counts_once_and_the_finished_copy_wins(tmp_path, smoke):
    begin(tmp_path / "a", smoke[0])
    write_done(tmp_path / "b", smoke)
    frame = runs([tmp_path / "a", tmp_path / "b"])
    assert len(frame) == len(smoke)
    assert set(frame["state"]) == {"done"}


def test_runs_that_differ_in_more_than_their_seed_are_not_averaged(tmp_path, smoke):
    other = with_settings(smoke[0], {"algorithm.alpha": 5.0, "seed": 9})
    write_done(tmp_path, [smoke[0], other])
    differ = rf"both pointmaze-umaze / cql but differ in algorithm\.alpha \({smoke[0].algorithm.alpha} and 5\.0\)"
    with pytest.raises(UserError, match=differ):
        runs([tmp_path])


def test_nothing_there_is_one_line(tmp_path):
    with pytest.raises(UserError, match="there is no run here to report"):
        runs([tmp_path])
    with pytest.raises(UserError, match="no such folder of runs"):
        evaluations([tmp_path / "missing"])


def test_named_runs_alone(tmp_path, smoke):
    write_done(tmp_path, smoke)
    assert runs([tmp_path], only={smoke[1].id})["run"].tolist() == [smoke[1].id]
    assert set(evaluations([tmp_path], only={smoke[1].id})["run"]) == {smoke[1].id}
    with pytest.raises(UserError, match="of those named"):
        runs([tmp_path], only={"nothing"})
