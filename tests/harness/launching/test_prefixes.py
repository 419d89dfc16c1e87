"""Runs that differ only in the online phase share a prefix, wait for it, and fail with it."""

import json

import pytest

from ablations.commands.control import cancel_runs, retry_runs
from ablations.commands.run import run_grid, show_plan
from ablations.grids import runs_of
from harness.data.dataset import ensure_dataset
from harness.errors import UserError
from harness.folders.attempts import history
from harness.folders.run_folder import RunFolder, run_folders
from harness.launching.planner import commit
from harness.launching.prefixes import (
    commit_prefixes,
    packs_in_order,
    shared_prefixes,
    startable,
    with_prefixes,
    with_unneeded_prefixes,
)
from harness.settings import prefix_of, with_settings
from harness.training.training import train_pack
from tests.support.run_folder_factory import begin, fail

TINY = {"schedule.offline_steps": 20, "schedule.online_steps": 20, "schedule.evaluation_episodes": 1}
ONLINE = ({"arm": "plain"}, {"arm": "sac", "online.alpha": 0.0}, {"arm": "raised", "online.critic_shift": 0.5})


@pytest.fixture(scope="module")
def base():
    run = with_settings(runs_of("smoke")[0], TINY)
    ensure_dataset(run.task)
    return run


@pytest.fixture
def runs(base):
    """Three arms with two seeds, and a run that shares nothing."""
    shared = [with_settings(base, {**online, "seed": seed}) for online in ONLINE for seed in (0, 1)]
    return [*shared, with_settings(base, {"arm": "other", "algorithm.alpha": 1.0})]


def folders_of(root, runs):
    return [RunFolder.of(root, run) for run in runs]


def states(root, runs):
    return [folder.status()["state"] for folder in folders_of(root, runs)]


def test_runs_that_differ_only_online_share_a_prefix(tmp_path, runs):
    shared = shared_prefixes(runs, tmp_path / "root")
    first, second = (prefix_of(runs[seed]).id for seed in (0, 1))
    assert [run.id for run in shared.plan.runs] == [first, second]
    assert shared.of_run == {run.id: (first, second)[run.seed] for run in runs[:6]}
    assert shared.runs_of(first) == [runs[0].id, runs[2].id, runs[4].id]
    # Three runs with 20 offline updates each need only one of the three.
    assert shared.all_updates_saved == 2 * 2 * 20
    assert shared.line() == "6 runs start from 2 shared prefixes (2 new); 80 updates saved"
    assert shared_prefixes(runs[:2], tmp_path).of_run == {}, "each would be the only one"
    assert shared_prefixes(runs, tmp_path, enabled=False).of_run == {}
    assert not (tmp_path / "root").exists()


def test_a_prefix_in_the_root_serves_single_runs_and_saves_all_their_updates(tmp_path, runs):
    train_pack(commit([prefix_of(runs[0])], tmp_path))
    shared = shared_prefixes(runs[:1], tmp_path)
    assert shared.of_run == {runs[0].id: prefix_of(runs[0]).id}
    assert (shared.all_updates_saved, shared.to_start()) == (20, [])


def test_runs_that_have_begun_are_left_alone(tmp_path, runs):
    folders = commit(runs, tmp_path)
    folders[0].checkpoints.mkdir()
    (folders[0].checkpoints / "000000005-000000000-1.ckpt").write_bytes(b"")
    shared = shared_prefixes(runs, tmp_path)
    assert runs[0].id not in shared.of_run
    commit_prefixes(runs, shared)
    assert folders[0].prefix is None
    assert folders[1].prefix.id == prefix_of(runs[1]).id
    commit_prefixes(runs, shared_prefixes(runs, tmp_path, enabled=False))
    assert [folder.prefix for folder in folders] == [None] * 7


def test_prefixes_come_first_and_runs_that_need_one_last(tmp_path, runs):
    packs = packs_in_order(runs, shared_prefixes(runs, tmp_path), limit=4, workers=1)
    prefixes = [prefix_of(run).id for run in runs[:2]]
    assert [[folder.id for folder in pack] for pack in packs] == [
        prefixes, [runs[6].id], [run.id for run in runs[:3]], [run.id for run in runs[3:6]],
    ]  # fmt: skip


def committed(root, runs):
    shared = shared_prefixes(runs, root)
    commit([*shared.to_start(), *runs], root)
    commit_prefixes(runs, shared)
    return shared.plan.runs


def test_a_run_waits_for_its_prefix(tmp_path, runs):
    first, second = folders_of(tmp_path, committed(tmp_path, runs))
    pack = folders_of(tmp_path, runs)
    assert startable(pack, {first.path, second.path}) is None
    begin(tmp_path, prefix_of(runs[0]))
    assert startable(pack, {second.path}) is None, "another process computes the first"
    assert states(tmp_path, runs) == ["planned"] * 7


