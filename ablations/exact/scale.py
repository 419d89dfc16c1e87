"""On which scale the values of CQL and Cal-QL come to rest, and what moves them off the scale of the returns."""

from functools import cache

import torch
from torch import Tensor

from ablations.claim import Claim, EveryCase
from ablations.exact.problems import FiniteProblem, chain, garnet, grid, one_state, side_by_side
from ablations.exact.tabular import CriticTables, Rows, expectation, no_floor, soft_maximum
from ablations.exact.values import policy_value

TOPIC = "The scale of the values"
UNLEARNING = "tutorial, the problem: unlearning from over-pessimism"

# The tutorial's numbers: the good action is worth -5, the behaviour policy (half good, half bad) -10.
TUTORIAL = one_state((-5.0, -15.0), (0.5, 0.5))
# With this weight CQL learns -35 for a policy that always takes the good action.
ALPHA = 60.0


@cache
def tutorial_tables() -> Tensor:
    """Q [2, A] of CQL and of Cal-QL with a floor of -10, for the policy that always takes the good action."""
    good = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    floors = torch.tensor([[-torch.inf], [-10.0]], dtype=torch.float64).expand(-1, 8)
    weights = torch.full((2,), ALPHA, dtype=torch.float64)
    return CriticTables(TUTORIAL, expectation(good), weights, floors).converge()[:, 0]


@cache
def falling_speeds() -> tuple[float, float, float]:
    """How fast a value falls per unit step of CQL's expectation form after 200 steps: of an action with data, of one
    without, and of the latter after 400 steps."""
    problem = one_state((-5.0, -15.0), (1.0, 0.0))
    without_data = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    rows, alpha = Rows.of(problem), torch.ones(1, dtype=torch.float64)
    pushed = CriticTables(problem, expectation(without_data), alpha, no_floor(1, rows))
    good = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    held = CriticTables(TUTORIAL, expectation(good), alpha, no_floor(1, rows))
    speeds = [-pushed.step(1.0)[0, 0, 1].item() for _ in range(400)]
    falls = [-held.step(1.0)[0, 0, 0].item() for _ in range(200)]
    return falls[-1], speeds[199], speeds[399]


@cache
def small_problems() -> tuple[FiniteProblem, ...]:
    """Eight random problems beside each other, a chain and a grid."""
    random = side_by_side([garnet(seed, states=6) for seed in range(8)])
    return random, chain(8, slip=0.1, discount=0.9), grid(3, 3, slip=0.2, discount=0.9)


@cache
def greedy_tables(problem: FiniteProblem) -> Tensor:
    """Converged CQL tables [2, S, A] with max backup and soft maximum, alpha 1 and 5."""
    weights = torch.tensor([1.0, 5.0], dtype=torch.float64)
    return CriticTables(problem, soft_maximum(problem), weights, no_floor(2, Rows.of(problem))).converge()


def own_policy_above_behaviour() -> Tensor:
    """max_a Q(s, a) - V_mu(s) for every state and weight of `greedy_tables`."""
    above = [greedy_tables(problem).amax(-1) - policy_value(problem, problem.behaviour) for problem in small_problems()]
    return torch.cat([part.flatten() for part in above])


def mean_bias_of_data_actions() -> Tensor:
    """Mean over the data's actions of Q - Bellman target at every state, without floor; both forms."""
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
    """In a state that follows itself (discount 0.9), for a policy that lags behind the values: mean Q over the data
    minus V_mu, and what the gap between the policy's and the data's values predicts, 0.9 / (1 - 0.9) times that gap."""
    problem = one_state((-1.0, -1.5), (0.5, 0.5), discount=0.9)
    policy = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    weights = torch.tensor([1.0, 3.0, 10.0], dtype=torch.float64)
    table = CriticTables(problem, expectation(policy), weights, no_floor(3, Rows.of(problem))).converge()[:, 0]
    of_data, of_policy = table.mean(-1), table[:, 0]
    return of_data - policy_value(problem, problem.behaviour), 9.0 * (of_policy - of_data)


def lift_of_a_floor() -> Tensor:
    """Mean bias of the data's actions in units of alpha / 2, per problem and dose of inflation 0.25, 0.5 and 1; the
    floor is V_mu plus the dose times the range of V_mu."""
    lifts = []
    for problem in small_problems():
        value, rows = policy_value(problem, problem.behaviour), Rows.of(problem)
        doses = torch.tensor([0.25, 0.5, 1.0], dtype=torch.float64)
        floors = value[rows.states] + doses[:, None] * (value.max() - value.min())
        weights = torch.ones(3, dtype=torch.float64)
        tables = CriticTables(problem, soft_maximum(problem), weights, floors, start=value[:, None])
        tables.converge()
        lifts.append(mean_bias(tables).mean(-1) / 0.5)
    return torch.cat(lifts)


