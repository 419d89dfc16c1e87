"""Which tasks have values that can be computed: truth for floors and for critics."""

import functools
from collections.abc import Callable
from typing import Protocol

import numpy as np

from harness.environments.road_values import RoadValues
from harness.environments.winding_road import WINDING_ROAD
from harness.settings import Task


class ExactValues(Protocol):
    """Expected discounted mapped reward over an infinite horizon, float64 [N] at flat states [N, S]."""

    def behaviour(self, states: np.ndarray) -> np.ndarray:
        """V_mu of the controller that collects the data."""

    def optimal(self, states: np.ndarray) -> np.ndarray:
        """V* of the best policy."""

    def of_policy(self, policy: Callable[[np.ndarray], np.ndarray], states: np.ndarray) -> np.ndarray:
        """V_pi of a deterministic policy, a function from states [M, S] to actions [M, A]."""


# By Gymnasium id.
EXACT_VALUES: dict[str, Callable[[Task], ExactValues]] = {WINDING_ROAD: RoadValues}


@functools.cache
def exact_values(task: Task) -> ExactValues | None:
    """The task's exact values, or None where they are not known."""
    make = EXACT_VALUES.get(task.environment)
    return make(task) if make else None
