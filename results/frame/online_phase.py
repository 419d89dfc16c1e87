"""What the online phase did to the score of a run, against its score at the end of the offline phase.

Both numbers average over all evaluations of the online phase. The lowest evaluation does not: the minimum of several
noisy numbers is low without any effect, and the lower the more evaluations there are.
"""

import numpy as np
import pandas as pd

# Number of offline evaluations, the last of which is the switch, whose mean is the baseline.
BASELINE_EVALUATIONS = 2

COLUMNS = ("baseline_score", "online_change", "area_below")


def online_phase(evaluations: pd.DataFrame) -> pd.DataFrame:
    """One row per run, by its id: the columns `COLUMNS`; `evaluations` is the frame of this name.

    baseline_score: mean score of the last two offline evaluations, or of the only one.
    online_change: mean score over the online evaluations - baseline_score, signed.
    area_below: mean depth of the score below the baseline over the online phase, by the trapezoidal rule over
        environment steps from the switch, at which the score counts as the baseline; at least 0.

    The last two are NaN without an online evaluation.
    """
    ordered = evaluations.sort_values(["run", "step"], kind="stable")
    offline, online = ordered[ordered["step"] <= 0], ordered[ordered["step"] > 0]
    baseline = offline.groupby("run").tail(BASELINE_EVALUATIONS).groupby("run")["score"].mean()
    areas = {
        run: _area_below(rows["step"].to_numpy(), rows["score"].to_numpy() - baseline[run])
        for run, rows in online.groupby("run")
    }
    table = pd.DataFrame({
        "baseline_score": baseline,
        "online_change": online.groupby("run")["score"].mean() - baseline,
        "area_below": pd.Series(areas, dtype=float),
    })  # fmt: skip
    return table.astype(float)


def _area_below(steps: np.ndarray, changes: np.ndarray) -> float:
    """Mean of max(0, -change) over the online phase; `steps` and `changes` [K], without the switch."""
    depth = np.maximum(0.0, -np.concatenate([[0.0], changes]))
    return float(np.trapezoid(depth, np.concatenate([[0.0], steps])) / steps[-1])
