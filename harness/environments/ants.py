"""Ants: the states of the ant as it sees them along a direction, and the controller that walks it through a maze.

The controller's policy walks along the x axis, whatever the orientation of the ant; seen along a direction, it walks in
that direction. It was trained with this harness: `examples/walking_ant.py` is its recipe.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harness.environments.mazes import Wanderer, WayPointController

# Weights [I, O] and biases [O] of the layers of the policy, by `weight_N` and `bias_N`.
WEIGHTS = Path(__file__).with_name("walking_ant.npz")


def seen_along(state: np.ndarray, direction: float) -> np.ndarray:
    """The state [27] of an ant in the frame whose x axis has a direction, in radians.

    A state has the height of the torso, its orientation (a quaternion), the 8 angles of the joints, the velocity of the
    torso, its angular velocity in its own frame, and the velocities of the joints. Quaternions q and -q are the same
    orientation; the one with a non-negative real part is returned.
    """
    seen = state.copy()
    cosine, sine = np.cos(0.5 * direction), np.sin(0.5 * direction)
    w, x, y, z = state[1:5]
    orientation = np.array([cosine * w + sine * z, cosine * x + sine * y, cosine * y - sine * x, cosine * z - sine * w])
    seen[1:5] = orientation if orientation[0] >= 0.0 else -orientation
    cosine, sine = np.cos(direction), np.sin(direction)
    right, up = state[13:15]
    seen[13:15] = cosine * right + sine * up, cosine * up - sine * right
    return seen


# Weight [I, O] and bias [O] of a layer.
Layer = tuple[np.ndarray, np.ndarray]


class WalkingPolicy:
    """The mode of a tanh-Gaussian policy: layers with ReLUs in between and a tanh at the end."""

    def __init__(self, layers: Sequence[Layer]):
        self._layers = layers

    def __call__(self, state: np.ndarray) -> np.ndarray:
        """The action [8] in (-1, 1) at a state [27]."""
        signal = state
        for number, (weight, bias) in enumerate(self._layers):
            signal = (np.maximum(signal, 0.0) if number else signal) @ weight + bias
        return np.tanh(signal)


def save_policy(layers: Sequence[Layer], file: Path) -> None:
    """Write the layers of a policy to a file for `load_policy`."""
    arrays: dict[str, Any] = {}
    for number, (weight, bias) in enumerate(layers):
        arrays |= {f"weight_{number}": weight, f"bias_{number}": bias}
    with open(file, "wb") as stream:
        np.savez_compressed(stream, **arrays)


@cache
def load_policy(file: Path = WEIGHTS) -> WalkingPolicy:
    """The policy in a file; by default that of the controller."""
    with np.load(file) as arrays:
        numbers = range(len(arrays.files) // 2)
        return WalkingPolicy([(arrays[f"weight_{n}"], arrays[f"bias_{n}"]) for n in numbers])


class AntController(WayPointController):
    """Walks an ant from way-point to way-point; where it has turned over, it goes on in vain."""

    name: ClassVar[str] = "walking ant"
    reached: ClassVar[float] = 1.0
    jitter: ClassVar[float] = 0.4

    def _towards(self, way: np.ndarray, observation: np.ndarray) -> np.ndarray:
        return load_policy()(seen_along(observation, float(np.arctan2(way[1], way[0]))))


class WanderingAnt(Wanderer, AntController):
    """Walks an ant from one random free cell to another."""

    name: ClassVar[str] = "wandering ant"
