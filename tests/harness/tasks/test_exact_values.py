"""Whose values are known."""

import dataclasses

import numpy as np

from harness.environments.road_values import RoadValues
from harness.tasks.exact_values import exact_values


def test_the_road_is_known_and_solved_once(road_task):
    known = exact_values(road_task)
    assert isinstance(known, RoadValues)
    assert exact_values(dataclasses.replace(road_task)) is known


def test_each_task_has_values_of_its_own(road_task):
    state = np.array([[0.2]])
    impatient = exact_values(dataclasses.replace(road_task, discount=0.9))
    assert impatient.behaviour(state) > exact_values(road_task).behaviour(state)


def test_a_maze_is_not_known(tiny_task):
    assert exact_values(tiny_task) is None
