"""A task with the settings it is run with."""

from dataclasses import dataclass, field

from algorithms.settings import AlgorithmSettings, BehaviourValueSettings
from harness.settings import Schedule, Task


@dataclass(frozen=True)
class Recipe:
    """A task with the settings it is run with at one scale."""

    task: Task
    algorithm: AlgorithmSettings
    schedule: Schedule
    behaviour_value: BehaviourValueSettings = field(default_factory=BehaviourValueSettings)
