"""What came to a bad end is run again, in packs cut anew, and what did not is left alone."""

import dataclasses

import pytest

from ablations.grids import runs_of
from harness.commands.retry import retry_runs
from harness.folders.run_folder import RunFolder
from harness.launching.planner import commit
from harness.settings import with_settings
from tests.support.run_folder_factory import fail

TINY = {"schedule.offline_steps": 20, "schedule.online_steps": 20, "schedule.evaluation_episodes": 1}


@pytest.fixture
def runs():
    base = with_settings(runs_of("smoke")[0], TINY)
    return [dataclasses.replace(base, seed=seed) for seed in range(3)]


def states(root, runs):
    return [RunFolder.of(root, run).status()["state"] for run in runs]


def test_failed_and_cancelled_runs_are_run_again_and_planned_ones_are_not(tmp_path, runs, capfd):
    commit(runs, tmp_path)
    RunFolder.of(tmp_path, runs[0]).write_status("failed", reason="a node of bad memory")
    RunFolder.of(tmp_path, runs[1]).cancel("somebody")
    assert retry_runs(runs, tmp_path, workers=1, pack_limit=4, cluster=None, words="smoke") == 0
    assert states(tmp_path, runs) == ["done", "done", "planned"]
    told = capfd.readouterr().err
    assert "retrying 2 runs (pointmaze-umaze cql seeds 0,1)" in told
    attempts = [RunFolder.of(tmp_path, run).provenance()["attempts"] for run in runs[:2]]
    assert [[attempt["pack_size"] for attempt in own] for own in attempts] == [[2], [2]]
    assert all(own[0]["peak_memory"] > 100e6 for own in attempts)
    assert {own[0]["process"] for own in attempts} == {attempts[0][0]["process"]}


def test_nothing_to_retry(tmp_path, runs, capfd):
    commit(runs, tmp_path)
    assert retry_runs(runs, tmp_path, workers=1, pack_limit=4, cluster=None, words="smoke") == 0
    assert "nothing to retry" in capfd.readouterr().err
    assert states(tmp_path, runs) == ["planned"] * 3


def test_a_profile_that_is_none_is_refused_before_anything_happens(tmp_path, runs, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "no_data"))
    fail(tmp_path, runs[0], "it broke")
    with pytest.raises(Exception, match="nowhere"):
        retry_runs(runs[:1], tmp_path, workers=1, pack_limit=4, cluster="nowhere.toml", words="smoke")
    assert states(tmp_path, runs[:1]) == ["failed"]
