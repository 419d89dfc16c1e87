"""What each kind of inflation does to the learned values: a floor that is wrong everywhere, somewhere, or per state.

The floors are those of training (`algorithms/inflation.py`) with the base V_mu, a number per state. The learned values
are fixed points of the expectation form.
"""

from functools import cache

import pandas as pd
import torch
from torch import Tensor

from ablations.claim import Claim, EveryCase
from ablations.exact.conservatism import better_policies
from ablations.exact.problems import FiniteProblem, action_value, greedy, optimal_value, policy_value, stopping_value
from ablations.exact.scale import small_problems
from ablations.exact.tabular import CriticTables, Rows, expectation
from algorithms.inflation import INFLATIONS, DatasetStatistics, InflationInputs, uncorrelated
from algorithms.settings import FloorSettings, InflationKind

TOPIC = "Kinds of inflation"

# Dose of every kind, as a share of the range of V_mu.
DOSE = 0.25
# Weights of the regulariser; with the strong one, every value rests on its floor.
STRONG = 40.0
ALPHAS = (1.0, 5.0, STRONG)

# Share of the behaviour policy's actions that a stale floor's policy replaces by its worst or best ones.
STALE = 0.5

# Place of the chain among the problems.
CHAIN = 1

EVERYWHERE = "everywhere"
LOCAL = ("rare states", "near the goal")
NOWHERE_HIGHER = ("capped", "stretched", *LOCAL)
ERRORS = ("uncorrelated error", "error, high at high values", "error, high at low values")
GAPS = ("1/4 (V* - V_mu)", "1/2 (V* - V_mu)", "V* - V_mu")
TWICE = "2 (V* - V_mu)"
WORSE, BETTER = "value of a worse policy", "value of a better policy"


def discounted_visits(problem: FiniteProblem) -> Tensor:
    """Discounted visits [S] of the behaviour policy from a uniformly random state."""
    transition = torch.einsum("sa,saz->sz", problem.behaviour, problem.transition)
    identity = torch.eye(problem.states, dtype=torch.float64)
    return torch.linalg.solve((identity - problem.discount * transition).T, torch.ones_like(transition[0]))


def mixed_with(problem: FiniteProblem, policy: Tensor) -> Tensor:
    """The value of the behaviour policy with a share `STALE` of another policy's [S, A] actions."""
    return policy_value(problem, (1.0 - STALE) * problem.behaviour + STALE * policy)


def floors(problem: FiniteProblem) -> dict[str, Tensor]:
    """The floor [S] of every kind of inflation, after that of the kind "exact", V_mu.

    A state is the rarer the fewer visits it has. Stale floors are values of a policy that takes the worst or the best
    action by Q_mu in half of all steps, so they lie below or above V_mu in every state.
    """
    value = policy_value(problem, problem.behaviour)
    rare = -discounted_visits(problem)
    gap = optimal_value(problem) - value
    error = uncorrelated(torch.randn(problem.states, generator=torch.Generator().manual_seed(0)), value).double()

    def inflated(kind: InflationKind, inflation: float = DOSE, correlation: float = 0.0) -> Tensor:
        settings = FloorSettings(inflation=inflation, inflation_kind=kind, error_correlation=correlation)
        statistics = DatasetStatistics.of(settings, value, value, rare)
        return INFLATIONS[kind](InflationInputs(settings, value, value, statistics, rare, error, gap))

    values = action_value(problem, value)
    return {
        "exact": value,
        EVERYWHERE: inflated("additive"),
        "capped": inflated("capped"),
        "stretched": inflated("multiplicative"),
        "rare states": inflated("rare_states"),
        "near the goal": inflated("near_goal"),
        **{
            name: inflated("correlated_error", correlation=correlation)
            for name, correlation in zip(ERRORS, (0.0, 0.8, -0.8), strict=True)
        },
        # Training caps these at the largest return-to-go that occurs; V_mu, a mean, has no such bound.
        **{name: value + share * gap for name, share in zip((*GAPS, TWICE), (0.25, 0.5, 1.0, 2.0), strict=True)},
        WORSE: mixed_with(problem, greedy(-values)),
        BETTER: mixed_with(problem, greedy(values)),
    }


