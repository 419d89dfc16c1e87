"""Seeded scenarios of a run on a file system that fails and lags: nothing is lost, and every failure is one line.

A scenario is a series of attempts at one run, whose training is a sequence of rows and checkpoints with known content.
Operations fail with the errors of network file systems and full disks, folders are listed as they were earlier, owners
are taken over and wake up again, also while they close a file, and readers look at the folder all the time, where they
see some replaced files as they were before.
"""

import errno
import os
import random
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ablations.grids import runs_of
from harness.errors import UserError, one_line
from harness.folders import attempts
from harness.folders.attempts import HEARTBEAT_LIMIT, TakenOver
from harness.folders.checkpoint import Position
from harness.folders.reader import faults
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.training.recording import Recorder, starting_points
from tests.support.operations import interposed

SCENARIOS = 200
STEPS, SAVED_EVERY = 9, 3
SLOW_CLOSES = 0.1
CODES = [errno.ESTALE, errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.ETIMEDOUT, errno.ENOLCK]

EXPECTED = [{"phase": "offline", "offline_step": step, "score": step / 7} for step in range(1, STEPS + 1)]


class Owner:
    """A process that computes the run, until an operation fails or it has been taken over."""

    def __init__(self, path):
        self.folder, self.recorder, self.step = RunFolder(path), None, 0

    def begin(self):
        """Become the owner and open the files at the newest checkpoint; False if another process owns the run."""
        if self.folder.state is RunState.DONE or not self.folder.begin_attempt({}):
            return False
        if self.folder.state is RunState.DONE:
            self.folder.end_attempt("done")
            return False
        (point,) = starting_points([self.folder])
        self.step, (checkpoint,) = point.position.offline_step, point.checkpoints
        if checkpoint is not None:
            assert checkpoint.arrays["learner.weight"].tolist() == [self.step]
        self.recorder = Recorder(self.folder, checkpoint)
        self.folder.write_status(RunState.RUNNING, progress=self.step / STEPS)
        return True

    def advance(self):
        """Compute and record a step; returns whether the run is done."""
        if self.step < STEPS:
            self.recorder.append_row(EXPECTED[self.step])
            self.step += 1
            if self.step % SAVED_EVERY == 0:
                self.recorder.save(Position(self.step, 0, True), {"learner.weight": np.array([self.step])}, {})
                self.folder.write_status(RunState.RUNNING, progress=self.step / STEPS)
            return False
        self.recorder.finish({"final_score": 1.0}, Position(STEPS, 0, True))
        self.folder.write_status(RunState.DONE, progress=1.0)
        self.folder.end_attempt("done")
        return True

    def is_silent(self):
        """The last heartbeat was long ago, as of a process that hangs."""
        attempt = self.folder.attempt or attempts.latest_attempt(self.folder.path)
        old = time.time() - 2 * HEARTBEAT_LIMIT
        os.utime(attempt.file, (old, old))


@contextmanager
def failing(generator, share, slow_close=lambda: None):
    """Make a share of the file operations fail and some directory listings out of date.

    `slow_close` happens while some of the files are written to the disk and closed.
    """

    def before(name, target):
        if name == "fsync" and generator.random() < SLOW_CLOSES:
            slow_close()
        if generator.random() < share:
            code = generator.choice(CODES)
            named = () if isinstance(target, int) else (os.fspath(target),)
            raise OSError(code, os.strerror(code), *named)

    with interposed(before), pytest.MonkeyPatch.context() as patch:
        list_now, earlier = os.listdir, {}

        def listdir(path):
            if path in earlier and generator.random() < 0.3:
                return earlier[path]
            earlier[path] = list_now(path)
            return earlier[path]

        patch.setattr(os, "listdir", listdir)
        patch.setattr(os, "fsync", lambda descriptor: before("fsync", descriptor))
        yield


def failure(work):
    """The one-line error of an operation; None if it succeeds."""
    try:
        work()
    except (OSError, UserError, TakenOver) as error:
        line = one_line(error)
    else:
        return None
    assert "\n" not in line
    return line


@contextmanager
def late_renames(generator, seen):
    """Let some replaced files be read as they were when they were `seen`, as by another client of a file server."""
    read_now = Path.read_bytes

    def read_bytes(file):
        if file in seen and generator.random() < 0.3:
            return seen[file]
        seen[file] = read_now(file)
        return seen[file]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", read_bytes)
        yield


def look(path, generator, seen):
    """What status, report and plan read on another machine; a failure is one line."""
    folder = RunFolder(path)
    with late_renames(generator, seen):
        for read in (folder.status, folder.metrics, folder.provenance, lambda: faults(folder)):
            failure(read)


@pytest.mark.parametrize("block", [0, *(pytest.param(number, marks=pytest.mark.slow) for number in range(1, 10))])
def test_nothing_is_lost_and_nothing_is_computed_by_two_owners(tmp_path, block):
    for seed in range(block * SCENARIOS // 10, (block + 1) * SCENARIOS // 10):
        scenario(tmp_path / str(seed), random.Random(seed))


def scenario(root, generator):
    run = runs_of("smoke")[0]
    RunFolder.of(root, run).create(run)
    path, share = root / run.id, generator.choice([0.0, 0.02, 0.05, 0.1])
    sleepers, rivals, seen = [], [], {}
    for _ in range(8):
        owner = Owner(path)

        def take_over(owner=owner):
            """Another process takes the run over and computes a step, while this one closes a file."""
            rival = Owner(path)
            if owner.folder.attempt is not None and owner not in rivals:
                owner.is_silent()
                rivals.append(owner)
                if failure(lambda: rival.begin() and rival.advance()) is None and rival.folder.attempt is not None:
                    sleepers.append(rival)
                if rival.folder.attempt is not None and rival.folder.state is not RunState.DONE:
                    rival.is_silent()

        def attempt(owner=owner):
            if owner.begin():
                for _ in range(generator.randrange(1, 2 * STEPS)):
                    if generator.random() < 0.2:
                        look(path, generator, seen)
                    if owner.advance():
                        break

        with failing(generator, share, take_over):
            error = failure(attempt)
        if owner.folder.attempt is not None and owner.folder.state is not RunState.DONE:
            # It has crashed, or hangs until another process has taken the run over.
            owner.is_silent()
            if error is None:
                sleepers.append(owner)
        for sleeper in [sleeper for sleeper in sleepers if sleeper is not owner and generator.random() < 0.5]:
            # It resumes until it notices the takeover; its writes reach no file of the new owner.
            ended = []
            if failure(lambda sleeper=sleeper, ended=ended: ended.append(sleeper.advance())) or ended == [True]:
                sleepers.remove(sleeper)
    last = Owner(path)
    if RunFolder(path).state is not RunState.DONE:
        newest = attempts.latest_attempt(path)
        if newest is not None and newest.is_alive(time.time()):
            last.is_silent()
        assert last.begin()
        while not last.advance():
            pass
    assert RunFolder(path).metrics() == EXPECTED
    assert RunFolder(path).state is RunState.DONE
    assert faults(RunFolder(path)) == []
