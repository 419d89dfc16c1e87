"""Cancelled runs are saved, others are untouched, and retried runs give byte-identical metrics."""

import dataclasses

import pytest

from ablations.commands.control import cancel_runs, retry_runs
from ablations.grids import runs_of
from harness.data.dataset import ensure_dataset
from harness.errors import UserError
from harness.folders.attempts import history
from harness.folders.run_folder import RunFolder
from harness.launching.planner import commit, plan
from harness.launching.worker import work
from harness.settings import with_settings
from harness.training.timing import Stop
from harness.training.training import PackTraining, train_pack
from slurm.submissions import Array, Submission
from slurm.watching import tasks_without
from tests.slurm.test_submissions import write
from tests.support.run_folder_factory import begin, fail, lose, write_done

TINY = {"schedule.offline_steps": 20, "schedule.online_steps": 20, "schedule.evaluation_episodes": 1}


def states(folders):
    return [folder.status()["state"] for folder in folders]


def folders_of(root, runs):
    return [RunFolder.of(root, run) for run in runs]


@pytest.fixture
def runs():
    base = with_settings(runs_of("smoke")[0], TINY)
    return [dataclasses.replace(base, seed=seed) for seed in range(6)]


def test_a_cancelled_run_is_saved_while_its_pack_continues(tmp_path, runs, monkeypatch):
    monkeypatch.setattr("harness.training.pack.STATUS_INTERVAL", 0.0)
    ensure_dataset(runs[0].task)
    reference, folders = commit(runs[:2], tmp_path / "reference"), commit(runs[:2], tmp_path / "cancelled")

    def train_cancelled(pack, stop):
        pack[0].cancel("somebody")
        train_pack(pack, stop)

    assert work(reference, train_pack, Stop())
    assert work(folders, train_cancelled, Stop())
    assert states(folders) == ["cancelled", "done"]
    status = folders[0].status()
    assert (status["phase"], status["step"], status["reason"]) == ("offline", 0, "cancelled by somebody")
    assert [attempt["reason"] for attempt in history(folders[0].path)] == ["interrupted: cancelled"]
    assert not folders[0].is_owned()
    # It is not started until it is planned again.
    assert work(folders, train_pack, Stop())
    assert states(folders) == ["cancelled", "done"]
    assert plan(runs[:2], tmp_path / "cancelled").to_start() == runs[:1]
    commit(runs[:1], tmp_path / "cancelled")
    assert states(folders) == ["interrupted", "done"]
    assert work(folders, train_pack, Stop())
    for folder, expected in zip(folders, reference, strict=True):
        assert folder.metrics_file.read_bytes() == expected.metrics_file.read_bytes()


def test_a_pack_with_many_cancelled_runs_continues_as_a_smaller_one(tmp_path, runs, monkeypatch):
    """Two cancelled runs of five leave the pack as it is, a third one rebuilds it; metrics stay byte-identical."""
    monkeypatch.setattr("harness.training.pack.STATUS_INTERVAL", 0.0)
    ensure_dataset(runs[0].task)
    reference, folders = commit(runs[:5], tmp_path / "reference"), commit(runs[:5], tmp_path / "cancelled")
    sizes = []

    class Watched(PackTraining):
        def arrive(self, position):
            sizes.append(len(self.runs))
            if position.offline_step == 3:
                folders[0].cancel("somebody")
                folders[1].cancel("somebody")
            if position.online_step == 4:
                folders[2].cancel("somebody")
            super().arrive(position)

    assert work(reference, train_pack, Stop())
    monkeypatch.setattr("harness.training.training.PackTraining", Watched)
    assert work(folders, train_pack, Stop())
    assert states(folders) == ["cancelled"] * 3 + ["done"] * 2
    # Five runs at the start and for 20 offline and 4 online steps, then two for 16 steps.
    assert sizes == [5] * 25 + [2] * 16
    commit(runs[:3], tmp_path / "cancelled")
    assert work(folders, train_pack, Stop())
    for folder, expected in zip(folders, reference, strict=True):
        assert folder.metrics_file.read_bytes() == expected.metrics_file.read_bytes()
        assert folder.summary() == expected.summary()


def test_a_pack_of_cancelled_runs_ends(tmp_path, runs, monkeypatch):
    monkeypatch.setattr("harness.training.pack.STATUS_INTERVAL", 0.0)
    ensure_dataset(runs[0].task)
    folders = commit(runs[:2], tmp_path)

    def train_cancelled(pack, stop):
        for folder in pack:
            folder.cancel("somebody")
        train_pack(pack, stop)

    assert work(folders, train_cancelled, Stop())
    assert states(folders) == ["cancelled"] * 2
    assert all(folder.newest_checkpoint for folder in folders)


