"""What claims measure of runs: numbers of the frame of `results.verdicts.per_run`, and what they are in words.

The frame has a row per finished run, with its settings, the numbers of its summary, and every number of its evaluation
at the switch ("switch.q_policy") and of its last one ("end.q_policy").
"""

import pandas as pd

# Of a success rate: two of the twenty episodes of an evaluation.
MARGIN = 0.1

OF_BEHAVIOUR = "mean V_mu over the probe transitions at the switch (mapped return; exact V_mu, or else return-to-go)"
OF_CALIBRATION = f"mean Q(s, pi(s)) - {OF_BEHAVIOUR}"
OF_UNIFORM = f"mean Q(s, a) of uniformly random actions - {OF_BEHAVIOUR}"
OF_BINDING = "share of sampled actions of the policy below the floor, mean over the last updates before the switch"
OF_OVERESTIMATION = (
    "mean Q(s, pi(s)) - V_pi(s) of the run's own policy at the switch, where V_pi is known (mapped return)"
)
OF_OFFLINE = "score at the switch (success rate)"
OF_DIP = "score at the switch - lowest evaluation in the dense window after it (success rate)"
OF_REGRET = "regret_eval: 1 - mean score over the online phase (success rate)"
OF_FINAL = "score at the last evaluation (success rate)"


def behaviour_value(runs: pd.DataFrame) -> pd.Series:
    """V_mu, mean over the probe transitions: exact where it is known, elsewhere the data's return-to-go."""
    exact = runs["switch.q_policy"] - runs["switch.calibration_exact"]
    return exact.fillna(runs["switch.return_to_go"])


def calibration(runs: pd.DataFrame) -> pd.Series:
    """Q(s, pi(s)) - V_mu at the switch, mean over the probe transitions."""
    return runs["switch.q_policy"] - behaviour_value(runs)


def uniform_excess(runs: pd.DataFrame) -> pd.Series:
    """The same of uniformly random actions, which the data do not have."""
    return runs["switch.q_uniform"] - behaviour_value(runs)


def binding(runs: pd.DataFrame) -> pd.Series:
    """Share of the policy's actions below the floor."""
    return runs["switch.bound_rate_current"]


def overestimation(runs: pd.DataFrame) -> pd.Series:
    """Q(s, pi(s)) - V_pi, NaN where the task's values are not known."""
    return runs["switch.overestimation_exact"]


def offline_score(runs: pd.DataFrame) -> pd.Series:
    """Score at the switch."""
    return runs["offline_score"]


def dip(runs: pd.DataFrame) -> pd.Series:
    """What is lost right after the switch."""
    return runs["dip"]


def regret(runs: pd.DataFrame) -> pd.Series:
    """What is lost over the online phase."""
    return runs["regret_eval"]


def final_score(runs: pd.DataFrame) -> pd.Series:
    """Score at the end."""
    return runs["final_score"]
