"""The results that `report` prints."""

import pandas as pd
import pytest
from rich.console import Console

from results.summary import LINES, result_lines
from tests.support.made_frames import frame_of

ROWS = [(arm, seed, "done", 0.5, -40.0) for arm in ("cql", "inflated_0.25") for seed in (0, 1)]


def printed(runs: pd.DataFrame, width: int) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(result_lines(runs))
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_line_per_arm_fits_the_terminal(width):
    title, heading, cql, inflated = printed(frame_of(*ROWS), width)
    assert title.startswith("maze: means over seeds")
    assert heading.split() == ["arm", "offline", "online", "regret", "dip", "runs"]
    assert cql.split() == ["cql", "0.50", "1.00", "0.25", "0.00", "2"]
    assert inflated.split()[0] == "inflated_0.25"
    assert max(map(len, (title, heading, cql, inflated))) <= width


def test_many_tasks_are_averaged():
    frames = [frame_of(*ROWS, task=f"task-{place}", final_score=float(place % 2)) for place in range(LINES)]
    lines = printed(pd.concat(frames, ignore_index=True), 80)
    assert lines[0].startswith(f"means over {LINES} tasks")
    assert " ".join(lines[-1].split()) == f"inflated_0.25 0.50 0.50 0.25 0.00 {2 * LINES}"
