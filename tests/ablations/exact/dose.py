"""The best dose of inflation on the winding road, which is known: a problem on which tuning can be held against truth.

Values without data come to rest at the floor. The dose looked for is the one that brings the floor V_mu nearest to
Q*, the values that such actions truly have when the best policy follows.
"""

from functools import cache

import numpy as np
from optuna.distributions import FloatDistribution
from optuna.storages import InMemoryStorage

from ablations.exact.road import POSITIONS, road_values
from harness.environments.winding_road import ROAD
from harness.tuning.search import Search

# Actions at every position, from one end of their range to the other.
ACTIONS = 41

# Doses that are searched, and trials of a search.
SPACE = {"floor.inflation": FloatDistribution(-1.0, 1.0)}
TRIALS = 50


@cache
def gaps() -> np.ndarray:
    """Q* - V_mu at every position and action, in units of the range of V_mu."""
    values = road_values()
    states = np.repeat(POSITIONS, ACTIONS, axis=0)
    actions = np.tile(np.linspace(-1.0, 1.0, ACTIONS), len(POSITIONS))[:, None]
    floor = values.behaviour(states)
    return (values.action_values(ROAD.direction, states, actions) - floor) / np.ptp(floor)


def error_of(dose: float) -> float:
    """Root of the mean squared distance between the inflated floor and Q*, in units of the range of V_mu."""
    return float(np.sqrt(np.mean((gaps() - dose) ** 2)))


def best_dose() -> float:
    """The dose with the smallest error: the mean gap."""
    return float(gaps().mean())


def tuned_dose(seed: int) -> float:
    """The dose that a search finds which is told the errors of its trials and nothing else."""
    search = Search(InMemoryStorage(), "dose", SPACE, "minimize", seed)
    for _ in range(TRIALS):
        trial = search.ask(lambda settings: {})
        search.tell(trial.number, error_of(trial.params["floor.inflation"]))
    best = search.best()
    assert best is not None, "every trial was told a value"
    return float(best.params["floor.inflation"])
