"""An interrupted or failed save always leaves an intact checkpoint."""

import errno
import itertools
import os
import stat

import pytest

from harness.folders.checkpoint import Checkpoints, Position
from tests.support.checkpoints import assert_equal, at
from tests.support.operations import interposed, killed_at, refusing


def assert_two_sound(checkpoints):
    positions = checkpoints.positions()
    assert len(positions) >= 2
    assert positions[0] in (Position(2, 0, True), Position(3, 0, True))
    for position in positions:
        assert_equal(checkpoints.load(position), at(position.offline_step))


def test_a_kill_at_any_operation_leaves_two_intact_checkpoints(tmp_path):
    newest = []
    for number in itertools.count():
        checkpoints = Checkpoints(tmp_path / str(number))
        for step in (1, 2):
            checkpoints.save(at(step))
        for left in (".000000003-000000000-1.ckpt.0123abcd", ".index.json.0123abcd"):
            (checkpoints.folder / left).touch()
        killed = killed_at(number, lambda checkpoints=checkpoints: checkpoints.save(at(3)))
        assert_two_sound(checkpoints)
        newest.append(checkpoints.positions()[0].offline_step)
        checkpoints.save(at(4))
        names = [f"00000000{step}-000000000-1.ckpt" for step in (newest[-1], 4)]
        assert sorted(os.listdir(checkpoints.folder)) == [*names, "index.json"]
        if not killed:
            break
    # Before the rename it is the old one, after it the new one; both occur at many operations.
    assert newest == sorted(newest)
    assert newest.count(2) >= 10
    assert newest.count(3) >= 4


def test_a_kill_of_the_first_save_leaves_none_or_one(tmp_path):
    seen = []
    for number in itertools.count():
        checkpoints = Checkpoints(tmp_path / str(number))
        killed = killed_at(number, lambda checkpoints=checkpoints: checkpoints.save(at(1)))
        seen.append(len(checkpoints.positions()))
        if seen[-1]:
            assert_equal(checkpoints.load(Position(1, 0, True)), at(1))
        if not killed:
            break
    assert seen == sorted(seen)
    assert set(seen) == {0, 1}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_failed_operation_is_reported_and_leaves_two_intact_checkpoints(tmp_path, code):
    operations = operations_of_a_save(Checkpoints(tmp_path / "whole"))
    for number, operation in enumerate(operations):
        if operation == "mkdir folder":
            # The folder exists already, so failing to create it does not matter.
            continue
        checkpoints = Checkpoints(tmp_path / str(number))
        for step in (1, 2):
            checkpoints.save(at(step))
        with pytest.raises(OSError, match=os.strerror(code)) as refused, interposed(refusing(number, code=code)):
            checkpoints.save(at(3))
        assert str(refused.value.filename).startswith(str(checkpoints.folder))
        assert_two_sound(checkpoints)
        assert not [name for name in os.listdir(checkpoints.folder) if name.startswith(".")]


def operations_of_a_save(checkpoints):
    """The file operations of the third save."""
    for step in (1, 2):
        checkpoints.save(at(step))
    log = []

    def before(name, target):
        folder = os.path.isdir(target) if not isinstance(target, int) else stat.S_ISDIR(os.fstat(target).st_mode)
        log.append(f"{name} {'folder' if folder else 'file'}")

    with interposed(before):
        checkpoints.save(at(3))
    return log


def test_nothing_is_removed_before_the_new_checkpoint_survives_a_power_failure(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert [operation for operation, _ in itertools.groupby(operations_of_a_save(checkpoints))] == [
        "mkdir folder", "listdir folder", "open file", "listdir folder",
        "open file", "write file", "fsync file", "replace file",
        "open file", "write file", "fsync file", "replace file",
        "open folder", "fsync folder", "unlink file",
    ]  # fmt: skip
