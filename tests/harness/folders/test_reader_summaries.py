"""Summaries match the folders, are cached, and a damaged or outdated cache is never used."""

import dataclasses
import os
import time

import pytest

from ablations.grids import runs_of
from harness.data.dataset import ensure_dataset
from harness.files import READ_TOGETHER
from harness.folders.cache import Cache
from harness.folders.reader import Names, faults, summaries
from harness.folders.run_folder import RunFolder, run_folders
from harness.launching.planner import state_of
from harness.plain_values import canonical_json
from harness.settings import configuration
from tests.support.run_folder_factory import begin, fail, lose, write_done


@pytest.fixture(autouse=True)
def surroundings(tmp_path_factory, monkeypatch):
    """No data, a separate cache, and files that are cached immediately."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("no_data")))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr("harness.folders.cache.SETTLED", -60.0)


@pytest.fixture
def runs():
    base = runs_of("smoke")[0]
    return [dataclasses.replace(base, seed=seed) for seed in range(6)]


@pytest.fixture
def root(tmp_path, runs):
    """A run in each state, in the order of `runs`, and files and folders that are not runs."""
    write_done(tmp_path, runs[:1])
    begin(tmp_path, runs[1])
    lose(tmp_path, runs[2])
    fail(tmp_path, runs[3], "it broke")
    stopped = begin(tmp_path, runs[4])
    stopped.write_status("interrupted", phase="online", step=7, progress=0.5, reason="stopped by SIGTERM")
    stopped.end_attempt("interrupted")
    RunFolder.of(tmp_path, runs[5]).create(runs[5])
    (tmp_path / ("0" * 12)).mkdir()
    (tmp_path / "report").mkdir()
    (tmp_path / "notes.txt").write_text("")
    return tmp_path


STATES = ["done", "running", "lost", "failed", "interrupted", "planned"]


def test_summaries_match_the_folders(root, runs):
    for _ in range(2):
        seen = summaries(root, runs)
        assert [summary.state for summary in seen] == STATES
        for summary, run in zip(seen, runs, strict=True):
            folder = RunFolder.of(root, run)
            assert summary.state == state_of(folder)
            assert summary.status == folder.status()
            assert summary.names == Names.of(run)
            assert faults(folder) == list(summary.faults) == []
            history = folder.provenance().get("attempts", [])
            assert [attempt.details["launcher"] for attempt in summary.attempts] == ["local pool"] * len(history)
    assert [summary.id for summary in summaries(root)] == [folder.id for folder in run_folders(root)]


def test_many_folders_are_read_with_one_hash_of_their_data(tmp_path, runs, monkeypatch):
    many = [dataclasses.replace(runs[0], seed=seed) for seed in range(3 * READ_TOGETHER)]
    write_done(tmp_path, many)
    hashed = []

    def slow_hash(task):
        hashed.append(task)
        time.sleep(0.1)
        return "89abcdef01234567"

    monkeypatch.setattr("harness.folders.reader.present_hash", slow_hash)
    seen = summaries(tmp_path, many)
    assert [summary.id for summary in seen] == [run.id for run in many]
    assert {summary.state for summary in seen} == {"done"}
    assert hashed == [many[0].task]


def test_runs_whose_data_have_changed_are_not_read_completely(root, runs, monkeypatch):
    monkeypatch.setattr("harness.folders.reader.present_hash", lambda task: "0" * 16)
    expected = [tuple(faults(RunFolder.of(root, run))) for run in runs]
    assert all("dataset floorbench/pointmaze-umaze-" in fault for of_run in expected[:5] for fault in of_run)
    monkeypatch.setattr("harness.folders.reader.RunReader.contents", None)
    seen = summaries(root, runs)
    assert [summary.faults for summary in seen] == expected
    assert [summary.state for summary in seen] == ["damaged"] * 5 + ["planned"]


def test_the_second_time_only_changed_files_are_read(root, runs, monkeypatch):
    summaries(root)
    RunFolder.of(root, runs[1]).write_status("running", phase="online", step=9, progress=0.75)
    read = []
    monkeypatch.setattr("harness.folders.cache._read", spy(Cache.read.__globals__["_read"], read))
    assert {summary.id: summary.status.get("step") for summary in summaries(root)}[runs[1].id] == 9
    assert [os.path.relpath(path, root) for path in read] == [f"{runs[1].id}/status.json"]


def spy(function, paths):
    def spying(path, take):
        value = function(path, take)
        paths.append(path)
        return value

    return spying


def test_a_run_without_recent_heartbeat_is_lost(root, runs):
    assert summaries(root, runs[1:2])[0].state == "running"
    long_ago = time.time() - 3600
    os.utime(root / runs[1].id / "attempts" / "000001.json", (long_ago, long_ago))
    assert summaries(root, runs[1:2])[0].state == "lost"


DAMAGE = {
    "settings": ("config.json", lambda text: text.replace('"seed": 0', '"seed": 1', 1)),
    "no settings": ("config.json", None),
    "another schema": ("config.json", lambda text: text.replace('"schema_version": ', '"schema_version": 9')),
    "status is a list": ("status.json", lambda text: "[]"),
    "summary": ("done.json", lambda text: text[:-3]),
    "summary is a list": ("done.json", lambda text: "[]"),
    "metrics, same size": ("metrics.jsonl", lambda text: text.replace("0", "1", 1)),
    "no metrics": ("metrics.jsonl", None),
    "attempt": ("attempts/000001.json", lambda text: "null"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_after_caching_is_detected(root, runs, case):
    assert summaries(root, runs[:1])[0].state == "done"
    name, change = DAMAGE[case]
    file = RunFolder.of(root, runs[0]).path / name
    if change is None:
        file.unlink()
    else:
        file.write_text(change(file.read_text()))
    damaged, *others = summaries(root, runs)
    assert damaged.state == "damaged"
    assert list(damaged.faults) == faults(damaged.folder)
    assert damaged.faults
    assert [summary.state for summary in others] == STATES[1:]


def test_an_unknown_status_is_damage_unless_the_run_is_done(root, runs):
    for run in (runs[0], runs[3]):
        (root / run.id / "status.json").write_text('{"state": "dreaming"}')
    assert [summary.state for summary in summaries(root, runs)] == [*STATES[:3], "damaged", *STATES[4:]]


def test_changed_data_are_damage(root, runs):
    """The factory's runs have a fictitious data hash."""
    assert [summary.state for summary in summaries(root, runs)] == STATES
    ensure_dataset(runs[0].task)
    seen = summaries(root, runs)
    assert [summary.state for summary in seen] == ["damaged"] * 5 + ["planned"]
    assert all("provenance.json: the run was computed on data" in summary.faults[0] for summary in seen[:5])


def test_settings_of_another_run_are_damage(root, runs):
    config, other = (root / run.id / "config.json" for run in runs[:2])
    config.write_bytes(other.read_bytes())
    assert summaries(root, runs[:1])[0].state == "damaged"


def test_a_new_run_has_no_folder_or_an_empty_one(tmp_path, runs):
    (tmp_path / runs[0].id).mkdir()
    (tmp_path / runs[0].id / ".config.json.12345678").write_text("{")
    assert [summary.state for summary in summaries(tmp_path, runs[:2])] == ["new", "new"]
    assert summaries(tmp_path) == []


def test_the_id_is_computed_from_the_settings_in_the_file(root, runs):
    """The hash of the parsed text must equal the run's id for every type of setting."""
    values = configuration(runs[0])
    (root / runs[0].id / "config.json").write_text(canonical_json(values))
    assert summaries(root, runs[:1])[0].state == "done"


def test_summaries_write_nothing_into_the_root(root):
    before = {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")]}
    summaries(root)
    assert {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")]} == before
