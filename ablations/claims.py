"""The claims about runs, written down before the runs: what the tutorial and the papers say, and how numbers decide.

A measure takes the frame of `results.verdicts.per_run`: a row per finished run, with its settings, the numbers of its
summary, and every number of its evaluation at the switch ("switch.q_policy") and of its last one ("end.q_policy").
"""

import pandas as pd

from ablations.claim import Claim
from ablations.decision import Difference, DoseResponse, Equivalence, Level, NonInferiority

SCALE, TUNING, LEARNED, INFLATION, CUT = (
    "Scale of the values",
    "Fine-tuning",
    "A learned floor",
    "An inflated floor",
    "Naive truncation",
)

# Of a success rate: two of the twenty episodes of an evaluation.
MARGIN = 0.1

DOSES = ("deflated_0.25", "monte_carlo", "inflated_0.25", "inflated_0.5", "inflated_1")
UNINFLATED_AND_INFLATED = DOSES[1:]


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


OF_BEHAVIOUR = "mean V_mu over the probe transitions at the switch (mapped return; exact V_mu, or else return-to-go)"
OF_CALIBRATION = f"mean Q(s, pi(s)) - {OF_BEHAVIOUR}"
OF_UNIFORM = f"mean Q(s, a) of uniformly random actions - {OF_BEHAVIOUR}"
OF_BINDING = "share of sampled actions of the policy below the floor, mean over the last updates before the switch"
OF_REGRET = "regret_eval: 1 - mean score over the online phase (success rate)"
OF_FINAL = "score at the last evaluation (success rate)"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "cql-scale-mismatch", SCALE,
        "CQL's values end offline training below the returns of the data.", "tutorial, Cal-QL: the problem",
        OF_CALIBRATION, calibration, Level(("cql",), "below"),
    ),
    Claim(
        "cal-ql-calibrated-scale", SCALE,
        "Cal-QL's values end offline training at or above the returns of the data.", "tutorial, Cal-QL: the solution",
        OF_CALIBRATION, calibration, Level(("monte_carlo",), "above"),
    ),
    Claim(
        "cal-ql-lower-bound", SCALE,
        "Cal-QL's values still lie below the true value of the policy.", "Cal-QL, abstract",
        "mean Q(s, pi(s)) - V_pi(s) of the run's own policy at the switch, where V_pi is known (mapped return)",
        lambda runs: runs["switch.overestimation_exact"], Level(("monte_carlo",), "below"),
    ),
    Claim(
        "cal-ql-smaller-dip", TUNING,
        "Cal-QL's score dips less after the switch than CQL's.", "tutorial, Cal-QL: the solution",
        "score at the switch - lowest evaluation in the dense window after it (success rate)",
        lambda runs: runs["dip"], Difference(("monte_carlo",), "cql", "below"),
    ),
    Claim(
        "cal-ql-lower-regret", TUNING,
        "Cal-QL loses less during fine-tuning than CQL.", "Cal-QL, abstract",
        OF_REGRET,
        lambda runs: runs["regret_eval"], Difference(("monte_carlo",), "cql", "below"),
    ),
    Claim(
        "cal-ql-final-score", TUNING,
        "Cal-QL ends fine-tuning no worse than CQL.", "tutorial, summary",
        OF_FINAL,
        lambda runs: runs["final_score"], NonInferiority("monte_carlo", "cql", MARGIN, better="above"),
    ),
    Claim(
        "learned-floor-scale", LEARNED,
        "With a learned floor, too, the values end offline training at or above the returns of the data.", "derived",
        OF_CALIBRATION, calibration, Level(("learned",), "above"),
    ),
    Claim(
        "learned-floor-score", LEARNED,
        "With a learned floor the final score is unaltered.", "tutorial, Q&A 3 (Cal-QL, 7.3 and figure 9)",
        OF_FINAL,
        lambda runs: runs["final_score"], Equivalence("learned", "monte_carlo", MARGIN),
    ),
    Claim(
        "learned-floor-regret", LEARNED,
        "With a learned floor the regret is unaltered.", "tutorial, Q&A 3 (Cal-QL, 7.3 and figure 9)",
        OF_REGRET,
        lambda runs: runs["regret_eval"], Equivalence("learned", "monte_carlo", MARGIN),
    ),
    Claim(
        "inflation-binds", INFLATION,
        "The higher the floor, the more of the policy's actions lie below it.", "tutorial, Q&A 3",
        OF_BINDING,
        lambda runs: runs["switch.bound_rate_current"], DoseResponse(DOSES, "rises"),
    ),
    Claim(
        "inflation-lifts-unseen-actions", INFLATION,
        "The higher the floor, the more actions outside the data are over-estimated.", "tutorial, Q&A 3",
        OF_UNIFORM,
        uniform_excess, DoseResponse(DOSES, "rises"),
    ),
    Claim(
        "inflation-overestimates", INFLATION,
        "The higher the floor, the more the policy's own value is over-estimated.", "tutorial, Q&A 3",
        "mean Q(s, pi(s)) - V_pi(s) of the run's own policy at the switch, where V_pi is known (mapped return)",
        lambda runs: runs["switch.overestimation_exact"], DoseResponse(DOSES, "rises"),
    ),
    Claim(
        "inflation-costs-score", INFLATION,
        "The higher an inflated floor, the lower the score.", "derived",
        "score at the switch (success rate)",
        lambda runs: runs["offline_score"], DoseResponse(UNINFLATED_AND_INFLATED, "falls"),
    ),
    Claim(
        "every-dose-costs-score", INFLATION,
        "Every dose of inflation lowers the score.", "derived",
        "score at the switch (success rate)",
        lambda runs: runs["offline_score"], Difference(DOSES[2:], "monte_carlo", "below"),
    ),
    Claim(
        "inflation-is-acceptable", INFLATION,
        "Over-estimation by a floor that is too high does no harm to fine-tuning: the regret is no worse than CQL's.",
        "tutorial, Q&A 3",
        OF_REGRET,
        lambda runs: runs["regret_eval"], NonInferiority("inflated_1", "cql", MARGIN, better="below"),
    ),
    Claim(
        "naive-truncation-inflates", CUT,
        "The naive sum of cut trajectories is an inflated floor.", "reference of the implementations, return-to-go",
        "mean floor - V_mu over the probe transitions, where V_mu is known (mapped return)",
        lambda runs: runs["switch.floor_error"], Level(("naive_truncation",), "above"),
    ),
    Claim(
        "naive-truncation-binds", CUT,
        "Naive truncation acts as an inflated floor: more of the policy's actions lie below it than below the truth.",
        "derived",
        OF_BINDING,
        lambda runs: runs["switch.bound_rate_current"], Difference(("naive_truncation",), "exact", "above"),
    ),
    Claim(
        "naive-truncation-lifts-unseen-actions", CUT,
        "Naive truncation acts as an inflated floor: actions outside the data have higher values than with the truth.",
        "derived",
        OF_UNIFORM,
        uniform_excess, Difference(("naive_truncation",), "exact", "above"),
    ),
    Claim(
        "naive-truncation-costs-score", CUT,
        "Naive truncation acts as an inflated floor: the score is lower than with the truth.", "derived",
        "score at the switch (success rate)",
        lambda runs: runs["offline_score"], Difference(("naive_truncation",), "exact", "below"),
    ),
)  # fmt: skip