CLAIMS = (
    Claim(
        "cql-learns-minus-35", TOPIC,
        "CQL learns -35 for a policy whose true value is -5 where the behaviour policy's is -10.", UNLEARNING,
        "Q of the policy's action, expectation form, alpha 60",
        lambda: tutorial_tables()[0, 0], EveryCase(-35.0 - 1e-8, -35.0 + 1e-8),
    ),
    Claim(
        "cal-ql-learns-the-floor", TOPIC,
        "Cal-QL with the behaviour policy's value as floor learns -10 in its place.",
        "tutorial, deep explanation of the max operation", "Q of the policy's action, expectation form, alpha 60",
        lambda: tutorial_tables()[1, 0], EveryCase(-10.0, -10.0),
    ),
    Claim(
        "optimistic-about-data", TOPIC,
        "CQL is optimistic about the actions of the data.", "tutorial, result of the conservative regularizer",
        "Q - true value of the two actions of the data, true values -5 and -15, alpha 60",
        lambda: tutorial_tables()[0] - TUTORIAL.reward[0], EveryCase(at_least=0.0),
    ),
    Claim(
        "optimistic-about-what-the-policy-neglects", TOPIC,
        "CQL raises those actions of the data that the policy takes less often than the data, and lowers the others: "
        "by alpha / 2 (1 - pi / beta).", "derived; CQL paper, theorem 3.2",
        "Q - true value - alpha / 2 (1 - pi / beta) of the two actions",
        lambda: tutorial_tables()[0] - TUTORIAL.reward[0] - torch.tensor([-30.0, 30.0], dtype=torch.float64),
        EveryCase(-1e-8, 1e-8),
        corrects="optimistic-about-data",
    ),
    Claim(
        "the-push-down-is-unbounded", TOPIC,
        "CQL's push-down has no end.", UNLEARNING,
        "fall of Q per unit step after 200 steps; an action with data, one without (alpha 1, expectation form)",
        lambda: falling_speeds()[:2], EveryCase(at_least=1e-3),
    ),
    Claim(
        "unbounded-without-data-only", TOPIC,
        "It has no end for actions without data, in the expectation form at constant speed; the value of an action "
        "with data comes to rest.", "derived",
        "fall per unit step: without data after 400 relative to 200 steps; 1 + fall of an action with data",
        lambda: (falling_speeds()[2] / falling_speeds()[1], 1.0 + falling_speeds()[0]), EveryCase(1 - 1e-9, 1 + 1e-9),
        corrects="the-push-down-is-unbounded",
    ),
    Claim(
        "own-policy-below-behaviour", TOPIC,
        "CQL puts the value of the policy it learns below the value of the behaviour policy.", UNLEARNING,
        "max_a Q(s, a) - V_mu(s), converged tables with max backup; all states of 10 problems, alpha 1 and 5",
        own_policy_above_behaviour, EveryCase(at_most=0.0),
    ),
    Claim(
        "own-policy-calibrated-in-a-table", TOPIC,
        "A converged table of CQL is calibrated for its own greedy policy: the push-up of a state equals its "
        "push-down, so max_a Q >= mean of Q over the data >= the behaviour policy's backup of max_a Q.", "derived",
        "max_a Q(s, a) - V_mu(s), converged tables with max backup; all states of 10 problems, alpha 1 and 5",
        own_policy_above_behaviour, EveryCase(at_least=-1e-7), corrects="own-policy-below-behaviour",
    ),
    Claim(
        "push-up-balances-push-down", TOPIC,
        "Without a floor the regulariser moves no state's mean: Q of the data's actions equals its Bellman target on "
        "average (any critic with a free constant obeys the same over all data).", "derived",
        "mean of Q - target over the data's actions; all states of 10 problems, both forms, alpha 1 and 5",
        mean_bias_of_data_actions, EveryCase(-1e-7, 1e-7),
    ),
    Claim(
        "the-scale-sinks-with-a-lagging-policy", TOPIC,
        "CQL's values sink below the returns where the policy that is backed up takes actions with values below the "
        "data's: mean Q falls short of V_mu by discount / (1 - discount) times that gap.", "derived",
        "mean Q - V_mu - 9 (Q of the policy - mean Q), one state that follows itself, discount 0.9, alpha 1, 3, 10",
        lambda: torch.sub(*scale_of_a_lagging_policy()), EveryCase(-1e-6, 1e-6),
    ),
    Claim(
        "the-scale-sinks", TOPIC,
        "CQL's values come to lie on another scale than the returns.", "tutorial, scale mismatch",
        "mean Q - V_mu for a policy that lags behind the values, discount 0.9, alpha 1, 3, 10",
        lambda: scale_of_a_lagging_policy()[0], EveryCase(at_most=-1.0),
    ),
    Claim(
        "a-floor-lifts-the-mean", TOPIC,
        "A floor above the values takes the push-down away but not the push-up: the data's values exceed their targets "
        "by up to alpha / 2.", "derived",
        "mean of Q - target over the data's actions in units of alpha / 2; 3 sets of problems, floor V_mu + dose x "
        "its range, doses 0.25, 0.5, 1, alpha 1",
        lift_of_a_floor, EveryCase(-1e-7, 1.0 + 1e-7),
    ),
)  # fmt: skip
