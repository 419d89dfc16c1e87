"""Unavailable kernels are an error before training; runs are divided among cores and GPUs."""

import json
import os

import pytest
import torch

from ablations.grids import runs_of
from algorithms.kernels import gpu, triton_kernel
from algorithms.kernels.gpu import RUNS_LIMIT, bytes_of_run, obstacle, runs_that_fit
from algorithms.kernels.kernel import kernel_of
from algorithms.settings import AlgorithmSettings
from harness.errors import UserError
from harness.folders.limits import usable_cores
from harness.launching.cost import measured_cost
from harness.launching.defaults import REFERENCE, Slowness
from harness.settings import with_settings
from harness.training.kernels import PACK_LIMIT, check_kernels, pack_limit_for, provide_kernels, workers_for

RUNS = runs_of("smoke")
ON_GPU = [with_settings(run, {"algorithm.kernel": "cuda"}) for run in RUNS]

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


@without_gpu
@pytest.mark.parametrize("check", [check_kernels, provide_kernels])
@pytest.mark.parametrize("kernel", ["cuda", "cuda_compiled", "triton"])
def test_gpu_kernels_without_a_gpu_are_a_one_line_error(check, kernel):
    assert obstacle() is not None
    with pytest.raises(UserError) as caught:
        check([*RUNS, with_settings(RUNS[0], {"algorithm.kernel": kernel})])
    line = str(caught.value)
    assert line.startswith(f"setting algorithm.kernel = '{kernel}': ")
    assert line.endswith("; or --set algorithm.kernel=fused, which computes on the CPU")
    assert "\n" not in line


