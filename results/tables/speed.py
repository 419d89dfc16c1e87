"""How fast the parts of the work are."""

import pandas as pd

from results.tables.table import Table
from results.tables.text import NONE, number


def speed(benchmarks: pd.DataFrame) -> Table:
    """Every benchmark of `results.benchmarks.read`, as it was measured; numbers: its columns."""
    per_run = 1e6 * benchmarks["seconds"] / benchmarks["runs"].fillna(1).astype(float)
    text = pd.DataFrame(
        {
            "Part": benchmarks["part"] + benchmarks["case"].map(lambda case: f" [{case}]" if case else ""),
            "Shape": benchmarks["shape"].fillna(NONE),
            "Kernel": benchmarks["kernel"].fillna(NONE),
            "Runs": benchmarks["runs"].map(lambda runs: NONE if pd.isna(runs) else str(runs)),
            "Per run [us]": per_run.map(lambda value: number(value, 1)),
            "GFLOP/s": benchmarks["gflops"].map(lambda value: number(value, 1)),
            "Of the peak [%]": benchmarks["share_of_peak"].map(lambda value: number(100 * value, 0)),
            "Of an update [%]": benchmarks["share_of_update"].map(lambda value: number(100 * value, 0)),
        }
    )
    notes = (
        "Median time of one thread, divided by the runs of the pack. GFLOP/s count matrix products alone; the peak is "
        "that of torch's product of 1024 x 256 by 256 x 256 numbers, measured after each benchmark. An update is that "
        "of the same shape, runs and kernel. Shapes are width x depth: 64x2 has the demo's states, actions and batch "
        "(6, 2, 64 with 4 actions of each kind), the others those of AntMaze (29, 8, 256 with 10). In brackets: what "
        "else was varied (online: transitions of the online phase in the replay).",
    )
    return Table("speed", "Speed of the parts", benchmarks, text, notes, group="Part")
