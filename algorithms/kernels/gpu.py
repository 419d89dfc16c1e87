"""GPUs: whether torch can use one, and how many runs of a pack fit into its memory."""

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch

from algorithms.batch import backup_actions
from algorithms.batch_ring import SLOTS
from algorithms.kernels.build import cache_folder
from algorithms.kernels.gpu_models import compute_share, is_of, memory_share, slice_of, words
from algorithms.settings import AlgorithmSettings

# The folder from which the package can be imported.
_ROOT = Path(__file__).parents[2]

# Type of the device on which GPU kernels compute, and record their updates.
DEVICE = "cuda"

# Largest number of runs in a pack on a GPU.
RUNS_LIMIT = 64

# Assumed number of inputs of a network: more than observation and action of any task together.
INPUTS = 128

# Updates that are recorded together, for which noise is drawn at once; and an upper estimate of the action dimension.
BLOCK, ACTIONS = 32, 32

# Graphs that hold activations at the same time: of one update, and of a block of them.
GRAPHS = 2

# Share of the free memory that a pack may use; the rest is for torch and for what the estimate leaves out.
MEMORY_SHARE = 0.7


# Share of the free memory that the transitions of a pack may use; others stay in the memory of the machine.
REPLAY_SHARE = 0.25


# Seconds that the process that asks for the free memory may take.
TIMEOUT = 120


def obstacle() -> str | None:
    """Why no GPU can be used, or None if one can."""
    if torch.version.cuda is None:
        return f"this torch ({torch.__version__}) is built without CUDA; install a build of the same version with CUDA"
    if torch.cuda.is_available():
        return None
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".")
        return f"torch finds no CUDA device ({reason})"
    return "torch finds no CUDA device"


def compiler_obstacle() -> str | None:
    """Why code for a GPU cannot be compiled by torch, or None: Triton builds its launchers with a C compiler."""
    if os.environ.get("CC") or any(shutil.which(name) for name in ("gcc", "clang")):
        return None
    return "no C compiler (gcc, clang or $CC) was found, which Triton needs"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of a GPU is exhausted: with fewer runs the work may succeed.

    Or follows from one that did: memory that is exhausted during a recording makes the end of the recording fail, too.
    """
    context: BaseException | None = error
    while context is not None and not isinstance(context, torch.OutOfMemoryError):
        context = context.__context__
    return context is not None


def is_of_device(error: BaseException) -> bool:
    """Whether an error is one of the GPU rather than of the work: memory, hardware, driver, or another user's job."""
    if isinstance(error, torch.OutOfMemoryError | torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and str(error).startswith(
        ("CUDA error", "CUDA driver error", "cuBLAS", "NCCL")
    )


def free_memory() -> tuple[int, ...]:
    """Free bytes of every visible GPU, empty if they cannot be asked."""
    return tuple(free for _, free in visible())


@functools.cache
def visible() -> tuple[tuple[str, int], ...]:
    """Names and free bytes of every visible GPU, empty if they cannot be asked.

    Asked in another process: the question creates a CUDA context, which holds hundreds of megabytes of each GPU until
    the process ends.
    """
    command = [sys.executable, "-m", "algorithms.kernels.gpu"]
    try:
        answer = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=True, cwd=_ROOT).stdout
        return tuple((str(name), int(free)) for name, free in json.loads(answer))
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()


def is_visible(models: Collection[str]) -> bool:
    """Whether a visible GPU is of one of these models (`is_of`)."""
    return any(is_of(model, name) for model in models for name, _ in visible())


def has_room_for_replay(size: int) -> bool:
    """Whether transitions of that many bytes may use the memory of this process's GPU."""
    return not torch.cuda.is_available() or size <= REPLAY_SHARE * torch.cuda.mem_get_info()[0]


def runs_that_fit(settings: AlgorithmSettings, free: int) -> int:
    """How many runs of a pack fit into `free` bytes of GPU memory, at least one."""
    return max(1, min(RUNS_LIMIT, int(MEMORY_SHARE * free / bytes_of_run(settings))))


def bytes_of_run(settings: AlgorithmSettings) -> int:
    """Estimated GPU memory of one run in bytes: parameters, activations, noise and batches sent to it, in float32.

    Single updates and blocks of updates are graphs with activations of their own; see `has_room_for_replay` for the
    transitions. Batches are sent only where these have no room.
    """
    critics, widths = settings.critics, settings.critic_hidden
    # Parameters, gradients, two moments, targets and a snapshot. The policy has no target, which is negligible.
    parameters = 6 * (critics * _parameters(widths) + _parameters(settings.policy_hidden))
    rows = critics * settings.batch_size * (1 + 3 * settings.n_actions)
    # The activations of every layer are kept for the backward pass, whose gradients take two more layers; plus inputs.
    # Layer normalisation keeps its normalised inputs too.
    kept = sum(widths) * (1 if settings.layer_norm == "none" else 2)
    activations = rows * (kept + 2 * max(widths) + INPUTS)
    noise = BLOCK * ACTIONS * settings.batch_size * (1 + 4 * settings.n_actions)
    # A transition has two states and, in place of an action, more than the other numbers together.
    batches = SLOTS * settings.batch_size * 2 * INPUTS
    return 4 * (parameters + GRAPHS * activations + noise + batches)


