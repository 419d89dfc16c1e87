"""The arms: a name and the settings it changes. Those of implementations stand in implementations.py."""

from ablations.implementations import IMPLEMENTATIONS, SWITCHES, Settings
from harness.errors import UserError
from harness.settings import Run, with_settings

# What stands below the push-down.
FLOOR_ARMS: dict[str, Settings] = {
    "cql": {"floor.base": "none"},
    "monte_carlo": {"floor.base": "monte_carlo"},
    "learned": {"floor.base": "learned"},
    "learned_online": {"floor.base": "learned", "floor.keeps_learning": True},
    "exact": {"floor.base": "exact"},
    "deflated_0.25": {"floor.base": "monte_carlo", "floor.inflation": -0.25},
    "inflated_0.1": {"floor.base": "monte_carlo", "floor.inflation": 0.1},
    "inflated_0.25": {"floor.base": "monte_carlo", "floor.inflation": 0.25},
    "inflated_0.5": {"floor.base": "monte_carlo", "floor.inflation": 0.5},
    "inflated_1": {"floor.base": "monte_carlo", "floor.inflation": 1.0},
    "noisy_0.1": {"floor.base": "monte_carlo", "floor.noise": 0.1},
    "noisy_0.25": {"floor.base": "monte_carlo", "floor.noise": 0.25},
    "noisy_0.5": {"floor.base": "monte_carlo", "floor.noise": 0.5},
    # The largest return where every step costs: a floor that knows nothing of the state.
    "constant_0": {"floor.base": "constant", "floor.constant": 0.0},
    "constant_mean": {"floor.base": "mean_return"},
    "naive_truncation": {"floor.base": "monte_carlo", "floor.truncation": "sum"},
    "calibrated_offline": {"floor.base": "monte_carlo", "floor.active_online": False},
}

# The push-down above a Monte Carlo floor, in other ways.
PUSH_DOWNS: dict[str, Settings] = {
    "uniform_floor": {"floor.base": "monte_carlo", "algorithm.floor_uniform": True},
    "expectation": {"floor.base": "monte_carlo", "algorithm.form": "expectation"},
}

# What the others are held against: neither push-down nor push-up (SAC on both kinds of data), and a policy that copies
# the data's actions to the end, with the critic of its own value.
REFERENCE_LINES: dict[str, Settings] = {
    "no_push_down": {"floor.base": "none", "algorithm.alpha": 0.0},
    "behaviour_cloning": {
        "floor.base": "none", "algorithm.alpha": 0.0, "algorithm.policy_objective": "cloning",
        "schedule.mixing_ratio": 1.0,
    },
}  # fmt: skip

ARMS: dict[str, Settings] = {**FLOOR_ARMS, **PUSH_DOWNS, **REFERENCE_LINES, **IMPLEMENTATIONS, **SWITCHES}


def with_arm(run: Run, arm: str) -> Run:
    """The run with an arm's name and changes."""
    if arm not in ARMS:
        raise UserError(f"arm {arm!r}: there is no such arm; one of {', '.join(ARMS)}")
    return with_settings(run, {"arm": arm, **ARMS[arm]}, source=f"arm {arm}")
