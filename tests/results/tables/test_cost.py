"""The table of costs, on numbers worked by hand."""

import pandas as pd

from results.tables.cost import GIGABYTE, cost, expectation, time_spent


def frame(**changes):
    columns = {
        "task": ["maze"] * 3,
        "arm": ["cql", "cql", "monte_carlo"],
        "state": ["done", "done", "failed"],
        "schedule.offline_steps": [1_000_000, 500_000, 300_000],
        "schedule.online_steps": [200_000, 100_000, 100_000],
        "schedule.updates_per_step": [1, 4, 1],
        "attempts": [1, 3, 0],
        "wall_hours": [1.0, 2.0, 0.0],
        "core_hours": [0.5, 1.25, 0.0],
        "gpu_hours": [0.0, 0.25, 0.0],
        "peak_memory": [GIGABYTE, 2.5 * GIGABYTE, float("nan")],
        "cost_source": ["runs", "accounting", ""],
    }
    return pd.DataFrame(columns | changes)


def test_runs_add_up_by_task_and_arm_and_in_all():
    table = cost(frame())
    assert table.text.to_numpy().tolist() == [
        ["maze", "CQL", "2", "2.10", "4", "1.75", "0.25", "3.00", "2.50", "both"],
        ["maze", "Cal-QL, Monte Carlo floor", "1", "0.00", "0", "0.00", "0.00", "0.00", "-", "-"],
        ["all", "-", "3", "2.10", "4", "1.75", "0.25", "3.00", "2.50", "both"],
    ]
    assert table.numbers["updates"].tolist() == [2_100_000, 0, 2_100_000]
    assert table.numbers["core_hours"].tolist() == [1.75, 0.0, 1.75]
    assert "runs: measured by the runs" in table.notes[0]
    assert "accounting: SLURM's accounting" in table.notes[0]


def test_one_group_needs_no_sum():
    table = cost(frame(arm=["cql"] * 3, cost_source=["runs", "runs", ""]))
    assert table.text["Source"].tolist() == ["runs"]


def test_frames_of_older_versions_and_runs_that_never_began_have_no_table():
    assert cost(frame().drop(columns="cost_source")) is None
    assert cost(frame(attempts=[0, 0, 0])) is None


def test_time_is_divided_into_parts_by_task():
    """The failed run and the finished one without a record do not count."""
    nothing = float("nan")
    spent = {
        "seconds.update": [60.0, nothing, 90.0],
        "seconds.environment": [10.0, nothing, 0.0],
        "seconds.evaluation": [20.0, nothing, 0.0],
        "seconds.checkpoint": [2.0, nothing, 0.0],
        "seconds.start": [8.0, nothing, 0.0],
        "seconds.idle": [0.0, nothing, 0.0],
    }
    table = time_spent(frame(**spent))
    assert table.text.to_numpy().tolist() == [["maze", "1", "100.0", "60%", "10%", "20%", "2%", "8%", "0%"]]
    assert table.numbers["evaluation"].tolist() == [0.2]
    assert time_spent(frame()) is None
    assert time_spent(frame(**{name: [nothing] * 3 for name in spent})) is None


def test_expected_and_taken_seconds_by_task():
    """Two finished runs: 50 s expected of each; 50 and 70 s of processor time were taken, 30 of 150 s were idle."""
    parts = dict.fromkeys(("seconds.environment", "seconds.evaluation", "seconds.checkpoint", "seconds.start"), 0.0)
    idle = {"seconds.update": [50.0, 1.0, 70.0], "seconds.idle": [10.0, 1.0, 20.0], "expected_seconds": 50.0}
    table = expectation(frame(state=["done", "failed", "done"], task="maze", **parts, **idle))
    assert table.text.to_numpy().tolist() == [["maze", "2", "50.0", "60.0", "1.20", "20%"]]
    assert table.numbers["ratio"].tolist() == [1.2]
    assert expectation(frame()) is None
    assert expectation(frame(**parts, **{**idle, "expected_seconds": float("nan")})) is None
