"""What happens at the switch, from a fixed point of offline learning: offline data, regulariser and scale online.

One state, in which the offline data contain a good action and, rarely, a worse one; online the policy tries the worse
one. Both have a value at the end of offline learning, a fixed point of the critic loss, so that whatever changes
afterwards is due to the switch. Every action learns at a rate proportional to its share of the batches, as in gradient
descent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import sqrt

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ablations.claim import Claim, EveryCase
from ablations.exact.problems import one_state, side_by_side
from ablations.exact.tabular import CriticTables, Rows, no_floor, soft_maximum

TOPIC = "The switch"
UNLEARNING = "tutorial, the problem: unlearning from over-pessimism"

# Returns of the good and of the tried action, and their frequencies in the offline data.
GOOD, TRIED = -5.0, -10.0
OFFLINE = (7 / 8, 1 / 8)
PROBLEM = one_state((GOOD, TRIED), OFFLINE)

DESCRIPTION = (
    f"One state; returns of the good and the tried action {GOOD:g} and {TRIED:g}, frequencies in the offline data 7/8 "
    "and 1/8; online data: the tried action."
)

# Rows of a batch.
BATCH = 64
# Number and size of gradient steps; the time unit is one full Bellman backup of an action that fills the batch.
STEPS, STEP_SIZE = 300, 0.2

ALPHAS = (1.0, 5.0, 20.0)
ALGORITHMS = ("CQL", "Cal-QL")
# Shares of offline data in a batch. They are learned side by side, each in a state of its own.
SHARES = tuple(eighths / 8 for eighths in range(9))

# Weight of the regulariser online, as a share of its offline weight, at a time from 0 to 1; a decay ends half-way.
REGULARISERS = {"on": lambda time: 1.0, "decayed": lambda time: max(0.0, 1.0 - 2.0 * time), "off": lambda time: 0.0}

# Added to all values at the switch.
SHIFTS = (-40.0, -20.0, -10.0, -5.0, -2.0, 0.0, 5.0, 10.0)


@dataclass(frozen=True)
class Switch:
    """What the online phase begins with, besides the share of offline data."""

    algorithm: str
    alpha: float
    regulariser: str
    shift: float = 0.0


def tables(switches: Sequence[Switch], batches: Sequence[Tensor], start: Tensor | float = 0.0) -> CriticTables:
    """Tables [R, S, 2] of R switches that learn from S batches [B] of actions, in as many states.

    The floor of Cal-QL is the return of every row.
    """
    problem = side_by_side([PROBLEM] * len(batches))
    states = torch.arange(len(batches)).repeat_interleave(len(batches[0]))
    rows = Rows(states, torch.cat(list(batches)))
    has_floor = torch.tensor([switch.algorithm == "Cal-QL" for switch in switches])
    returns = problem.reward[rows.states, rows.actions]
    floor = torch.where(has_floor[:, None], returns, no_floor(len(switches), rows))
    alpha = torch.tensor([switch.alpha for switch in switches], dtype=torch.float64)
    return CriticTables(problem, soft_maximum(problem), alpha, floor, start, rows)


def batch(offline_share: float) -> Tensor:
    """The actions [BATCH] of an online batch: the offline data with a share of it, and the tried action (1)."""
    return (torch.arange(BATCH) >= round(offline_share * BATCH * OFFLINE[0])).long()


@cache
def offline_end() -> dict[tuple[str, float], Tensor]:
    """Q [2] of the good and the tried action at the fixed point of offline learning, by algorithm and weight."""
    switches = [Switch(algorithm, alpha, "on") for algorithm, alpha in product(ALGORITHMS, ALPHAS)]
    values = tables(switches, [Rows.of(PROBLEM).actions]).converge(1e-7)[:, 0]
    return {(switch.algorithm, switch.alpha): value for switch, value in zip(switches, values, strict=True)}


def wrong_time(switches: Sequence[Switch], shares: Sequence[float]) -> pd.DataFrame:
    """The time after the switch in which the tried action has the larger value; ties go to the good action.

    Columns: algorithm, alpha, regulariser, shift, share (of offline data), wrong_time.
    """
    start = torch.stack([offline_end()[switch.algorithm, switch.alpha] + switch.shift for switch in switches])
    online = tables(switches, [batch(share) for share in shares], start[:, None])
    weights = online.alpha
    # The batches of all states together are one batch of the tables.
    size = STEP_SIZE * len(shares) * online.share
    wrong = torch.zeros(len(switches), len(shares), dtype=torch.float64)
    for step in range(STEPS):
        parts = [REGULARISERS[switch.regulariser](step / STEPS) for switch in switches]
        online.alpha = weights * torch.tensor(parts, dtype=torch.float64)
        online.step(size)
        good, tried = online.values.unbind(-1)
        wrong += tried > good + 1e-9
    times = (STEP_SIZE * wrong).tolist()
    rows = [
        {**vars(switch), "share": share, "wrong_time": time}
        for switch, of_switch in zip(switches, times, strict=True)
        for share, time in zip(shares, of_switch, strict=True)
    ]
    return pd.DataFrame(rows)


@cache
def by_share() -> pd.DataFrame:
    """Time of unlearning by share of offline data and weight, with the regulariser on and off online.

    `threshold` is the share of offline data above which CQL's fixed point online prefers the good action.
    """
    frame = wrong_time([Switch(*names) for names in product(ALGORITHMS, ALPHAS, ("on", "off"))], SHARES)
    frame["threshold"] = [threshold(alpha) / OFFLINE[0] for alpha in frame["alpha"]]
    frame.attrs["problem"] = f"{DESCRIPTION} No shift."
    return frame


@cache
def by_shift() -> pd.DataFrame:
    """Time of unlearning by shift of the critics at the switch and regulariser online, with alpha 20 offline."""
    switches = [Switch(*names) for names in product(ALGORITHMS, (20.0,), REGULARISERS, SHIFTS)]
    frame = wrong_time(switches, (0.0, 0.25, 0.5))
    frame.attrs["problem"] = f"{DESCRIPTION} Alpha 20."
    return frame


def threshold(alpha: float, gap: float = GOOD - TRIED) -> float:
    """The share of the good action in the batches above which a fixed point of CQL prefers it.

    At a fixed point Q(a) = return(a) - alpha / 2 (pi(a) / beta(a) - 1) with pi = softmax(Q). Both actions have equal
    values where gap = alpha / 4 (1 / beta - 1 / (1 - beta)).
    """
    k = 4.0 * gap / alpha
    return (k + 2.0 - sqrt(k * k + 4.0)) / (2.0 * k)


def agreement() -> Tensor:
    """1 where CQL's fixed point online prefers the good action if and only if the threshold says so, else 0."""
    alphas, shares = (1.0, 5.0, 20.0, 50.0), SHARES[1:]
    switches = [Switch("CQL", alpha, "on") for alpha in alphas]
    values = tables(switches, [batch(share) for share in shares], GOOD).converge(1e-5)
    prefers = values[..., 0] > values[..., 1]
    expected = torch.tensor([[share * OFFLINE[0] > threshold(alpha) for share in shares] for alpha in alphas])
    return (prefers == expected).double()


