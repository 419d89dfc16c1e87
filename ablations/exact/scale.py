"""The scale to which Q-values of CQL and Cal-QL converge, and why it departs from the scale of the returns."""

from functools import cache

import torch
from torch import Tensor

from ablations.claim import Claim, EveryCase
from ablations.exact.problems import FiniteProblem, chain, garnet, grid, one_state, policy_value, side_by_side
from ablations.exact.tabular import CriticTables, Rows, expectation, no_floor, soft_maximum

TOPIC = "The scale of the values"
UNLEARNING = "tutorial, the problem: unlearning from over-pessimism"

# The tutorial's scenario: the good action has value -5, the behaviour policy (half good, half bad) -10.
TUTORIAL = one_state((-5.0, -15.0), (0.5, 0.5))
# The weight at which CQL learns -35 for a policy that always takes the good action.
ALPHA = 60.0


@cache
def tutorial_tables() -> Tensor:
    """Q [2, A] of CQL and of Cal-QL with a floor of -10, for the policy that always takes the good action."""
    good = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    floors = torch.tensor([[-torch.inf], [-10.0]], dtype=torch.float64).expand(-1, 8)
    weights = torch.full((2,), ALPHA, dtype=torch.float64)
    return CriticTables(TUTORIAL, expectation(good), weights, floors).converge()[:, 0]


@cache
def push_down_speeds() -> tuple[float, float, float]:
    """Decrease of Q per unit step of CQL's expectation form: with data after 200 steps, and without data after 200 and
    400 steps."""
    problem = one_state((-5.0, -15.0), (1.0, 0.0))
    without_data = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    rows, alpha = Rows.of(problem), torch.ones(1, dtype=torch.float64)
    without_data_tables = CriticTables(problem, expectation(without_data), alpha, no_floor(1, rows))
    good = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    with_data_tables = CriticTables(TUTORIAL, expectation(good), alpha, no_floor(1, rows))
    without_data_speeds = [-without_data_tables.step(1.0)[0, 0, 1].item() for _ in range(400)]
    with_data_speeds = [-with_data_tables.step(1.0)[0, 0, 0].item() for _ in range(200)]
    return with_data_speeds[-1], without_data_speeds[199], without_data_speeds[399]


@cache
def small_problems() -> tuple[FiniteProblem, ...]:
    """Eight random problems (combined into one), a chain and a grid."""
    random = side_by_side([garnet(seed, states=6) for seed in range(8)])
    return random, chain(8, slip=0.1, discount=0.9), grid(3, 3, slip=0.2, discount=0.9)


@cache
def greedy_tables(problem: FiniteProblem) -> Tensor:
    """Converged CQL tables [2, S, A] with max backup and soft maximum, alpha 1 and 5."""
    weights = torch.tensor([1.0, 5.0], dtype=torch.float64)
    return CriticTables(problem, soft_maximum(problem), weights, no_floor(2, Rows.of(problem))).converge()


def learned_policy_above_behaviour() -> Tensor:
    """max_a Q(s, a) - V_mu(s) for every state and weight of `greedy_tables`."""
    above = [greedy_tables(problem).amax(-1) - policy_value(problem, problem.behaviour) for problem in small_problems()]
    return torch.cat([part.flatten() for part in above])


def mean_bias_of_data_actions() -> Tensor:
    """Mean of Q - Bellman target over the data's actions in every state, without a floor; both forms."""
    biases = []
    for problem in small_problems():
        rows, weights = Rows.of(problem), torch.tensor([1.0, 5.0], dtype=torch.float64)
        floor = no_floor(2, rows)
        fixed = CriticTables(problem, expectation(problem.behaviour), weights, floor)
        fixed.converge()
        best = CriticTables(problem, soft_maximum(problem), weights, floor, start=greedy_tables(problem))
        biases += [mean_bias(tables).flatten() for tables in (fixed, best)]
    return torch.cat(biases)


def mean_bias(tables: CriticTables) -> Tensor:
    """Mean [R, S] over the data's actions of Q - Bellman target."""
    states, actions = tables.rows.states, tables.rows.actions
    bias = tables.values[:, states, actions] - tables.targets()
    sums = torch.zeros(len(bias), tables.problem.states, dtype=torch.float64).index_add_(1, states, bias)
    return sums / torch.bincount(states)


def scale_of_a_lagging_policy() -> tuple[Tensor, Tensor]:
    """For a policy that lags behind the Q-values, in a self-looping state with discount 0.9: mean Q over the data minus
    V_mu, and its prediction, 0.9 / (1 - 0.9) times the gap between the policy's and the data's Q-values."""
    problem = one_state((-1.0, -1.5), (0.5, 0.5), discount=0.9)
    policy = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    weights = torch.tensor([1.0, 3.0, 10.0], dtype=torch.float64)
    table = CriticTables(problem, expectation(policy), weights, no_floor(3, Rows.of(problem))).converge()[:, 0]
    of_data, of_policy = table.mean(-1), table[:, 0]
    return of_data - policy_value(problem, problem.behaviour), 9.0 * (of_policy - of_data)


def bias_from_a_floor() -> Tensor:
    """Mean bias of the data's actions in units of alpha / 2, by problem and dose (0.25, 0.5 and 1).

    The floor is V_mu plus the dose times the range of V_mu.
    """
    biases_by_dose = []
    for problem in small_problems():
        value, rows = policy_value(problem, problem.behaviour), Rows.of(problem)
        doses = torch.tensor([0.25, 0.5, 1.0], dtype=torch.float64)
        floors = value[rows.states] + doses[:, None] * (value.max() - value.min())
        weights = torch.ones(3, dtype=torch.float64)
        tables = CriticTables(problem, soft_maximum(problem), weights, floors, start=value[:, None])
        tables.converge()
        biases_by_dose.append(mean_bias(tables).mean(-1) / 0.5)
    return torch.cat(biases_by_dose)


