"""The transitions of a pack in the memory of the device that computes its updates, which draws the batches there."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from algorithms.batch import Batch, Noise
from algorithms.draws import Draws
from algorithms.kernels.gpu import BLOCK
from algorithms.kernels.philox import scaled
from algorithms.settings import AlgorithmSettings

# Calls for updates that the host may be ahead of the device, which never waits for it with two.
AHEAD = 2


class DeviceReplay:
    """N transitions that R runs share, up to `capacity` further ones of each run, and the runs' floors.

    A batch has two parts: its first transitions are drawn from one range of indices, the others from another. The
    indices of a run are 0 ... N - 1 for the shared transitions and N ... N + capacity - 1 for its others. All that
    changes between updates is a tensor, so that updates with their batches can be recorded and replayed.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        settings: AlgorithmSettings,
        table: Tensor,
        capacity: int,
        state_dim: int,
        action_dim: int,
        device: torch.device | str,
    ):
        """`table` [N, W] has state, action, reward, next state and terminal, in this order."""
        runs, shared = len(seeds), len(table)
        self.runs, self.shared, self.capacity = runs, shared, capacity
        self._dims = state_dim, action_dim
        self.rows = torch.empty(shared + runs * capacity, table.shape[1], device=device)
        self.rows[:shared] = table
        self.floor = torch.empty(runs, shared + capacity, device=device)
        self.draws = Draws(seeds, settings, action_dim, device)
        # Number of the next update, as a tensor for the device and as numbers for the host; the block that is drawn.
        self.number = torch.zeros(1, dtype=torch.int64, device=device)
        self._number = 0
        self.block = -1
        self._start = torch.zeros(2, runs, 1, dtype=torch.int64, device=device)
        self._count = torch.full_like(self._start, shared)
        self._in_first = torch.ones(settings.batch_size, dtype=torch.bool, device=device)
        self._position = torch.arange(settings.batch_size, device=device)
        run = torch.arange(runs, device=device)[:, None]
        self._row_offset, self._floor_offset = run * capacity, run * (shared + capacity)
        # Events at the ends of the last calls for updates.
        self._given: deque[Any] = deque()

    @staticmethod
    def size(runs: int, shared: int, capacity: int, width: int) -> int:
        """Bytes of the transitions and floors."""
        return 4 * ((shared + runs * capacity) * width + runs * (shared + capacity))

    def go_to(self, number: int) -> None:
        """Set the number of the next update."""
        if number != self._number:
            self.number.fill_(number)
            self._number = number

    def passed(self, updates: int) -> None:
        """Count updates that a call has enqueued; wait until the device has made those of all but the last calls.

        Without waiting, the host could enqueue an hour of updates, and whatever it asks for next would queue behind.
        """
        self._number += updates
        # The thread sleeps while it waits for an event of a GPU.
        event = torch.cuda.Event(blocking=True) if self.rows.is_cuda else torch.cpu.Event()
        event.record()
        self._given.append(event)
        if len(self._given) > AHEAD:
            self._given.popleft().synchronize()

    @property
    def has_room(self) -> bool:
        """Whether the device can be given updates without waiting for it."""
        while self._given and self._given[0].query():
            self._given.popleft()
        return len(self._given) < AHEAD

    def set_ranges(self, start: Tensor, count: Tensor, first: int) -> None:
        """Draw the `first` transitions of a batch and the others from `count` indices from `start` on, both [2, R]."""
        self._start.copy_(start.unsqueeze(-1))
        self._count.copy_(count.unsqueeze(-1))
        torch.lt(self._position, first, out=self._in_first)

    def draw(self) -> None:
        """Draw the random numbers of the block of the next update."""
        self.draws.draw(self.number - self.number % BLOCK)

    def take(self) -> tuple[Batch, Noise]:
        """The batch and noise of the next update, after `draw`; counts it. The return-to-go is left out."""
        choice, noise = self.draws.at(self.number % BLOCK)
        start = torch.where(self._in_first, self._start[0], self._start[1])
        index = start + scaled(choice, torch.where(self._in_first, self._count[0], self._count[1]))
        row = torch.where(index < self.shared, index, index + self._row_offset)
        rows = self.rows.index_select(0, row.flatten()).view(*row.shape, -1)
        states, actions = self._dims
        parts = [part.contiguous() for part in rows.split((states, actions, 1, states, 1), -1)]
        floor = self.floor.view(-1).index_select(0, (index + self._floor_offset).flatten()).view(row.shape)
        self.number.add_(1)
        batch = Batch(parts[0], parts[1], parts[2].squeeze(-1), parts[3], parts[4].squeeze(-1), floor[:0], floor)
        return batch, noise
