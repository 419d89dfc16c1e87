"""Rows and totals: the effect of the queue, and expected ends."""

import dataclasses
import time
from datetime import datetime

import pytest

from ablations.grids import runs_of
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.folders.usage import Usage
from harness.settings import total_updates
from harness.watching.overview import Queued, Row, clock, last_line_of_job, overview, total
from tests.support.run_folder_factory import begin, fail, lose, write_done

NOON = 1_700_000_000.0
WAITS = Queued("12_3", True, "Priority", None, submitted=0.0)
RUNS = Queued("12_3", False, "None", "node7", submitted=0.0)


@pytest.fixture(autouse=True)
def folder_without_data(tmp_path_factory, monkeypatch):
    """The factory's runs have a fictitious data hash, which must not be compared with data of other tests."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("no_data")))


@pytest.fixture
def runs():
    base = runs_of("smoke")[0]
    return [dataclasses.replace(base, seed=seed) for seed in range(6)]


def rows(root, runs, queued=None):
    return overview(root, runs, {run.id: queued for run in runs} if queued else {})


def test_runs_without_an_owner_are_queued_if_their_array_task_is(tmp_path, runs):
    write_done(tmp_path, runs[:1])
    begin(tmp_path, runs[1])
    lose(tmp_path, runs[2])
    fail(tmp_path, runs[3], "it broke")
    RunFolder.of(tmp_path, runs[4]).create(runs[4])
    assert [row.state for row in rows(tmp_path, runs)] == ["done", "running", "lost", "failed", "planned", "new"]
    waiting = rows(tmp_path, runs, WAITS)
    assert [row.state for row in waiting] == ["done", "running", "queued", "failed", "queued", "queued"]
    assert {(row.job, row.reason) for row in waiting if row.state == "queued"} == {("12_3", "Priority")}
    begun = rows(tmp_path, runs, RUNS)
    assert {(row.node, row.reason) for row in begun if row.state == "queued"} == {
        ("node7", "its job is running and will compute it")
    }


def test_a_failed_run_is_queued_once_it_was_submitted_again(tmp_path, runs):
    fail(tmp_path, runs[0], "it broke")
    again = dataclasses.replace(WAITS, submitted=time.time() + 60.0)
    assert rows(tmp_path, runs[:1], again)[0].state == "queued"


def test_a_running_run_shows_node_speed_and_expected_end(tmp_path, runs):
    folder = RunFolder.of(tmp_path, runs[0])
    folder.create(runs[0])
    folder.begin_attempt({"slurm": {"job": "12_3", "node": "node7", "restart": 1}, "pack_size": 2})
    folder.write_status("running", phase="online", step=5, progress=0.25, updates_per_second=10.0)
    now = time.time()
    row = overview(tmp_path, runs[:1], {}, now)[0]
    assert total_updates(runs[0]) == 1000
    assert (row.job, row.node, row.phase, row.step, row.progress) == ("12_3", "node7", "online", 5, 0.25)
    assert row.expected_end == pytest.approx(now + 75.0)
    assert row.usage.attempts == 1


def test_cost_of_a_run_is_that_of_its_attempts(tmp_path, runs):
    folder = begin(tmp_path, runs[0])
    folder.end_attempt("interrupted")
    before = folder.provenance()["attempts"][0]
    begin(tmp_path, runs[0])
    now = before["started"] + 7200.0
    row = overview(tmp_path, runs[:1], {}, now)[0]
    assert row.usage.attempts == 2
    assert row.usage.wall_hours == pytest.approx(2.0, abs=0.01)


def row(state, progress=0.0, speed=None, end=None, **values):
    return Row(
        "0" * 12,
        "maze",
        "cql",
        data_seed=0,
        seed=0,
        state=RunState(state),
        progress=progress,
        updates_per_second=speed,
        expected_end=end,
        **values,
    )


def test_the_expected_end_follows_from_the_current_speed():
    waiting = [row("planned", updates=1000), row("queued", progress=0.5, updates=1000), row("failed", updates=9999)]
    running = [row("running", 0.5, 10.0, NOON + 50, updates=1000), row("running", 0.9, 5.0, NOON + 20, updates=1000)]
    summary = total([*waiting, *running], NOON)
    assert summary.expected_end == pytest.approx(NOON + (1000 + 500 + 500 + 100) / 15.0)
    assert summary.updates_per_second == 15.0
    assert summary.progress == pytest.approx((0.5 + 0.5 + 0.9) / 5)
    assert summary.counts == {"planned": 1, "queued": 1, "running": 2, "failed": 1}
    assert list(summary.counts) == ["planned", "queued", "running", "failed"]


def test_without_waiting_runs_the_last_running_one_decides():
    slow = row("running", 0.0, 1.0, NOON + 100, updates=100)
    fast = row("running", 0.0, 100.0, NOON + 1, updates=100)
    assert total([slow, fast], NOON).expected_end == NOON + 100


def test_without_running_runs_no_end_is_expected():
    assert total([row("queued", updates=100), row("done", 1.0)], NOON).expected_end is None
    assert total([], NOON).counts == {}


def test_costs_add_up():
    costs = [Usage(1, 1.0, 2.0, 3.0, 5.0), Usage(2, 1.0, 1.0, 1.0, None)]
    assert total([row("done", usage=cost) for cost in costs], NOON).usage == Usage(3, 2.0, 3.0, 4.0, 5.0)


def test_times_are_shown_relative_to_now():
    now = datetime(2026, 3, 4, 12, 0).timestamp()
    assert clock(datetime(2026, 3, 4, 14, 20).timestamp(), now) == "14:20"
    assert clock(datetime(2026, 3, 5, 9, 5).timestamp(), now) == "Thu 09:05"
    assert clock(datetime(2026, 4, 1).timestamp(), now) == "2026-04-01"


def test_the_last_line_of_a_job_comes_before_the_exit_codes(tmp_path):
    log = tmp_path / "7_0_log.out"
    assert last_line_of_job(log) == ""
    log.write_text("srun: error: n1: task 0: Exited with exit code 127\n")
    assert last_line_of_job(log).startswith("srun: error")
    log.write_text("starting\nbash: /no/python: No such file or directory\n\n" + log.read_text())
    assert last_line_of_job(log) == "bash: /no/python: No such file or directory"
