"""The update on fixed copies of its inputs: the plain update's bytes here, and on a card its numbers."""

from dataclasses import replace

import pytest
import torch

from algorithms.captured_update import CapturedUpdate
from tests.support.packs import TINY, go_on, make_batch, make_learner, make_noise, train

VARIANTS = {
    "plain": {},
    "mean action, lagrange": {"max_backup": "mean_action", "lagrange": True},
    "one action, entropy": {"max_backup": "off", "backup_entropy": True},
    "expectation": {"form": "expectation"},
}
SEEDS = [3, 8]


def everything(learner):
    """All that a checkpoint holds."""
    return [(name, tensor) for run in range(learner.runs) for name, tensor in learner.state(run).items()]


def assert_equal(learner, other):
    for (name, own), (_, others) in zip(everything(learner), everything(other), strict=True):
        assert torch.equal(own, others), name
    assert learner.counters == other.counters


@pytest.mark.parametrize("variant", VARIANTS)
def test_captured_and_plain_updates_give_the_same_bytes(variant):
    """On the CPU, where a warm-up that left a trace would be seen."""
    plain = replace(TINY, **VARIANTS[variant], kernel="torch")
    captured = train([replace(plain, kernel="cuda")] * 2, SEEDS, updates=6, device="cpu")
    assert_equal(captured, train([plain] * 2, SEEDS, updates=6))


@pytest.mark.slow
def test_a_compiled_update_computes_the_same_numbers():
    """Half a minute: here torch.compile writes C++, on a card it writes Triton."""
    plain = replace(TINY, kernel="torch")
    compiled = train([replace(plain, kernel="cuda_compiled")] * 2, SEEDS, updates=5, device="cpu")
    for (name, own), (_, other) in zip(everything(compiled), everything(train([plain] * 2, SEEDS, 5)), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


def test_what_was_restored_is_what_the_next_update_starts_from():
    """Also after updates of its own, which a recording could have kept hold of; Adam's step count included."""
    settings = [replace(TINY, kernel="cuda")] * 2
    learner = train(settings, SEEDS, updates=4, device="cpu")
    kept = [{name: tensor.clone() for name, tensor in learner.state(run).items()} for run in range(2)]
    counters = learner.counters
    other = train(settings, [1, 2], updates=2, device="cpu")
    for run, state in enumerate(kept):
        other.restore(run, state)
    other.counters = counters
    for each in (learner, other):
        go_on(each, SEEDS, range(4, 9))
    assert_equal(learner, other)


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_in_python_changes_from_one_computation_to_the_next(variant):
    """From the same tensors twice: a graph plays what was recorded at the first."""
    own = replace(TINY, **VARIANTS[variant], kernel="torch")
    learner = train([own] * 2, SEEDS, updates=3)
    batch, noise = make_batch(SEEDS, 3, own.batch_size), make_noise(own, SEEDS, 3)
    before = [(tensor, tensor.clone()) for _, tensor in everything(learner)]
    outcomes = []
    for _ in range(2):
        learner._compute(batch, noise)
        outcomes.append([tensor.clone() for tensor, _ in before])
        for tensor, kept in before:
            tensor.copy_(kept)
    assert all(torch.equal(*pair) for pair in zip(*outcomes, strict=True))
    assert not all(torch.equal(moved, kept) for moved, (_, kept) in zip(outcomes[0], before, strict=True))


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_update_asks_for_no_number_and_keeps_to_its_device(variant):
    """Either would stop a recording. On the device "meta", which has no numbers and mixes with no other."""
    own = replace(TINY, **VARIANTS[variant], kernel="torch")
    learner = make_learner([own] * 2, SEEDS, device="meta")
    given = make_batch(SEEDS, 0, own.batch_size), make_noise(own, SEEDS, 0)
    learner.update(*(type(each)(**{k: v.to("meta") for k, v in vars(each).items()}) for each in given))
    with pytest.raises(RuntimeError, match="meta"):
        learner.update(*given)
    with pytest.raises(RuntimeError, match="meta"):
        learner.finite()


def test_inputs_of_another_shape_are_refused():
    learner = train([replace(TINY, kernel="cuda")], [0], updates=1, device="cpu")
    with pytest.raises(RuntimeError, match="size"):
        learner.update(make_batch([0], 1, TINY.batch_size + 1), make_noise(TINY, [0], 1))


def test_the_inputs_given_may_change_afterwards():
    seen = []
    captured = CapturedUpdate(lambda batch: seen.append(batch.rewards.clone()), [torch.zeros(1)])
    batch = make_batch([0], 0, 4)
    first = batch.rewards.clone()
    captured(batch)
    batch.rewards.zero_()
    captured(batch)
    assert torch.equal(seen[-2], first)
    assert torch.equal(seen[-1], batch.rewards)


@pytest.fixture
def card():
    if not torch.cuda.is_available():
        pytest.skip("NO CARD: nothing of the path on a card has been tested")
    return "cuda"


@pytest.mark.gpu
@pytest.mark.parametrize("kernel", ["cuda", "cuda_compiled"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_card_computes_what_the_cpu_computes(card, variant, kernel):
    plain = replace(TINY, **VARIANTS[variant], kernel="torch")
    on_card = train([replace(plain, kernel=kernel)] * 2, SEEDS, updates=10)
    for (name, own), (_, other) in zip(everything(on_card), everything(train([plain] * 2, SEEDS, 10)), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.gpu
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_recorded_update_is_the_eager_one(card, variant):
    """And a checkpoint that is put back is where the recording goes on."""
    plain = replace(TINY, **VARIANTS[variant], kernel="torch")
    eager = make_learner([plain] * 2, SEEDS, device=card)
    captured = make_learner([replace(plain, kernel="cuda")] * 2, SEEDS, device=card)
    for update in range(10):
        batch, noise = make_batch(SEEDS, update, plain.batch_size), make_noise(plain, SEEDS, update)
        for learner in (eager, captured):
            learner.update(*(type(each)(**{k: v.to(card) for k, v in vars(each).items()}) for each in (batch, noise)))
        if update == 5:
            for run in range(2):
                captured.restore(run, captured.state(run))
    for (name, own), (_, other) in zip(everything(captured), everything(eager), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-6, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")
