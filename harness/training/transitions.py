"""Replay of a pack: the rows of the dataset, which its runs share, and a segment of online rows per run."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from algorithms.batch import Batch
from algorithms.batch_ring import Slot
from algorithms.device_replay import DeviceReplay
from algorithms.settings import AlgorithmSettings
from harness.data.dataset import Dataset
from harness.data.trajectories import Trajectory, row_block


class Transitions:
    """Two tables of rows and, per run, the two columns that differ between arms: return-to-go and floor.

    The transitions of a run have the indices 0 ... N - 1 (dataset) and N ... N + filled - 1 (online, in the order in
    which its episodes ended). The table of the dataset is a memory-mapped file, shared by all processes of a machine.
    """

    def __init__(self, dataset: Dataset, runs: int, capacity: int):
        """`capacity` is the largest number of online transitions of a run."""
        self.observation_dim, self.action_dim = dataset.observation_dim, dataset.action_dim
        self.offline = dataset.transitions
        self.capacity = capacity
        self.filled = np.zeros(runs, dtype=np.int64)
        self.table = torch.from_numpy(dataset.rows.table)
        self.online = torch.empty(runs * capacity, self.table.shape[1])
        self.return_to_go = torch.empty(runs, self.offline + capacity)
        self.floor = torch.empty(runs, self.offline + capacity)
        self._table, self._online = self.table.numpy(), self.online.numpy()
        # Offset from an index of a run to a row of the online table.
        self._first = np.arange(runs)[:, None] * capacity - self.offline
        self._returns, self._floors = self.return_to_go.numpy().reshape(-1), self.floor.numpy().reshape(-1)
        self._columns_start = np.arange(runs)[:, None] * (self.offline + capacity)
        self._buffers: BatchBuffers | None = None

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
        at, column = run * self.capacity + filled, run * (self.offline + self.capacity) + self.offline + filled
        self._online[at : at + len(episode)] = row_block(episode)
        self._returns[column : column + len(episode)] = return_to_go.numpy()
        self._floors[column : column + len(episode)] = floor.numpy()
        self.filled[run] += len(episode)

    def online_rows(self, run: int, start: int = 0) -> Tensor:
        """The online transitions of a run from the online index `start` on, with both columns appended, [K, W + 2]."""
        stop = int(self.filled[run])
        at, column = run * self.capacity, slice(self.offline + start, self.offline + stop)
        columns = (self.return_to_go[run, column], self.floor[run, column])
        return torch.cat((self.online[at + start : at + stop], torch.stack(columns, dim=1)), dim=1)

    def restore_online(self, run: int, rows: Tensor) -> None:
        """Restore all online transitions of a run, as `online_rows` returned them."""
        count = len(rows)
        at, column = run * self.capacity, slice(self.offline, self.offline + count)
        self.online[at : at + count] = rows[:, :-2]
        self.return_to_go[run, column], self.floor[run, column] = rows[:, -2], rows[:, -1]
        self.filled[run] = count

    def batch(self, uniform: np.ndarray, from_dataset: int | None) -> Batch:
        """B transitions per run chosen by `uniform` numbers [R, B] on [0, 1), or by words of 32 bits.

        The first `from_dataset` come from the dataset, the others from the run's online episodes, or from the dataset
        while the run has finished none. None: all are drawn from both together. The batch is valid until the next call.
        """
        indices = self._indices(uniform, from_dataset)
        if self._buffers is None or self._buffers.shape != uniform.shape:
            self._buffers = BatchBuffers(uniform.shape, self.observation_dim, self.action_dim)
        self._buffers.put_rows(self._rows(indices))
        self._put_columns(indices, *self._buffers.columns)
        return self._buffers.batch

    def fill(self, slot: Slot, uniform: np.ndarray, from_dataset: int | None) -> Batch:
        """As `batch`, but in the memory of a slot, from which the batch is sent to a GPU."""
        indices = self._indices(uniform, from_dataset)
        self._rows(indices, slot.rows.numpy())
        self._put_columns(indices, slot.return_to_go.numpy(), slot.floor.numpy())
        return slot.batch

    def _indices(self, uniform: np.ndarray, from_dataset: int | None) -> np.ndarray:
        """Indices [R, B] of the transitions that `batch` draws."""
        if uniform.dtype == np.int64:
            start, count, first = self.ranges(uniform.shape[1], from_dataset)
            part = (np.arange(uniform.shape[1]) >= first).astype(np.int64)
            return start[part].T + ((uniform * count[part].T) >> 32)
        if from_dataset is None:
            return (uniform * (self.offline + self.filled)[:, None]).astype(np.int64)
        if from_dataset == uniform.shape[1]:
            return (uniform * self.offline).astype(np.int64)
        has_online = self.filled > 0
        start, count = np.where(has_online, self.offline, 0), np.where(has_online, self.filled, self.offline)
        indices = np.empty(uniform.shape, dtype=np.int64)
        indices[:, :from_dataset] = uniform[:, :from_dataset] * self.offline
        indices[:, from_dataset:] = start[:, None] + uniform[:, from_dataset:] * count[:, None]
        return indices

    def ranges(self, batch: int, from_dataset: int | None) -> tuple[np.ndarray, np.ndarray, int]:
        """The ranges of indices from which the two parts of a batch are drawn: starts and counts [2, R], first part."""
        start, count = np.zeros((2, len(self.filled)), np.int64), np.full((2, len(self.filled)), self.offline)
        if from_dataset is None:
            return start, count + self.filled, batch
        has_online = self.filled > 0
        start[1, has_online], count[1, has_online] = self.offline, self.filled[has_online]
        return start, count, from_dataset

    def _rows(self, indices: np.ndarray, into: np.ndarray | None = None) -> np.ndarray:
        """Rows [R, B, W] of transitions by index [R, B]."""
        online = indices >= self.offline
        # Mode "clip" limits the indices of online rows, which are replaced, and lets numpy write without a copy.
        rows = self._table.take(indices, 0, into, "clip")
        if online.any():
            rows[online] = self._online.take((indices + self._first)[online], 0)
        return rows

    def _put_columns(self, indices: np.ndarray, returns: np.ndarray, floors: np.ndarray) -> None:
        """The return-to-go and floor [R, B] of transitions by index [R, B]."""
        places = indices + self._columns_start
        self._returns.take(places, out=returns, mode="clip")
        self._floors.take(places, out=floors, mode="clip")


class BatchBuffers:
    """Buffers of a batch, filled by numpy, which copies small arrays several times faster than torch.

    Attributes:
        batch: R runs with B transitions each, as tensors that share the buffers' memory.
        columns: its returns-to-go and floors [R, B].
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
        self.columns = returns.numpy(), floors.numpy()

    def put_rows(self, rows: np.ndarray) -> None:
        """Split rows [R, B, W] into the parts of the batch."""
        for buffer, columns in self._parts:
            buffer[...] = rows[..., columns]


