"""A task with the settings it is run with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from algorithms.settings import AlgorithmSettings, BehaviourValueSettings
from harness.settings import Schedule, Task


@dataclass(frozen=True)
class Recipe:
    """A task with the settings it is run with at one scale."""

    task: Task
    algorithm: AlgorithmSettings
    schedule: Schedule
    behaviour_value: BehaviourValueSettings = field(default_factory=BehaviourValueSettings)
    # Settings of the algorithm that a search found better than these, by name.
    found: Mapping[str, Any] = field(default_factory=dict)
