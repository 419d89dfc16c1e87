"""Names of environments that tasks are declared with; imports nothing that simulates."""

import re
from typing import NamedTuple

# Gymnasium id of the winding road.
WINDING_ROAD = "floorbench/WindingRoad-v0"

# Namespace of the Minari datasets converted from OGBench's files.
NAMESPACE = "ogbench/"

_DATASET = re.compile(r"(?P<environment>.+)-(?P<kind>[a-z]+)-singletask(?P<task>-task[1-5])?-v0")


class SingleTask(NamedTuple):
    """The names of an OGBench single task's environment and dataset."""

    # Gymnasium id of the environment.
    environment: str
    # Dataset, shared by the five tasks of an environment.
    dataset: str


def single_task(name: str) -> SingleTask | None:
    """The names for a task such as `antmaze-large-navigate-singletask-task1-v0`; None for other names.

    The rules are those of `ogbench.make_env_and_datasets`.
    """
    match = _DATASET.fullmatch(name)
    if match is None:
        return None
    environment, kind, task = match["environment"], match["kind"], match["task"] or ""
    return SingleTask(f"{environment}-singletask{task}-v0", f"{environment}-{kind}-v0")
