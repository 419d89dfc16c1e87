"""What is measured on a card: whole updates of this project's packs, and of the plain baseline beside them."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from algorithms.batch import Batch, backup_actions
from algorithms.learner import Learner
from harness.training.streams import UpdateStreams, generator, normal_source
from tests.benchmarks.peers.ours import settings_of
from tests.benchmarks.peers.plain import PlainCalQL, random_batch
from tests.benchmarks.peers.sizes import Size

# Updates before the first measurement, among which is the recording.
WARM_UP = 5

# Updates between two looks at the clock: a card is behind with its work, and waiting for it costs.
AT_ONCE = 10

# How an update of a pack is made. Eager: torch's operations one by one, on inputs that are moved before. Captured and
# compiled get their batches from the CPU, as training gives them, and noise that lies on the card; fresh noise is drawn
# there for every update.
HOW = ("eager", "captured", "compiled", "captured, fresh noise")
KERNEL = {
    "eager": "torch", "captured": "cuda", "compiled": "cuda_compiled", "captured, fresh noise": "cuda",
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """Speed of one side: updates summed over its runs, and the most memory that its tensors took on the card."""

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
    """An update of a pack."""
    settings = replace(settings_of(size), kernel=KERNEL[how])
    sources = [normal_source(generator(seed, "init")) for seed in range(runs)]
    learner = Learner([settings] * runs, size.state_dim, size.action_dim, [0.99] * runs, sources, device=device)
    sizes = size.batch_size, size.n_actions, backup_actions(settings), size.action_dim
    streams = UpdateStreams(range(runs), *sizes, learner.device)
    one = {name: value.expand(runs, *value.shape).contiguous() for name, value in random_batch(size).items()}
    batch, noise = Batch(**one, return_to_go=one["floor"]), streams.at(0)[1]
    if how == "eager":
        batch, noise = (
            type(each)(**{name: tensor.to(device) for name, tensor in vars(each).items()}) for each in (batch, noise)
        )
    if how != "captured, fresh noise":
        return lambda: learner.update(batch, noise)
    numbers = iter(range(10**9))
    return lambda: learner.update(batch, streams.at(next(numbers))[1])


def measure(side: str, runs: int, make: Callable[[], Callable[[], Any]], device: str, seconds: float) -> Measured:
    """Make the side's update and repeat it for a while."""
    on_card = device != "cpu"
    wait = torch.cuda.synchronize if on_card else lambda: None
    if on_card:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if on_card else 0
    update = make()
    for _ in range(WARM_UP):
        update()
    wait()
    begin, updates = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        for _ in range(AT_ONCE):
            update()
        wait()
        updates += AT_ONCE
    speed = runs * updates / (time.perf_counter() - begin)
    return Measured(side, runs, speed, torch.cuda.max_memory_allocated() - before if on_card else 0)


def sides(size: Size, packs: tuple[int, ...], device: str, seconds: float) -> Iterator[Measured]:
    """The plain baseline first, then each pack size in every way."""
    yield measure("plain", 1, lambda: plain(size, device), device, seconds)
    for runs in packs:
        for how in HOW:
            yield measure(how, runs, lambda runs=runs, how=how: ours(size, runs, how, device), device, seconds)


def table(name: str, measured: list[Measured]) -> str:
    """One line per side; speeds as ratios to the plain baseline's, and to the same pack's eager update."""
    baseline = measured[0].updates_per_second
    eager = {each.runs: each.updates_per_second for each in measured if each.side == "eager"}
    lines = [f"{name:24}{'runs':>5}{'run-updates/s':>15}{'x plain':>9}{'x eager':>9}{'peak MB':>9}"]
    for each in measured:
        to_eager = "" if each.side == "plain" else f"{each.updates_per_second / eager[each.runs]:.2f}"
        lines.append(
            f"{each.side:24}{each.runs:5}{each.updates_per_second:15,.0f}{each.updates_per_second / baseline:9.2f}"
            f"{to_eager:>9}{each.peak_bytes / 1e6:9,.0f}"
        )
    return "\n".join(lines)
