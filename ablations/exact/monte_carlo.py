"""The effect of a floor that is a single random return instead of the mean return."""

from functools import cache

import pandas as pd
import torch
from scipy.optimize import brentq
from torch import Tensor

from ablations.claim import Claim, EveryCase
from ablations.exact.problems import chain, one_state, policy_value, return_distribution, return_variance
from ablations.exact.tabular import CriticTables, Rows, expectation

TOPIC = "Monte Carlo floors"
REFERENCE = "comparison of implementations, the floor is not V"

SLIPS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
# pi / beta for the policy's action: 1 / beta for a deterministic policy.
RATIOS = (1, 2, 4, 8)
# Rows of the dataset; their floors are quantiles at equally spaced probabilities.
SAMPLES = 512
STRONG = 1000.0


@cache
def returns_of_chain(slip: float) -> tuple[Tensor, Tensor]:
    """Returns [K] and probabilities [K] of going right from the start of a chain of 6 cells, discount 0.95."""
    walk = chain(6, slip, discount=0.95, right=1.0)
    returns, probabilities = return_distribution(walk, walk.behaviour, start=0)
    return returns, probabilities / probabilities.sum()


def loss_bias(returns: Tensor, probabilities: Tensor, value: Tensor) -> Tensor:
    """E[max(q, G)] - max(q, E[G]) for every q of `value` [N]."""
    mean = (returns * probabilities).sum()
    return (torch.maximum(value[:, None], returns) * probabilities).sum(-1) - torch.maximum(value, mean)


def relative_bias() -> Tensor:
    """The bias in units of its maximum, half the standard deviation, for 101 q per chain."""
    shares = []
    for slip in SLIPS[1:]:
        returns, probabilities = returns_of_chain(slip)
        mean = (returns * probabilities).sum()
        deviation = ((returns - mean).square() * probabilities).sum().sqrt()
        q = mean + deviation * torch.linspace(-3.0, 3.0, 101, dtype=torch.float64)
        shares.append(loss_bias(returns, probabilities, q) / (0.5 * deviation))
    return torch.cat(shares)


def bias_without_variance() -> Tensor:
    """The bias in a deterministic chain, for q from 5 below to 5 above the return."""
    returns, probabilities = returns_of_chain(0.0)
    return loss_bias(returns, probabilities, returns[0] + torch.linspace(-5.0, 5.0, 101, dtype=torch.float64))


def error_of_the_distribution() -> list[float]:
    """Mean and variance of the returns minus those of the linear solves."""
    errors = []
    for slip in SLIPS:
        walk = chain(6, slip, discount=0.95, right=1.0)
        returns, probabilities = returns_of_chain(slip)
        mean = (returns * probabilities).sum()
        variance = ((returns - mean).square() * probabilities).sum()
        errors += [
            (mean - policy_value(walk, walk.behaviour)[0]).item(),
            (variance - return_variance(walk, walk.behaviour)[0]).item(),
        ]
    return errors


def floors_of(slip: float) -> Tensor:
    """`SAMPLES` quantiles of the return at equally spaced probabilities."""
    returns, probabilities = returns_of_chain(slip)
    steps = (torch.arange(SAMPLES, dtype=torch.float64) + 0.5) / SAMPLES
    return returns[torch.searchsorted(probabilities.cumsum(0), steps).clamp(max=len(returns) - 1)]


