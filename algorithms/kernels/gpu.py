"""GPUs: whether torch can use one, and how many runs of a pack fit into its memory."""

import functools
import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import torch

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

# Share of the free memory that a pack may use; the rest is for torch and for what the estimate leaves out.
MEMORY_SHARE = 0.7


# Share of the free memory that the transitions of a pack may use; others stay in the memory of the machine.
REPLAY_SHARE = 0.25


# Seconds that the process that asks for the free memory may take.
PATIENCE = 120


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
    """Whether an error says that the memory of a GPU is exhausted: with fewer runs the work may succeed."""
    return isinstance(error, torch.OutOfMemoryError)


def is_of_device(error: BaseException) -> bool:
    """Whether an error is one of the GPU rather than of the work: memory, hardware, driver, or another user's job."""
    if isinstance(error, torch.OutOfMemoryError | torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and str(error).startswith(
        ("CUDA error", "CUDA driver error", "cuBLAS", "NCCL")
    )


@functools.cache
def free_memory() -> tuple[int, ...]:
    """Free bytes of every visible GPU, empty if they cannot be asked.

    Asked in another process: the question creates a CUDA context, which holds hundreds of megabytes of each GPU until
    the process ends.
    """
    command = [sys.executable, "-m", "algorithms.kernels.gpu"]
    try:
        answer = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=True, cwd=_ROOT).stdout
        return tuple(json.loads(answer))
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()


def has_room_for_replay(size: int) -> bool:
    """Whether transitions of that many bytes may use the memory of this process's GPU."""
    return not torch.cuda.is_available() or size <= REPLAY_SHARE * torch.cuda.mem_get_info()[0]


def runs_that_fit(settings: AlgorithmSettings, free: int) -> int:
    """How many runs of a pack fit into `free` bytes of GPU memory, at least one."""
    return max(1, min(RUNS_LIMIT, int(MEMORY_SHARE * free / bytes_of_run(settings))))


def bytes_of_run(settings: AlgorithmSettings) -> int:
    """Estimated GPU memory of one run in bytes: parameters, activations and noise in float32."""
    critics, widths = settings.critics, settings.critic_hidden
    # Parameters, gradients, two moments and targets. The policy has no target, which is negligible.
    parameters = 5 * (critics * _parameters(widths) + _parameters(settings.policy_hidden))
    rows = critics * settings.batch_size * (1 + 3 * settings.n_actions)
    # The activations of every layer are kept for the backward pass, whose gradients take two more layers; plus inputs.
    # Layer normalisation keeps its normalised inputs too.
    kept = sum(widths) * (1 if settings.layer_norm == "none" else 2)
    activations = rows * (kept + 2 * max(widths) + INPUTS)
    noise = BLOCK * ACTIONS * settings.batch_size * (1 + 4 * settings.n_actions)
    return 4 * (parameters + activations + noise)


def _parameters(hidden: tuple[int, ...]) -> int:
    widths = (INPUTS, *hidden, INPUTS)
    return sum(inputs * outputs + outputs for inputs, outputs in pairwise(widths))


if __name__ == "__main__":
    print(json.dumps([torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())]))
