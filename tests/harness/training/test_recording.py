"""Interrupted, regrouped and resumed packs give byte-identical metrics."""

import os
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.folders.checkpoint import Checkpoint, Checkpoints, Position, grouped
from harness.training.recording import Recorder, starting_points
from harness.training.timing import CHECKPOINT_VARIABLE, Stop, Stopped
from harness.training.training import train_pack
from tests.harness.training.test_training import folders


class StopAtLook(Stop):
    """Requests a stop at its n-th check."""

    def __init__(self, look):
        super().__init__()
        self.looks_left = look

    @property
    def requested(self):
        self.looks_left -= 1
        return self.looks_left < 0


def train_in_pieces(made, looks):
    """Train, stopping after each of these numbers of checks; returns how often it was stopped."""
    stopped = 0
    for look in looks:
        try:
            train_pack(made, StopAtLook(look))
        except Stopped:
            stopped += 1
        else:
            return stopped
    train_pack(made)
    return stopped


def result(folder):
    return folder.metrics_file.read_bytes(), folder.summary()


CHANGES = {
    "plain": {},
    "noise": {"floor.noise": 0.5},
    "learning": {"floor.base": "learned", "floor.keeps_learning": True, "floor.inflation": 0.5},
    "no floor online": {"floor.active_online": False},
    "torch": {"algorithm.kernel": "torch"},
    "blocks": {"schedule.update_block": 30, "schedule.mixing_ratio": None},
    "after episodes": {"schedule.update_block": None},
}

# Arms and seeds of changes that cannot share a pack with the default ones.
WHO = {"learning": (("learned",), (0, 1)), "after episodes": (("monte_carlo",), (0,))}


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """The results without stops, by name of the changes."""
    results = {}
    for name, changes in CHANGES.items():
        arms, seeds = WHO.get(name, (("none", "learned"), (0, 1)))
        made = folders(tmp_path_factory.mktemp("untouched"), arms=arms, seeds=seeds, **changes)
        train_pack(made)
        results[name] = (arms, seeds, [result(folder) for folder in made])
    return results


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("looks", [(0, 0, 0), (45, 45, 45, 45), (70, 33, 90), (120, 1, 1, 1)])
def test_metrics_are_byte_identical_after_any_interruption(tmp_path, untouched, name, looks):
    arms, seeds, expected = untouched[name]
    made = folders(tmp_path, arms=arms, seeds=seeds, **CHANGES[name])
    assert train_in_pieces(made, looks) >= 2
    assert [result(folder) for folder in made] == expected


def test_packs_can_be_regrouped(tmp_path, untouched):
    """Stopped together, then one alone, two others together, all of them together again."""
    arms, seeds, expected = untouched["plain"]
    made = folders(tmp_path, arms=arms, seeds=seeds)
    with pytest.raises(Stopped):
        train_pack(made, StopAtLook(80))
    with pytest.raises(Stopped):
        train_pack(made[:1], StopAtLook(60))
    with pytest.raises(Stopped):
        train_pack(made[1:3], StopAtLook(60))
    train_pack(made)
    assert [result(folder) for folder in made] == expected


def test_every_step_can_be_saved(tmp_path, untouched, monkeypatch):
    monkeypatch.setenv(CHECKPOINT_VARIABLE, "0")
    arms, seeds, expected = untouched["plain"]
    made = folders(tmp_path, arms=arms, seeds=seeds)
    train_pack(made)
    assert [result(folder) for folder in made] == expected
    for folder in made:
        assert Checkpoints(folder.checkpoints).positions() == [Position(60, 80, True)]
        assert not folder.replay.parent.exists()


def stop_in_the_online_phase(root, monkeypatch):
    """A run that is saved at every step and interrupted in the online phase, with two checkpoints."""
    monkeypatch.setenv(CHECKPOINT_VARIABLE, "0")
    (folder,) = folders(root, arms=("monte_carlo",), seeds=(0,))
    with pytest.raises(Stopped):
        train_pack([folder], StopAtLook(270))
    newest, older = Checkpoints(folder.checkpoints).positions()
    assert newest > older > Position(60, 35, False)
    assert folder.replay.stat().st_size > 100
    return folder


@pytest.fixture
def expected_result(tmp_path):
    (folder,) = folders(tmp_path / "expected", arms=("monte_carlo",), seeds=(0,))
    train_pack([folder])
    return result(folder)


def test_a_damaged_checkpoint_is_reported_and_the_older_one_used(tmp_path, monkeypatch, expected_result):
    folder = stop_in_the_online_phase(tmp_path / "runs", monkeypatch)
    newest, older = Checkpoints(folder.checkpoints).positions()
    file = folder.checkpoints / f"{newest}.ckpt"
    file.write_bytes(file.read_bytes()[:-1])
    (point,) = starting_points([folder])
    assert point.position == older
    assert f"{newest}.ckpt: is damaged" in folder.log.read_text()
    train_pack([folder])
    assert result(folder) == expected_result


