"""Unchanged finished runs are not read again, and the cache never stands in for the folders."""

import os
import shutil
import time

import pandas as pd
import pytest

from ablations.grids import runs_of
from harness.errors import UserError
from harness.folders import reader
from harness.folders.reader import RunReader
from results.frame import gather
from results.frame.gathering import FrameCache
from tests.support.run_folder_factory import begin, fail, write_done


@pytest.fixture
def smoke():
    return runs_of("smoke")


@pytest.fixture
def read(monkeypatch):
    """The ids of the folders that are read from now on. Folders count as settled at once."""
    monkeypatch.setattr("harness.folders.cache.SETTLED", -60.0)
    ids = []

    contents = RunReader.contents

    def counted(self, folder):
        ids.append(folder.id)
        return contents(self, folder)

    monkeypatch.setattr(RunReader, "contents", counted)
    return ids


def assert_equal(ours, theirs):
    for name in ("runs", "evaluations", "provenance"):
        pd.testing.assert_frame_equal(getattr(ours, name), getattr(theirs, name))


def test_finished_folders_are_read_once_and_give_the_same(tmp_path, smoke, read):
    write_done(tmp_path, smoke)
    first = gather(tmp_path)
    assert sorted(read) == sorted(run.id for run in smoke)
    read.clear()
    assert_equal(gather(tmp_path), first)
    assert read == []


def test_unfinished_runs_are_read_every_time(tmp_path, smoke, read):
    write_done(tmp_path, smoke[:2])
    begin(tmp_path, smoke[2])
    fail(tmp_path, smoke[3], "diverged")
    gather(tmp_path)
    read.clear()
    frames = gather(tmp_path)
    assert sorted(read) == sorted(run.id for run in smoke[2:])
    assert sorted(frames.runs["state"]) == ["done", "done", "failed", "running"]


def test_a_new_run_is_added_and_the_others_are_not_read_again(tmp_path, smoke, read):
    write_done(tmp_path, smoke[:2])
    gather(tmp_path)
    read.clear()
    write_done(tmp_path, smoke[2:])
    frames = gather(tmp_path)
    assert sorted(read) == sorted(run.id for run in smoke[2:])
    read.clear()
    assert_equal(gather(tmp_path), frames)
    assert read == []
    assert len(frames.evaluations) == 6 * len(smoke)


@pytest.mark.parametrize("name", ["config.json", "done.json", "metrics.jsonl", "provenance.json", "status.json"])
def test_a_changed_file_is_seen_though_size_and_time_stay(tmp_path, smoke, read, name):
    folders = write_done(tmp_path, smoke)
    gather(tmp_path)
    read.clear()
    file = folders[0].path / name
    times = file.stat()
    file.write_bytes(b"x" * times.st_size)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(UserError, match=smoke[0].id):
        gather(tmp_path)
    assert read == [smoke[0].id]


def test_a_deleted_file_is_seen(tmp_path, smoke, read):
    folders = write_done(tmp_path, smoke)
    gather(tmp_path)
    folders[0].metrics_file.unlink()
    with pytest.raises(UserError, match=f"{smoke[0].id}/metrics.jsonl: is damaged"):
        gather(tmp_path)
    (folders[0].path / "done.json").unlink()
    frames = gather(tmp_path)
    assert len(frames.evaluations) == 6 * 3
    assert len(frames.runs) == 4


def test_a_deleted_run_is_forgotten(tmp_path, smoke, read):
    write_done(tmp_path, smoke)
    gather(tmp_path)
    shutil.rmtree(tmp_path / smoke[0].id)
    frames = gather(tmp_path)
    assert smoke[0].id not in {*frames.runs["run"], *frames.evaluations["run"], *frames.provenance["run"]}
    shutil.rmtree(tmp_path / smoke[1].id)
    write_done(tmp_path, [smoke[1]])
    gather(tmp_path)
    assert FrameCache(tmp_path).records.keys == {run.id for run in smoke[1:]}


def test_a_run_that_starts_again_replaces_the_cached_one(tmp_path, smoke, read):
    write_done(tmp_path, smoke)
    gather(tmp_path)
    shutil.rmtree(tmp_path / smoke[0].id)
    begin(tmp_path, smoke[0])
    frames = gather(tmp_path)
    assert frames.runs.set_index("run").loc[smoke[0].id, "state"] == "running"
    assert smoke[0].id not in set(frames.evaluations["run"])


def test_gathering_some_runs_keeps_the_others_cached(tmp_path, smoke, read):
    write_done(tmp_path, smoke)
    gather(tmp_path, only={smoke[0].id})
    gather(tmp_path)
    read.clear()
    assert set(gather(tmp_path, only={smoke[2].id}).evaluations["run"]) == {smoke[2].id}
    gather(tmp_path)
    assert read == []


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
@pytest.mark.parametrize("damage", [b"", b"PAR1", None])
def test_a_damaged_cache_is_ignored(tmp_path, smoke, read, suffix, damage):
    write_done(tmp_path, smoke)
    first = gather(tmp_path)
    file = FrameCache(tmp_path).file.with_suffix(suffix)
    file.write_bytes(file.read_bytes()[:-50] if damage is None else damage)
    read.clear()
    assert_equal(gather(tmp_path), first)
    assert len(read) == 4
    read.clear()
    assert_equal(gather(tmp_path), first)
    assert read == []


def test_evaluations_of_another_stamp_are_ignored(tmp_path, smoke, read):
    write_done(tmp_path, smoke)
    first = gather(tmp_path)
    file = FrameCache(tmp_path).file
    frame = pd.read_parquet(file)
    for change in ({"stamp": "0" * 16}, {}):
        changed = frame.assign(**change) if change else frame.iloc[1:]
        changed.attrs = {"version": FrameCache(tmp_path).records.version}
        changed.to_parquet(file)
        assert_equal(gather(tmp_path), first)


def test_without_a_cache_folder_everything_is_read(tmp_path, smoke, read, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    write_done(tmp_path / "runs", smoke)
    assert_equal(gather(tmp_path / "runs"), gather(tmp_path / "runs"))
    assert len(read) == 8


def test_a_folder_that_changed_a_moment_ago_is_not_cached(tmp_path, smoke):
    (folder,) = write_done(tmp_path, smoke[:1])
    long_ago = time.time() - 100
    for file in folder.path.rglob("*"):
        # This changes the time of the inode.
        os.utime(file, (long_ago, long_ago))
    gather(tmp_path)
    assert FrameCache(tmp_path).records.keys == set()


def test_the_data_on_this_machine_do_not_matter(tmp_path, smoke, monkeypatch):
    monkeypatch.setattr(reader, "present_hash", lambda task: "f" * 64)
    write_done(tmp_path, smoke)
    assert len(gather(tmp_path).runs) == len(smoke)