@cache
def converged_values() -> pd.DataFrame:
    """Converged Q-value of the policy's action with floors that are returns of the chain.

    One state. The action has the mean return as true value and fills 1 / ratio of the rows; the policy always takes it.
    Columns: slip, ratio, alpha, mean (of the floors), deviation, value (converged Q), predicted (`balance`), quantile
    (of the floors, at 1 / ratio).
    """
    rows = []
    for slip in SLIPS:
        floors = floors_of(slip)
        mean = floors.mean().item()
        for ratio in RATIOS:
            # The action is spread evenly over the floors.
            taken = torch.arange(SAMPLES) % ratio == 0
            problem = one_state((mean, mean), (0.5, 0.5))
            data = Rows(torch.zeros(SAMPLES, dtype=torch.long), (~taken).long())
            policy = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
            alphas = torch.tensor([5.0, STRONG], dtype=torch.float64)
            tables = CriticTables(problem, expectation(policy), alphas, floors.expand(2, -1), mean, data)
            for alpha, value in zip(alphas.tolist(), tables.converge()[:, 0, 0].tolist(), strict=True):
                rows.append(
                    {
                        "slip": slip,
                        "ratio": ratio,
                        "alpha": alpha,
                        "mean": mean,
                        "deviation": floors.std(correction=0).item(),
                        "value": value,
                        "predicted": balance(floors, mean, ratio, alpha),
                        "quantile": floors.kthvalue(max(SAMPLES // ratio, 1)).values.item(),
                    }
                )
    return pd.DataFrame(rows)


def distance_from_the_quantile() -> pd.Series:
    """Converged value minus the quantile, strong weight; ratios at which the quantile is not the largest return."""
    frame = converged_values()
    selected = frame[(frame["alpha"] == STRONG) & (frame["ratio"] > 1)]
    return selected["value"] - selected["quantile"]


def balance(floors: Tensor, backup: float, ratio: int, alpha: float) -> float:
    """Root q of q = backup + alpha / 2 (1 - ratio x share of floors below q), where the forces on q balance."""

    def force(q: float) -> float:
        return backup + alpha / 2 * (1.0 - ratio * (floors < q).double().mean().item()) - q

    return brentq(force, backup - alpha * ratio, backup + alpha, xtol=1e-12)


def curve() -> pd.DataFrame:
    """Bias of the loss at q = mean and shift of the converged value by standard deviation of the return, alpha 5.

    Columns: deviation, ratio, loss_bias, value_shift.
    """
    frame = converged_values().query("alpha == 5.0")
    biases = [
        loss_bias(floors, torch.full((SAMPLES,), 1.0 / SAMPLES, dtype=torch.float64), floors.mean()[None]).item()
        for floors in map(floors_of, frame["slip"])
    ]
    shift = frame["value"] - frame["mean"]
    columns = {"deviation": frame["deviation"], "ratio": frame["ratio"], "loss_bias": biases, "value_shift": shift}
    result = pd.DataFrame(columns)
    result.attrs["problem"] = (
        f"Returns of chains of 6 cells with slip probabilities from {SLIPS[0]:g} to {SLIPS[-1]:g}, discount 0.95; "
        "expectation form, alpha 5."
    )
    return result


CLAIMS = (
    Claim(
        "the-distribution-of-returns-is-exact", TOPIC,
        "The lab's return distributions have the mean and variance given by the linear solves.", "check of the lab",
        "mean and variance of the returns - those of the linear solves; 9 chains",
        error_of_the_distribution, EveryCase(-1e-9, 1e-9),
    ),
    Claim(
        "a-random-floor-biases-the-loss-upwards", TOPIC,
        "A random return instead of its mean raises the pushed-down value, E[max(q, G)] >= max(q, E[G]), by at most "
        "half the standard deviation of the return.", REFERENCE + " (Jensen)",
        "bias in units of half the standard deviation; 101 values q on each of 8 chains",
        relative_bias, EveryCase(-1e-12, 1.0),
    ),
    Claim(
        "without-variance-there-is-no-bias", TOPIC,
        "In deterministic data, the return and its mean are the same floor.", REFERENCE,
        "bias; 101 values q", bias_without_variance, EveryCase(-1e-12, 1e-12),
    ),
    Claim(
        "a-random-floor-raises-the-value", TOPIC,
        "A random floor raises the learned value: a Monte Carlo floor acts as a higher V_mu.", REFERENCE,
        "converged Q - E[G]; 9 chains, pi / beta 1, 2, 4, 8, alpha 5 and 1000",
        lambda: converged_values()["value"] - converged_values()["mean"], EveryCase(at_least=-1e-9),
    ),
    Claim(
        "a-random-floor-balances-shares", TOPIC,
        "With a random floor, the learned value balances push-down and push-up: it depends on the share of returns "
        "below it, not on their mean.",
        "derived",
        "converged Q - root of q = backup + alpha / 2 (1 - pi / beta x share of G below q); the same cases",
        lambda: converged_values()["value"] - converged_values()["predicted"], EveryCase(-1e-6, 1e-6),
        corrects="a-random-floor-raises-the-value",
    ),
    Claim(
        "a-random-floor-is-a-quantile", TOPIC,
        "With a strong regulariser, a Monte Carlo floor acts as the quantile of the return at beta / pi: above the "
        "mean if the policy is close to the data, below it if the policy is far from the data.",
        "derived",
        "converged Q - quantile at beta / pi; 9 chains, pi / beta 2, 4, 8, alpha 1000",
        distance_from_the_quantile, EveryCase(-1e-9, 1e-9),
    ),
)  # fmt: skip
