"""The gate that a task passes before a study of fine-tuning."""

import pandas as pd
import pytest

from results.tables.gate import gate_table, gates

PASSING = {"cql": (0.8, -0.3), "monte_carlo": (0.7, 0.05), "behaviour_cloning": (0.6, 0.0)}


def frame(**tasks: dict[str, tuple[float, float]]) -> pd.DataFrame:
    """Two runs per task and arm, around an offline score and a change online."""
    rows = [
        {"task": task, "arm": arm, "baseline_score": score + noise, "online_change": change - noise}
        for task, arms in tasks.items()
        for arm, (score, change) in arms.items()
        for noise in (-0.01, 0.01)
    ]
    return pd.DataFrame(rows)


def test_a_task_on_which_an_arm_falls_passes():
    (gate,) = gates(frame(maze=PASSING))
    assert gate.passes
    assert (gate.cql, gate.cal_ql, gate.behaviour_cloning) == pytest.approx((0.8, 0.7, 0.6))
    assert (gate.gaining, gate.losing) == ("monte_carlo", "cql")
    assert (gate.gain, gate.loss) == pytest.approx((0.05, -0.3))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"cql": (0.98, -0.3), "monte_carlo": (0.97, 0.0)}, "the offline score is not between 0.3 and 0.9"),
        ({"cql": (0.1, 0.3), "monte_carlo": (0.2, 0.3), "behaviour_cloning": (0.0, 0.0)}, "the offline score is not"),
        ({"behaviour_cloning": (0.9, 0.0)}, "behaviour cloning is better than CQL"),
        ({"cql": (0.8, -0.14), "monte_carlo": (0.7, 0.14)}, "no arm changes by 0.15 online"),
    ],
)
def test_a_task_that_cannot_tell_does_not_pass(changed, reason):
    (gate,) = gates(frame(maze=PASSING | changed))
    assert len(gate.reasons) == 1
    assert gate.reasons[0].startswith(reason)


def test_a_gain_is_enough_and_cloning_is_not_needed():
    (gate,) = gates(frame(maze={"cql": (0.5, 0.2)}))
    assert gate.passes
    assert (gate.cal_ql, gate.behaviour_cloning) == (None, None)


def test_the_table_says_why():
    table = gate_table(gates(frame(maze=PASSING, easy={"cql": (1.0, 0.0), "monte_carlo": (1.0, 0.0)})))
    assert list(table.text["Passes"]) == [
        "yes",
        "no: the offline score is not between 0.3 and 0.9; no arm changes by 0.15 online",
    ]
    assert table.text["Largest loss"][0] == "-0.30 (CQL)"
    assert list(table.numbers["passes"]) == [True, False]


def test_tasks_without_an_online_phase_are_left_out():
    assert gates(frame(maze={"cql": (0.5, float("nan"))})) == []
