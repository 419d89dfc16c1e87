"""Trajectories, and the table of transitions that batches are drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Trajectory:
    """One episode of T steps."""

    # [T + 1, S] float32; the last one follows the last action.
    observations: np.ndarray
    # [T, A] float32.
    actions: np.ndarray
    # [T] float32, mapped by the task's scale and bias.
    rewards: np.ndarray
    # [T] bool: the episode terminated, for example at its goal.
    terminated: np.ndarray
    # [T] bool: the episode was truncated.
    truncated: np.ndarray

    def __len__(self) -> int:
        return len(self.actions)


@dataclass(frozen=True)
class TransitionTable:
    """The transitions of E trajectories, one after the other: N rows."""

    # [N, 2 S + A + 2] float32: state, action, reward, next state, 1 if the step is a terminal.
    table: np.ndarray
    # [N] bool: the trajectory was truncated after this step.
    truncated: np.ndarray
    # [E] number of steps of each trajectory.
    lengths: np.ndarray
    # S, dimension of a state.
    observation_dim: int

    @property
    def action_dim(self) -> int:
        return self.table.shape[1] - 2 * self.observation_dim - 2

    @property
    def rewards(self) -> np.ndarray:
        """[N] float32."""
        return self.table[:, self.observation_dim + self.action_dim]

    @property
    def terminated(self) -> np.ndarray:
        """[N] bool."""
        return self.table[:, -1] != 0.0

    def trajectories(self) -> tuple[Trajectory, ...]:
        """Split the table into trajectories; observations are copied."""
        dim, actions = self.observation_dim, slice(self.observation_dim, self.observation_dim + self.action_dim)
        rewards, terminated = self.rewards, self.terminated
        stops = np.cumsum(self.lengths)
        parts = [slice(stop - steps, stop) for stop, steps in zip(stops, self.lengths, strict=True)]
        return tuple(
            Trajectory(
                observations=np.concatenate(
                    (self.table[part, :dim], self.table[part.stop - 1 : part.stop, -dim - 1 : -1])
                ),
                actions=self.table[part, actions],
                rewards=rewards[part],
                terminated=terminated[part],
                truncated=self.truncated[part],
            )
            for part in parts
        )


def row_block(trajectory: Trajectory) -> np.ndarray:
    """The rows [T, 2 S + A + 2] of one trajectory."""
    parts = (
        trajectory.observations[:-1],
        trajectory.actions,
        trajectory.rewards[:, None],
        trajectory.observations[1:],
        trajectory.terminated[:, None],
    )
    return np.concatenate(parts, axis=1, dtype=np.float32)


def stack(trajectories: Sequence[Trajectory]) -> TransitionTable:
    """The table of at least one trajectory."""
    return TransitionTable(
        table=np.concatenate([row_block(trajectory) for trajectory in trajectories]),
        truncated=np.concatenate([trajectory.truncated for trajectory in trajectories]),
        lengths=np.array([len(trajectory) for trajectory in trajectories]),
        observation_dim=trajectories[0].observations.shape[1],
    )