@pytest.fixture
def root(tmp_path, runs, monkeypatch):
    """A done, a running, a lost and a failed run, and two planned ones; no data."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "no_data"))
    root = tmp_path / "root"
    write_done(root, runs[:1])
    begin(root, runs[1])
    lose(root, runs[2])
    fail(root, runs[3], "it broke")
    commit(runs[4:], root)
    return root


def test_only_named_unfinished_runs_are_cancelled(root, runs, capfd):
    cancel_runs([runs[0], *runs[2:5]], root, yes=True)
    after = states(RunFolder.of(root, run) for run in runs)
    assert after == ["done", "running", "cancelled", "failed", "cancelled", "planned"]
    assert [RunFolder.of(root, run).is_cancelled for run in runs] == [False, False, True, False, True, False]
    assert "2 cancelled; resume with floorbench run, submit or retry" in capfd.readouterr().err
    cancel_runs(runs[:1], root, yes=True)
    assert "nothing to cancel" in capfd.readouterr().err


def test_a_running_run_stays_running_until_its_worker_stops_it(root, runs, capfd):
    cancel_runs(runs[1:2], root, yes=True)
    assert RunFolder.of(root, runs[1]).status()["state"] == "running"
    assert "1 running: each will be saved and stopped within seconds" in capfd.readouterr().err


def test_cancel_shows_the_runs_and_asks(root, runs, capfd, monkeypatch):
    before = sorted(root.rglob("*"))
    with pytest.raises(UserError, match="confirmation needed; pass --yes when there is no terminal"):
        cancel_runs(runs, root, yes=False)
    shown = capfd.readouterr().out
    assert [run.id in shown for run in runs] == [False, True, True, False, True, True]
    assert sorted(root.rglob("*")) == before


def test_array_tasks_without_runs_that_are_kept(tmp_path):
    array = Array("n-0", ((("a", "b"), ("c",)), (("d",),)), 2, job_id="7")
    write(tmp_path, Submission("s", "smoke", "me", "login", 1.0, {"time_minutes": 5}, "0" * 16, (array,)))
    assert tasks_without(tmp_path, ["a", "d"], ["b", "c"]) == ["7_1"]
    assert tasks_without(tmp_path, ["a", "b"], ["d"]) == ["7_0"]
    assert tasks_without(tmp_path, ["a", "b", "c", "d", "e"], []) == ["7_0", "7_1"]
    assert tasks_without(tmp_path, ["e"], []) == []


def test_retry_restarts_failed_and_cancelled_runs_but_not_planned_ones(tmp_path, runs, capfd):
    runs = runs[:3]
    commit(runs, tmp_path)
    RunFolder.of(tmp_path, runs[0]).write_status("failed", reason="a node of bad memory")
    RunFolder.of(tmp_path, runs[1]).cancel("somebody")
    assert retry_runs(runs, tmp_path, workers=1, pack_limit=4, cluster=None, words="smoke") == 0
    assert states(folders_of(tmp_path, runs)) == ["done", "done", "planned"]
    output = capfd.readouterr().err
    assert "retrying 2 runs (pointmaze-umaze cql seeds 0,1)" in output
    attempts = [RunFolder.of(tmp_path, run).provenance()["attempts"] for run in runs[:2]]
    assert [[attempt["pack_size"] for attempt in history] for history in attempts] == [[2], [2]]
    assert all(history[0]["peak_memory"] > 100e6 for history in attempts)
    assert {history[0]["process"] for history in attempts} == {attempts[0][0]["process"]}


def test_nothing_to_retry(tmp_path, runs, capfd):
    runs = runs[:3]
    commit(runs, tmp_path)
    assert retry_runs(runs, tmp_path, workers=1, pack_limit=4, cluster=None, words="smoke") == 0
    assert "nothing to retry" in capfd.readouterr().err
    assert states(folders_of(tmp_path, runs)) == ["planned"] * 3


def test_an_unknown_profile_is_refused_first(tmp_path, runs, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "no_data"))
    fail(tmp_path, runs[0], "it broke")
    with pytest.raises(Exception, match="nowhere"):
        retry_runs(runs[:1], tmp_path, workers=1, pack_limit=4, cluster="nowhere.toml", words="smoke")
    assert states(folders_of(tmp_path, runs[:1])) == ["failed"]
