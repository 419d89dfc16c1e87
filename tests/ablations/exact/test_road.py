"""Tuning recovers the best dose of inflation on the winding road, where the best dose is known exactly.

Q-values of actions without data converge to the floor. The best dose brings the floor V_mu closest to Q*, the true
values of these actions under the optimal policy.
"""

from functools import cache

import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import InMemoryStorage

from ablations.exact.road import POSITIONS, road_values
from harness.environments.winding_road import ROAD
from harness.tuning.search import Search

# Actions per position, evenly spaced over their range.
ACTIONS = 41

# Search space and trials of a search.
SPACE = {"floor.inflation": FloatDistribution(-1.0, 1.0)}
TRIALS = 50


@cache
def gaps() -> np.ndarray:
    """Q* - V_mu for every position and action, in units of the range of V_mu."""
    values = road_values()
    states = np.repeat(POSITIONS, ACTIONS, axis=0)
    actions = np.tile(np.linspace(-1.0, 1.0, ACTIONS), len(POSITIONS))[:, None]
    floor = values.behaviour(states)
    return (values.action_values(ROAD.direction, states, actions) - floor) / np.ptp(floor)


def error_of(dose: float) -> float:
    """Root mean squared error of the inflated floor compared with Q*, in units of the range of V_mu."""
    return float(np.sqrt(np.mean((gaps() - dose) ** 2)))


def best_dose() -> float:
    """The dose with the smallest error: the mean gap."""
    return float(gaps().mean())


def tuned_dose(seed: int) -> float:
    """Best dose of a search that observes only the errors of its trials."""
    search = Search(InMemoryStorage(), "dose", SPACE, "minimize", seed)
    for _ in range(TRIALS):
        trial = search.ask(lambda settings: {})
        search.tell(trial.number, error_of(trial.params["floor.inflation"]))
    best = search.best()
    assert best is not None, "no trial has a value"
    return float(best.params["floor.inflation"])


def test_the_mean_gap_minimises_the_error():
    doses = np.linspace(-1.0, 1.0, 2001)
    errors = [error_of(dose) for dose in doses]
    assert doses[int(np.argmin(errors))] == pytest.approx(best_dose(), abs=1e-3)
    # The error that remains at every dose.
    assert min(errors) > 0.05


def test_nine_of_ten_searches_find_the_best_dose():
    tuned = [tuned_dose(seed) for seed in range(10)]
    assert sum(abs(dose - best_dose()) < 0.1 * best_dose() for dose in tuned) >= 9
    assert len(set(tuned)) == 10