CLAIMS = (
    Claim(
        "cql-learns-minus-35", TOPIC,
        "CQL learns -35 for a policy with true value -5 when the behaviour policy has value -10.", UNLEARNING,
        "Q of the policy's action, expectation form, alpha 60",
        lambda: tutorial_tables()[0, 0], EveryCase(-35.0 - 1e-8, -35.0 + 1e-8),
    ),
    Claim(
        "cal-ql-learns-the-floor", TOPIC,
        "Cal-QL with the behaviour policy's value as its floor learns -10 instead.",
        "tutorial, deep explanation of the max operation", "Q of the policy's action, expectation form, alpha 60",
        lambda: tutorial_tables()[1, 0], EveryCase(-10.0, -10.0),
    ),
    Claim(
        "optimistic-about-data", TOPIC,
        "CQL is optimistic about actions in the data.", "tutorial, result of the conservative regularizer",
        "Q - true value of the two actions in the data; true values -5 and -15, alpha 60",
        lambda: tutorial_tables()[0] - TUTORIAL.reward[0], EveryCase(at_least=0.0),
    ),
    Claim(
        "optimistic-about-what-the-policy-neglects", TOPIC,
        "CQL shifts the Q-value of an action in the data by alpha / 2 (1 - pi / beta): it raises actions that the "
        "policy takes less often than the data, and lowers the others.",
        "derived; CQL paper, theorem 3.2",
        "Q - true value - alpha / 2 (1 - pi / beta) of the two actions",
        lambda: tutorial_tables()[0] - TUTORIAL.reward[0] - torch.tensor([-30.0, 30.0], dtype=torch.float64),
        EveryCase(-1e-8, 1e-8),
        corrects="optimistic-about-data",
    ),
    Claim(
        "the-push-down-is-unbounded", TOPIC,
        "CQL's push-down is unbounded.", UNLEARNING,
        "decrease of Q per unit step after 200 steps; an action with data and one without (alpha 1, expectation form)",
        lambda: push_down_speeds()[:2], EveryCase(at_least=1e-3),
    ),
    Claim(
        "unbounded-without-data-only", TOPIC,
        "The push-down is unbounded only for actions without data, at constant speed in the expectation form; the "
        "Q-value of an action with data converges.", "derived",
        "decrease per unit step: ratio after 400 and 200 steps without data; 1 + decrease with data",
        lambda: (push_down_speeds()[2] / push_down_speeds()[1], 1.0 + push_down_speeds()[0]),
        EveryCase(1 - 1e-9, 1 + 1e-9),
        corrects="the-push-down-is-unbounded",
    ),
    Claim(
        "own-policy-below-behaviour", TOPIC,
        "CQL assigns its learned policy a lower value than that of the behaviour policy.", UNLEARNING,
        "max_a Q(s, a) - V_mu(s), converged tables with max backup; all states of 10 problems, alpha 1 and 5",
        learned_policy_above_behaviour, EveryCase(at_most=0.0),
    ),
    Claim(
        "own-policy-calibrated-in-a-table", TOPIC,
        "Converged tabular CQL is calibrated for its greedy policy: in every state the push-up equals the push-down, "
        "so max_a Q >= mean of Q over the data >= the behaviour policy's backup of max_a Q.",
        "derived",
        "max_a Q(s, a) - V_mu(s), converged tables with max backup; all states of 10 problems, alpha 1 and 5",
        learned_policy_above_behaviour, EveryCase(at_least=-1e-7), corrects="own-policy-below-behaviour",
    ),
    Claim(
        "push-up-balances-push-down", TOPIC,
        "Without a floor, the regulariser does not shift the mean in any state: Q of the data's actions equals its "
        "Bellman target on average. (For any critic with a free constant, the same holds over all data.)",
        "derived",
        "mean of Q - target over the data's actions; all states of 10 problems, both forms, alpha 1 and 5",
        mean_bias_of_data_actions, EveryCase(-1e-7, 1e-7),
    ),
    Claim(
        "the-scale-sinks-with-a-lagging-policy", TOPIC,
        "CQL's Q-values sink below the returns if the backed-up policy takes actions with lower Q-values than the "
        "data's: mean Q falls short of V_mu by discount / (1 - discount) times that gap.",
        "derived",
        "mean Q - V_mu - 9 (Q of the policy - mean Q); one self-looping state, discount 0.9, alpha 1, 3, 10",
        lambda: torch.sub(*scale_of_a_lagging_policy()), EveryCase(-1e-6, 1e-6),
    ),
    Claim(
        "the-scale-sinks", TOPIC,
        "CQL's Q-values converge to a different scale than the returns.", "tutorial, scale mismatch",
        "mean Q - V_mu for a policy that lags behind the Q-values; discount 0.9, alpha 1, 3, 10",
        lambda: scale_of_a_lagging_policy()[0], EveryCase(at_most=-1.0),
    ),
    Claim(
        "a-floor-lifts-the-mean", TOPIC,
        "A floor above the Q-values removes the push-down but not the push-up: Q-values of the data exceed their "
        "targets by up to alpha / 2.",
        "derived",
        "mean of Q - target over the data's actions in units of alpha / 2; 3 sets of problems, floor V_mu + dose x "
        "its range, doses 0.25, 0.5, 1, alpha 1",
        bias_from_a_floor, EveryCase(-1e-7, 1.0 + 1e-7),
    ),
)  # fmt: skip
