"""Short measurements of actions."""

import time
from dataclasses import replace

import pytest

from harness.launching.measurement import repeated, update_seconds
from tests.support.packs import TINY
from tests.support.recorded_graphs import emulated_gpu


def test_the_warm_up_is_not_timed():
    calls = []

    def action(number):
        calls.append(number)
        time.sleep(0.01)

    assert repeated(action, 0.05) >= 0.01
    assert calls == list(range(len(calls)))
    assert len(calls) >= 2


def test_updates_of_a_gpu_are_measured_as_they_are_trained(monkeypatch):
    """A block of 32 as one graph, here emulated: 3.2 seconds are 0.1 for each."""
    monkeypatch.setattr("harness.launching.measurement.repeated", lambda action, seconds: [action(0), 3.2][1])
    with emulated_gpu() as graphs:
        assert update_seconds(replace(TINY, kernel="cuda"), 3, 2, pack=1, seconds=1.0) == pytest.approx(0.1)
    assert [graph.replays for graph in graphs] == [1]