def test_a_compiled_kernel_without_a_c_compiler_is_a_one_line_error(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "obstacle", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    check_kernels(ON_GPU)
    with pytest.raises(UserError, match=r"'cuda_compiled': no C compiler .* --set algorithm.kernel=cuda, which is not"):
        check_kernels([with_settings(RUNS[0], {"algorithm.kernel": "cuda_compiled"})])
    monkeypatch.setenv("CC", "/opt/compiler/cc")
    assert gpu.compiler_obstacle() is None


def test_triton_is_refused_where_it_is_missing(monkeypatch):
    on_triton = with_settings(RUNS[0], {"algorithm.kernel": "triton"})
    monkeypatch.setattr(gpu, "obstacle", lambda: None)
    monkeypatch.setattr(triton_kernel, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"'triton': Triton is not installed; install it with: pip install triton; or"):
        check_kernels([on_triton])
    check_kernels([on_triton], elsewhere=True)


@pytest.mark.parametrize(
    ("kernel", "precision", "others"),
    [
        ("fused", "tf32", "cuda or cuda_compiled or triton"),
        ("torch", "bfloat16", "triton"),
        ("cuda", "bfloat16", "triton"),
    ],
)
def test_a_precision_that_a_kernel_does_not_have_is_refused(kernel, precision, others):
    run = with_settings(RUNS[0], {"algorithm.kernel": kernel, "algorithm.precision": precision})
    with pytest.raises(UserError) as caught:
        check_kernels([run], elsewhere=True)
    assert str(caught.value) == (
        f"setting algorithm.precision = '{precision}': kernel '{kernel}' does not have it; "
        f"use algorithm.kernel = {others}, or float32"
    )
    check_kernels([with_settings(run, {"algorithm.kernel": "triton"})], elsewhere=True)


@pytest.fixture
def products():
    """Torch's settings of matrix products on GPUs."""
    products = torch.backends.cuda.matmul
    before = products.allow_tf32
    yield products
    products.allow_tf32 = before


@pytest.mark.parametrize(("precision", "allowed"), [("float32", False), ("tf32", True), ("bfloat16", False)])
def test_the_precision_of_torch_is_set_explicitly(products, precision, allowed):
    """Whatever it was before, as by a variable of the environment; kernels for the CPU leave it alone."""
    products.allow_tf32 = not allowed
    kernel_of(AlgorithmSettings(kernel="torch"))
    assert products.allow_tf32 is not allowed
    kernel_of(AlgorithmSettings(kernel="triton", precision=precision))
    assert products.allow_tf32 is allowed


@without_gpu
def test_submitting_needs_no_gpu():
    check_kernels(ON_GPU, elsewhere=True)
    provide_kernels(ON_GPU, elsewhere=True)
    cost = measured_cost(ON_GPU[0], 8, Slowness.of(REFERENCE), seconds=0.1)
    assert cost.source == "the data sheet of H100 SXM: estimate, not measured; run make gpu-check on the GPU"
    assert cost.update > 0.0


def test_the_estimate_of_an_update_is_that_of_the_readme():
    """At 256 x 2 units and 64 runs: what is moved takes 9.9 ms, what is computed 6.9 ms; one run takes 300 operations.

    Worked by hand: 2 * 256 * 31 * 512 units * 17.5 * 4 bytes = 569 MB, and 2 * (37 * 256 + 256 * 256 + 256) * 512 rows
    * (3 * 31 + 10 + 3) = 8.2 GFLOP per run.
    """
    settings = AlgorithmSettings(critic_hidden=(256, 256), kernel="cuda")
    assert gpu.bytes_moved(settings) == 4 * 17.5 * 15_872 * 512
    assert gpu.flops_of_update(settings, 37) == 2 * 75_264 * 512 * 106
    expected = 64 * (568_852_480 / 3.35e12 + 8_169_455_616 / 67e12)
    assert gpu.estimated_update_seconds(settings, 37, 64) == pytest.approx(expected)
    assert gpu.estimated_update_seconds(settings, 37, 1) == pytest.approx(300 * 2e-6)


def save_check(file, name, operation_seconds, age=0):
    """What gpu-check has written about a GPU, some seconds ago."""
    gpu.checks_folder().mkdir(parents=True, exist_ok=True)
    rates = {"operation_seconds": operation_seconds, "bytes_per_second": 2e12, "flops_per_second": 4e13}
    path = gpu.checks_folder() / f"{file}.json"
    path.write_text(json.dumps({"name": name, "rates": rates}))
    os.utime(path, (1_000 - age, 1_000 - age))


@without_gpu
def test_rates_of_the_last_check_replace_the_assumed_ones(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert gpu.known_rates() == gpu.DATA_SHEET
    save_check("made", "Made GPU", 3e-6)
    (gpu.checks_folder() / "torn.json").write_text("{")
    rates = gpu.known_rates()
    assert rates == gpu.Rates("Made GPU", 3e-6, 2e12, 4e13, is_measured=True, remark=gpu.ELSEWHERE)


def test_the_rates_are_those_of_the_model_that_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    save_check("0", "NVIDIA H100 80GB HBM3", 1e-6)
    save_check("1", "NVIDIA A100-SXM4-80GB", 4e-6, age=1)
    assert gpu.known_rates(["a100"]).operation_seconds == 4e-6
    assert gpu.known_rates(["nvidia_a100-sxm4-80gb"]).source == "rates that gpu-check measured on NVIDIA A100-SXM4-80GB"
    assert gpu.known_rates(["v100", "h100"]).operation_seconds == gpu.known_rates([]).operation_seconds == 1e-6
    assert gpu.known_rates([]).source == (
        "rates that gpu-check measured on NVIDIA H100 80GB HBM3 (the profile names no model of GPU)"
    )
    other = gpu.known_rates(["v100", "l40s"])
    assert other.source == (
        "the data sheet of H100 SXM: estimate, not measured (no gpu-check of v100 or l40s was found); "
        "run make gpu-check on the GPU"
    )
    assert other.operation_seconds == gpu.DATA_SHEET.operation_seconds
    assert gpu.known_rates(["v100", "nvidia_h200"]).name == "H200 SXM"


def test_a_part_of_a_gpu_has_a_part_of_its_rates(monkeypatch, tmp_path):
    """Of seven compute slices and eight memory slices; a check of the whole is none of the part."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    save_check("A100", "NVIDIA A100-SXM4-80GB", 4e-6)
    part = gpu.known_rates(["a100_3g.40gb"])
    assert part.source == (
        "the data sheet of A100 SXM 80GB, scaled to its MIG slice 3g.40gb: estimate, not measured "
        "(no gpu-check of a100_3g.40gb was found); run make gpu-check on the GPU"
    )
    assert part.flops_per_second == pytest.approx(3 / 7 * 19.5e12)
    assert part.bytes_per_second == pytest.approx(4 / 8 * 2.039e12)
    assert part.operation_seconds == gpu.DATA_SHEETS["a100"].operation_seconds
    save_check("part", "NVIDIA A100-SXM4-80GB MIG 3g.40gb", 5e-6)
    assert gpu.known_rates(["a100_3g.40gb"]).operation_seconds == 5e-6
    assert gpu.known_rates(["a100"]).operation_seconds == 4e-6


def test_without_a_profile_the_rates_are_those_of_the_local_gpu(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    save_check("A100", "NVIDIA A100-SXM4-80GB", 4e-6)
    save_check("H100", "NVIDIA H100 80GB HBM3", 1e-6, age=10)
    monkeypatch.setattr(gpu, "obstacle", lambda: None)
    monkeypatch.setattr(gpu, "visible", lambda: (("NVIDIA H100 80GB HBM3", 10**10),))
    assert gpu.known_rates().source == "rates that gpu-check measured on NVIDIA H100 80GB HBM3"
    monkeypatch.setattr(gpu, "visible", lambda: (("NVIDIA H200", 10**10),))
    assert gpu.known_rates().source == (
        "the data sheet of H200 SXM: estimate, not measured (no gpu-check of NVIDIA H200 was found); "
        "run make gpu-check on the GPU"
    )
    monkeypatch.setattr(gpu, "obstacle", lambda: "torch finds no CUDA device")
    assert gpu.known_rates().source == (
        "rates that gpu-check measured on NVIDIA A100-SXM4-80GB (the last gpu-check; this machine has no GPU)"
    )


def test_the_kernel_is_part_of_the_run_id():
    assert not {run.id for run in RUNS} & {run.id for run in ON_GPU}


def test_cpu_runs_use_all_cores_in_small_packs():
    assert (workers_for(RUNS), pack_limit_for(RUNS)) == (usable_cores(), PACK_LIMIT)
    assert workers_for(ON_GPU) == max(1, torch.cuda.device_count())


def test_workers_share_the_memory_of_the_smallest_gpu(monkeypatch):
    bytes_per_run = bytes_of_run(ON_GPU[0].algorithm)
    monkeypatch.setattr(gpu, "free_memory", lambda: (100 * bytes_per_run, 41 * bytes_per_run // 2))
    assert pack_limit_for(ON_GPU) == pack_limit_for(ON_GPU, workers=2) == 14
    assert pack_limit_for(ON_GPU, workers=3) == 7, "two workers on one of the GPUs"
    monkeypatch.setattr(gpu, "free_memory", lambda: ())
    assert pack_limit_for(ON_GPU) == RUNS_LIMIT


def test_updates_are_not_measured_on_a_gpu_of_another_model(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(gpu, "obstacle", lambda: None)
    monkeypatch.setattr(gpu, "visible", lambda: (("NVIDIA L40S", 10**10),))
    assert gpu.is_visible(["a100", "l40s"])
    assert gpu.free_memory() == (10**10,)
    cost = measured_cost(ON_GPU[0], 8, Slowness.of(REFERENCE), seconds=0.1, gpu_models=["a100"])
    assert "(no gpu-check of a100 was found)" in cost.source


@without_gpu
def test_the_memory_of_no_gpu_is_not_known():
    assert gpu.free_memory() == ()


def test_errors_of_the_gpu_are_told_from_those_of_the_work():
    assert gpu.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    at_the_end = RuntimeError("the recording was invalidated")
    at_the_end.__context__ = torch.OutOfMemoryError("during the recording")
    assert gpu.is_out_of_memory(at_the_end)
    assert not gpu.is_out_of_memory(RuntimeError("the recording was invalidated"))
    for error in (
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
        RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable"),
    ):
        assert gpu.is_of_device(error)
    for error in (RuntimeError("The size of tensor a (3) must match"), ValueError("CUDA error"), MemoryError()):
        assert not gpu.is_of_device(error)


def test_memory_of_a_run():
    """One layer of 2, one state with 1 + 3 actions, two graphs, four batches; see the comments in `bytes_of_run`."""
    settings = AlgorithmSettings(policy_hidden=(2,), critic_hidden=(2,), batch_size=1, n_actions=1)
    network = (128 * 2 + 2) + (2 * 128 + 128)
    noise = 32 * 32 * (1 + 4)
    assert bytes_of_run(settings) == 4 * (6 * 3 * network + 2 * 2 * 4 * (2 + 2 * 2 + 128) + noise + 4 * 2 * 128)


def test_packs_fill_a_gpu_up_to_a_limit():
    settings = AlgorithmSettings()
    assert runs_that_fit(settings, free=0) == 1
    assert runs_that_fit(settings, free=11 * bytes_of_run(settings)) == 7
    assert runs_that_fit(settings, free=10**15) == RUNS_LIMIT
