"""The exact lab's registry of claims and of the data behind its figures."""

import pandas as pd

from ablations.exact import (
    calibration,
    conservatism,
    estimators,
    inflation,
    monte_carlo,
    push_down,
    regret,
    road,
    scale,
    switch,
    truncation,
    unlearning,
)

MODULES = (
    push_down,
    scale,
    unlearning,
    switch,
    conservatism,
    calibration,
    inflation,
    monte_carlo,
    estimators,
    truncation,
    regret,
    road,
)

CLAIMS = tuple(claim for module in MODULES for claim in module.CLAIMS)


def curves() -> dict[str, pd.DataFrame]:
    """Return the data of each figure by the figure's name."""
    return {
        "max_operation": push_down.curve(),
        "unlearning": unlearning.curve(),
        "switch_data": switch.by_share(),
        "switch_scale": switch.by_shift(),
        "floor_dose": calibration.curve(),
        "inflation_kinds": inflation.curve(),
        "monte_carlo_bias": monte_carlo.curve(),
        "floor_estimators": estimators.curve(),
        "truncation": truncation.curve(),
        "regret_split": regret.curve(),
    }
