"""The captured update: byte-identical to the plain update. On a GPU: `test_updates_on_a_gpu.py`."""

import gc
import weakref
from dataclasses import replace

import pytest
import torch

from algorithms.captured_update import CapturedUpdate, compiled, without_collection
from algorithms.device_replay import AHEAD, DeviceReplay
from algorithms.learner import Learner
from harness.training.streams import generator, normal_source
from tests.support.packs import (
    ACTION_DIM,
    STATE_DIM,
    TINY,
    continue_training,
    make_batch,
    make_learner,
    make_noise,
    train,
)
from tests.support.recorded_graphs import emulated_gpu, recording

VARIANTS = {
    "plain": {},
    "mean action, lagrange": {"max_backup": "mean_action", "lagrange": True},
    "one action, entropy": {"max_backup": "off", "backup_entropy": True},
    "expectation": {"form": "expectation"},
    "ensemble with a random subset": {"critics": 4, "target_critics": 2, "policy_value": "mean"},
}
SEEDS = [3, 8]


def named_state(learner):
    """Names and tensors of all runs' state, as in checkpoints."""
    return [(name, tensor) for run in range(learner.runs) for name, tensor in learner.state(run).items()]


def to_device(values, device):
    """A copy of a dataclass of tensors on a device."""
    return type(values)(**{name: tensor.to(device) for name, tensor in vars(values).items()})


def assert_equal(learner, other):
    for (name, tensor), (_, expected) in zip(named_state(learner), named_state(other), strict=True):
        assert torch.equal(tensor, expected), name
    assert learner.counters == other.counters


@pytest.mark.parametrize("variant", VARIANTS)
def test_captured_and_plain_updates_give_the_same_bytes(variant):
    """On the CPU, which also shows whether the warm-up changes the state."""
    plain = replace(TINY, **VARIANTS[variant], kernel="torch")
    captured = train([replace(plain, kernel="cuda")] * 2, SEEDS, updates=6, device="cpu")
    assert_equal(captured, train([plain] * 2, SEEDS, updates=6))


def test_updates_with_and_without_policies_are_captured():
    plain = [replace(TINY, kernel="torch")] * 2
    learners = [make_learner([replace(run, kernel="cuda") for run in plain], SEEDS, device="cpu"),
                make_learner(plain, SEEDS)]  # fmt: skip
    for update, with_policy in enumerate((True, False, False, True, False)):
        batch, noise = make_batch(SEEDS, update, TINY.batch_size), make_noise(TINY, SEEDS, update)
        for learner in learners:
            learner.update(batch, noise, with_policy)
    assert_equal(*learners)
    assert learners[0].counters == {"updates": 5, "summed": 5, "policy_updates": 2, "policy_summed": 2}


# Together they take every branch of the loss, the networks and the update.
TRACED = {
    "plain": {},
    "lagrange": {"max_backup": "mean_action", "lagrange": True, "lagrange_multiplier": "softplus", "layer_norm": "all",
                 "lagrange_alpha": "difference"},
    "ensemble": {"critics": 4, "target_critics": 2, "policy_value": "mean", "max_backup": "off",
                 "backup_entropy": True, "floor_after_density": True},
    "cloning": {"form": "expectation", "policy_objective": "cloning"},
    "masking": {"max_backup": "max_then_min", "importance_sampling": False, "floor_uniform": True,
                "floor_masking": "expectation", "difference_min": -1.0},
}  # fmt: skip


