"""The plain baseline learns; its update is tested against the kernels in tests/algorithms/test_learner.py."""

import torch

from tests.benchmarks.peers.plain import PlainCalQL, random_batch
from tests.benchmarks.peers.sizes import SIZES


def test_td_error_falls():
    torch.manual_seed(0)
    size = SIZES["demo"]
    run, batch = PlainCalQL(size), random_batch(size)
    first = run.update(batch)
    for _ in range(60):
        last = run.update(batch)
    assert last["td_error"] < first["td_error"] / 2
