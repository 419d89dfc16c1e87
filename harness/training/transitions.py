"""Every transition a pack trains on: the dataset's rows, shared by its runs, then a segment of online rows per run."""

import numpy as np
import torch
from torch import Tensor

from algorithms.batch import Batch
from harness.data.dataset import Dataset
from harness.data.trajectories import Trajectory, row_block


class Transitions:
    """Two tables of rows and, per run, the two columns that differ between arms: return-to-go and floor.

    A run sees its transitions as numbers 0 ... N - 1 (dataset) and N ... N + filled - 1 (its own, in the order in
    which its episodes ended). The dataset's table is the mapped file that all processes of a machine share.
    """

    def __init__(self, dataset: Dataset, runs: int, capacity: int):
        """Take the dataset's rows; `capacity` is the largest number of online transitions of a run."""
        self.observation_dim, self.action_dim = dataset.observation_dim, dataset.action_dim
        self.offline = dataset.transitions
        self.capacity = capacity
        self.filled = np.zeros(runs, dtype=np.int64)
        self.table = torch.from_numpy(dataset.rows.table)
        self.online = torch.empty(runs * capacity, self.table.shape[1])
        self.return_to_go = torch.empty(runs, self.offline + capacity)
        self.floor = torch.empty(runs, self.offline + capacity)
        self._table, self._online = self.table.numpy(), self.online.numpy()
        # From a run's number to its place among all runs' online rows.
        self._first = np.arange(runs)[:, None] * capacity - self.offline
        self._returns, self._floors = self.return_to_go.numpy().reshape(-1), self.floor.numpy().reshape(-1)
        self._columns_start = np.arange(runs)[:, None] * (self.offline + capacity)
        self._places: Places | None = None

    @property
    def dataset_states(self) -> Tensor:
        """States [N, S] of the dataset."""
        return self.table[:, : self.observation_dim]

    @property
    def dataset_actions(self) -> Tensor:
        """Actions [N, A] of the dataset."""
        return self.table[:, self.observation_dim : self.observation_dim + self.action_dim]

    def append(self, run: int, episode: Trajectory, return_to_go: Tensor, floor: Tensor) -> None:
        """Add a finished episode of a run with its columns [T]."""
        filled = int(self.filled[run])
        at, start = run * self.capacity + filled, self.offline + filled
        self.online[at : at + len(episode)] = torch.from_numpy(row_block(episode))
        self.return_to_go[run, start : start + len(episode)] = return_to_go
        self.floor[run, start : start + len(episode)] = floor
        self.filled[run] += len(episode)

    def online_rows(self, run: int, start: int = 0) -> Tensor:
        """A run's online transitions from number `start` on with both columns behind them, [K, W + 2]."""
        stop = int(self.filled[run])
        at, own = run * self.capacity, slice(self.offline + start, self.offline + stop)
        columns = (self.return_to_go[run, own], self.floor[run, own])
        return torch.cat((self.online[at + start : at + stop], torch.stack(columns, dim=1)), dim=1)

    def restore_online(self, run: int, rows: Tensor) -> None:
        """Put back all online transitions of a run, as `online_rows` gave them."""
        count = len(rows)
        at, own = run * self.capacity, slice(self.offline, self.offline + count)
        self.online[at : at + count] = rows[:, :-2]
        self.return_to_go[run, own], self.floor[run, own] = rows[:, -2], rows[:, -1]
        self.filled[run] = count

    def batch(self, uniform: np.ndarray, from_dataset: int | None) -> Batch:
        """B transitions per run chosen by `uniform` numbers [R, B] on [0, 1).

        The first `from_dataset` come from the dataset, the others from the run's online episodes; a run that has
        finished none yet draws those from the dataset as well. None: all come from both together. The batch is good
        until the next one is asked for.
        """
        own = self._numbers(uniform, from_dataset)
        if self._places is None or self._places.shape != uniform.shape:
            self._places = Places(uniform.shape, self.observation_dim, self.action_dim)
        self._places.put_rows(self._rows(own))
        self._places.put_columns(own + self._columns_start, self._returns, self._floors)
        return self._places.batch

    def _numbers(self, uniform: np.ndarray, from_dataset: int | None) -> np.ndarray:
        """The numbers [R, B] of the transitions that `batch` chooses."""
        if from_dataset is None:
            return (uniform * (self.offline + self.filled)[:, None]).astype(np.int64)
        if from_dataset == uniform.shape[1]:
            return (uniform * self.offline).astype(np.int64)
        some = self.filled > 0
        start, count = np.where(some, self.offline, 0), np.where(some, self.filled, self.offline)
        own = np.empty(uniform.shape, dtype=np.int64)
        own[:, :from_dataset] = uniform[:, :from_dataset] * self.offline
        own[:, from_dataset:] = start[:, None] + uniform[:, from_dataset:] * count[:, None]
        return own

    def _rows(self, own: np.ndarray) -> np.ndarray:
        """The rows [R, B, W] of each run's transitions by number [R, B]."""
        online = own >= self.offline
        if not online.any():
            return self._table.take(own, 0)
        rows = self._table.take(np.minimum(own, self.offline - 1), 0)
        rows[online] = self._online.take((own + self._first)[online], 0)
        return rows


class Places:
    """Where the parts of batches are put; numpy copies small pieces in a fraction of the time that torch takes.

    Attributes:
        batch: R runs with B transitions each, tensors in the same memory.
    """

    def __init__(self, shape: tuple[int, ...], observation_dim: int, action_dim: int):
        self.shape = shape
        states, next_states, actions = (
            torch.empty(*shape, dim) for dim in (observation_dim, observation_dim, action_dim)
        )
        rewards, terminals, returns, floors = (torch.empty(shape) for _ in range(4))
        self.batch = Batch(states, actions, rewards, next_states, terminals, returns, floors)
        after_state = observation_dim + action_dim
        after_next = after_state + 1 + observation_dim
        self._parts: tuple[tuple[np.ndarray, slice | int], ...] = (
            (states.numpy(), slice(observation_dim)),
            (actions.numpy(), slice(observation_dim, after_state)),
            (rewards.numpy(), after_state),
            (next_states.numpy(), slice(after_state + 1, after_next)),
            (terminals.numpy(), after_next),
        )
        self._returns, self._floors = returns.numpy(), floors.numpy()

    def put_rows(self, rows: np.ndarray) -> None:
        """Take apart rows [R, B, W]."""
        for place, columns in self._parts:
            place[...] = rows[..., columns]

    def put_columns(self, chosen: np.ndarray, returns: np.ndarray, floors: np.ndarray) -> None:
        """Of columns [N] the numbers `chosen` [R, B]."""
        # Clipping, which never happens, spares numpy a copy.
        returns.take(chosen, out=self._returns, mode="clip")
        floors.take(chosen, out=self._floors, mode="clip")


def trajectory_numbers(lengths: np.ndarray) -> np.ndarray:
    """For each transition [N] the number of the trajectory that it belongs to, by the trajectories' lengths [E]."""
    return np.repeat(np.arange(len(lengths)), lengths)
