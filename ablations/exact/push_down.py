"""The effect of the floor on the push-down: the tutorial's scenarios with their numbers."""

from functools import cache
from math import exp, inf, log
from typing import Literal, get_args

import pandas as pd
import torch
from torch import Tensor

from ablations.claim import Claim, EveryCase
from ablations.exact.problems import chain, one_state, return_distribution
from ablations.exact.tabular import CriticTables, Masking, expectation, scalars, soft_maximum
from algorithms.critic_loss import CriticLoss, CriticLossForm, critic_loss

TOPIC = "The floor and the push-down"
CASE_2 = "tutorial, deep explanation of the max operation, case 2"
ABOVE = "tutorial, what if the floor is greater than the true value"

Form = Literal["expectation", "soft_maximum"]
FORMS: tuple[tuple[Form, Masking], ...] = (
    ("expectation", "per_action"),
    ("expectation", "expectation"),
    ("soft_maximum", "per_action"),
    ("soft_maximum", "expectation"),
)

# The tutorial's floor, which is also the value of the second action.
FLOOR = -10.0


def push_down(values: Tensor, floor: Tensor, form: Form, masking: Masking = "per_action") -> CriticLoss:
    """Critic loss with weight 1 of B states; n actions of pi(.|s) have `values` [B, n], the data action has value 0.

    Uniform actions and those of pi(.|s') have no weight; gradients are per state.
    """
    batch, n = values.shape
    columns = torch.cat((torch.zeros(batch, 1, dtype=torch.float64), values, values, values), dim=1)[None, None]
    density = torch.full((1, batch, 3 * n), inf, dtype=torch.float64)
    density[..., n : 2 * n] = 0.0
    zero = torch.zeros(1, batch, dtype=torch.float64)
    loss_form = CriticLossForm(form, True, False, masking)
    return critic_loss(columns, zero, density, floor[None], loss_form, scalars(torch.ones(1, dtype=torch.float64)))


def gradients(values: Tensor, floor: Tensor, form: Form, masking: Masking = "per_action") -> Tensor:
    """Gradient [B, n] of the push-down with respect to the values of `push_down`."""
    batch, n = values.shape
    return batch * push_down(values, floor, form, masking).gradient[0, 0, :, 1 + n : 1 + 2 * n]


def gradients_at(value: float, other: float = FLOOR) -> list[float]:
    """Gradient with respect to a value, floor -10, for both forms and maskings; a second action has value `other`."""
    values = torch.tensor([[value, other]], dtype=torch.float64)
    floor = torch.tensor([FLOOR], dtype=torch.float64)
    return [gradients(values, floor, form, masking)[0, 0].item() for form, masking in FORMS]


def change_below_the_floor() -> list[float]:
    """Change of the push-down term when Q falls from -35 to -40 with a floor of -10."""
    values, floor = torch.tensor([[-35.0], [-40.0]], dtype=torch.float64), torch.full((2,), FLOOR, dtype=torch.float64)
    terms = [push_down(values[[row]], floor[[row]], *form).difference for form in FORMS for row in (0, 1)]
    return (torch.stack(terms[1::2]) - torch.stack(terms[::2])).flatten().tolist()


def converged_value(start: float, floor: float, other: float, value: float) -> list[float]:
    """Converged value of an action without data, for both forms; the data's action has true value `other`."""
    problem = one_state([other, value], [1.0, 0.0])
    undecided = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    forms = (expectation(undecided), soft_maximum(problem))
    floors = torch.full((1, 8), floor, dtype=torch.float64)
    begin = torch.tensor([[[other, start]]], dtype=torch.float64)
    tables = [CriticTables(problem, form, torch.tensor([5.0], dtype=torch.float64), floors, begin) for form in forms]
    return [table.converge()[0, 0, 1].item() for table in tables]


def preference_for_the_good(alphas: tuple[float, ...]) -> list[float]:
    """Q(good) - Q(bad) after convergence; true values -2.5 and -5, floor -2, only the good action has data."""
    problem, weights = one_state([-2.5, -5.0], [1.0, 0.0]), torch.tensor(alphas, dtype=torch.float64)
    floors = torch.full((len(alphas), 8), -2.0, dtype=torch.float64)
    undecided = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    gaps = []
    for form in (expectation(undecided), soft_maximum(problem)):
        good, bad = CriticTables(problem, form, weights, floors).converge()[:, 0].unbind(-1)
        gaps += (good - bad).tolist()
    return gaps