def trajectory_numbers(lengths: np.ndarray) -> np.ndarray:
    """Index of the trajectory of each transition [N], from the lengths [E] of the trajectories."""
    return np.repeat(np.arange(len(lengths)), lengths)


class DeviceCopy:
    """The transitions of a pack, copied to the device that computes its updates, and the copy kept up to date."""

    def __init__(
        self, transitions: Transitions, seeds: Sequence[int], settings: AlgorithmSettings, device: torch.device
    ):
        self._transitions, self._batch = transitions, settings.batch_size
        self.replay = DeviceReplay(
            seeds, settings, transitions.table, transitions.capacity, transitions.observation_dim,
            transitions.action_dim, device,
        )  # fmt: skip
        self._copied = np.full(len(seeds), -1)
        self._drawn: tuple[int | None, bytes] | None = None

    def forget_floors(self) -> None:
        """Copy all floors again before the next update."""
        self._copied[:] = -1

    def prepare(self, from_dataset: int | None) -> DeviceReplay:
        """Copy what has changed, and let `from_dataset` transitions of each batch come from the dataset."""
        source, replay = self._transitions, self.replay
        for run in np.flatnonzero(self._copied != source.filled):
            filled, before = int(source.filled[run]), max(int(self._copied[run]), 0)
            at = run * source.capacity
            replay.rows[replay.shared + at + before : replay.shared + at + filled] = source.online[
                at + before : at + filled
            ]
            columns = slice(source.offline + before if self._copied[run] >= 0 else 0, source.offline + filled)
            replay.floor[run, columns] = source.floor[run, columns].to(replay.floor.device)
            self._copied[run] = filled
        drawn = from_dataset, source.filled.tobytes()
        if drawn != self._drawn:
            start, count, first = source.ranges(self._batch, from_dataset)
            replay.set_ranges(torch.from_numpy(start), torch.from_numpy(count), first)
            self._drawn = drawn
        return replay
