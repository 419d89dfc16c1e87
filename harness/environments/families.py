"""Families of environments: what those of one kind share of their ids."""

import re

from harness.settings import Task


def family(task: Task) -> str:
    """The family of a task's environment: PointMaze_UMaze-v3 belongs to PointMaze."""
    return family_of(task.environment)


def family_of(environment: str) -> str:
    """The family of a Gymnasium id."""
    return re.split(r"_|-v\d", environment)[0]
