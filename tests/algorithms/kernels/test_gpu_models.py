"""Models of GPUs by their names on clusters and in torch, and parts of them."""

import pytest

from algorithms.kernels.gpu_models import compute_share, is_of, memory_share


@pytest.mark.parametrize(
    ("model", "name", "expected"),
    [("rtx6000", "Quadro RTX 6000", True), ("gtx1080ti", "NVIDIA GeForce GTX 1080 Ti", True),
     ("gpu_v100", "Tesla V100-SXM2-16GB", True), ("a100_80gb", "NVIDIA A100-SXM4-80GB", True),
     ("a100_80gb", "NVIDIA A100-SXM4-40GB", False), ("a10", "NVIDIA A100-SXM4-80GB", False),
     ("l40", "NVIDIA L40S", False), ("a100", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", False),
     ("a100_1g.5gb", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", True), ("1g.5gb", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", True),
     ("a100_1g.5gb", "NVIDIA A100-SXM4-40GB", False), ("gpu", "NVIDIA A100-SXM4-80GB", False)],
)  # fmt: skip
def test_models_of_gpus(model, name, expected):
    assert is_of(model, name) == expected


@pytest.mark.parametrize(
    ("name", "compute", "memory"),
    [("a100", 1.0, 1.0), ("1g.5gb", 1 / 7, 1 / 8), ("nvidia_a100_3g.20gb", 3 / 7, 4 / 8),
     ("NVIDIA H100 80GB HBM3 MIG 2g.20gb", 2 / 7, 2 / 8), ("h100:7g.80gb", 1.0, 1.0), ("a30_1g.6gb", 1 / 4, 1 / 4),
     ("gpu.4g.40gb", 4 / 7, 4 / 8)],
)  # fmt: skip
def test_the_part_of_a_gpu_that_a_mig_slice_is(name, compute, memory):
    assert (compute_share(name), memory_share(name)) == (compute, memory)
