"""The scale of Q, seed by seed."""

from results.tables.scale_mismatch import scale_mismatch
from tests.results.tables.made_frames import frame_of


def test_scale_mismatch_counts_seeds_below_the_return():
    rows = [("cql", 0, "done", 0, 0), ("cql", 1, "done", 0, 0), ("monte_carlo", 0, "done", 0, 0)]
    settings = {"algorithm.alpha": 20.0, "task.data.transitions": 100_000}
    table = scale_mismatch(frame_of(*rows, offline_q_data=[-60.0, -49.0, -45.0], **settings))
    assert list(table.numbers["below"]) == [True, False, False]
    assert list(table.numbers["difference"]) == [-10.0, 1.0, 5.0]
    assert list(table.text["Arm"]) == ["CQL", "Cal-QL, Monte Carlo floor"]
    assert list(table.text["Seeds below"]) == ["1 of 2", "0 of 1"]
    assert table.text["Difference"][0].startswith("-4.5 [")
    assert table.text["Mean Q"][1].startswith("-45.0")
    assert list(table.text["Mean return-to-go"]) == ["-50.0", "-50.0"]
    assert table.notes[-1] == "maze: transitions 100000, alpha 20."
