"""The arms: a name and the settings it changes. Those of floors stand here, others in implementations.py."""

from typing import Any

from ablations.implementations import IMPLEMENTATIONS, SWITCHES
from harness.errors import UserError
from harness.settings import Run, with_settings

ARMS: dict[str, dict[str, Any]] = {
    "cql": {"floor.base": "none"},
    "monte_carlo": {"floor.base": "monte_carlo"},
    "learned": {"floor.base": "learned"},
    "exact": {"floor.base": "exact"},
    "deflated_0.25": {"floor.base": "monte_carlo", "floor.inflation": -0.25},
    "inflated_0.25": {"floor.base": "monte_carlo", "floor.inflation": 0.25},
    "inflated_0.5": {"floor.base": "monte_carlo", "floor.inflation": 0.5},
    "inflated_1": {"floor.base": "monte_carlo", "floor.inflation": 1.0},
    "noisy_0.25": {"floor.base": "monte_carlo", "floor.noise": 0.25},
    # The largest return where every step costs: a floor that knows nothing of the state.
    "constant_0": {"floor.base": "constant", "floor.constant": 0.0},
    "naive_truncation": {"floor.base": "monte_carlo", "floor.truncation": "sum"},
    **IMPLEMENTATIONS,
    **SWITCHES,
}


def with_arm(run: Run, arm: str) -> Run:
    """The run with an arm's name and changes."""
    if arm not in ARMS:
        raise UserError(f"arm {arm!r}: there is no such arm; one of {', '.join(ARMS)}")
    return with_settings(run, {"arm": arm, **ARMS[arm]}, source=f"arm {arm}")
