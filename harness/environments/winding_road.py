"""The winding road: a one-dimensional problem whose values can be computed (exact_values.py), and its traveller.

A traveller at a position between 0 and 1 chooses a heading; the direction of the road depends on the position. A step
advances by the speed times the cosine of the angle between heading and road, plus a gust of wind. Positions stop at a
wall at 0; the goal is at 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi
from typing import Any, ClassVar, TypeVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box

# Start positions are uniform between 0 and this position.
LAST_START = 0.5

# Mean deviation of the collecting traveller's heading from the road, as an action: 18 degrees.
HEADING_BIAS = 0.1


# A number, which is faster than an array of one, or an array; both with the same bits.
Numbers = TypeVar("Numbers", float, np.ndarray)


@dataclass(frozen=True)
class Road:
    """Dynamics of the road. Lengths are fractions of the road; an action is a heading in half turns."""

    # Progress of a step in the direction of the road.
    speed: float = 0.05
    # Standard deviation of the wind's contribution to a step.
    gust: float = 0.02

    def direction(self, positions: Numbers) -> Numbers:
        """The action [...] in the direction of the road at positions [...]."""
        return 0.5 * np.sin(2.0 * pi * positions)

    def aim(self, positions: Numbers, actions: Numbers) -> Numbers:
        """The expected next position, [...], without wall and goal."""
        return positions + self.speed * np.cos(pi * (actions - self.direction(positions)))


ROAD = Road()


class WindingRoad(gymnasium.Env):
    """Observation [1]: the position. Action [1] in [-1, 1]: the heading in half turns. Reward 1 on arrival, else 0.

    Positions are kept in float64; rounding observations to float32 does not affect the dynamics.
    """

    def __init__(self, road: Road = ROAD):
        self.observation_space = Box(0.0, 1.0, (1,), np.float32)
        self.action_space = Box(-1.0, 1.0, (1,), np.float32)
        self._road = road
        self._position = 0.0

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start an episode at a random position, or at options["position"]."""
        super().reset(seed=seed)
        drawn = self.np_random.uniform(0.0, LAST_START)
        self._position = float((options or {}).get("position", drawn))
        return self._observation(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Take a step; the episode terminates on arrival and is never truncated."""
        aim = self._road.aim(self._position, float(action[0]))
        self._position = min(max(float(aim + self._road.gust * self.np_random.normal()), 0.0), 1.0)
        arrived = self._position >= 1.0
        return self._observation(), float(arrived), arrived, False, {}

    def _observation(self) -> np.ndarray:
        return np.array([self._position], np.float32)


class Roads:
    """The roads at P places, with the episodes of `WindingRoad` (see `harness.environments.vector.Dynamics`)."""

    low, high = -1.0, 1.0

    def __init__(self, places: int, horizon: int, road: Road = ROAD):
        """An episode has at most `horizon` steps."""
        self._road = road
        self._positions = np.zeros(places)
        # What the wind adds to every step.
        self._gusts = np.zeros((places, horizon))
        self._numbers = np.arange(places)

    def reset(self, place: int, seed: int) -> None:
        """Start the episode of a seed."""
        # As Gymnasium seeds environments; a generator gives the same numbers one by one or at once.
        generator = np.random.Generator(np.random.PCG64(seed))
        self._positions[place] = generator.uniform(0.0, LAST_START)
        self._gusts[place] = self._road.gust * generator.standard_normal(self._gusts.shape[1])

    def observe(self, places: np.ndarray | slice) -> np.ndarray:
        """The positions [K, 1]."""
        return self._positions[places, None]

    def step(self, places: np.ndarray | slice, actions: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take actions [K, 1] as step number `steps` [K]; returns rewards and whether the traveller has arrived."""
        aim = self._road.aim(self._positions[places], actions[:, 0].astype(np.float64))
        positions = np.minimum(np.maximum(aim + self._gusts[self._numbers[places], steps], 0.0), 1.0)
        self._positions[places] = positions
        arrived = positions >= 1.0
        return arrived.astype(np.float64), arrived


class Traveller:
    """Collects data on the road: follows it with a bias and Gaussian noise."""

    name: ClassVar[str] = "traveller with a biased heading"
    packages: ClassVar[tuple[str, ...]] = ("floorbench", "gymnasium", "numpy")

    def __init__(self, environment: gymnasium.Env, noise: float, generator: np.random.Generator):
        """`noise` is the standard deviation of the action's Gaussian noise."""
        self._noise = noise
        self._generator = generator

    def begin(self, observation: np.ndarray) -> None:
        """Do nothing: the controller has no state."""

    def action(self, observation: np.ndarray) -> np.ndarray:
        """The noisy action [1] for an observation [1], float32 in [-1, 1]."""
        heading = ROAD.direction(observation.astype(np.float64)) + HEADING_BIAS
        return np.clip(heading + self._generator.normal(0.0, self._noise, size=1), -1.0, 1.0).astype(np.float32)
