"""The table of learned floors."""

import math

from results.tables.learned_floor import learned_floor
from tests.results.tables.made_frames import frame_of


def test_learned_floor_has_a_row_per_task_and_arm():
    assert learned_floor(frame_of(("cql", 0, "done", 0.5, 0.0))) is None
    rows = [("cql", 0, "done", 0.5, 0.0), ("learned", 3, "done", 0.5, 0.0), ("learned", 4, "done", 0.5, 0.0)]
    fits = {"learned_floor.held_out_rmse": [math.nan, 2.0, 3.0], "learned_floor.held_out_r2": [math.nan, 0.5, 0.9]}
    table = learned_floor(frame_of(*rows, **fits))
    assert list(table.numbers["seed"]) == [3, 4]
    (row,) = table.text.to_dict("records")
    assert (row["Arm"], row["n"]) == ("Cal-QL, learned floor", "2")
    # The t interval of two numbers 1 apart: 12.7 standard errors of 0.5 to each side.
    assert row["Held-out RMSE"] == "2.50 [-3.85, 8.85]"
    assert row["Held-out R2"].startswith("0.700 [")