@cache
def learned(kinds: tuple[str, ...] | None = None, optimal: bool = False) -> pd.DataFrame:
    """Fixed points with the floors of some or all kinds, for a policy in every problem.

    The policy is the greedy one of the behaviour policy's values, or the `optimal` one. Columns: kind, alpha, problem,
    state, floor, value (E_pi[Q]), pushed and free (Bellman backup of the values, with and without the push-down),
    policy_value, optimal_value; excess and rise (floor and value minus those of the kind "exact"); reach (how far the
    positive part of the excess spreads).
    """
    parts = []
    for number, problem in enumerate(small_problems()):
        policy = greedy(action_value(problem, optimal_value(problem))) if optimal else better_policies(problem)[0]
        rows = Rows.of(problem)
        of_kinds = {
            kind: floor for kind, floor in floors(problem).items() if kinds is None or kind in ("exact", *kinds)
        }
        floor = torch.stack(list(of_kinds.values()))
        alpha = torch.tensor(ALPHAS, dtype=torch.float64).repeat_interleave(len(floor))
        tables = CriticTables(problem, expectation(policy), alpha, floor.repeat(len(ALPHAS), 1)[:, rows.states])
        value = (policy * tables.converge()).sum(-1).view(len(ALPHAS), len(floor), -1)
        backup = (policy * action_value(problem, value)).sum(-1)
        half = torch.tensor(ALPHAS, dtype=torch.float64).view(-1, 1, 1) / 2
        excess = floor - floor[0]
        columns = {
            "floor": floor,
            "value": value,
            "pushed": backup - half * (1.0 / (policy * problem.behaviour).sum(-1) - 1.0),
            "free": backup + half,
            "policy_value": policy_value(problem, policy),
            "optimal_value": optimal_value(problem),
            "excess": excess,
            "rise": value - value[:, :1],
            "reach": torch.stack([reach(problem, policy, payoff) for payoff in excess.clamp(min=0.0)]),
        }
        index = pd.MultiIndex.from_product((ALPHAS, of_kinds, range(problem.states)), names=("alpha", "kind", "state"))
        frame = pd.DataFrame({name: column.expand_as(value).flatten() for name, column in columns.items()}, index=index)
        parts.append(frame.reset_index().assign(problem=number))
    return pd.concat(parts, ignore_index=True)


def reach(problem: FiniteProblem, policy: Tensor, excess: Tensor) -> Tensor:
    """W [S] = max(excess, discount P_pi W): how far an excess [S] of at least 0 spreads through the backup."""
    without_rewards = FiniteProblem(problem.transition, torch.zeros_like(problem.reward), problem.discount, policy)
    return stopping_value(without_rewards, policy, excess)


def distance_from_the_clipped_floor() -> pd.Series:
    """E_pi[Q] minus the floor clipped to what the Bellman backup gives with and without the push-down."""
    frame = learned()
    return frame["value"] - frame["floor"].clip(frame["pushed"], frame["free"])


def of_kinds(kinds: tuple[str, ...], *alphas: float) -> pd.DataFrame:
    """The rows of some kinds in `learned`, at all weights or some."""
    frame = learned()
    return frame[frame["kind"].isin(kinds) & frame["alpha"].isin(alphas or ALPHAS)]


def excess_over_everywhere() -> pd.Series:
    """E_pi[Q] of every kind that is nowhere higher minus that of inflation everywhere."""
    cases = ["alpha", "problem", "state"]
    everywhere = of_kinds((EVERYWHERE,)).set_index(cases)["value"]
    return of_kinds(NOWHERE_HIGHER).set_index([*cases, "kind"])["value"] - everywhere


def rise_outside(*alphas: float) -> pd.Series:
    """Rise of E_pi[Q] in states that are not inflated themselves, for inflation in rare states and near the goal."""
    frame = of_kinds(LOCAL, *alphas)
    return frame["rise"][frame["excess"] == 0]


def rise_upstream() -> Tensor:
    """Rise of E_pi[Q] over what the backup passes on, in states of the chain that are not inflated; alpha 1."""
    problem, frame = small_problems()[CHAIN], of_kinds(("near the goal",), ALPHAS[0])
    of_chain = frame[frame["problem"] == CHAIN]
    rise = torch.tensor(of_chain["rise"].to_numpy())
    policy = better_policies(problem)[0]
    passed = problem.discount * torch.einsum("sa,saz,z->s", policy, problem.transition, rise)
    return (rise / passed)[torch.tensor((of_chain["excess"] == 0).to_numpy())]


def mean_rise_from_errors(*alphas: float) -> pd.Series:
    """Mean rise of E_pi[Q] over the states by problem, weight and error."""
    return of_kinds(ERRORS, *alphas).groupby(["problem", "alpha", "kind"])["rise"].mean()


def excess_over_the_optimum(kinds: tuple[str, ...], *alphas: float) -> pd.Series:
    """E_pi[Q] - V* of the optimal policy."""
    frame = learned((*GAPS, TWICE, WORSE, BETTER), optimal=True)
    selected = frame[frame["kind"].isin(kinds) & frame["alpha"].isin(alphas or ALPHAS)]
    return selected["value"] - selected["optimal_value"]


def margins_of_stale_floors() -> pd.Series:
    """The smaller one of V_pi - E_pi[Q] and E_pi[Q] - floor, for the floor of a worse policy."""
    frame = of_kinds((WORSE,))
    return (frame["policy_value"] - frame["value"]).clip(upper=frame["value"] - frame["floor"])