@pytest.mark.parametrize("variant", TRACED)
def test_an_update_is_traced_as_one_graph(variant):
    """As on a GPU, but without generated code: a part that cannot be traced is an error, here and there."""
    settings = replace(TINY, **TRACED[variant], kernel="torch")
    eager, traced = (make_learner([settings] * 2, SEEDS) for _ in range(2))
    batch, noise = make_batch(SEEDS, 0, settings.batch_size), make_noise(settings, SEEDS, 0)
    for learner in (eager, traced):
        learner.count.advance()
        learner.policy_count.advance()
    eager._compute(batch, noise)
    compiled(Learner._compute, "eager")(traced, batch, noise, with_policy=True)
    for (name, tensor), (_, expected) in zip(named_state(traced), named_state(eager), strict=True):
        torch.testing.assert_close(tensor, expected, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("variant", TRACED)
def test_a_recorded_update_is_replayed_with_the_same_bytes(variant):
    """On emulated graphs; one is recorded for updates with the policies and one for those without."""
    plain = replace(TINY, **TRACED[variant], kernel="torch")
    with emulated_gpu() as graphs:
        learners = [make_learner([replace(plain, kernel="cuda")] * 2, SEEDS), make_learner([plain] * 2, SEEDS)]
        for update, with_policy in enumerate((True, True, False, True)):
            batch, noise = make_batch(SEEDS, update, TINY.batch_size), make_noise(plain, SEEDS, update)
            for learner in learners:
                learner.update(batch, noise, with_policy)
    assert_equal(*learners)
    assert [graph.replays for graph in graphs] == [3, 1]


@pytest.mark.parametrize(
    "compute",
    [lambda batch: float(batch.rewards.sum()), lambda batch: batch.rewards.nonzero(),
     lambda batch: batch.rewards.numpy().sum(), lambda batch: batch.rewards + torch.tensor([1.0])],
    ids=["item", "nonzero", "numpy", "tensor of a number"],
)  # fmt: skip
def test_what_cannot_be_recorded_on_a_gpu_is_an_error(compute):
    with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
        recording(compute, [make_batch([0], 0, 4)])


# Operations of an update, and megabytes that they read and write per run: bounds by which a change that makes updates
# slower on a GPU is noticed. Without layer normalisation, at most 300 operations.
BUDGETS = {
    "plain": (286, 137.5), "lagrange": (448, 376.3), "ensemble": (290, 242.2), "cloning": (235, 133.5),
    "masking": (293, 137.7),
}  # fmt: skip


@pytest.mark.parametrize("variant", TRACED)
def test_operations_and_bytes_of_an_update(variant):
    """At the sizes of the demo, on tensors without values."""
    sizes = {"policy_hidden": (64, 64), "critic_hidden": (64, 64), "batch_size": 256, "n_actions": 10}
    settings = replace(TINY, **sizes, **TRACED[variant], kernel="torch")
    learner = make_learner([settings] * 2, SEEDS, device="meta")
    inputs = make_batch(SEEDS, 0, 256), make_noise(settings, SEEDS, 0)
    graph = recording(learner._compute, [to_device(values, "meta") for values in inputs])
    operations, megabytes = BUDGETS[variant]
    assert len(graph.work) <= operations
    assert graph.bytes_moved / learner.runs <= 1e6 * megabytes


@pytest.mark.slow
def test_a_compiled_update_computes_the_same_numbers():
    """On the CPU, where torch.compile generates C++ (half a minute); on a GPU it generates Triton code."""
    plain = replace(TINY, kernel="torch")
    learner = train([replace(plain, kernel="cuda_compiled")] * 2, SEEDS, updates=5, device="cpu")
    for (name, tensor), (_, expected) in zip(
        named_state(learner), named_state(train([plain] * 2, SEEDS, 5)), strict=True
    ):
        torch.testing.assert_close(
            tensor, expected, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_updates_continue_from_a_restored_state():
    """Including Adam's step count, and in a learner that has already recorded other updates."""
    settings = [replace(TINY, kernel="cuda")] * 2
    learner = train(settings, SEEDS, updates=4, device="cpu")
    kept = [{name: tensor.clone() for name, tensor in learner.state(run).items()} for run in range(2)]
    counters = learner.counters
    other = train(settings, [1, 2], updates=2, device="cpu")
    for run, state in enumerate(kept):
        other.restore(run, state)
    other.counters = counters
    for learner_to_continue in (learner, other):
        continue_training(learner_to_continue, SEEDS, range(4, 9))
    assert_equal(learner, other)


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_update_depends_on_tensors_only(variant):
    """Two updates from the same tensors are equal: a CUDA graph would not see a change of a Python number."""
    settings = replace(TINY, **VARIANTS[variant], kernel="torch")
    learner = train([settings] * 2, SEEDS, updates=3)
    batch, noise = make_batch(SEEDS, 3, settings.batch_size), make_noise(settings, SEEDS, 3)
    before = [(tensor, tensor.clone()) for _, tensor in named_state(learner)]
    outcomes = []
    for _ in range(2):
        learner._compute(batch, noise)
        outcomes.append([tensor.clone() for tensor, _ in before])
        for tensor, kept in before:
            tensor.copy_(kept)
    assert all(torch.equal(*pair) for pair in zip(*outcomes, strict=True))
    assert not all(torch.equal(moved, kept) for moved, (_, kept) in zip(outcomes[0], before, strict=True))


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_update_needs_no_values_on_the_host_and_stays_on_its_device(variant):
    """Otherwise it could not be recorded. The device "meta" has no values and does not mix with other devices."""
    settings = replace(TINY, **VARIANTS[variant], kernel="torch")
    learner = make_learner([settings] * 2, SEEDS, device="meta")
    inputs = make_batch(SEEDS, 0, settings.batch_size), make_noise(settings, SEEDS, 0)
    learner.update(*(to_device(values, "meta") for values in inputs))
    with pytest.raises(RuntimeError, match="meta"):
        learner.update(*inputs)
    with pytest.raises(RuntimeError, match="meta"):
        learner.finite()


def drawn_updates(seeds, device, *calls):
    """A learner after calls for some updates each, with batches drawn from 200 random transitions."""
    settings = [replace(TINY, kernel="cuda")] * len(seeds)
    learner = make_learner(settings, seeds, device=device)
    table = normal_source(generator(0, "table"))(200, 2 * STATE_DIM + ACTION_DIM + 2)
    replay = DeviceReplay(seeds, settings[0], table, 0, STATE_DIM, ACTION_DIM, device)
    replay.floor.zero_()
    for updates in calls:
        learner.update_from(replay, updates)
    return learner


def test_a_block_of_drawn_updates_has_the_bytes_of_single_ones():
    with emulated_gpu() as graphs:
        block, single = drawn_updates(SEEDS, "cpu", 34), drawn_updates(SEEDS, "cpu", 3, 29, 2)
    assert_equal(block, single)
    # A block, a draw and two updates; two draws and 34 updates.
    assert [graph.replays for graph in graphs] == [1, 1, 2, 2, 34]


def test_the_host_is_ahead_of_a_device_by_a_few_calls(monkeypatch):
    """The host waits for the end of a call before the last two; then the device has room for one."""
    done, waited = [], []

    class Event:
        def __init__(self):
            self.number = len(waited) + len(replay._given)

        def record(self):
            pass

        def query(self):
            return self.number in done

        def synchronize(self):
            waited.append(self.number)

    replay = DeviceReplay([0], TINY, torch.zeros(3, 2 * STATE_DIM + ACTION_DIM + 2), 0, STATE_DIM, ACTION_DIM, "cpu")
    monkeypatch.setattr(torch.cpu, "Event", Event)
    for call in range(4):
        assert replay.has_room == (call < AHEAD)
        replay.passed(1)
    assert waited == [0, 1]
    done.append(3)
    assert not replay.has_room, "call 2 has not ended"
    done.append(2)
    assert replay.has_room


def test_inputs_of_another_shape_are_an_error():
    learner = train([replace(TINY, kernel="cuda")], [0], updates=1, device="cpu")
    with pytest.raises(RuntimeError, match="size"):
        learner.update(make_batch([0], 1, TINY.batch_size + 1), make_noise(TINY, [0], 1))


def test_inputs_are_copied():
    seen = []
    captured = CapturedUpdate([torch.zeros(1)])
    batch = make_batch([0], 0, 4)
    first = batch.rewards.clone()

    def compute(given):
        seen.append(given.rewards.clone())

    captured(compute, batch)
    batch.rewards.zero_()
    captured(compute, batch)
    assert torch.equal(seen[-2], first)
    assert torch.equal(seen[-1], batch.rewards)


def test_garbage_is_collected_before_a_recording_and_not_during_it():
    class Knot:
        pass

    knot = Knot()
    knot.itself, gone = knot, weakref.ref(knot)
    del knot
    with without_collection():
        assert gone() is None
        assert not gc.isenabled()
    assert gc.isenabled()
