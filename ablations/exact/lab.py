"""The exact lab's registry of claims and of the data behind its figures."""

import pandas as pd

from ablations.exact import (
    calibration,
    conservatism,
    monte_carlo,
    push_down,
    regret,
    road,
    scale,
    truncation,
    unlearning,
)

MODULES = (push_down, scale, unlearning, conservatism, calibration, monte_carlo, truncation, regret, road)

CLAIMS = tuple(claim for module in MODULES for claim in module.CLAIMS)


def curves() -> dict[str, pd.DataFrame]:
    """Return the data of each figure by the figure's name."""
    return {
        "max_operation": push_down.curve(),
        "unlearning": unlearning.curve(),
        "floor_dose": calibration.curve(),
        "monte_carlo_bias": monte_carlo.curve(),
        "truncation": truncation.curve(),
        "regret_split": regret.curve(),
    }
