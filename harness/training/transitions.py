"""Every transition a pack trains on: the dataset's rows, shared by its runs, then a segment of online rows per run."""

import numpy as np
import torch
from torch import Tensor

from algorithms.learner import Batch
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
        self._first = np.arange(runs)[:, None] * capacity

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
        finished none yet draws those from the dataset as well. None: all come from both together.
        """
        runs, batch = uniform.shape
        if from_dataset is None:
            own = (uniform * (self.offline + self.filled)[:, None]).astype(np.int64)
        else:
            start = np.where(self.filled > 0, self.offline, 0)[:, None]
            count = np.where(self.filled > 0, self.filled, self.offline)[:, None]
            own = np.concatenate(
                (uniform[:, :from_dataset] * self.offline, start + uniform[:, from_dataset:] * count), axis=1
            ).astype(np.int64)
        chosen = torch.from_numpy(own)
        states, actions, rewards, next_states, terminals = self._rows(own).split(
            (self.observation_dim, self.action_dim, 1, self.observation_dim, 1), dim=-1
        )
        return Batch(
            states=states.reshape(runs, batch, -1),
            actions=actions.reshape(runs, batch, -1),
            rewards=rewards.reshape(runs, batch),
            next_states=next_states.reshape(runs, batch, -1),
            terminals=terminals.reshape(runs, batch),
            return_to_go=self.return_to_go.gather(1, chosen),
            floor=self.floor.gather(1, chosen),
        )

    def _rows(self, own: np.ndarray) -> Tensor:
        """The rows [R * B, W] of each run's transitions by number [R, B]."""
        online = own >= self.offline
        if not online.any():
            return self.table.index_select(0, torch.from_numpy(own.ravel()))
        rows = torch.empty(own.size, self.table.shape[1])
        theirs = torch.from_numpy(online.ravel())
        rows[~theirs] = self.table.index_select(0, torch.from_numpy(own[~online]))
        rows[theirs] = self.online.index_select(0, torch.from_numpy((own - self.offline + self._first)[online]))
        return rows


def trajectory_numbers(lengths: np.ndarray) -> np.ndarray:
    """For each transition [N] the number of the trajectory that it belongs to, by the trajectories' lengths [E]."""
    return np.repeat(np.arange(len(lengths)), lengths)
