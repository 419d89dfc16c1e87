"""Synthetic frames of the exact lab, for tests of its figures and its page."""

from itertools import product

import numpy as np
import pandas as pd
from scipy.stats import norm


def max_operation() -> pd.DataFrame:
    """Two actions, the other one at -9; a floor of -10, Monte Carlo returns normal with deviation 5."""
    value = np.linspace(-40, 0, 401)
    passing = {"none": np.ones_like(value), "exact": (value > -10).astype(float),
               "Monte Carlo": norm.cdf(value, -10, 5)}  # fmt: skip
    shares = {"expectation": np.ones_like(value), "soft maximum": 1 / (1 + np.exp(-9 - value))}
    parts = [
        pd.DataFrame({"form": form, "floor": floor, "value": value, "gradient": shares[form] * passing[floor]})
        for form, floor in product(shares, passing)
    ]
    frame = pd.concat(parts, ignore_index=True)
    frame.attrs["problem"] = "Two actions, the other one at -9; returns of the data normal with deviation 5."
    return frame


def floor_dose() -> pd.DataFrame:
    """A walk of six states; the policy needs half the behaviour policy's steps; the floor rises by up to its range."""
    rows = []
    for dose, state in product(np.linspace(0, 1, 21), range(6)):
        behaviour, policy = -2.0 * (6 - state), -1.0 * (6 - state)
        floor = behaviour + dose * 12
        stopping = max(floor, policy)
        value = min(max(floor, behaviour + 0.2 * (policy - behaviour)), stopping)
        rows.append((dose, state, value, floor, policy, behaviour, stopping))
    columns = ["dose", "state", "value", "floor", "policy_value", "behaviour_value", "stopping_value"]
    return pd.DataFrame(rows, columns=columns)


def monte_carlo_bias() -> pd.DataFrame:
    """Normal returns: E max(q, G) - q is deviation / sqrt(2 pi) at q = E G."""
    rows = [
        (deviation, ratio, deviation / np.sqrt(2 * np.pi), deviation * norm.ppf(min(1 / (1 + ratio), 0.6)))
        for deviation, ratio in product(np.linspace(0, 8, 17), (0.5, 1.0, 2.0, 4.0))
    ]
    return pd.DataFrame(rows, columns=["deviation", "ratio", "loss_bias", "value_shift"])


def unlearning() -> pd.DataFrame:
    """The good action is worth -5 and the tried one -10; CQL begins at -35, Cal-QL at -2."""
    time = np.arange(0, 10, 0.05)
    parts = []
    for algorithm, start in (("CQL", -35.0), ("Cal-QL", -2.0)):
        good = -5 + (start + 5) * np.exp(-time / 4.5)
        tried = -10 + (start - 1 + 10) * np.exp(-time / 0.75)
        worth = np.where(good >= tried, -5.0, -10.0)
        parts.append(pd.DataFrame({"algorithm": algorithm, "time": time, "good": good, "tried": tried,
                                   "policy_value": worth}))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def switch_data() -> pd.DataFrame:
    """Unlearning below a share of offline data that rises with alpha; none with the regulariser off."""
    rows = [
        (algorithm, alpha, regulariser, share, 60.0 * (regulariser == "on" and share < alpha / 40), alpha / 40)
        for algorithm, alpha, regulariser, share in product(
            ("CQL", "Cal-QL"), (1.0, 5.0, 20.0), ("on", "off"), np.linspace(0, 1, 9)
        )
    ]
    return pd.DataFrame(rows, columns=["algorithm", "alpha", "regulariser", "share", "wrong_time", "threshold"])


def switch_scale() -> pd.DataFrame:
    """The regulariser unlearns at any shift, a low scale only without offline data."""
    rows = [
        (algorithm, regulariser, share, shift, 60.0 * (regulariser == "on" or (share == 0 and shift < -4)))
        for algorithm, regulariser, share, shift in product(
            ("CQL", "Cal-QL"), ("on", "decayed", "off"), (0.0, 0.25, 0.5), (-40.0, -5.0, 0.0, 10.0)
        )
    ]
    return pd.DataFrame(rows, columns=["algorithm", "regulariser", "share", "shift", "wrong_time"])


def floor_estimators() -> pd.DataFrame:
    """The mean has no bias, a high expectile the largest; TD(lambda) falls from 1 to 0.75."""
    biases = [(name, state, bias) for name, bias in (("expectile 0.5", 0.0), ("median", 0.4), ("expectile 0.9", 2.5))
              for state in range(8)]  # fmt: skip
    errors = pd.DataFrame({"td_lambda": np.linspace(0, 1, 11), "error": 1 - 0.25 * np.linspace(0, 1, 11)})
    return pd.concat([pd.DataFrame(biases, columns=["estimator", "state", "bias"]), errors], ignore_index=True)


def inflation_kinds() -> pd.DataFrame:
    """The strong regulariser follows the floor, the weak one lies half as high above it."""
    added = {"everywhere": [1.0] * 4, "near the goal": [0.0, 0.0, 1.0, 1.0], "1/2 (V* - V_mu)": [1.0, 0.8, 0.6, 0.2],
             "value of a worse policy": [-1.0, -2.0, -2.0, -1.0]}  # fmt: skip
    rows = [
        (kind, alpha, state, excess, excess if alpha > 1 else max(excess / 2, 0.0))
        for (kind, of_kind), alpha in product(added.items(), (1.0, 40.0))
        for state, excess in enumerate(of_kind)
    ]
    return pd.DataFrame(rows, columns=["kind", "alpha", "state", "excess", "rise"])


def truncation() -> pd.DataFrame:
    """Reward -1, discount 0.99, V_mu -60: a cut trajectory counts as -100, as its sum, or as the truth."""
    steps = np.arange(0, 301, 5)
    going = 0.99**steps
    errors = {"failure rule": -40 * going, "sum": 60 * going, "bootstrap": 0 * going}
    return pd.concat([pd.DataFrame({"rule": rule, "steps_left": steps, "error": error})
                      for rule, error in errors.items()], ignore_index=True)  # fmt: skip


def regret_split() -> pd.DataFrame:
    """CQL's values are too low, an inflated floor's too high, a Monte Carlo floor's between."""
    iteration = np.arange(40)
    parts = []
    for arm, (mis, over) in {"cql": (6, -4), "monte_carlo": (1.5, -0.5), "inflated_1": (-3, 5)}.items():
        decay = np.cumsum(np.exp(-iteration / 12))
        parts.append(pd.DataFrame({"arm": arm, "iteration": iteration, "miscalibration": mis * decay,
                                   "overestimation": over * decay}))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


FRAMES = (
    max_operation, floor_dose, inflation_kinds, monte_carlo_bias, unlearning, switch_data, switch_scale,
    floor_estimators, truncation, regret_split,
)  # fmt: skip


def frames() -> dict[str, pd.DataFrame]:
    """Every frame by the name of its figure."""
    return {frame.__name__: frame() for frame in FRAMES}
