"""Cards: whether torch sees one, and how many runs of a pack its memory holds."""

from itertools import pairwise

import torch

from algorithms.settings import AlgorithmSettings

# Runs of a pack on a card, at most: the sizes for which packs are made.
RUNS_LIMIT = 64

# Inputs of a network that are taken for its size: more than any task's observation and action have together.
INPUTS = 128

# Updates for which noise is drawn at once (`harness.training.streams`), and dimensions of an action, generously.
BLOCK, ACTIONS = 32, 32

# Share of the free memory that a pack may fill; the rest is for torch's own and for what the estimate leaves out.
MEMORY_SHARE = 0.7


def obstacle() -> str | None:
    """Why there is no card to compute on; None: there is one."""
    if torch.version.cuda is None:
        return "torch is built without CUDA here"
    if not torch.cuda.is_available():
        return "torch sees no CUDA device here"
    return None


def runs_that_fit(settings: AlgorithmSettings, free: int | None = None) -> int:
    """How many runs of these shapes a pack can have in so many bytes; None: those that are free on the first card."""
    bytes_free = torch.cuda.mem_get_info(0)[0] if free is None else free
    return max(1, min(RUNS_LIMIT, int(MEMORY_SHARE * bytes_free / bytes_of_run(settings))))


def bytes_of_run(settings: AlgorithmSettings) -> int:
    """What one run of a pack takes of a card's memory, about: parameters, activations and noise in float32."""
    critics = 2
    widths = settings.critic_hidden
    # Parameters, slopes, two moments and targets; the policy has no target, which is not worth a line.
    parameters = 5 * (critics * _parameters(widths) + _parameters(settings.policy_hidden))
    rows = critics * settings.batch_size * (1 + 3 * settings.n_actions)
    # Each layer is kept for the way back, on which slopes take the place of two layers more; and the inputs.
    activations = rows * (sum(widths) + 2 * max(widths) + INPUTS)
    noise = BLOCK * ACTIONS * settings.batch_size * (1 + 4 * settings.n_actions)
    return 4 * (parameters + activations + noise)


def _parameters(hidden: tuple[int, ...]) -> int:
    widths = (INPUTS, *hidden, INPUTS)
    return sum(inputs * outputs + outputs for inputs, outputs in pairwise(widths))
