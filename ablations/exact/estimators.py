"""The bias of estimators of the floor, in the limit of infinite data, on chains whose return distribution is known."""

from functools import cache

import pandas as pd
import torch
from torch import Tensor

from ablations.claim import Claim, EveryCase
from ablations.exact.problems import (
    FiniteProblem,
    action_value,
    chain,
    greedy,
    optimal_value,
    policy_value,
    return_distribution,
)
from ablations.exact.tabular import CriticTables, Rows, expectation

TOPIC = "Estimators of the floor"

# A walk to a goal that slips; with this discount, returns lie between -20 (never) and -1.
PROBLEM = chain(8, slip=0.1, discount=0.95)

# Steps within which an episode counts as a success.
HORIZON = 20

LEVELS = (0.5, 0.7, 0.9)
LAMBDAS = tuple(tenths / 10 for tenths in range(11))

# Steps after which trajectories are cut off.
CUTS = (5, 10, 20)

# Distribution: returns [K] and their probabilities [K].
Distribution = tuple[Tensor, Tensor]


@cache
def distributions() -> tuple[Distribution, ...]:
    """The distribution of the return of the behaviour policy from every state."""
    return tuple(return_distribution(PROBLEM, PROBLEM.behaviour, state) for state in range(PROBLEM.states))


def expectile(returns: Tensor, probabilities: Tensor, level: float) -> float:
    """The minimum of E |level - [G < e]| (G - e)^2: the mean for level 0.5 (Newey and Powell 1987)."""
    low, high = float(returns.min()), float(returns.max())
    while high - low > 1e-12 * (1.0 + abs(low)):
        middle = 0.5 * (low + high)
        weights = torch.where(returns > middle, level, 1.0 - level) * probabilities
        low, high = (middle, high) if float((weights * (returns - middle)).sum()) > 0 else (low, middle)
    return 0.5 * (low + high)


def quantile(returns: Tensor, probabilities: Tensor, level: float) -> float:
    """The smallest return that is not exceeded with probability `level`; `returns` are sorted."""
    return float(returns[torch.searchsorted(probabilities.cumsum(0), level * float(probabilities.sum()) - 1e-12)])


def mean_of_successes(returns: Tensor, probabilities: Tensor, horizon: int) -> float:
    """The mean return of the episodes that reach the goal within `horizon` steps."""
    least = float(-(1.0 - PROBLEM.discount**horizon) / (1.0 - PROBLEM.discount))
    within = returns >= least - 1e-9
    return float((returns * probabilities)[within].sum() / probabilities[within].sum())


@cache
def biases() -> pd.DataFrame:
    """Estimate minus V_mu by estimator and state. Columns: estimator, state, bias."""
    value = policy_value(PROBLEM, PROBLEM.behaviour).tolist()
    rows = []
    for state, of_state in enumerate(distributions()):
        estimates = {
            **{f"expectile {level:g}": expectile(*of_state, level) for level in LEVELS},
            "median": quantile(*of_state, 0.5),
            "quantile 0.9": quantile(*of_state, 0.9),
            "successes only": mean_of_successes(*of_state, HORIZON),
        }
        rows += [(name, state, estimate - value[state]) for name, estimate in estimates.items()]
    return pd.DataFrame(rows, columns=["estimator", "state", "bias"])


def excess_over_the_estimates() -> Tensor:
    """Learned value of the optimal policy minus the floor by estimator and state; expectation form, alpha 40."""
    value, rows = policy_value(PROBLEM, PROBLEM.behaviour), Rows.of(PROBLEM)
    by_estimator = biases().pivot(index="estimator", columns="state", values="bias")
    floors = value + torch.tensor(by_estimator.to_numpy())
    policy = greedy(action_value(PROBLEM, optimal_value(PROBLEM)))
    weights = torch.full((len(floors),), 40.0, dtype=torch.float64)
    tables = CriticTables(PROBLEM, expectation(policy), weights, floors[:, rows.states]).converge()
    return (policy * tables).sum(-1) - floors


def visits(problem: FiniteProblem, cut: int | None = None) -> Tensor:
    """Share of the data [S] in every state, for episodes from all states equally often, cut after some steps."""
    transition = torch.einsum("sa,saz->sz", problem.behaviour, problem.transition)
    at = torch.full((problem.states,), 1.0 / problem.states, dtype=torch.float64)
    if cut is None:
        identity = torch.eye(problem.states, dtype=torch.float64)
        total = torch.linalg.solve((identity - transition).T, at)
    else:
        total = torch.zeros_like(at)
        for _ in range(cut):
            total, at = total + at, at @ transition
    return total / total.sum()


def td_value(problem: FiniteProblem, groups: Tensor, td_lambda: float, weight: Tensor) -> Tensor:
    """The fixed point [S] of TD(lambda) with one value per group of states [S]; lambda 1 regresses on returns.

    It solves F' D (I - lambda d P)^-1 (I - d P) F theta = F' D (I - lambda d P)^-1 r, with membership F, data
    distribution D and discount d (Tsitsiklis and Van Roy 1997).
    """
    member = torch.nn.functional.one_hot(groups).double()
    transition = problem.discount * torch.einsum("sa,saz->sz", problem.behaviour, problem.transition)
    reward = (problem.behaviour * problem.reward).sum(-1)
    identity = torch.eye(problem.states, dtype=torch.float64)
    both = torch.cat((identity - transition, reward[:, None]), dim=1)
    solved = torch.linalg.solve(identity - td_lambda * transition, both)
    projection = member.T * weight
    left, right = projection @ solved[:, :-1] @ member, projection @ solved[:, -1]
    return member @ torch.linalg.solve(left, right)


