"""Run folders become tidy frames, and no run is dropped silently."""

import json
import math

import pandas as pd
import pytest

from ablations.grids import runs_of
from harness.errors import UserError
from harness.files import write_json
from harness.folders.run_folder import RunFolder
from harness.settings import with_settings
from results import evaluations, runs
from results.frame import done, gather, gathering
from tests.support.run_folder_factory import begin, fail, lose, metrics, write_done


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


def test_a_folder_by_name_or_several(tmp_path, smoke):
    write_done(tmp_path / "a", smoke[:2])
    write_done(tmp_path / "b", smoke[2:])
    assert runs(str(tmp_path / "a"))["run"].tolist() == [run.id for run in smoke[:2]]
    both = gather([tmp_path / "a", str(tmp_path / "b")])
    assert both.runs["run"].tolist() == [run.id for run in smoke]
    assert both.evaluations["run"].drop_duplicates().tolist() == [run.id for run in smoke]
    assert sorted(both.provenance["run"]) == sorted(run.id for run in smoke)
    assert set(both.provenance["launcher"]) == {"local pool"}
    assert set(both.provenance["attempts"]) == {1}


def test_an_unfinished_copy_in_a_later_root_changes_nothing(tmp_path, smoke):
    write_done(tmp_path / "a", smoke)
    begin(tmp_path / "b", smoke[0])
    frame = gather([tmp_path / "a", tmp_path / "b"])
    assert set(frame.runs["state"]) == {"done"}
    assert len(frame.evaluations) == 6 * len(smoke)


def test_a_damaged_folder_is_refused_by_name(tmp_path, smoke):
    folders = write_done(tmp_path, smoke)
    text = folders[1].metrics_file.read_bytes()
    folders[1].metrics_file.write_bytes(text[:-1])
    with pytest.raises(UserError, match=rf"{smoke[1].id}/metrics.jsonl: is damaged: .*nothing was changed"):
        gather(tmp_path)
    assert folders[1].metrics_file.read_bytes() == text[:-1]


def test_a_half_written_row_of_an_unfinished_run_is_no_fault_and_no_row(tmp_path, smoke):
    write_done(tmp_path, smoke[:3])
    running = begin(tmp_path, smoke[3])
    running.metrics_file.write_text(json.dumps(metrics(smoke[3])[0]) + '\n{"phase": "off')
    frames = gather(tmp_path)
    assert frames.runs.set_index("run")["state"].to_dict()[smoke[3].id] == "running"
    assert smoke[3].id not in set(frames.evaluations["run"])


def rewritten(folder, change):
    """A finished folder of an older version, which does not say what its metrics are, with other rows."""
    rows = [change(row) for row in folder.metrics()]
    folder.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = {name: value for name, value in folder.summary().items() if name != "metrics"}
    write_json(folder.path / "done.json", summary)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: {**row, "score": "high"}, "holds str where numbers should be"),
        (lambda row: {**row, "score": [1.0]}, "holds list where numbers should be"),
        (lambda row: {name: value for name, value in row.items() if name != "phase"}, "a row has no 'phase'"),
        (lambda row: {**row, "phase": "online", "online_step": None, "score": True}, "holds bool where"),
    ],
)
def test_rows_that_are_no_evaluations_are_refused(tmp_path, smoke, change, message):
    folders = write_done(tmp_path, smoke)
    rewritten(folders[2], change)
    with pytest.raises(UserError, match=rf"{smoke[2].id}/metrics.jsonl: is damaged: {message}"):
        gather(tmp_path)


def test_a_column_that_only_some_runs_have_is_empty_for_the_others(tmp_path, smoke):
    folders = write_done(tmp_path, smoke)
    rewritten(folders[0], lambda row: {**row, "q_other": 1.5})
    frame = evaluations(tmp_path).set_index("run")
    assert set(frame.loc[smoke[0].id, "q_other"]) == {1.5}
    assert frame.drop(smoke[0].id)["q_other"].isna().all()


def test_an_empty_root_gives_one_line(tmp_path):
    with pytest.raises(UserError, match="no runs found; start some with"):
        runs([tmp_path])
    with pytest.raises(UserError, match="no such folder of runs"):
        evaluations([tmp_path / "missing"])


def test_only_named_runs_are_read(tmp_path, smoke):
    write_done(tmp_path, smoke)
    assert runs([tmp_path], only={smoke[1].id})["run"].tolist() == [smoke[1].id]
    assert set(evaluations([tmp_path], only={smoke[1].id})["run"]) == {smoke[1].id}
    with pytest.raises(UserError, match="none of the named runs found"):
        runs([tmp_path], only={"nothing"})


def test_several_processes_read_the_same(tmp_path, smoke, monkeypatch):
    write_done(tmp_path, smoke)
    alone = gather(tmp_path)
    monkeypatch.setattr(gathering, "BATCH_SIZE", 2)
    together = gather(tmp_path, workers=2)
    for name in ("runs", "evaluations", "provenance"):
        pd.testing.assert_frame_equal(getattr(together, name), getattr(alone, name))
