"""Which settings decide whether a trial is good."""

import json
import warnings

import optuna
import pandas as pd
from optuna.distributions import json_to_distribution
from optuna.importance import PedAnovaImportanceEvaluator

from results.style import in_order
from results.tuning.ledger import SETTING, Ledger

# Complete trials of an arm below which nothing is said of its settings.
FEWEST = 10


def importance(ledger: Ledger) -> pd.DataFrame:
    """Importance of every setting within every arm with enough trials, summing to 1. Columns: arm, setting, importance.

    PED-ANOVA (Watanabe et al., IJCAI 2023): how far the densities of the settings of the best tenth of the trials lie
    from those of all. It needs two settings, and trials that differ.
    """
    rows = []
    for arm in in_order(ledger.arms):
        complete = ledger.complete(arm)
        if len(ledger.space) < 2 or len(complete) < FEWEST or complete["value"].nunique() < 2:
            continue
        weights = _importances(ledger, complete)
        rows += [{"arm": arm, "setting": path, "importance": weights[path]} for path in ledger.space]
    return pd.DataFrame(rows, columns=["arm", "setting", "importance"])


def _importances(ledger: Ledger, complete: pd.DataFrame) -> dict[str, float]:
    distributions = {path: json_to_distribution(json.dumps(each)) for path, each in ledger.space.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(direction=ledger.direction)
        for _, row in complete.iterrows():
            settings = {path: row[SETTING + path] for path in distributions}
            study.add_trial(optuna.trial.create_trial(params=settings, distributions=distributions, value=row["value"]))
        return optuna.importance.get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
