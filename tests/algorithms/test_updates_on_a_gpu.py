"""Updates on a GPU: close to those of the CPU, byte-identical however they are made; `make gpu-check` runs them."""

from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch

from algorithms.batch_ring import BatchRing
from algorithms.device_replay import DeviceReplay
from algorithms.kernels.gpu import BLOCK
from tests.algorithms.test_captured_update import (
    SEEDS,
    VARIANTS,
    assert_equal,
    drawn_updates,
    named_state,
    to_device,
)
from tests.support.packs import ACTION_DIM, STATE_DIM, TINY, make_batch, make_learner, make_noise, train


@pytest.fixture
def gpu():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    return "cuda"


needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")


@pytest.mark.gpu
@pytest.mark.parametrize("kernel", ["cuda", "cuda_compiled", pytest.param("triton", marks=needs_triton)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_gpu_and_cpu_agree(gpu, variant, kernel):
    plain = replace(TINY, **VARIANTS[variant], kernel="torch")
    on_gpu = train([replace(plain, kernel=kernel)] * 2, SEEDS, updates=10)
    for (name, tensor), (_, expected) in zip(
        named_state(on_gpu), named_state(train([plain] * 2, SEEDS, 10)), strict=True
    ):
        torch.testing.assert_close(
            tensor, expected, rtol=1e-4, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.gpu
def test_drawn_updates_on_a_gpu_do_not_wait_and_are_repeatable(gpu):
    """Byte-identical twice; the first run of a pack has the numbers that it has alone."""
    packed, again = drawn_updates(SEEDS, gpu, 65), drawn_updates(SEEDS, gpu, 1, 64)
    assert_equal(packed, again)
    alone = drawn_updates(SEEDS[:1], gpu, 65)
    for name, tensor in alone.state(0).items():
        torch.testing.assert_close(packed.state(0)[name], tensor, rtol=1e-4, atol=1e-4)
    settings = replace(TINY, kernel="cuda")
    learner = make_learner([settings], [0], device=gpu)
    table = torch.randn(200, 2 * STATE_DIM + ACTION_DIM + 2)
    replay = DeviceReplay([0], settings, table, 0, STATE_DIM, ACTION_DIM, gpu)
    learner.update_from(replay, 33)
    torch.cuda.set_sync_debug_mode("error")
    try:
        learner.update_from(replay, 31)
        learner.update_from(replay, 32)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.parametrize("variant", VARIANTS)
def test_recorded_and_eager_updates_agree(gpu, variant):
    """Also after a checkpoint has been restored."""
    plain = replace(TINY, **VARIANTS[variant], kernel="torch")
    eager = make_learner([plain] * 2, SEEDS, device=gpu)
    captured = make_learner([replace(plain, kernel="cuda")] * 2, SEEDS, device=gpu)
    for update in range(10):
        batch, noise = make_batch(SEEDS, update, plain.batch_size), make_noise(plain, SEEDS, update)
        for learner in (eager, captured):
            learner.update(to_device(batch, gpu), to_device(noise, gpu))
        if update == 5:
            for run in range(2):
                captured.restore(run, captured.state(run))
    for (name, tensor), (_, expected) in zip(named_state(captured), named_state(eager), strict=True):
        torch.testing.assert_close(
            tensor, expected, rtol=1e-6, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.gpu
def test_batches_sent_to_a_gpu_are_read_there(gpu):
    """Updates are as with batches that are copied one after the other; the host does not wait for them."""
    settings, updates = replace(TINY, kernel="cuda"), 40
    sent, copied = (make_learner([settings] * 2, SEEDS, device=gpu) for _ in range(2))
    ring = BatchRing((2, settings.batch_size), (STATE_DIM, ACTION_DIM), sent.device)
    batches = [make_batch(SEEDS, update, settings.batch_size) for update in range(updates)]
    noise = to_device(make_noise(settings, SEEDS, 0), gpu)
    for batch in batches:
        copied.update(batch, noise)
    for update, batch in enumerate(batches):
        if update == 1:
            torch.cuda.set_sync_debug_mode("error")
        slot = ring.next()
        for name in ("states", "actions", "rewards", "next_states", "terminals", "floor"):
            getattr(slot.batch, name).copy_(getattr(batch, name))
        try:
            with ring.sent() as on_gpu:
                sent.update(on_gpu, noise)
        finally:
            if update == updates - 1:
                torch.cuda.set_sync_debug_mode("default")
    assert_equal(sent, copied)


@pytest.mark.gpu
def test_a_snapshot_acts_beside_updates(gpu):
    """On a second stream, while the updates of others are computed: the same bytes as before them."""
    settings = [replace(TINY, kernel="cuda")] * 2
    learner = drawn_updates(SEEDS, gpu, 33)
    states = torch.randn(2, 50, STATE_DIM)
    expected, snapshot = learner.act(states), learner.snapshot()
    table = torch.randn(200, 2 * STATE_DIM + ACTION_DIM + 2)
    replay = DeviceReplay(SEEDS, settings[0], table, 0, STATE_DIM, ACTION_DIM, gpu)
    replay.floor.zero_()
    beside = torch.cuda.Stream(priority=-1)
    beside.wait_stream(torch.cuda.current_stream())
    for _ in range(20):
        learner.update_from(replay, BLOCK)
        with torch.cuda.stream(beside):
            assert torch.equal(snapshot.act(states), expected)
    assert not torch.equal(learner.act(states), expected)


@pytest.mark.gpu
def test_a_run_alone_and_in_a_pack_of_64(gpu):
    """Close, as products of matrices may be computed otherwise; what is drawn is equal."""
    alone, packed = drawn_updates([3], gpu, 40), drawn_updates(range(3, 67), gpu, 40)
    for name, tensor in alone.state(0).items():
        torch.testing.assert_close(packed.state(0)[name], tensor, rtol=1e-4, atol=1e-4)
