"""Kernels of runs: whether this machine has or can build them, and how runs are divided among cores and GPUs."""

import os
from collections.abc import Callable, Sequence

from algorithms.kernels import build
from harness.environments.families import is_quick
from harness.errors import UserError
from harness.folders.limits import WORKER_MEMORY, usable_cores, usable_memory
from harness.folders.usage import WORKERS_VARIABLE
from harness.settings import Run

# Largest pack on the CPU: larger packs share a worker's start-up time among more runs, smaller ones finish earlier.
PACK_LIMIT = 8

# Environment variable set by a pool: the index of a worker among those that compute at the same time.
PLACE_VARIABLE = "FLOORBENCH_PLACE"

# Advice where there is no compiler or no GPU.
WITHOUT_COMPILER = "--set algorithm.kernel=torch, which is slower"
WITHOUT_TRITON = "--set algorithm.kernel=cuda, which is not compiled"
WITHOUT_GPU = "--set algorithm.kernel=fused, which computes on the CPU"

# Precisions of the kernels that have others than float32.
PRECISIONS = {
    "cuda": ("float32", "tf32"), "cuda_compiled": ("float32", "tf32"), "triton": ("float32", "tf32", "bfloat16"),
}  # fmt: skip


def check_kernels(runs: Sequence[Run], elsewhere: bool = False) -> None:
    """Raise UserError if a kernel of the runs is not available and cannot be built here; builds nothing.

    With `elsewhere` the runs are computed on another machine, so that this one needs no GPU.
    """
    if uses_fused(runs) and (reason := build.obstacle()):
        raise refusal("fused", reason, WITHOUT_COMPILER)
    check_precision(runs)
    gpu_kernels = [run.algorithm.kernel for run in runs if run.algorithm.on_gpu]
    if gpu_kernels and not elsewhere:
        from algorithms.kernels import gpu, triton_kernel

        if reason := gpu.obstacle():
            raise refusal(gpu_kernels[0], reason, WITHOUT_GPU)
        if "triton" in gpu_kernels and (reason := triton_kernel.obstacle()):
            raise refusal("triton", reason, WITHOUT_TRITON)
        compiled = [kernel for kernel in gpu_kernels if kernel in ("cuda_compiled", "triton")]
        if compiled and (reason := gpu.compiler_obstacle()):
            raise refusal(compiled[0], reason, WITHOUT_TRITON)


def check_precision(runs: Sequence[Run]) -> None:
    """Raise UserError if a kernel of the runs does not compute in their precision."""
    for run in runs:
        kernel, precision = run.algorithm.kernel, run.algorithm.precision
        if precision not in PRECISIONS.get(kernel, ("float32",)):
            others = " or ".join(other for other, known in PRECISIONS.items() if precision in known)
            raise UserError(
                f"setting algorithm.precision = '{precision}': kernel '{kernel}' does not have it; "
                f"use algorithm.kernel = {others}, or float32"
            )


def provide_kernels(
    runs: Sequence[Run], say: Callable[[str], object] = lambda text: None, elsewhere: bool = False
) -> None:
    """Build missing kernels of the runs; raises UserError like `check_kernels`, or if the build fails."""
    check_kernels(runs, elsewhere)
    if uses_fused(runs):
        if not build.is_built():
            say("building the C++ kernels (half a minute, once)")
        try:
            build.load_library()
        except build.KernelUnavailableError as error:
            raise refusal("fused", str(error), WITHOUT_COMPILER) from None


def reserve_gpu(runs: Sequence[Run]) -> None:
    """Select the GPU of this worker, a different one for each worker where there are several."""
    import torch

    if uses_gpu(runs):
        torch.cuda.set_device(int(os.environ.get(PLACE_VARIABLE, "0")) % torch.cuda.device_count())


def workers_for(runs: Sequence[Run]) -> int:
    """Number of workers that fill this machine: one per core, or per GPU if any run uses one.

    Fewer if the memory limit of a container or batch job does not suffice for them.
    """
    if uses_gpu(runs):
        import torch

        return max(1, torch.cuda.device_count())
    memory = usable_memory()
    return usable_cores() if memory is None else max(1, min(usable_cores(), memory // WORKER_MEMORY))


def pack_limit_for(runs: Sequence[Run], workers: int = 1) -> int:
    """Largest pack: by the caches of a core and a memory limit below that of a worker, or the memory of a GPU.

    On GPUs, `workers` processes share the visible ones; the smallest share of the free memory decides. Where it is not
    known, as on a machine without a GPU, the pack has as many runs as are ever useful.
    """
    gpu_settings = {run.algorithm for run in runs if run.algorithm.on_gpu}
    if gpu_settings:
        from algorithms.kernels import gpu

        free = gpu.free_memory()
        if not free:
            return gpu.RUNS_LIMIT
        per_gpu = -(-workers // len(free))
        return min(gpu.runs_that_fit(settings, min(free) // per_gpu) for settings in gpu_settings)
    memory = usable_memory()
    return PACK_LIMIT if memory is None else max(1, min(PACK_LIMIT, PACK_LIMIT * memory // WORKER_MEMORY))


def step_processes(runs: Sequence[Run]) -> int:
    """Number of processes that step the environments of a worker: its share of the cores, if their steps are slow.

    The worker waits meanwhile, so that no more processes compute than there are cores. Tasks of extensions are stepped
    in the worker, which has loaded them.
    """
    workers = os.environ.get(WORKERS_VARIABLE)
    if workers is None or is_quick(runs[0].task) or runs[0].extensions:
        return 1
    return max(1, usable_cores() // int(workers))


def uses_gpu(runs: Sequence[Run]) -> bool:
    """Whether any of the runs is computed on a GPU."""
    return any(run.algorithm.on_gpu for run in runs)


def uses_fused(runs: Sequence[Run]) -> bool:
    """Whether any of the runs uses the fused kernel."""
    return any(run.algorithm.kernel == "fused" for run in runs)


def refusal(kernel: str, reason: str, instead: str) -> UserError:
    """The error for a kernel that is not available."""
    return UserError(f"setting algorithm.kernel = '{kernel}': {reason}; or {instead}")