def td_error(pairs: bool, td_lambda: float, cut: int | None = None) -> float:
    """Root mean squared error of TD(lambda) over the data: in a table, or with one value per pair of neighbours."""
    states = torch.arange(PROBLEM.states)
    weight = visits(PROBLEM, cut)
    error = td_value(PROBLEM, states // 2 if pairs else states, td_lambda, weight)
    error = error - policy_value(PROBLEM, PROBLEM.behaviour)
    return float((weight * error.square()).sum().sqrt())


def curve() -> pd.DataFrame:
    """Columns: estimator, state, bias, and for TD(lambda) td_lambda and error (root mean squared, pairs of states)."""
    errors = pd.DataFrame({"td_lambda": LAMBDAS, "error": [td_error(True, td_lambda) for td_lambda in LAMBDAS]})
    frame = pd.concat([biases(), errors], ignore_index=True)
    frame.attrs["problem"] = (
        "A walk over 8 states to a goal, reward -1 per step, discount 0.95, slip 0.1; the behaviour policy goes "
        f"towards the goal in 3 of 4 steps; a success takes at most {HORIZON} steps."
    )
    return frame


def bias_of(*estimators: str) -> Tensor:
    """The biases of some estimators in all states."""
    frame = biases()
    return torch.tensor(frame.loc[frame["estimator"].isin(estimators), "bias"].to_numpy())


def sum_bias(cut: int) -> Tensor:
    """Expected sum of rewards of trajectories that are cut, minus V_mu, [S]: minus the discounted V_mu at the cut."""
    transition = PROBLEM.discount * torch.einsum("sa,saz->sz", PROBLEM.behaviour, PROBLEM.transition)
    value = policy_value(PROBLEM, PROBLEM.behaviour)
    return -(torch.linalg.matrix_power(transition, cut) @ value)


CLAIMS = (
    Claim(
        "the-mean-is-unbiased", TOPIC,
        "Regression on returns-to-go, which is the expectile of level 0.5, estimates V_mu without bias.", "derived",
        "expectile 0.5 of the return - V_mu; all states", lambda: bias_of("expectile 0.5"), EveryCase(-1e-6, 1e-6),
    ),
    Claim(
        "expectiles-inflate", TOPIC,
        "An expectile of a level above 0.5 is an inflated floor: it lies above V_mu where the return is random.",
        "derived", "expectile 0.7 and 0.9 of the return - V_mu; all states",
        lambda: bias_of("expectile 0.7", "expectile 0.9"), EveryCase(at_least=0.1),
    ),
    Claim(
        "the-median-inflates", TOPIC,
        "The median of the return inflates the floor on walks to a goal, whose returns have a long lower tail.",
        "derived", "median of the return - V_mu; all states", lambda: bias_of("median"), EveryCase(at_least=0.05),
    ),
    Claim(
        "successes-inflate", TOPIC,
        "A floor from successful episodes alone lies above V_mu.", "derived",
        "mean return of the episodes of at most 20 steps - V_mu; all states",
        lambda: bias_of("successes only"), EveryCase(at_least=0.1),
    ),
    Claim(
        "values-take-over-the-bias", TOPIC,
        "With a strong regulariser, the learned values are the estimated floor: its bias passes into every value.",
        "derived",
        "E_pi[Q] - estimate, optimal policy, alpha 40; 6 estimators, all states",
        excess_over_the_estimates, EveryCase(-1e-6, 1e-6),
    ),
    Claim(
        "td-equals-regression-in-a-table", TOPIC,
        "In a table, TD(lambda) of the behaviour policy estimates V_mu without bias for every lambda.",
        "Tsitsiklis and Van Roy 1997", "root mean squared error; lambda 0 to 1",
        lambda: [td_error(False, td_lambda) for td_lambda in LAMBDAS], EveryCase(-1e-9, 1e-9),
    ),
    Claim(
        "td-adds-to-the-approximation-error", TOPIC,
        "Where the network cannot represent V_mu, TD(lambda) is less accurate than regression on returns, by a factor "
        "of at most (1 - lambda d) / (1 - d) with discount d.",
        "Tsitsiklis and Van Roy 1997",
        "error of TD(lambda) over that of regression, minus 1, as a share of what the bound allows; one value per pair "
        "of states, lambda 0 to 0.9",
        lambda: [
            (td_error(True, td_lambda) / td_error(True, 1.0) - 1.0)
            / ((1.0 - td_lambda * PROBLEM.discount) / (1.0 - PROBLEM.discount) - 1.0)
            for td_lambda in LAMBDAS[:-1]
        ],
        EveryCase(0.0, 1.0),
    ),
    Claim(
        "td-is-unbiased-by-truncation", TOPIC,
        "Where trajectories are cut off, TD(0) in a table still estimates V_mu: it never sums rewards to the cut.",
        "derived", "root mean squared error over the data; cuts after 5, 10 and 20 steps",
        lambda: [td_error(False, 0.0, cut) for cut in CUTS], EveryCase(-1e-9, 1e-9),
    ),
    Claim(
        "the-sum-is-biased-by-truncation", TOPIC,
        "The sum of rewards up to the cut overestimates V_mu, by the discounted V_mu at the cut.", "derived",
        "expected sum - V_mu; all states, cuts after 5, 10 and 20 steps",
        lambda: torch.cat([sum_bias(cut) for cut in CUTS]), EveryCase(at_least=0.01),
    ),
)  # fmt: skip
