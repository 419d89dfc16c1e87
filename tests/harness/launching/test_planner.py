"""Planning writes nothing and reports every state; packs are balanced and in grid order."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablations.grids import runs_of
from harness.errors import UserError
from harness.folders.reader import RunReader
from harness.folders.run_folder import RunFolder
from harness.launching.planner import checked_plan, commit, describe, packs, plan
from harness.settings import pack_key, with_settings
from tests.support.run_folder_factory import fail, write_done


@pytest.fixture
def runs():
    return runs_of("smoke")


def seeds(count, **changes):
    """Runs of equal shape with seeds 0, 1, ..."""
    return [with_settings(runs_of("smoke")[0], {"seed": seed, **changes}) for seed in range(count)]


def test_planning_writes_nothing(tmp_path, runs):
    planned = plan(runs, tmp_path / "root")
    assert planned.counts() == {"new": 4}
    assert planned.to_start() == runs
    assert not (tmp_path / "root").exists()


def test_commit_creates_the_folders(tmp_path, runs):
    folders = commit(runs[:2], tmp_path)
    assert [folder.run() for folder in folders] == runs[:2]
    assert plan(runs, tmp_path).counts() == {"new": 2, "planned": 2}


def test_every_state(tmp_path):
    runs = seeds(7)
    folders = commit(runs[1:], tmp_path)
    for folder in (folders[1], folders[3]):
        folder.begin_attempt({})
        folder.write_status("running")
    folders[2].write_status("interrupted")
    os.utime(folders[3].attempt.file, (0, 0))
    folders[4].write_status("failed", reason="diverged")
    folders[5].finish({})
    planned = plan(runs, tmp_path)
    assert checked_plan(runs, tmp_path) == planned
    assert planned.states == ("new", "planned", "running", "interrupted", "lost", "failed", "done")
    assert planned.to_start() == [runs[0], runs[1], runs[3], runs[4]]
    assert planned.to_start(retry_failed=True) == [runs[0], runs[1], runs[3], runs[4], runs[5]]
    assert planned.in_state("done", "new") == [runs[0], runs[6]]


def test_only_unfinished_runs_are_read_completely(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "none"))
    runs = seeds(3)
    folders = [*write_done(tmp_path, runs[:2]), fail(tmp_path, runs[2], "it broke")]
    contents, read = RunReader.contents, []
    monkeypatch.setattr(
        RunReader, "contents", lambda reader, folder: read.append(folder.id) or contents(reader, folder)
    )
    assert checked_plan(runs, tmp_path).states == ("done", "done", "failed")
    assert read == [runs[2].id]
    for folder, name in ((folders[1], "metrics.jsonl"), (folders[1], "config.json"), (folders[2], "metrics.jsonl")):
        file = folder.path / name
        intact = file.read_bytes() if file.exists() else b""
        file.write_text("{\n")
        with pytest.raises(UserError, match=f"{file}: (is damaged|line 1 is not valid)"):
            checked_plan(runs, tmp_path)
        file.write_bytes(intact)


def test_duplicate_runs_are_named(tmp_path, runs):
    with pytest.raises(UserError, match=rf"grid: contains runs more than once: {runs[1].id} \(.*cql seed 1\)"):
        plan([*runs, runs[1]], tmp_path)


def test_foreign_and_damaged_folders_are_refused(tmp_path, runs):
    folder = commit(runs[:1], tmp_path)[0]
    config = folder.path / "config.json"
    settings = json.loads(config.read_text())
    for text, message in [
        ("{", r"config.json: is damaged"),
        (json.dumps({**settings, "seed": 9}), r"config.json: its settings belong to run"),
        (json.dumps({**settings, "schema_version": 0}), r"config.json: schema version 0 cannot be read"),
        (json.dumps({**settings, "colour": 1}), r"config.json: setting colour: unknown setting"),
    ]:
        config.write_text(text)
        for make in (plan, checked_plan):
            with pytest.raises(UserError, match=message):
                make(runs, tmp_path)
    config.unlink()
    config.with_name("log.txt").write_text("")
    with pytest.raises(UserError, match=r"config.json: is missing"):
        plan(runs, tmp_path)


def test_a_folder_without_content_is_new(tmp_path, runs):
    """A launcher that is killed while it creates the folder leaves it empty; the next one continues."""
    RunFolder.of(tmp_path, runs[0]).path.mkdir()
    (tmp_path / runs[0].id / ".config.json.0123abcd").write_text("{")
    assert plan(runs, tmp_path).counts() == checked_plan(runs, tmp_path).counts() == {"new": 4}
    commit(runs, tmp_path)
    assert plan(runs, tmp_path).counts() == {"planned": 4}


def test_an_unknown_state_is_refused(tmp_path, runs):
    folder = commit(runs[:1], tmp_path)[0]
    folder.write_status("dreaming")
    with pytest.raises(UserError, match=r"status.json: state 'dreaming' is none of planned, running"):
        plan(runs, tmp_path)


def test_commit_leaves_existing_files_unchanged(tmp_path, runs):
    commit(runs, tmp_path)
    files = {path: os.stat(path).st_mtime_ns for path in tmp_path.rglob("*")}
    commit(runs, tmp_path)
    assert {path: os.stat(path).st_mtime_ns for path in tmp_path.rglob("*")} == files


def sizes(count, limit, workers):
    return [len(pack) for pack in packs(seeds(count), limit, workers)]


def test_packs_by_hand():
    assert sizes(6, limit=4, workers=2) == [3, 3]
    assert sizes(30, limit=4, workers=2) == [4, 4, 4, 4, 4, 4, 3, 3]
    assert sizes(4, limit=1, workers=2) == [1, 1, 1, 1]
    assert sizes(4, limit=4, workers=1) == [4]
    assert sizes(3, limit=4, workers=8) == [1, 1, 1]
    assert sizes(0, limit=4, workers=2) == []


def test_runs_with_update_blocks_train_alone():
    alone = seeds(3, **{"schedule.update_block": None})
    assert packs([*alone, *seeds(2)], limit=4, workers=1) == [[alone[0]], [alone[1]], [alone[2]], seeds(2)]


def test_packs_are_split_by_shape_in_grid_order(runs):
    wide = seeds(2, **{"algorithm.critic_hidden": [48]})
    mixed = [runs[0], wide[0], runs[1], wide[1], runs[2]]
    assert packs(mixed, limit=4, workers=1) == [[runs[0], runs[1], runs[2]], wide]


@given(count=st.integers(0, 40), limit=st.integers(1, 9), workers=st.integers(1, 9), shapes=st.integers(1, 3))
def test_packs_contain_every_run_once_within_the_limit(count, limit, workers, shapes):
    base = runs_of("smoke")[0]
    runs = [with_settings(base, {"seed": seed, "algorithm.batch_size": 1 + seed % shapes}) for seed in range(count)]
    cut = packs(runs, limit, workers)
    assert sorted(run.seed for pack in cut for run in pack) == list(range(count))
    for pack in cut:
        assert 1 <= len(pack) <= limit
        assert len({pack_key(run) for run in pack}) == 1
        assert [run.seed for run in pack] == sorted(run.seed for run in pack)
    for shape in range(shapes):
        lengths = [len(pack) for pack in cut if pack[0].algorithm.batch_size == 1 + shape]
        assert not lengths or max(lengths) - min(lengths) <= 1


def test_describe(runs):
    assert describe(runs[:1]) == "pointmaze-umaze cql seed 0"
    assert describe(runs) == "pointmaze-umaze cql+monte_carlo seeds 0,1"
    assert describe(seeds(4)) == "pointmaze-umaze cql seeds 0-3"


def test_a_file_instead_of_a_run_folder_is_refused(tmp_path, runs):
    RunFolder.of(tmp_path, runs[0]).path.write_text("")
    with pytest.raises(UserError, match="is a file, not a run folder"):
        plan(runs, tmp_path)