@dataclass(frozen=True)
class Rates:
    """What limits updates on a GPU: the assumed rates of a model, or what `make gpu-check` measured."""

    name: str
    operation_seconds: float  # shortest time of an operation within a graph
    bytes_per_second: float  # of its memory
    flops_per_second: float  # of matrix products in float32
    is_measured: bool
    remark: str = ""  # on the GPU for which these rates stand in

    @property
    def source(self) -> str:
        """Where an estimate with these rates comes from, in words."""
        if self.is_measured:
            return f"rates that gpu-check measured on {self.name}{self.remark}"
        return f"the data sheet of {self.name}: estimate, not measured{self.remark}; run make gpu-check on the GPU"


# As NVIDIA specifies them (float32 without tensor cores): https://www.nvidia.com/en-us/data-center/h100/ and h200/, and
# the data sheet of the A100 80GB. The time of an operation is an assumption. The first stands in for other models.
DATA_SHEETS = {
    "h100": Rates("H100 SXM", 2e-6, 3.35e12, 67e12, is_measured=False),
    "h200": Rates("H200 SXM", 2e-6, 4.8e12, 67e12, is_measured=False),
    "a100": Rates("A100 SXM 80GB", 2e-6, 2.039e12, 19.5e12, is_measured=False),
}
DATA_SHEET = DATA_SHEETS["h100"]

# Said of measured rates where it is not known whether they are those of the GPU.
UNKNOWN_MODEL = " (the profile names no model of GPU)"
ELSEWHERE = " (the last gpu-check; this machine has no GPU)"

# The rates by name, as gpu-check writes them.
RATES = ("operation_seconds", "bytes_per_second", "flops_per_second")

# Operations of an update, and how often an update reads or writes a number per row and hidden unit of the critics: what
# recording updates gives at 64 to 512 units without layer normalisation (286 to 310, and 16.5 to 18.4).
OPERATIONS, PASSES = 300, 17.5


def checks_folder() -> Path:
    """Where gpu-check leaves what it measured, a file per GPU name."""
    return cache_folder() / "gpu_checks"


def known_rates(models: Collection[str] | None = None) -> Rates:
    """The rates of the last gpu-check on a GPU of one of these models, or else of the data sheet of the first with one.

    `models` are names as a cluster has them ("a100", "a100_1g.5gb"; see `is_of`). Empty: the model is not known; None:
    it is that of this machine, or of the last gpu-check where there is none.
    """
    remark = UNKNOWN_MODEL
    if models is None:
        remark = ELSEWHERE
        models = () if obstacle() else tuple(name for name, _ in visible())
    files = filter(Path.is_file, checks_folder().glob("*.json"))
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        with suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(file.read_text())
            rates = {name: float(content["rates"][name]) for name in RATES}
            name = str(content["name"])
            if min(rates.values()) > 0.0 and (not models or any(is_of(model, name) for model in models)):
                return Rates(name=name, is_measured=True, remark="" if models else remark, **rates)
    if not models:
        return DATA_SHEET
    sheets = [(model, DATA_SHEETS[known]) for model in models for known in DATA_SHEETS if known in words(model)]
    model, rates_of_whole = (sheets or [(next(iter(models)), DATA_SHEET)])[0]
    return replace(part_of(rates_of_whole, model), remark=f" (no gpu-check of {' or '.join(models)} was found)")


def part_of(rates: Rates, model: str) -> Rates:
    """The rates of a whole GPU, or the part of them that a MIG slice has, if the model is one ("a100_1g.5gb")."""
    if (part := slice_of(model)) is None:
        return rates
    return replace(
        rates,
        name=f"{rates.name}, scaled to its MIG slice {part}",
        bytes_per_second=rates.bytes_per_second * memory_share(model),
        flops_per_second=rates.flops_per_second * compute_share(model),
    )


def estimated_update_seconds(settings: AlgorithmSettings, inputs: int, runs: int, rates: Rates = DATA_SHEET) -> float:
    """Estimated seconds of an update of a pack with `inputs` numbers per state and action (see README.md).

    Operations, or what they read, write and compute: whichever takes longer. Nothing is assumed to stay in a cache.
    """
    operations = OPERATIONS * rates.operation_seconds
    moved = runs * bytes_moved(settings) / rates.bytes_per_second
    computed = runs * flops_of_update(settings, inputs) / rates.flops_per_second
    return max(operations, moved + computed)


def bytes_moved(settings: AlgorithmSettings) -> float:
    """Estimated bytes that an update reads and writes per run."""
    rows = settings.critics * settings.batch_size * (1 + 3 * settings.n_actions)
    layer_norm = 1 if settings.layer_norm == "none" else 3
    return 4.0 * PASSES * layer_norm * rows * sum(settings.critic_hidden)


def flops_of_update(settings: AlgorithmSettings, inputs: int) -> float:
    """Floating-point operations of the critics' matrix products in an update of one run.

    For every row of the loss a forward and twice as much backward; forward for the candidates of the target; as the
    loss for the policy's action. The policy's own products, once per state, are few beside them.
    """
    weights = sum(left * right for left, right in pairwise((inputs, *settings.critic_hidden, 1)))
    rows = settings.critics * settings.batch_size
    return 2.0 * weights * rows * (3 * (1 + 3 * settings.n_actions) + backup_actions(settings) + 3)


def _parameters(hidden: tuple[int, ...]) -> int:
    widths = (INPUTS, *hidden, INPUTS)
    return sum(inputs * outputs + outputs for inputs, outputs in pairwise(widths))


if __name__ == "__main__":
    devices = range(torch.cuda.device_count())
    print(json.dumps([(torch.cuda.get_device_name(index), torch.cuda.mem_get_info(index)[0]) for index in devices]))
