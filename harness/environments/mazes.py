"""Mazes: maps, a fast PointMaze and the way-point controller that collects its offline data.

Gains and noise of the controller are those of the hosted D4RL/pointmaze sets; unlike those, episodes terminate at the
goal.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any, ClassVar, cast

import gymnasium
import mujoco
import numpy as np

from harness.errors import UserError

if TYPE_CHECKING:
    import networkx

# Characters of the rows of a maze, and the cells of gymnasium-robotics.
WALL, FREE = "#", "."
CELLS: dict[str, int | str] = {WALL: 1, FREE: 0, "r": "r", "g": "g"}


def maze_map(rows: Sequence[str]) -> list[list[int | str]]:
    """The gymnasium-robotics map of rows, which must have walls all around, a start r and a goal g."""
    if len({len(row) for row in rows}) != 1:
        raise UserError("task.maze: rows must have equal lengths")
    rim = rows[0] + rows[-1] + "".join(row[0] + row[-1] for row in rows)
    if set(rim) != {WALL}:
        raise UserError(f"task.maze: all cells at the border must be walls ({WALL})")
    if not all(any(cell in row for row in rows) for cell in "rg"):
        raise UserError("task.maze: must have a start (r) and a goal (g)")
    return [[CELLS[cell] for cell in row] for row in rows]


def maze_rows(cells: Sequence[Sequence[int | str]]) -> tuple[str, ...]:
    """The rows of a gymnasium-robotics map; c is a cell that can be start or goal."""
    characters: dict[int | str, str] = {1: WALL, 0: FREE}
    return tuple("".join(characters.get(cell, str(cell)) for cell in row) for row in cells)


def walls(rows: Sequence[str]) -> tuple[str, ...]:
    """The rows with all cells but walls marked free."""
    return tuple("".join(cell if cell == WALL else FREE for cell in row) for row in rows)


Cell = tuple[int, int]

# Force per metre of distance to the way-point, and per metre per second of velocity.
POSITION_GAIN = 10.0
VELOCITY_GAIN = -1.0


class WayPointController:
    """Follows the shortest path over the free cells of a maze from way-point to way-point.

    Attributes:
        way_points: remaining way-points, [2] each: jittered centres of the cells in between, then the goal.
    """

    name: ClassVar[str] = "way-point controller"
    packages: ClassVar[tuple[str, ...]] = ("floorbench", "gymnasium", "gymnasium-robotics", "mujoco", "numpy")
    # Distance in metres at which a way-point counts as reached.
    reached: ClassVar[float] = 0.1
    # Maximum offset in metres of a way-point from the centre of its cell, along each axis.
    jitter: ClassVar[float] = 0.1

    def __init__(self, environment: gymnasium.Env, noise: float, generator: np.random.Generator):
        """`noise` is the standard deviation of the Gaussian action noise."""
        self._maze = cast(Any, environment.unwrapped).maze
        self._noise = noise
        self._generator = generator
        self._cells = free_cells(self._maze.maze_map)
        self.way_points: list[np.ndarray] = []

    def begin(self, observation: Mapping[str, np.ndarray]) -> None:
        """Plan the path from the start to the goal of an episode."""
        self._plan(observation["achieved_goal"], observation["desired_goal"])

    def _plan(self, position: np.ndarray, target: np.ndarray) -> None:
        import networkx

        between = networkx.shortest_path(self._cells, self._cell(position), self._cell(target))[1:-1]
        centres = [self._maze.cell_rowcol_to_xy(cell) for cell in between]
        self.way_points = [centre + self._offset() for centre in centres]
        self.way_points.append(target)

    def action(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """The noisy action [A] for an observation, float32 in [-1, 1]."""
        position = observation["achieved_goal"]
        if len(self.way_points) > 1 and np.linalg.norm(self.way_points[0] - position) <= self.reached:
            del self.way_points[0]
        wanted = np.clip(self._towards(self.way_points[0] - position, observation["observation"]), -1.0, 1.0)
        noise = self._generator.normal(0.0, self._noise, size=len(wanted))
        return np.clip(wanted + noise, -1.0, 1.0).astype(np.float32)

    def _towards(self, way: np.ndarray, observation: np.ndarray) -> np.ndarray:
        """The action [A] without noise that moves along a way [2] in metres."""
        return POSITION_GAIN * way + VELOCITY_GAIN * observation[2:]

    def _offset(self) -> np.ndarray:
        return self._generator.uniform(-self.jitter, self.jitter, size=2)

    def _cell(self, position: np.ndarray) -> Cell:
        row, column = self._maze.cell_xy_to_rowcol(position)
        return int(row), int(column)


class Wanderer(WayPointController):
    """Starts in a random free cell and goes from one random free cell to another, whatever the goal of the task."""

    name: ClassVar[str] = "wanderer"

    def start(self) -> dict[str, Any]:
        """Options of the reset of the next episode: a random cell other than the goal's."""
        goals = {self._cell(place) for place in self._maze.unique_goal_locations}
        return {"reset_cell": np.array(self._drawn_cell(goals))}

    def begin(self, observation: Mapping[str, np.ndarray]) -> None:
        """Choose the first target."""
        self._choose(observation["achieved_goal"])

    def action(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """The noisy action [2] for an observation, float32 in [-1, 1]; chooses another target at the last one."""
        position = observation["achieved_goal"]
        if len(self.way_points) == 1 and np.linalg.norm(self.way_points[0] - position) <= self.reached:
            self._choose(position)
        return super().action(observation)

    def _choose(self, position: np.ndarray) -> None:
        centre = self._maze.cell_rowcol_to_xy(self._drawn_cell({self._cell(position)}))
        self._plan(position, centre + self._offset())

    def _drawn_cell(self, excluded: set[Cell]) -> Cell:
        cells = [cell for cell in self._cells if cell not in excluded]
        return cells[int(self._generator.integers(len(cells)))]


def free_cells(maze_map: list[list[int | str]]) -> "networkx.Graph":
    """The cells (row, column) of a maze map that are not walls, joined to their free neighbours."""
    # Imported here: only the controller needs it, and every worker imports this module.
    import networkx

    cells = networkx.grid_2d_graph(len(maze_map), len(maze_map[0]))
    cells.remove_nodes_from([(row, column) for row, column in cells if maze_map[row][column] == 1])
    return cells


# Maximum speed along each axis in metres per second, and distance in metres within which the goal is reached; both are
# literals in gymnasium-robotics.
HIGHEST_SPEED = 5.0
AT_GOAL = 0.45


def limit_speed(velocity: np.ndarray) -> None:
    """Clip a velocity [2] to the maximum speed, in place."""
    across, along = velocity.tolist()
    if not (-HIGHEST_SPEED <= across <= HIGHEST_SPEED and -HIGHEST_SPEED <= along <= HIGHEST_SPEED):
        np.minimum(np.maximum(velocity, -HIGHEST_SPEED, out=velocity), HIGHEST_SPEED, out=velocity)


class FastPointMaze(gymnasium.Wrapper):
    """PointMaze that terminates at its goal; resets are those of gymnasium-robotics.

    The next states are bitwise those of gymnasium-robotics. Steps skip the forward pass after clipping the velocity and
    the contact forces after the step, on which the next state does not depend, and Gymnasium's checks: together three
    quarters of the time.
    """

    def __init__(self, environment: gymnasium.Env):
        super().__init__(environment)
        self._maze = cast(Any, environment.unwrapped)
        self._model, self._data = self._maze.model, self._maze.data
        self._position, self._velocity = self._data.qpos, self._data.qvel
        self._control = self._data.ctrl
        self._dense = self._maze.reward_type == "dense"

    @property
    def is_dense(self) -> bool:
        """Whether a reward depends on the distance to the goal."""
        return self._dense

    @property
    def simulation(self) -> tuple[Any, ...]:
        """Model, simulation, its position, velocity and control, all [2], and the goal of the episode [2]."""
        return self._model, self._data, self._position, self._velocity, self._control, self._maze.goal

    def twin(self) -> "FastPointMaze":
        """An environment with another simulation of the same model, which takes a hundredth of the time to make.

        Resets write the goal into the model, as a marker that pictures show; no simulation depends on it.
        """
        maze = _shallow_copy(self._maze)
        maze.point_env = point = _shallow_copy(maze.point_env)
        point.data = mujoco.MjData(self._model)
        point.init_qpos = point.init_qpos.copy()
        maze._np_random = point._np_random = None
        return FastPointMaze(maze)

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take an action [2] in [-1, 1]; never truncates."""
        reward, success = self.advance(action)
        position = self._position.copy()
        observation = {
            "observation": np.concatenate((position, self._velocity)),
            "achieved_goal": position,
            "desired_goal": self._maze.goal.copy(),
        }
        return observation, reward, success, False, {"success": success}

    def advance(self, action: np.ndarray) -> tuple[float, bool]:
        """Take an action, clipped to [-1, 1]; returns the reward and whether the goal is reached."""
        right, up = action.tolist()
        if not (-1.0 <= right <= 1.0 and -1.0 <= up <= 1.0):
            action = np.minimum(np.maximum(action, np.float32(-1.0)), np.float32(1.0))
        goal = self._maze.goal
        limit_speed(self._velocity)
        self._control[:] = action
        mujoco.mj_step(self._model, self._data)
        offset = self._position - goal
        success = sqrt(offset.dot(offset)) <= AT_GOAL
        reward = self._maze.compute_reward(self._position.copy(), goal, {}) if self._dense else float(success)
        return reward, success

    def flat(self) -> np.ndarray:
        """Position, velocity and goal, [6] float32."""
        return np.concatenate((self._position, self._velocity, self._maze.goal), dtype=np.float32, casting="same_kind")


class PointMazes:
    """PointMaze at P places (see `harness.environments.vector.Dynamics`), with sparse rewards.

    The simulations are stepped one after the other; what surrounds them is computed for all of them together.
    """

    low, high = -1.0, 1.0

    def __init__(self, places: int, prototype: FastPointMaze):
        """Twins of the prototype are made at the first reset of their place."""
        self._prototype = prototype
        self._mazes: list[FastPointMaze | None] = [None] * places
        # Model, simulation, its position, velocity and control, and the goal.
        self._simulations: list[tuple[Any, ...]] = [()] * places
        self._numbers = range(places)
        # Positions, velocities and goals.
        self._states = np.zeros((places, 6))

    def reset(self, place: int, seed: int) -> None:
        """Start the episode of a seed."""
        maze = self._mazes[place]
        if maze is None:
            self._mazes[place] = maze = self._prototype.twin()
        maze.reset(seed=seed)
        self._simulations[place] = maze.simulation
        *_, position, velocity, _, goal = maze.simulation
        self._states[place, :2], self._states[place, 2:4], self._states[place, 4:] = position, velocity, goal

    def observe(self, places: np.ndarray | slice) -> np.ndarray:
        """Positions, velocities and goals [K, 6]."""
        return self._states[places]

    def step(self, places: np.ndarray | slice, actions: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take actions [K, 2]; returns rewards and whether the goals are reached."""
        numbers = self._numbers[places] if isinstance(places, slice) else places.tolist()
        reached, states, step = [], self._states, mujoco.mj_step
        for place, action in zip(numbers, actions, strict=True):
            model, data, position, velocity, control, goal = self._simulations[place]
            limit_speed(velocity)
            control[:] = action
            step(model, data)
            offset = position - goal
            reached.append(sqrt(offset.dot(offset)) <= AT_GOAL)
            state = states[place]
            state[:2], state[2:4] = position, velocity
        success = np.array(reached, np.bool_)
        return success.astype(np.float64), success


def _shallow_copy(environment: Any) -> Any:
    """Not `copy.copy`, with which Gymnasium's environments make themselves again from their arguments."""
    other = object.__new__(type(environment))
    vars(other).update(vars(environment))
    return other