def test_runs_end_with_their_prefix(tmp_path, runs):
    prefixes = committed(tmp_path, runs)
    fail(tmp_path, prefixes[0], "it broke")
    second = RunFolder.of(tmp_path, prefixes[1])
    second.cancel("somebody")
    left = startable(folders_of(tmp_path, runs), ())
    assert [folder.id for folder in left] == [runs[6].id]
    assert states(tmp_path, runs) == ["failed", "interrupted"] * 3 + ["planned"]
    failed, interrupted = folders_of(tmp_path, runs[:2])
    reason = f"its prefix {prefixes[0].id} failed: it broke"
    assert failed.status()["reason"] == reason
    assert [attempt["reason"] for attempt in history(failed.path)] == [f"failed: {reason}"]
    assert interrupted.status()["reason"] == f"its prefix {second.id} is cancelled: cancelled by somebody"


def test_prefixes_belong_to_the_runs_that_wait_for_them(tmp_path, runs):
    prefixes = committed(tmp_path, runs)
    assert with_prefixes(runs[:2], tmp_path) == [*runs[:2], *prefixes]
    assert with_prefixes([*runs, prefixes[0]], tmp_path) == [*runs, prefixes[0], prefixes[1]]
    assert with_unneeded_prefixes(runs[:2], tmp_path) == runs[:2]
    assert with_unneeded_prefixes([runs[0], runs[2], runs[4]], tmp_path) == [runs[0], runs[2], runs[4], prefixes[0]]
    RunFolder.of(tmp_path, runs[4]).cancel("somebody")
    assert with_unneeded_prefixes([runs[0], runs[2]], tmp_path) == [runs[0], runs[2], prefixes[0]]
    cancel_runs(with_unneeded_prefixes(runs, tmp_path), tmp_path, yes=True)
    assert states(tmp_path, prefixes) == ["cancelled"] * 2


def test_the_plan_shows_prefixes(tmp_path, runs, capsys):
    show_plan(runs, tmp_path, as_json=True)
    shown = json.loads(capsys.readouterr().out)
    ids = [prefix_of(run).id for run in runs[:2]]
    assert [row["prefix"] for row in shown["runs"]] == [*ids, *ids, *ids, None]
    assert [(row["run"], row["state"], row["saved"], len(row["runs"])) for row in shown["prefixes"]] == [
        (ids[0], "new", 40, 3), (ids[1], "new", 40, 3),
    ]  # fmt: skip
    assert shown["updates_saved"] == 80
    show_plan(runs, tmp_path, as_json=False)
    out = capsys.readouterr().out
    assert ids[0] in out
    assert "6 runs start from 2 shared prefixes (2 new); 80 updates saved" in out
    show_plan(runs, tmp_path, as_json=False, shared_prefix=False)
    assert "shared" not in capsys.readouterr().out


def test_results_are_byte_identical_with_and_without_shared_prefixes(tmp_path, runs, capsys):
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    assert run_grid(runs, shared, workers=1, pack_limit=8, retry_failed=False) == 0
    train_pack(commit(runs, alone))
    assert "6 runs start from 2 shared prefixes" in capsys.readouterr().err
    assert len(list(run_folders(shared))) == 9
    assert len(list(run_folders(alone))) == 7
    for one, other in zip(folders_of(shared, runs), folders_of(alone, runs), strict=True):
        assert one.metrics_file.read_bytes() == other.metrics_file.read_bytes()
        assert one.summary() == other.summary()
        assert one.newest_checkpoint == other.newest_checkpoint
        place = one.checkpoints / one.newest_checkpoint
        assert place.read_bytes() == (other.checkpoints / other.newest_checkpoint).read_bytes()


def test_a_failed_prefix_fails_its_runs_until_they_are_retried(tmp_path, runs, capsys):
    arms = runs[:6:2]
    (prefix,) = committed(tmp_path, arms)
    RunFolder.of(tmp_path, prefix).write_status("failed", reason="it broke")
    assert run_grid(arms, tmp_path, workers=1, pack_limit=8, retry_failed=False) == 1
    assert states(tmp_path, arms) == ["failed"] * 3
    assert f"its prefix {prefix.id} failed: it broke" in capsys.readouterr().err
    assert retry_runs(arms, tmp_path, 1, 8, None, "retry") == 0
    assert states(tmp_path, [*arms, prefix]) == ["done"] * 4


def test_a_damaged_record_is_refused(tmp_path, runs):
    folder = commit(runs[:1], tmp_path)[0]
    for text in ("{", '{"prefix": "../../etc"}', "{}"):
        (folder.path / "prefix.json").write_text(text)
        with pytest.raises(UserError, match=r"prefix.json: is damaged"):
            commit_prefixes(runs, shared_prefixes(runs, tmp_path))
