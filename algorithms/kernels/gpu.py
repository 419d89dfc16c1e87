"""GPUs: whether torch can use one, and how many runs of a pack fit into its memory."""

from itertools import pairwise

import torch

from algorithms.settings import AlgorithmSettings

# Largest number of runs in a pack on a GPU.
RUNS_LIMIT = 64

# Assumed number of inputs of a network: more than observation and action of any task together.
INPUTS = 128

# Updates for which noise is drawn at once (`harness.training.streams`), and an upper estimate of the action dimension.
BLOCK, ACTIONS = 32, 32

# Share of the free memory that a pack may use; the rest is for torch and for what the estimate leaves out.
MEMORY_SHARE = 0.7


def obstacle() -> str | None:
    """Why no GPU can be used, or None if one can."""
    if torch.version.cuda is None:
        return "this torch is built without CUDA"
    if not torch.cuda.is_available():
        return "torch finds no CUDA device"
    return None


def runs_that_fit(settings: AlgorithmSettings, free: int | None = None) -> int:
    """How many runs of a pack fit into `free` bytes; None: the free memory of the first GPU."""
    bytes_free = torch.cuda.mem_get_info(0)[0] if free is None else free
    return max(1, min(RUNS_LIMIT, int(MEMORY_SHARE * bytes_free / bytes_of_run(settings))))


def bytes_of_run(settings: AlgorithmSettings) -> int:
    """Estimated GPU memory of one run in bytes: parameters, activations and noise in float32."""
    critics = 2
    widths = settings.critic_hidden
    # Parameters, gradients, two moments and targets. The policy has no target, which is negligible.
    parameters = 5 * (critics * _parameters(widths) + _parameters(settings.policy_hidden))
    rows = critics * settings.batch_size * (1 + 3 * settings.n_actions)
    # The activations of every layer are kept for the backward pass, whose gradients take two more layers; plus inputs.
    activations = rows * (sum(widths) + 2 * max(widths) + INPUTS)
    noise = BLOCK * ACTIONS * settings.batch_size * (1 + 4 * settings.n_actions)
    return 4 * (parameters + activations + noise)


def _parameters(hidden: tuple[int, ...]) -> int:
    widths = (INPUTS, *hidden, INPUTS)
    return sum(inputs * outputs + outputs for inputs, outputs in pairwise(widths))
