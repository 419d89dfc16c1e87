"""The Triton kernel: its results in Triton's interpreter, and its compilation for a GPU that is not needed for it."""

import os
import re
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from packaging.version import Version

from algorithms.critic_loss import CriticLossForm
from algorithms.kernels import triton_kernel
from algorithms.kernels.triton_kernel import Plan
from algorithms.optimizer import Adam
from tests.algorithms.kernels.test_fused_critic_gradient import PLAIN
from tests.support.kernel_inputs import CRITICS, gradient, in_dtype, random_inputs

ROOT = Path(__file__).parents[3]

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed: pip install triton")
needs_interpreter = pytest.mark.skipif(
    find_spec("triton") is None or Version(version("triton")) < Version("3.9"),
    reason="Triton is not installed, or its interpreter does not work with NumPy 2.4",
)


def interpret(marker):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", marker]
    result = subprocess.run(
        [*command, Path(__file__).with_name("interpreted_triton.py")],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@needs_interpreter
def test_results_in_the_interpreter():
    interpret("not slow")


@needs_interpreter
@pytest.mark.slow
def test_more_results_in_the_interpreter():
    interpret("slow")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


def compiled(kernel, constants, options):
    """A kernel for an H100 (compiled, not run); `constants` by name, all other arguments point to float32."""
    from triton import compile
    from triton.compiler import ASTSource

    names = kernel.arg_names
    numbers = {"stride", "rate_stride", "size"} - set(constants)
    source = ASTSource(
        kernel,
        {name: "constexpr" if name in constants else "i32" if name in numbers else "*fp32" for name in names},
        {(names.index(name),): value for name, value in constants.items()},
        {(index,): [["tt.divisibility", 16]] for index, name in enumerate(names) if name not in constants},
    )
    return compile(source, target=h100(), options=options)


def compiled_gradient(sizes, hidden, form=PLAIN, precision="float32", layer_norm=False):
    from algorithms.kernels.triton_critic import critic_gradient_kernel

    inputs = random_inputs(0, 1, sizes, hidden, layer_norm=layer_norm)
    plan = Plan.of(inputs.network, inputs.parameters, inputs.of_kernel(form, precision))
    return compiled(critic_gradient_kernel, plan.constants(), plan.launch)


def assert_binary(kernel):
    assert "sm_90a" in kernel.asm["ptx"]
    assert kernel.asm["cubin"].startswith(b"\x7fELF")


ignore_fusion = pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")
OTHER_FORMS = [
    CriticLossForm("soft_maximum", False, True, "expectation", True, False, "nothing", "softplus"),
    CriticLossForm("expectation", True, True),
    CriticLossForm("soft_maximum", True, True, floor_uniform=True, floor_after_density=True),
]


@needs_triton
@ignore_fusion
@pytest.mark.parametrize("layer_norm", [False, True])
def test_the_kernel_compiles_without_a_gpu(layer_norm):
    assert_binary(compiled_gradient((3, 2, 8, 1), (8,), OTHER_FORMS[0], layer_norm=layer_norm))


@needs_triton
@pytest.mark.slow
@ignore_fusion
@pytest.mark.parametrize("form", OTHER_FORMS[1:])
def test_other_forms_compile(form):
    assert_binary(compiled_gradient((3, 2, 8, 1), (8, 20), form))


@needs_triton
@ignore_fusion
def test_the_small_kernels_compile_without_a_gpu():
    from algorithms.kernels.triton_critic import sum_of_parts_kernel
    from algorithms.kernels.triton_loss import Options, run_loss_kernel
    from algorithms.kernels.triton_optimizer import adam_kernel, polyak_kernel

    chosen = tuple(Options.of(OTHER_FORMS[0]))
    of_run = {"critics": 2, "parts": 4, "batch": 256, "n": 10, "chosen": chosen}
    for kernel, constants in (
        (run_loss_kernel, of_run),
        (sum_of_parts_kernel, {"count": 4, "row": 4096, "block": 1024}),
        (adam_kernel, {"beta_1": 0.9, "beta_2": 0.999, "block": 1024}),
        (polyak_kernel, {"block": 1024}),
    ):
        assert_binary(compiled(kernel, constants, {}))


@needs_triton
@pytest.mark.slow
@ignore_fusion
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
@pytest.mark.parametrize("hidden", [(64, 64), (256, 256)])
def test_usual_sizes_fit_into_registers_and_shared_memory(hidden, precision, layer_norm, tmp_path):
    """No register is spilled to memory; a program may use 227 KiB of shared memory."""
    import triton

    kernel = compiled_gradient((27, 8, 256, 10), hidden, precision=precision, layer_norm=layer_norm)
    file = tmp_path / "kernel.cubin"
    file.write_bytes(kernel.asm["cubin"])
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    usage = subprocess.run([tool, "-res-usage", file], capture_output=True, text=True, check=True)
    numbers = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", usage.stdout + usage.stderr))
    print(hidden, precision, layer_norm, numbers, "shared memory:", kernel.metadata.shared)
    assert (numbers["STACK"], numbers["LOCAL"]) == ("0", "0")
    assert kernel.metadata.shared <= 227 * 1024


def h100():
    from triton.backends.compiler import GPUTarget

    return GPUTarget("cuda", 90, 32)


class NoGpu:
    """The part of Triton's driver for a GPU that a launch needs; notes launches instead of making them."""

    def __init__(self):
        self.launches = []
        self.utils = self
        self.get_current_target = h100
        # Of no other GPU, because compiled kernels are kept by it.
        self.get_current_device = lambda: id(self)
        self.get_current_stream = lambda device: 0
        self.get_device_properties = lambda device: {"max_shared_mem": 227 * 1024}
        self.load_binary = lambda *arguments: (0, 0, 0, 0, 1024)

    def launcher_cls(self, source, metadata):
        return lambda *arguments: self.launches.append((source.fn.__name__, arguments[:3]))


@needs_triton
@ignore_fusion
@pytest.mark.parametrize(("hidden", "layer_norm"), [((16,), False), ((8, 20), True)])
def test_the_kernels_can_be_launched(hidden, layer_norm, monkeypatch):
    """With the arguments that they are given, which compiling them alone does not show."""
    from triton.runtime import driver

    inputs = random_inputs(0, 2, (16, 16, 8, 1), hidden, layer_norm=layer_norm)
    plan = Plan.of(inputs.network, inputs.parameters, inputs.of_kernel(PLAIN))
    gradient, blocks = inputs.parameters.like(), -(-plan.row // triton_kernel.ELEMENTS)
    adam, rates = Adam.of(gradient.flat), torch.ones(2 * CRITICS, 1)
    monkeypatch.setattr(driver, "_active", gpu := NoGpu())
    triton_kernel.critic_gradient(inputs.network, inputs.parameters, inputs.of_kernel(PLAIN), gradient)
    triton_kernel.adam_step(adam, inputs.parameters.flat, gradient.flat, rates)
    triton_kernel.polyak_update(gradient.flat, inputs.parameters.flat, rates)
    assert gpu.launches == [
        ("critic_gradient_kernel", (2 * CRITICS, 1, 1)),
        ("sum_of_parts_kernel", (2 * CRITICS, blocks, 1)),
        ("run_loss_kernel", (2, 1, 1)),
        ("adam_kernel", (2 * CRITICS, blocks, 1)),
        ("polyak_kernel", (2 * CRITICS, blocks, 1)),
    ]


@pytest.mark.gpu
@needs_triton
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("tf32", 0.02), ("bfloat16", 0.05)])
@pytest.mark.parametrize("hidden", [(64, 64), (256, 256)])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_gradients_on_a_gpu(hidden, layer_norm, precision, tolerance):
    """Close to torch in float64 on the CPU; and a run's bits do not depend on its pack."""
    inputs = random_inputs(1, 3, (27, 8, 256, 10), hidden, layer_norm=layer_norm)
    packed, alone = gradient_on_gpu(inputs, precision), gradient_on_gpu(inputs.of_run(1), precision)
    assert torch.equal(packed[CRITICS : 2 * CRITICS], alone)
    expected = gradient("torch", in_dtype(inputs, torch.float64), PLAIN)[1]
    assert (packed - expected).norm() < tolerance * expected.norm()


def gradient_on_gpu(inputs, precision):
    given = in_dtype(inputs, torch.float32, "cuda")
    result = given.parameters.like()
    triton_kernel.critic_gradient(given.network, given.parameters, given.of_kernel(PLAIN, precision), result)
    return result.flat.cpu().double()
