"""The ring of batches on emulated streams, which do what they are given at any later time that CUDA would permit."""

from random import Random

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from algorithms.batch_ring import BatchRing

CPU = torch.device("cpu")
RUNS, BATCH, STATES, ACTIONS = 2, 3, 4, 2
SEEDS = range(10)
PARTS = ("states", "actions", "rewards", "next_states", "terminals", "floor")


class Stream:
    """Operations in order. Each is a function that does its work, or returns False while it cannot begin."""

    def __init__(self, machine):
        self.machine, self.operations = machine, []
        machine.streams.append(self)

    def wait_event(self, event):
        expected = event.recorded
        self.operations.append(lambda: event.reached >= expected)

    def wait_stream(self, stream):
        event = Event(self.machine)
        event.record(stream)
        self.wait_event(event)

    def __enter__(self):
        self.copies = Deferred(self)
        self.copies.__enter__()

    def __exit__(self, *error):
        self.copies.__exit__(*error)


class Deferred(TorchDispatchMode):
    """Copies are made when the stream comes to them."""

    def __init__(self, stream):
        super().__init__()
        self.stream = stream

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        assert function is torch.ops.aten.copy_.default
        self.stream.operations.append(lambda: arguments[0].numpy().__setitem__(..., arguments[1].numpy()))


class Event:
    """How often the event has been recorded, and which of these points its stream has reached."""

    def __init__(self, machine):
        self.machine, self.recorded, self.reached = machine, 0, 0

    def record(self, stream):
        self.recorded = number = self.recorded + 1
        stream.operations.append(lambda: setattr(self, "reached", number))

    def synchronize(self):
        self.machine.run(until=lambda: self.reached >= self.recorded)


class Machine:
    """The part of `torch.cuda` that the ring uses; streams go on in random order, when they are let."""

    def __init__(self, seed):
        self.random, self.streams = Random(seed), []
        self.main = Stream(self)
        self.Stream, self.Event = lambda: Stream(self), lambda: Event(self)

    def stream(self, stream):
        return stream

    def current_stream(self):
        return self.main

    def run(self, until=lambda: False, steps=10_000):
        """Some operations, at most until a condition holds or nothing is left."""
        while steps and not until() and (waiting := [stream for stream in self.streams if stream.operations]):
            stream = self.random.choice(waiting)
            if stream.operations[0]() is not False:
                stream.operations.pop(0)
            steps -= 1


def read_batches(monkeypatch, seed, updates=20):
    """What updates read that are given the numbers 0, 1, ... as batches."""
    machine = Machine(seed)
    monkeypatch.setattr(torch, "get_device_module", lambda device: machine)
    ring = BatchRing((RUNS, BATCH), (STATES, ACTIONS), CPU, slots=machine.random.choice([1, 2, 3]))
    seen = []
    for number in range(updates):
        fill_and_read(machine, ring, number, seen)
        machine.run(steps=machine.random.choice([0, 1, 5, 40]))
    machine.run()
    return seen


def fill_and_read(machine, ring, number, seen):
    slot = ring.next()
    slot.rows.numpy()[:], slot.floor.numpy()[:] = number, number
    with ring.sent() as batch:
        parts = [getattr(batch, name) for name in PARTS]
        machine.main.operations.append(lambda: seen.append({*np.concatenate([part.numpy().ravel() for part in parts])}))


def expected(updates=20):
    return [{float(number)} for number in range(updates)]


def test_every_update_reads_its_batch(monkeypatch):
    for seed in SEEDS:
        assert read_batches(monkeypatch, seed) == expected(), seed


@pytest.mark.parametrize("guard", ["copied before filled", "read before copied", "copied before read"])
def test_without_a_guard_an_update_reads_another_batch(monkeypatch, guard):
    """Each of the three waits is needed."""
    wait = Stream.wait_event

    def unless_of_main(stream, event):
        if (stream is stream.machine.main) != (guard == "copied before read"):
            wait(stream, event)

    if guard == "copied before filled":
        monkeypatch.setattr(Event, "synchronize", lambda event: None)
    else:
        monkeypatch.setattr(Stream, "wait_event", unless_of_main)
    assert any(read_batches(monkeypatch, seed) != expected() for seed in SEEDS)


def test_the_host_is_ahead_by_the_slots(monkeypatch):
    """It fills all of them while the device does nothing, then waits for the first copy."""
    machine, seen = Machine(0), []
    monkeypatch.setattr(torch, "get_device_module", lambda device: machine)
    ring = BatchRing((RUNS, BATCH), (STATES, ACTIONS), CPU, slots=3)
    monkeypatch.setattr(Event, "synchronize", lambda event: waits.append(event.reached < event.recorded))
    waits = []
    for number in range(4):
        fill_and_read(machine, ring, number, seen)
    assert waits == [False, False, False, True]
    assert seen == []


def test_a_slot_holds_what_the_update_needs():
    """A row has state, action, reward, next state and terminal; the return-to-go stays on the host."""
    ring = BatchRing((1, 2), (2, 1), CPU)
    slot = ring.next()
    slot.rows.copy_(torch.arange(14.0).view(1, 2, 7))
    slot.floor.copy_(torch.tensor([[20.0, 21.0]]))
    with ring.sent() as batch:
        assert batch.states.tolist() == [[[0, 1], [7, 8]]]
        assert batch.actions.tolist() == [[[2], [9]]]
        assert batch.rewards.tolist() == [[3, 10]]
        assert batch.next_states.tolist() == [[[4, 5], [11, 12]]]
        assert batch.terminals.tolist() == [[6, 13]]
        assert batch.floor.tolist() == [[20, 21]]
        assert batch.return_to_go.shape == (0,)
        assert batch.states.data_ptr() != slot.batch.states.data_ptr()
    assert ring.next() is not slot
