"""The way-point controller that collects the offline data of PointMaze.

Gains and noise are those of the hosted D4RL/pointmaze sets; unlike those, episodes end at the goal by termination.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import gymnasium
import networkx
import numpy as np

Cell = tuple[int, int]

# Force per metre to the way-point and per metre per second of velocity.
POSITION_GAIN = 10.0
VELOCITY_GAIN = -1.0
# Distance in metres at which a way-point counts as reached.
REACHED = 0.1
# Way-points lie up to this many metres from their cell's centre, along each axis.
JITTER = 0.1


class WayPointController:
    """Follows the shortest path over a maze's free cells and pushes to each way-point in turn.

    Attributes:
        way_points: where it still has to go, [2] each: the jittered centres of the cells between, then the goal.
    """

    name: ClassVar[str] = "way-point controller"
    packages: ClassVar[tuple[str, ...]] = ("floorbench", "gymnasium", "gymnasium-robotics", "mujoco", "numpy")

    def __init__(self, environment: gymnasium.Env, noise: float, generator: np.random.Generator):
        """`environment` is a PointMaze, `noise` the standard deviation of the Gaussian action noise."""
        self._maze = cast(Any, environment.unwrapped).maze
        self._noise = noise
        self._generator = generator
        self._cells = free_cells(self._maze.maze_map)
        self.way_points: list[np.ndarray] = []

    def begin(self, observation: Mapping[str, np.ndarray]) -> None:
        """Plan the way from the position to the goal of an episode's first observation."""
        start, goal = (self._cell(observation[name]) for name in ("achieved_goal", "desired_goal"))
        between = networkx.shortest_path(self._cells, start, goal)[1:-1]
        centres = [self._maze.cell_rowcol_to_xy(cell) for cell in between]
        self.way_points = [centre + self._generator.uniform(-JITTER, JITTER, size=2) for centre in centres]
        self.way_points.append(observation["desired_goal"])

    def action(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """The noisy action [2] for an observation, float32 in [-1, 1]."""
        position, velocity = observation["achieved_goal"], observation["observation"][2:]
        if len(self.way_points) > 1 and np.linalg.norm(self.way_points[0] - position) <= REACHED:
            del self.way_points[0]
        push = POSITION_GAIN * (self.way_points[0] - position) + VELOCITY_GAIN * velocity
        noise = self._generator.normal(0.0, self._noise, size=2)
        return np.clip(np.clip(push, -1.0, 1.0) + noise, -1.0, 1.0).astype(np.float32)

    def _cell(self, position: np.ndarray) -> Cell:
        row, column = self._maze.cell_xy_to_rowcol(position)
        return int(row), int(column)


def free_cells(maze_map: list[list[int | str]]) -> networkx.Graph:
    """The cells (row, column) of a maze map that are not walls, joined to their free neighbours."""
    cells = networkx.grid_2d_graph(len(maze_map), len(maze_map[0]))
    cells.remove_nodes_from([(row, column) for row, column in cells if maze_map[row][column] == 1])
    return cells
