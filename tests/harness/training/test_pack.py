"""The status of a running pack."""

import pytest

from ablations.grids import runs_of
from harness.folders.checkpoint import Position
from harness.folders.run_folder import RunFolder
from harness.training import pack as module
from harness.training.pack import STATUS_INTERVAL, Pack
from harness.training.recording import StartingPoint


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_the_speed_after_a_resume_leaves_out_the_start(tmp_path, clock):
    """Loading data and the checkpoint takes 50 s; then there are 100 updates per second, with a pause of 5 s."""
    run = runs_of("smoke")[0]
    folder = RunFolder.of(tmp_path, run)
    folder.create(run)
    pack = Pack(StartingPoint([folder], Position(10, 0, False), [None]))
    pack.start_at(1000)
    clock[0] += 50.0
    assert pack.report("offline")
    assert "updates_per_second" not in folder.status()
    pack.updates += 1
    pack.report("offline")
    for _ in range(20):
        clock[0] += 1.0
        pack.updates += 100
        pack.report("offline")
    assert folder.status()["updates_per_second"] == pytest.approx(100.0)
    assert folder.status()["updates"] == 2001
    clock[0] += STATUS_INTERVAL
    assert pack.report("offline")
    assert folder.status()["updates_per_second"] == pytest.approx(2000 / 25)
    # The cost of finished runs is over the whole attempt.
    assert pack.speed()["updates_per_second"] == pytest.approx(2001 / 75)
