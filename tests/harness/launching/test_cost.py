"""Costs from finished runs or a measurement, and the makespan of jobs."""

import time

import pytest

from ablations.grids import runs_of
from harness.launching.cost import Cost, costs, finished_costs, makespan, measured_cost, repeated
from harness.settings import pack_key, total_updates, with_settings
from tests.support.run_folder_factory import fail, write_done

RUNS = runs_of("smoke")
KEY = pack_key(RUNS[0])


def finish(root, runs, **measured):
    for folder in write_done(root, runs):
        folder.write_status("done", **measured)


def test_updates_of_a_run():
    assert total_updates(RUNS[0]) == 400 + 600


def test_costs_come_from_finished_runs_of_equal_shape(tmp_path):
    for run, speed in zip(RUNS, (50.0, 100.0, 200.0, 400.0), strict=True):
        finish(tmp_path, [run], updates_per_second=speed, updates=1000, pack=2)
    (cost,) = costs(RUNS, tmp_path, pack=4).values()
    # The median of 1/50, 1/100, 1/200 and 1/400.
    assert cost == Cost(pytest.approx(0.0075), 2, f"4 finished runs in {tmp_path}, in packs of 2")
    assert cost.of_pack(1) == cost.of_pack(2) == cost.seconds
    assert cost.of_pack(4) == 2 * cost.seconds


def test_the_nearest_pack_size_is_used_and_short_attempts_are_not(tmp_path):
    finish(tmp_path, RUNS[:1], updates_per_second=100.0, updates=1000, pack=1)
    finish(tmp_path, RUNS[1:2], updates_per_second=50.0, updates=500, pack=3)
    finish(tmp_path, RUNS[2:3], updates_per_second=1.0, updates=499, pack=3)
    fail(tmp_path, RUNS[3], "of something")
    for pack, cost in {1: (0.01, 1), 2: (0.01, 1), 3: (0.02, 3), 8: (0.02, 3)}.items():
        cost_of_update = finished_costs(tmp_path, {KEY}, pack)[KEY]
        assert (cost_of_update.seconds, cost_of_update.pack) == (pytest.approx(cost[0]), cost[1])


def test_other_shapes_and_older_versions_are_ignored(tmp_path):
    finish(tmp_path, RUNS[:1])
    finish(
        tmp_path, [with_settings(RUNS[1], {"algorithm.batch_size": 16})], updates_per_second=1.0, updates=999, pack=1
    )
    assert finished_costs(tmp_path, {KEY}, 1) == {}


def test_without_finished_runs_the_cost_is_measured(tmp_path):
    cost = measured_cost(RUNS[0], pack=2, seconds=0.1)
    assert cost.pack == 2
    assert "short measurement on one core" in cost.source
    assert 0 < cost.seconds < 10
    assert costs([], tmp_path, 2) == {}


def test_the_warm_up_is_not_timed():
    calls = []

    def action(number):
        calls.append(number)
        time.sleep(0.01)

    assert repeated(action, 0.05) >= 0.01
    assert calls == list(range(len(calls)))
    assert len(calls) >= 2


@pytest.mark.parametrize(
    ("seconds", "places", "end"),
    [([], 3, 0), ([5, 1, 1, 1], 1, 8), ([5, 1, 1, 1], 2, 5), ([3, 3, 3], 2, 6), ([1, 2, 3, 4], 9, 4)],
)
def test_makespan_by_hand(seconds, places, end):
    assert makespan(seconds, places) == end