@pytest.mark.parametrize("name", ["metrics_file", "replay"])
def test_rows_after_the_checkpoint_are_truncated(tmp_path, monkeypatch, expected_result, name):
    folder = stop_in_the_online_phase(tmp_path / "runs", monkeypatch)
    with open(getattr(folder, name), "ab") as file:
        file.write(b'{"half": ')
    train_pack([folder])
    assert result(folder) == expected_result


@pytest.mark.parametrize("name", ["metrics_file", "replay"])
def test_lost_rows_are_refused_and_nothing_is_overwritten(tmp_path, monkeypatch, name):
    folder = stop_in_the_online_phase(tmp_path / "runs", monkeypatch)
    file = getattr(folder, name)
    file.write_bytes(file.read_bytes()[:100])
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file() and path != folder.log}
    with pytest.raises(UserError, match=r"is truncated.*to start the run again"):
        train_pack([folder])
    assert {path: path.read_bytes() for path in before} == before


def test_damaged_checkpoints_are_never_overwritten(tmp_path, monkeypatch):
    folder = stop_in_the_online_phase(tmp_path / "runs", monkeypatch)
    for file in folder.checkpoints.iterdir():
        file.write_bytes(b"")
    with pytest.raises(UserError, match="no intact checkpoint is left"):
        train_pack([folder])
    shutil.rmtree(folder.checkpoints)
    train_pack([folder])
    assert folder.status()["state"] == "done"


def test_a_run_is_resumed_while_the_listing_of_its_checkpoints_is_out_of_date(tmp_path, monkeypatch, expected_result):
    folder = stop_in_the_online_phase(tmp_path / "runs", monkeypatch)
    newest = Checkpoints(folder.checkpoints).positions()[0]
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", without_checkpoints(os.listdir))
        assert folder.newest_checkpoint == f"{newest}.ckpt"
        (point,) = starting_points([folder])
        assert point.position == newest
        train_pack([folder])
    assert result(folder) == expected_result


def test_checkpoints_that_are_not_visible_are_waited_for(tmp_path, monkeypatch, expected_result):
    folder = stop_in_the_online_phase(tmp_path / "runs", monkeypatch)
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for file in list(folder.checkpoints.glob("*.ckpt")):
        file.rename(hidden / file.name)
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file() and path != folder.log}
    with pytest.raises(UserError, match="the saved checkpoints are not visible on this machine: try again") as error:
        train_pack([folder])
    assert "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in before} == before
    for file in hidden.iterdir():
        file.rename(folder.checkpoints / file.name)
    train_pack([folder])
    assert result(folder) == expected_result


def without_checkpoints(list_now):
    """A listing of folders as before the first checkpoint."""
    return lambda path=".": [name for name in list_now(path) if not str(name).endswith(".ckpt")]


def test_a_diverging_replay_fails_its_run(tmp_path, monkeypatch):
    folder = stop_in_the_online_phase(tmp_path / "runs", monkeypatch)
    checkpoints = Checkpoints(folder.checkpoints)
    saved = checkpoints.load(checkpoints.positions()[0])
    moved = {**saved.arrays, "episode.observation": saved.arrays["episode.observation"] + 1}
    checkpoints.save(Checkpoint(saved.position, moved, saved.numbers))
    train_pack([folder])
    assert folder.status()["state"] == "failed"
    assert "not deterministic" in folder.status()["reason"]


def test_groups_by_hand():
    first, second, third = Position(10, 0, True), Position(20, 0, True), Position(30, 0, True)
    positions = {"a": {second, first}, "b": set(), "c": {third, second}, "d": {first}, "e": set()}
    assert grouped(positions) == [(["a", "c"], second), (["d"], first), (["b", "e"], None)]


@given(
    st.dictionaries(
        st.text("abcdefgh", min_size=1, max_size=2),
        st.sets(st.integers(0, 6).map(lambda step: Position(step, 0, True)), max_size=2),
        max_size=8,
    )
)
def test_every_name_is_in_one_group_that_shares_its_position(positions):
    groups = grouped(positions)
    assert sorted(name for names, _ in groups for name in names) == sorted(positions)
    for names, position in groups:
        assert all(position in positions[name] if position else not positions[name] for name in names)


def test_a_recorder_keeps_its_files_consistent(tmp_path):
    (folder,) = folders(tmp_path, arms=("none",), seeds=(0,))
    recorder = Recorder(folder, None)
    recorder.append_row({"score": 0.5})
    recorder.append_transitions(np.ones((2, 3), np.float32))
    position = Position(5, 0, True)
    recorder.save(position, {"x": np.arange(3)}, {"n": 1})
    recorder.append_row({"score": 0.75})
    recorder.append_transitions(np.zeros((1, 3), np.float32))
    again = Recorder(folder, Checkpoints(folder.checkpoints).load(position))
    assert again.rows == [{"score": 0.5}]
    assert folder.metrics_file.read_text() == '{"score": 0.5}\n'
    assert np.frombuffer(folder.replay.read_bytes(), "<f4").tolist() == [1.0] * 6
    with pytest.raises(ValueError, match="JSON"):
        again.append_row({"score": float("nan")})
    assert again.rows == [{"score": 0.5}]
