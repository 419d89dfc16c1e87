"""Dataset cards as tables and figures."""

import json

import numpy as np
import pytest
from matplotlib.image import imread

from harness.command_line import result_console
from harness.data.card import card_arrays, dataset_card
from harness.settings import Task
from results.commands.data import print_card, write_card
from results.figures.dataset import dataset_figure, dataset_table
from tests.support.trajectories import dataset, trajectory

TASK = Task(name="hand-made", environment="none", horizon=10, failure_reward=-1.0, discount=0.5)
# Three successes of 3 steps and a failure of 2.
DATA = dataset(*(trajectory(0, 3) for _ in range(3)), trajectory(10, 2, terminated=False))


@pytest.fixture
def arrays():
    return card_arrays(TASK, DATA)


@pytest.fixture
def card(arrays):
    return dataset_card(TASK, DATA, arrays)


def test_floors_under_each_rule_by_hand(arrays):
    """A failure of two steps of -1, discount 0.5: -2 by the failure rule, -1.5 and -1 as a sum, -2 by bootstrapping."""
    successes = [-1.5, -1.0, 0.0] * 3
    assert arrays.floors["failure_rule"].tolist() == [*successes, -2.0, -2.0]
    assert arrays.floors["sum"].tolist() == [*successes, -1.5, -1.0]
    assert arrays.floors["bootstrap"].tolist() == [*successes, -2.0, -2.0]
    assert arrays.returns.tolist() == [-2.0] * 4
    assert arrays.terminated.tolist() == [True] * 3 + [False]


def test_card_by_hand(card):
    assert json.loads(json.dumps(card)) == card
    assert (card["success_share"], card["truncated_share"]) == (0.75, 0.25)
    assert card["episode_length"]["mean"] == 2.75
    assert sum(card["return_histogram"]["episodes"]) == 4
    assert card["floors"]["sum"]["min"] == -1.5
    assert card["floors"]["failure_rule"]["mean"] == pytest.approx((3 * -2.5 - 4) / 11)


def test_card_of_a_task_without_goal_has_no_success():
    free = Task(name="free", environment="none", horizon=10, reference_returns=(0.0, 1.0))
    card = dataset_card(free, DATA)
    assert card["success_share"] is None
    assert set(card["floors"]) == {"failure_rule", "sum"}


def test_numbers_of_the_figure(card, arrays):
    drawing = dataset_figure(card, arrays.returns, arrays.lengths, arrays.terminated, arrays.floors)
    numbers = drawing.numbers
    counted = numbers[numbers["quantity"] == "length"].groupby("group")["count_or_share"].sum()
    assert counted.to_dict() == {"terminated": 3.0, "truncated": 1.0}
    floor = numbers[(numbers["quantity"] == "floor") & (numbers["group"] == "sum")]
    assert floor["value"].iloc[[0, -1]].tolist() == [-1.5, 0.0]
    assert len(drawing.figure.axes) == 3
    assert "4 episodes" in drawing.caption


def test_files(card, arrays, tmp_path):
    paths = write_card(card, arrays, tmp_path)
    assert {path.suffix for path in paths} == {".csv", ".md", ".tex", ".pdf", ".svg", ".png", ".txt"}
    assert len(set(paths)) == len(paths) == 8
    assert all(path.stat().st_size > 100 for path in paths)
    (picture,) = (path for path in paths if path.suffix == ".png")
    assert np.ptp(imread(picture)) > 0.5
    before = {path: path.read_bytes() for path in paths}
    assert {path: path.read_bytes() for path in write_card(card, arrays, tmp_path)} == before
    assert "75.0% successful" in dataset_table(card).notes[0]


def test_card_on_a_terminal(card, capsys):
    print_card(card, result_console())
    text = capsys.readouterr().out
    assert "4, 75.0% successful, 25.0% truncated" in text
    assert "floor, failure_rule" in text
