"""The table of learned floors."""

import math

from results.tables.learned_floor import learned_floor
from tests.tables.made_frames import frame_of


def test_learned_floor_has_a_row_per_fit():
    assert learned_floor(frame_of(("cql", 0, "done", 0.5, 0.0))) is None
    rows = [("cql", 0, "done", 0.5, 0.0), ("learned", 3, "done", 0.5, 0.0)]
    table = learned_floor(frame_of(*rows, **{"learned_floor.held_out_rmse": [math.nan, 2.345]}))
    assert list(table.text["Seed"]) == ["3"]
    assert table.text.iloc[0]["Held-out RMSE"] in ("2.35", "2.34")
