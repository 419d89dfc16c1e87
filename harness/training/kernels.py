"""The kernel that runs ask for: whether this machine has it or can build it, and how runs are divided for it."""

import os
from collections.abc import Callable, Sequence

from harness.errors import UserError
from harness.folders.provenance import usable_cores
from harness.settings import Run

# Largest pack on the CPU: a larger one shares a worker's start-up time among more runs, a smaller one finishes earlier.
PACK_LIMIT = 8

# Set by a pool: the number of a worker's place among those that compute at the same time.
PLACE_VARIABLE = "FLOORBENCH_PLACE"

# What else to set where there is no compiler, or no card.
WITHOUT_COMPILER = "--set algorithm.kernel=torch, which is slower"
WITHOUT_CARD = "--set algorithm.kernel=fused, which computes on the cores"


def check_kernels(runs: Sequence[Run], elsewhere: bool = False) -> None:
    """Raise UserError if the runs' kernel is neither there nor can be built, as far as a look tells; builds nothing.

    With `elsewhere` the runs are not computed on this machine, which then needs no card.
    """
    from algorithms.kernels import build, gpu

    if uses_fused(runs) and (reason := build.obstacle()):
        raise refusal("fused", reason, WITHOUT_COMPILER)
    on_card = [run.algorithm.kernel for run in runs if run.algorithm.on_gpu]
    if on_card and not elsewhere and (reason := gpu.obstacle()):
        raise refusal(on_card[0], reason, WITHOUT_CARD)


def provide_kernels(
    runs: Sequence[Run], say: Callable[[str], object] = lambda text: None, elsewhere: bool = False
) -> None:
    """Build the runs' kernel if it is not there yet; raises UserError as `check_kernels`, or if it cannot be built."""
    from algorithms.kernels.build import KernelUnavailableError, is_built, load_library

    check_kernels(runs, elsewhere)
    if uses_fused(runs):
        if not is_built():
            say("building the C++ kernels (half a minute, once)")
        try:
            load_library()
        except KernelUnavailableError as error:
            raise refusal("fused", str(error), WITHOUT_COMPILER) from None


def take_card(runs: Sequence[Run]) -> None:
    """Let the worker of these runs compute on a card of its own, where there are several."""
    import torch

    if uses_card(runs):
        torch.cuda.set_device(int(os.environ.get(PLACE_VARIABLE, "0")) % torch.cuda.device_count())


def workers_for(runs: Sequence[Run]) -> int:
    """Worker processes that fill this machine: one for each core, or for each card where runs compute on cards."""
    import torch

    return max(1, torch.cuda.device_count()) if uses_card(runs) else usable_cores()


def pack_limit_for(runs: Sequence[Run]) -> int:
    """Runs of a pack, at most: what is good for a core's caches, or what a card's memory holds."""
    from algorithms.kernels import gpu

    on_card = {run.algorithm for run in runs if run.algorithm.on_gpu}
    return min((gpu.runs_that_fit(settings) for settings in on_card), default=PACK_LIMIT)


def uses_card(runs: Sequence[Run]) -> bool:
    """Whether any of the runs is computed on a card."""
    return any(run.algorithm.on_gpu for run in runs)


def uses_fused(runs: Sequence[Run]) -> bool:
    """Whether any of the runs asks for the C++ kernels."""
    return any(run.algorithm.kernel == "fused" for run in runs)


def refusal(kernel: str, reason: str, instead: str) -> UserError:
    """What to tell who asks for a kernel that cannot be had."""
    return UserError(f"setting algorithm.kernel = '{kernel}': {reason}; or {instead}")
