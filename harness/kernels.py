"""The kernel that runs ask for: whether this machine has it or can build it."""

from collections.abc import Callable, Iterable

from harness.errors import UserError
from harness.settings import Run


def check_kernels(runs: Iterable[Run]) -> None:
    """Raise UserError if the runs' kernel is neither there nor can be built, as far as a look tells; builds nothing."""
    from algorithms.kernels.build import obstacle

    if any(run.algorithm.kernel == "fused" for run in runs):
        reason = obstacle()
        if reason:
            raise refusal(reason)


def provide_kernels(runs: Iterable[Run], say: Callable[[str], object] = lambda text: None) -> None:
    """Build the runs' kernel if it is not there yet; raises UserError if that is not possible."""
    from algorithms.kernels.build import KernelUnavailableError, is_built, load_library

    if any(run.algorithm.kernel == "fused" for run in runs):
        if not is_built():
            say("building the C++ kernels (half a minute, once)")
        try:
            load_library()
        except KernelUnavailableError as error:
            raise refusal(str(error)) from None


def refusal(reason: str) -> UserError:
    """What to tell who asks for a kernel that cannot be had."""
    return UserError(f"setting algorithm.kernel = 'fused': {reason}; or --set algorithm.kernel=torch, which is slower")