@cache
def official_gradients() -> tuple[float, float, float]:
    """Gradients of the official loss for a uniform action, one of pi(.|s) and one of pi(.|s').

    All have density 1 and value -11; the floor is -10.
    """
    values = torch.tensor([[[[0.0, -11.0, -11.0, -11.0]]]], dtype=torch.float64)
    zero = torch.zeros(1, 1, dtype=torch.float64)
    floor = torch.full((1, 1), FLOOR, dtype=torch.float64)
    density, one = torch.zeros(1, 1, 3, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    form = CriticLossForm("soft_maximum", True, False)
    uniform, current, following = critic_loss(values, zero, density, floor, form, scalars(one)).gradient[0, 0, 0, 1:]
    return uniform.item(), current.item(), following.item()


def weight_of_floored_values() -> list[float]:
    """Decrease of the gradient at a value of -7 caused by a second action at -12, -20 or -35 that is floored at -10."""
    values = torch.tensor([[-7.0, other] for other in (-12.0, -20.0, -35.0)], dtype=torch.float64)
    with_floor, without = (
        gradients(values, torch.full((3,), floor, dtype=torch.float64), "soft_maximum")[:, 0] for floor in (FLOOR, -inf)
    )
    return (without - with_floor).tolist()


def distance_to_the_maximum() -> list[float]:
    """(soft maximum - maximum) / log(n) for 1,000 random sets of n = 2 to 20 values, on scales from 0.01 to 100."""
    rng = torch.Generator().manual_seed(0)
    shares = []
    for _ in range(1000):
        n = int(torch.randint(2, 21, (1,), generator=rng))
        scale = 10 ** (4 * torch.rand(1, generator=rng) - 2)
        values = (scale * torch.randn(1, n, generator=rng)).double()
        soft = push_down(values, torch.tensor([-inf], dtype=torch.float64), "soft_maximum").difference
        shares.append((soft - values.amax()).item() / log(n))
    return shares


def curve() -> pd.DataFrame:
    """Gradient of the push-down by value: without a floor, with a floor of -10, and with returns of mean -10.

    Columns: form, floor, value, gradient. In the soft maximum a second action has value -10.
    """
    grid = torch.linspace(-40.0, 0.0, 401, dtype=torch.float64)
    values = torch.stack((grid, torch.full_like(grid, FLOOR)), dim=1)
    walk = chain(6, slip=0.1, discount=0.95)
    returns, probabilities = return_distribution(walk, walk.behaviour, start=0)
    returns = returns * (FLOOR / (returns * probabilities).sum())
    parts = []
    for form in get_args(Form):
        # A single action in the expectation: more would only scale the gradient.
        actions = values if form == "soft_maximum" else values[:, :1]
        floors = {
            "none": [(-inf, 1.0)],
            "exact": [(FLOOR, 1.0)],
            "Monte Carlo": list(zip(returns, probabilities, strict=True)),
        }
        for name, weighted_floors in floors.items():
            gradient = torch.zeros_like(grid)
            for floor_value, probability in weighted_floors:
                gradient += probability * gradients(actions, torch.full_like(grid, float(floor_value)), form)[:, 0]
            columns = {"form": form.replace("_", " "), "floor": name, "value": grid, "gradient": gradient}
            parts.append(pd.DataFrame(columns))
    frame = pd.concat(parts, ignore_index=True)
    frame.attrs["problem"] = (
        "In the soft maximum a second action has value -10. Monte Carlo: the returns of a chain of 6 cells, scaled to "
        "mean -10."
    )
    return frame


CLAIMS = (
    Claim(
        "push-down-above-the-floor", TOPIC,
        "Above the floor (Q = -7, floor -10), the push-down remains active.",
        "tutorial, deep explanation of the max operation, case 1",
        "gradient of the push-down with respect to Q; both forms, floor on each action and on the expectation",
        lambda: gradients_at(-7.0), EveryCase(at_least=0.1),
    ),
    Claim(
        "no-push-down-below-the-floor", TOPIC,
        "Below the floor (Q = -35, floor -10), the push-down has zero gradient.", CASE_2,
        "gradient of the push-down with respect to Q; both forms, floor on each action and on the expectation",
        lambda: gradients_at(-35.0), EveryCase(0.0, 0.0),
    ),
    Claim(
        "the-loss-rests-below-the-floor", TOPIC,
        "Below the floor, the push-down term does not change when Q falls from -35 to -40.", CASE_2,
        "change of the push-down term; both forms, floor on each action and on the expectation",
        change_below_the_floor, EveryCase(0.0, 0.0),
    ),
    Claim(
        "falls-to-the-floor", TOPIC,
        "The Q-value of an action without data is pushed down from -7 to the floor of -10 and converges there.",
        "tutorial, deep explanation of the max operation, case 1",
        "converged Q; both forms", lambda: converged_value(-7.0, FLOOR, -5.0, -12.0), EveryCase(-10.0, -10.0),
    ),
    Claim(
        "rests-above-its-true-value", TOPIC,
        "With a floor of -2, the Q-value of a bad action without data (true value -5) is pushed down to -2 and no "
        "further.",
        ABOVE, "converged Q from 0; both forms",
        lambda: converged_value(0.0, -2.0, -2.5, -5.0), EveryCase(-2.0, -2.0),
    ),
    Claim(
        "the-floor-lifts", TOPIC,
        "Cal-QL raises the Q-value of a bad action to the floor.", ABOVE + ", error 2",
        "converged Q of an action without data, floor -2, from -20; both forms",
        lambda: converged_value(-20.0, -2.0, -2.5, -5.0), EveryCase(-2.0, -2.0),
    ),
    Claim(
        "the-floor-never-lifts", TOPIC,
        "The floor only stops the push-down: the Q-value of an action without data below the floor does not change.",
        "derived",
        "converged Q of an action without data, floor -2, from -20; both forms",
        lambda: converged_value(-20.0, -2.0, -2.5, -5.0), EveryCase(-20.0, -20.0), corrects="the-floor-lifts",
    ),
    Claim(
        "bad-is-not-preferred", TOPIC,
        "With a floor of -2 above the true values -2.5 (good, in the data) and -5 (bad, not in the data), the bad "
        "action is never preferred.",
        ABOVE + ", table",
        "Q(good) - Q(bad) after convergence; alpha 0.5, 1.5 and 5, both forms",
        lambda: preference_for_the_good((0.5, 1.5, 5.0)), EveryCase(at_least=0.0),
    ),
    Claim(
        "bad-is-not-preferred-if-the-push-up-reaches-the-floor", TOPIC,
        "The bad action is not preferred if alpha is at least twice the distance from the good action's true value to "
        "the floor (here 1), because the push-up then raises the good action to the floor.", "derived",
        "Q(good) - Q(bad) after convergence; alpha 1, 1.5, 5, 20, both forms",
        lambda: preference_for_the_good((1.0, 1.5, 5.0, 20.0)), EveryCase(at_least=-1e-9),
        corrects="bad-is-not-preferred",
    ),
    Claim(
        "the-regulariser-turns-off", TOPIC,
        "Once Q lies below the floor for every action, the push-down is inactive.", CASE_2,
        "gradients of the official loss for a uniform action and for actions of pi(.|s) and pi(.|s'); all at -11, "
        "floor -10",
        official_gradients, EveryCase(0.0, 0.0),
    ),
    Claim(
        "uniform-actions-know-no-floor", TOPIC,
        "In the official loss, uniform actions have no floor and remain pushed down with their softmax weight.",
        "official code; derived", "gradient for the uniform action - exp(-11) / (exp(-11) + 2 exp(-10)) (0.155)",
        lambda: [official_gradients()[0] - 1.0 / (1.0 + 2.0 * exp(1.0))], EveryCase(-1e-12, 1e-12),
        corrects="the-regulariser-turns-off",
    ),
    Claim(
        "values-at-the-floor-take-weight", TOPIC,
        "Values below the floor remain in the soft maximum as constants and take weight from the other actions.",
        "official code",
        "gradient at a value of -7 without a floor minus with a floor of -10; second value -12, -20, -35",
        weight_of_floored_values, EveryCase(at_least=0.04),
    ),
    Claim(
        "the-soft-maximum-is-nearly-the-maximum", TOPIC,
        "The logsumexp approximates the maximum: it exceeds it by at most the logarithm of the number of actions.",
        "tutorial, the CQL loss regularizer", "(logsumexp - maximum) / log(actions); 1,000 random sets of values",
        distance_to_the_maximum, EveryCase(-1e-9, 1.0 + 1e-9),
    ),
)  # fmt: skip