def curve() -> pd.DataFrame:
    """The chain's floors and values by kind, for the smallest and the strong weight.

    Columns: kind, alpha, state, excess, rise.
    """
    frame = learned()
    shown = frame[
        (frame["problem"] == CHAIN)
        & frame["alpha"].isin((ALPHAS[0], STRONG))
        & ~frame["kind"].isin(("exact", GAPS[0], TWICE))
    ]
    shown = shown[["kind", "alpha", "state", "excess", "rise"]].reset_index(drop=True)
    value = floors(small_problems()[CHAIN])["exact"]
    shown.attrs["problem"] = (
        "A chain of 8 cells with its goal on the right, its greedy policy, expectation form, discount 0.9; a dose of "
        f"{DOSE:g} of the range of V_mu, {float(value.max() - value.min()):.1f}."
    )
    return shown


CASES = "all states of 10 problems, alpha 1, 5, 40"

CLAIMS = (
    Claim(
        "the-value-is-the-clipped-floor", TOPIC,
        "For a deterministic policy, whatever the floor, the learned value is the floor, clipped to the Bellman backup "
        "- alpha / 2 (1 / beta - 1) from below (CQL) and + alpha / 2 from above (no push-down).",
        "derived", f"E_pi[Q] - clipped floor, all floors; {CASES}",
        distance_from_the_clipped_floor, EveryCase(-1e-7, 1e-7),
    ),
    Claim(
        "less-inflation-raises-less", TOPIC,
        "Inflation that is capped, stretched, in rare states or near the goal raises no value above what the same dose "
        "raises it to everywhere.",
        "derived", f"E_pi[Q] - E_pi[Q] of inflation everywhere; {CASES}",
        excess_over_everywhere, EveryCase(at_most=1e-7),
    ),
    Claim(
        "inflation-spreads-by-the-discount", TOPIC,
        "Inflation spreads upstream through the backup and shrinks by the discount per step: no value rises by more "
        "than max(excess, discount x expected rise of the next state).",
        "derived", f"rise of E_pi[Q] - value of stopping once for the excess, all floors; {CASES}",
        lambda: learned()["rise"] - learned()["reach"], EveryCase(at_most=1e-7),
    ),
    Claim(
        "a-weak-regulariser-passes-inflation-on", TOPIC,
        "Where values lie above their floors, as with a weak regulariser, they rise by the whole discounted rise of "
        "the next state: inflation near the goal raises every value upstream.",
        "derived",
        "rise of E_pi[Q] / (discount x expected rise of the next state); 6 states of a chain that are not inflated "
        "themselves, alpha 1",
        rise_upstream, EveryCase(1 - 1e-6, 1 + 1e-6),
    ),
    Claim(
        "a-strong-regulariser-keeps-inflation-local", TOPIC,
        "With a strong regulariser, local inflation stays where it is, because every other value rests on its floor.",
        "derived", "rise of E_pi[Q] in states without inflation; all states of 10 problems, alpha 40",
        lambda: rise_outside(STRONG), EveryCase(-1e-7, 1e-7),
    ),
    Claim(
        "errors-of-mean-0-raise-values", TOPIC,
        "A floor that is right on average but wrong per state raises the mean value, because the maximum is convex.",
        "derived (Jensen)",
        "mean rise of E_pi[Q] over the states; 3 sets of problems, correlation with V_mu 0, 0.8, -0.8, alpha 1, 5, 40",
        mean_rise_from_errors, EveryCase(at_least=-1e-7),
    ),
    Claim(
        "errors-of-mean-0-cancel-on-the-floor", TOPIC,
        "Where every value rests on its floor, errors of mean 0 pass into the values one to one and leave their mean "
        "unchanged, whatever their correlation with V_mu. Only where the exact floor is inactive does their positive "
        "part prevail.",
        "derived", "mean rise of E_pi[Q] over the states; the same cases with alpha 40",
        lambda: mean_rise_from_errors(STRONG), EveryCase(-1e-6, 1e-6), corrects="errors-of-mean-0-raise-values",
    ),
    Claim(
        "floors-up-to-the-optimum-are-conservative", TOPIC,
        "A floor of up to V* never overestimates the optimal policy: V_mu plus a share of V* - V_mu of at most 1, or "
        "the value of any other policy.",
        "derived", f"E_pi[Q] - V*, optimal policy, 5 floors; {CASES}",
        lambda: excess_over_the_optimum((*GAPS, WORSE, BETTER)), EveryCase(at_most=1e-7),
    ),
    Claim(
        "floors-above-the-optimum-are-not", TOPIC,
        "With V_mu + 2 (V* - V_mu) as floor, every value exceeds V*.",
        "derived", f"E_pi[Q] - V*, optimal policy; {CASES}",
        lambda: excess_over_the_optimum((TWICE,)), EveryCase(at_least=0.1),
    ),
    Claim(
        "a-floor-of-a-worse-policy-is-calibrated", TOPIC,
        "A stale floor, the value of a worse policy than the data's, keeps E_pi[Q] between itself and V_pi.",
        "derived", f"min(V_pi - E_pi[Q], E_pi[Q] - floor); {CASES}",
        margins_of_stale_floors, EveryCase(at_least=-1e-7),
    ),
)  # fmt: skip
