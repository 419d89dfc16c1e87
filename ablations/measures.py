"""The numbers that claims are about: descriptions and functions of the frame of `results.frame.per_run.per_run`.

That frame has a row per finished run with its settings, its summary, the change of its score online, and all metrics of
its evaluations at the switch ("switch.q_policy") and at the end ("end.q_policy").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# Of a success rate: two of the twenty episodes of an evaluation.
MARGIN = 0.1


@dataclass(frozen=True)
class Recorded:
    """A measure that is a column of the frame as it is; the range of its metric bounds the intervals of its mean."""

    column: str
    # Column that must be above 0 for the number to count, or "".
    condition: str = ""

    @property
    def metric(self) -> str:
        """The name in `harness.metrics.METRICS`: that of the column without "switch." and "end."."""
        return self.column.rpartition(".")[2]

    def __call__(self, runs: pd.DataFrame) -> pd.Series:
        return runs[self.column].where(runs[self.condition] > 0) if self.condition else runs[self.column]


def behaviour_value(runs: pd.DataFrame) -> pd.Series:
    """Mean V_mu over the probe transitions: exact where it is known, otherwise the data's return-to-go."""
    exact = runs["switch.q_policy"] - runs["switch.calibration_exact"]
    return exact.fillna(runs["switch.return_to_go"])


def calibration(runs: pd.DataFrame) -> pd.Series:
    """Q(s, pi(s)) - V_mu at the switch, mean over the probe transitions."""
    return runs["switch.q_policy"] - behaviour_value(runs)


def uniform_excess(runs: pd.DataFrame) -> pd.Series:
    """Q(s, a) - V_mu at the switch for uniformly random actions, which lie outside the data."""
    return runs["switch.q_uniform"] - behaviour_value(runs)


_V_MU = "mean V_mu over the probe transitions at the switch (scaled return; exact V_mu, otherwise return-to-go)"

CALIBRATION = (f"mean Q(s, pi(s)) - {_V_MU}", calibration)
UNIFORM_EXCESS = (f"mean Q(s, a) of uniformly random actions - {_V_MU}", uniform_excess)
BOUND_RATE = (
    "bound rate: share of sampled policy actions below the floor, mean over the last updates before the switch",
    Recorded("switch.bound_rate_current"),
)
# NaN where the task's values are not known.
OVERESTIMATION = (
    "mean Q(s, pi(s)) - V_pi(s) of the run's policy at the switch, where V_pi is known (scaled return)",
    Recorded("switch.overestimation_exact"),
)
FLOOR_ERROR = (
    "mean floor - V_mu over the probe transitions, where V_mu is known (scaled return)",
    Recorded("switch.floor_error"),
)


def q_change(runs: pd.DataFrame) -> pd.Series:
    """Q(s, pi(s)) at the end minus at the switch, mean over the probe transitions of the dataset."""
    return runs["end.q_policy"] - runs["switch.q_policy"]


Q_CHANGE = ("mean Q(s, pi(s)) at the end - at the switch, over the probe transitions (scaled return)", q_change)
OFFLINE_SCORE = ("score at the switch (success rate)", Recorded("offline_score"))
DIP = (
    "dip: score at the switch - lowest score in the dense evaluations after it (success rate)",
    Recorded("dip"),
)
# Only of runs that are evaluated at log-spaced steps: even spacing gives the first steps too little weight.
ONLINE_CHANGE = (
    "change online: mean score over the log-spaced online evaluations - mean of the last two offline ones (success "
    "rate)",
    Recorded("online_change", "schedule.log_spaced_evaluations"),
)


def end_change(runs: pd.DataFrame) -> pd.Series:
    """Score at the last evaluation minus the mean of the last two offline ones."""
    return (runs["end.score"] - runs["baseline_score"]).where(runs["schedule.log_spaced_evaluations"] > 0)


# Unlike the change online, it has no evaluations of a policy that a warm-up leaves as it was.
END_CHANGE = (
    "change at the end: score at the last evaluation - mean of the last two offline ones (success rate)",
    end_change,
)
REGRET = ("regret_eval: 1 - mean score over the online phase (success rate)", Recorded("regret_eval"))
FINAL_SCORE = ("score at the last evaluation (success rate)", Recorded("final_score"))
