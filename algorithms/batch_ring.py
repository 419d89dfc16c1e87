"""Batches on their way from the memory of the machine to that of a GPU, several of them at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from algorithms.batch import Batch

# Batches that are filled, copied or read at the same time: the host gathers the next ones while the GPU computes.
SLOTS = 4


class Slot:
    """Memory of one batch on the host, page-locked where there is a GPU, and on the device.

    Attributes:
        rows, floor: [R, B, W] and [R, B], what is copied; a row has state, action, reward, next state and terminal.
        return_to_go: [R, B], not copied.
        copied, read: events; the device has the batch, an update has read it.
    """

    def __init__(self, shape: tuple[int, int], dims: tuple[int, int], device: torch.device, streams: Any):
        state_dim, action_dim = dims
        width = 2 * state_dim + action_dim + 2
        size = shape[0] * shape[1] * (width + 1)
        self.on_host = torch.empty(size, pin_memory=device.type == "cuda")
        self.on_device = torch.empty(size, device=device)
        self.return_to_go = torch.empty(shape)
        self.rows, self.floor = _parts(self.on_host, shape, width)
        self.batch = Batch.of_rows(self.rows, self.floor, self.return_to_go, dims)
        sent = _parts(self.on_device, shape, width)
        self.sent = Batch.of_rows(*sent, self.on_device[:0], dims)
        self.copied, self.read = streams.Event(), streams.Event()


class BatchRing:
    """Slots that are used in turn; each is copied to the device on a stream beside that of the updates.

    The host fills a slot again when its last copy has ended, and the copy begins when the last update that reads the
    slot has read it. Nothing else waits, so that the host may be ahead of the device.
    """

    def __init__(self, shape: tuple[int, int], dims: tuple[int, int], device: torch.device, slots: int = SLOTS):
        """`shape`: R, B; `dims`: of states and actions."""
        # On the CPU streams and events have no effect.
        self._streams = torch.get_device_module(device)
        self._slots = [Slot(shape, dims, device, self._streams) for _ in range(slots)]
        self._number = 0
        self._stream = self._streams.Stream()
        # The memory of the slots may still be in use by what was enqueued before.
        self._stream.wait_stream(self._streams.current_stream())

    def next(self) -> Slot:
        """The slot to fill next; waits until it may be."""
        slot = self._slots[self._number % len(self._slots)]
        slot.copied.synchronize()
        return slot

    @contextmanager
    def sent(self) -> Iterator[Batch]:
        """Send the slot that was filled; what is enqueued in the block may read it on the device."""
        slot = self._slots[self._number % len(self._slots)]
        self._number += 1
        with self._streams.stream(self._stream):
            self._stream.wait_event(slot.read)
            slot.on_device.copy_(slot.on_host, non_blocking=True)
            slot.copied.record(self._stream)
        current = self._streams.current_stream()
        current.wait_event(slot.copied)
        yield slot.sent
        slot.read.record(current)


def _parts(memory: Tensor, shape: tuple[int, int], width: int) -> tuple[Tensor, Tensor]:
    """Rows [R, B, width] and floors [R, B] in a block of memory."""
    rows, floor = memory.split((shape[0] * shape[1] * width, shape[0] * shape[1]))
    return rows.view(*shape, width), floor.view(shape)