def times(frame: pd.DataFrame, **names: Sequence[object]) -> np.ndarray:
    """The times in the rows of `by_share` or `by_shift` with these values."""
    chosen = frame[np.logical_and.reduce([frame[column].isin(values) for column, values in names.items()])]
    return chosen["wrong_time"].to_numpy()


CLAIMS = (
    Claim(
        "offline-data-prevent-unlearning", TOPIC,
        "Offline data in every batch prevent unlearning.", UNLEARNING,
        "time in which the tried action is preferred, of 60, from a fixed point, regulariser on online; CQL and "
        "Cal-QL, shares of offline data 1/8 to 1, alpha 1, 5, 20",
        lambda: times(by_share(), regulariser=["on"], share=SHARES[1:]), EveryCase(0.0, 0.0),
    ),
    Claim(
        "enough-offline-data-prevent-unlearning", TOPIC,
        "With the regulariser on online, CQL's fixed point prefers the good action exactly if the action's share of "
        "the batches exceeds a threshold that rises with alpha from 0 to a half: below it, the push-up of the tried "
        "action exceeds the difference of the returns.",
        "derived",
        "1 if the preferred action is the predicted one; shares of offline data 1/8 to 1, alpha 1, 5, 20, 50",
        agreement, EveryCase(1.0, 1.0), corrects="offline-data-prevent-unlearning",
    ),
    Claim(
        "no-unlearning-without-the-regulariser", TOPIC,
        "From a fixed point, neither CQL nor Cal-QL unlearns if the regulariser is off online, whatever the share of "
        "offline data: the fixed point has the scale of the returns.",
        "derived", "time in which the tried action is preferred; shares of offline data 0 to 1, alpha 1, 5, 20 offline",
        lambda: times(by_share(), regulariser=["off"]), EveryCase(0.0, 0.0),
    ),
    Claim(
        "a-floor-does-not-stop-the-regulariser", TOPIC,
        "A Monte Carlo floor does not prevent unlearning by the regulariser: with at most 3/8 of offline data and "
        "alpha 20, Cal-QL unlearns for as long as CQL.",
        "derived", "time of Cal-QL minus that of CQL, of 60; shares of offline data 0 to 3/8, alpha 20",
        lambda: times(by_share(), algorithm=["Cal-QL"], regulariser=["on"], alpha=[20.0], share=SHARES[:4])
        - times(by_share(), algorithm=["CQL"], regulariser=["on"], alpha=[20.0], share=SHARES[:4]),
        EveryCase(-1.0, 1.0),
    ),
    Claim(
        "a-low-scale-unlearns-without-offline-data", TOPIC,
        "Without offline data, and with the regulariser off, critics that are too low unlearn the good action if its "
        "value lies below the new return.",
        UNLEARNING, "time in which the tried action is preferred, of 60; shift -10, -20, -40, CQL and Cal-QL, alpha 20",
        lambda: times(by_shift(), regulariser=["off"], share=[0.0], shift=SHIFTS[:3]), EveryCase(at_least=50.0),
    ),
    Claim(
        "offline-data-correct-the-scale", TOPIC,
        "With half offline data and the regulariser off, critics that are too low by up to 20, four times the "
        "difference of the returns, unlearn nothing: both values rise together.",
        "derived", "time in which the tried action is preferred; shifts -20 to 10, CQL and Cal-QL, alpha 20 offline",
        lambda: times(by_shift(), regulariser=["off"], share=[0.5], shift=SHIFTS[1:]), EveryCase(0.0, 0.0),
    ),
    Claim(
        "a-raised-scale-does-not-stop-the-regulariser", TOPIC,
        "The two kinds of unlearning are separate: critics raised by 5 or 10 at the switch do not prevent what the "
        "regulariser does with a quarter of offline data.",
        "derived", "time in which the tried action is preferred, of 60; share 1/4, alpha 20, CQL and Cal-QL",
        lambda: times(by_shift(), regulariser=["on"], share=[0.25], shift=SHIFTS[-2:]), EveryCase(at_least=50.0),
    ),
    Claim(
        "a-decay-ends-unlearning", TOPIC,
        "Unlearning by the regulariser ends before a regulariser that decays is off.",
        "derived", "time in which the tried action is preferred, of the 30 until the decay ends; share 1/4, alpha 20",
        lambda: times(by_shift(), regulariser=["decayed"], share=[0.25]), EveryCase(at_most=30.0),
    ),
)  # fmt: skip
