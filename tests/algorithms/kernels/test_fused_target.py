"""The Bellman target in C++ against torch: every backup, with and without entropy; numbers that are none."""

from math import nan
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.critic_loss import TargetInputs
from algorithms.kernels.build import load_library
from algorithms.kernels.kernel import KERNELS
from algorithms.settings import MaxBackup
from tests.algorithms.kernels.inputs import assert_close

FUSED, TORCH = KERNELS["fused"], KERNELS["torch"]


@pytest.fixture(autouse=True, scope="module")
def library():
    load_library()


@given(
    seed=st.integers(0, 10_000),
    sizes=st.tuples(*(st.integers(1, most) for most in (4, 3, 9, 5))),
    backup=st.sampled_from(get_args(MaxBackup)),
    entropy=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_targets_agree_and_each_run_goes_its_own_way(seed, sizes, backup, entropy):
    runs, critics, batch, count = sizes
    rng = torch.Generator().manual_seed(seed)
    values = torch.randn(runs, critics, batch, count, generator=rng)
    log_prob = torch.randn(runs, batch, count, generator=rng)
    reward, terminal = torch.randn(runs, batch, generator=rng), torch.rand(runs, batch, generator=rng).round()
    discount, temperature = torch.rand(2, runs, generator=rng)
    inputs = reward, terminal, discount, values, log_prob
    ours = FUSED.bellman_target(TargetInputs(*inputs, backup, temperature if entropy else None))
    # Rewards and values may cancel each other.
    size = max(float(each.abs().max()) for each in (reward, values, log_prob))
    assert_close(
        ours, TORCH.bellman_target(TargetInputs(*inputs, backup, temperature if entropy else None)), 1e-6, size
    )
    last = [each[-1:] for each in inputs]
    assert torch.equal(
        FUSED.bellman_target(TargetInputs(*last, backup, temperature[-1:] if entropy else None)), ours[-1:]
    )


@pytest.mark.parametrize("backup", get_args(MaxBackup))
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_no_number_is_no_target(backup, place):
    values = torch.zeros(1, 2, 3, 4)
    values[0, 1, place, 2] = nan
    zeros = torch.zeros(1, 3)
    target = FUSED.bellman_target(TargetInputs(zeros, zeros, torch.ones(1), values, torch.zeros(1, 3, 4), backup))
    assert target.isnan()[0].tolist() == [state == place for state in range(3)]
