"""Speed of whole updates on a GPU: packs of this project, and the plain baseline."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from algorithms.batch import Noise
from algorithms.batch_ring import BatchRing
from algorithms.device_replay import DeviceReplay
from algorithms.kernels.gpu import BLOCK
from algorithms.learner import Learner
from harness.training.streams import UpdateStreams, generator, normal_source
from tests.benchmarks.peers.plain import DISCOUNT, PlainCalQL, random_batch, repeated, settings_of
from tests.benchmarks.peers.sizes import Size

# Updates before the first measurement, including the recording.
WARM_UP = 5

# Updates between two readings of the clock, because each waits for the GPU.
AT_ONCE = 10

# Ways to make an update of a pack. Eager runs torch's operations one by one, on inputs that were moved before. Captured
# takes batches that the CPU gathers and sends, as where a GPU has no room for the transitions. The others draw them on
# the GPU, a block of updates at once.
DRAWN = ("drawn", "compiled", "triton")
KERNEL = {"eager": "torch", "captured": "cuda", "drawn": "cuda", "compiled": "cuda_compiled", "triton": "triton"}

# Kernels that a profile names.
TOP = 10

# Transitions from which batches are drawn.
TRANSITIONS = 10_000


@dataclass(frozen=True)
class Measured:
    """Speed of one side: run-updates per second, and the peak GPU memory of its tensors."""

    side: str
    runs: int
    updates_per_second: float
    peak_bytes: int


def plain(size: Size, device: str) -> Callable[[], Any]:
    """An update of the plain baseline: one run."""
    with torch.device(device):
        run, batch = PlainCalQL(size), random_batch(size)

    return lambda: run.update(batch)


def ours(size: Size, runs: int, how: str, device: str) -> Callable[[], Any]:
    """An update of a pack; when batches are drawn on the device, a block of updates."""
    settings = replace(settings_of(size), kernel=KERNEL[how])
    sources = [normal_source(generator(seed, "init")) for seed in range(runs)]
    learner = Learner([settings] * runs, size.state_dim, size.action_dim, [DISCOUNT] * runs, sources, device=device)
    if how in DRAWN:
        table = torch.randn(TRANSITIONS, 2 * size.state_dim + size.action_dim + 2)
        sizes = size.state_dim, size.action_dim
        replay = DeviceReplay(range(runs), settings, table, 0, *sizes, learner.device)
        replay.floor.fill_(0.0)
        return lambda: learner.update_from(replay, BLOCK)
    streams = UpdateStreams(range(runs), settings, size.action_dim, learner.device)
    noise = streams.at(0)[1]
    if how == "captured":
        return sent(learner, noise, size)
    batch, noise = (
        type(inputs)(**{name: tensor.to(device) for name, tensor in vars(inputs).items()})
        for inputs in (repeated(random_batch(size), runs), noise)
    )
    return lambda: learner.update(batch, noise)


def sent(learner: Learner, noise: Noise, size: Size) -> Callable[[], Any]:
    """An update whose batch is gathered on the CPU and sent to the device."""
    ring = BatchRing((learner.runs, size.batch_size), (size.state_dim, size.action_dim), learner.device)
    table = torch.randn(TRANSITIONS, 2 * size.state_dim + size.action_dim + 2)
    chosen = torch.randint(TRANSITIONS, (learner.runs * size.batch_size,))

    def update() -> None:
        slot = ring.next()
        torch.index_select(table, 0, chosen, out=slot.rows.view(len(chosen), -1))
        slot.floor.zero_()
        with ring.sent() as batch:
            learner.update(batch, noise)

    return update


def measure(side: str, runs: int, make: Callable[[], Callable[[], Any]], device: str, seconds: float) -> Measured:
    """Build a side's update and repeat it for `seconds`."""
    block = BLOCK if side in DRAWN else 1
    on_gpu = device != "cpu"
    wait = torch.cuda.synchronize if on_gpu else lambda: None
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if on_gpu else 0
    update = make()
    for _ in range(max(1, WARM_UP // block)):
        update()
    wait()
    begin, updates = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        calls = max(1, AT_ONCE // block)
        for _ in range(calls):
            update()
        wait()
        updates += calls * block
    speed = runs * updates / (time.perf_counter() - begin)
    return Measured(side, runs, speed, torch.cuda.max_memory_allocated() - before if on_gpu else 0)


def profiled(action: Callable[[], Any], device: str, updates: int) -> dict[str, Any]:
    """What an action of some updates computes on the device: nodes per update, their mean time, the longest kernels.

    `busy` is the share of the wall-clock time in which a node computes; profiling itself makes it smaller. On the CPU
    nodes are operations of torch that call no others.
    """
    kind = torch.profiler.ProfilerActivity.CPU if device == "cpu" else torch.profiler.ProfilerActivity.CUDA
    wait = torch.cuda.synchronize if device != "cpu" else lambda: None
    wait()
    with torch.profiler.profile(activities=[kind]) as profile:
        began = time.perf_counter()
        action()
        wait()
        wall = time.perf_counter() - began
    microseconds: dict[str, list[float]] = {}
    for event in profile.events():
        if event.device_type.name == device.upper() and not event.cpu_children:
            microseconds.setdefault(event.name, []).append(event.time_range.elapsed_us())
    nodes = sum(map(len, microseconds.values()))
    total = sum(map(sum, microseconds.values()))
    longest = sorted(microseconds.items(), key=lambda item: -sum(item[1]))[:TOP]
    return {
        "nodes_per_update": nodes / updates,
        "microseconds_per_node": total / max(nodes, 1),
        "busy": total / 1e6 / wall,
        "top": [{"name": name[:100], "share": sum(times) / total, "nodes": len(times)} for name, times in longest],
    }
