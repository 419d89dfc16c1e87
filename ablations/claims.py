"""The claims about runs, written down before the runs: what the tutorial and the papers say, and how numbers decide.

What the tutorial does not speak of (noise, constants, other forms of the push-down) stands in `study_claims.py`.
"""

from ablations.claim import Claim
from ablations.decision import Difference, DoseResponse, Equivalence, Level, NonInferiority
from ablations.measures import (
    MARGIN,
    OF_BINDING,
    OF_CALIBRATION,
    OF_DIP,
    OF_FINAL,
    OF_OFFLINE,
    OF_OVERESTIMATION,
    OF_REGRET,
    OF_UNIFORM,
    binding,
    calibration,
    dip,
    final_score,
    offline_score,
    overestimation,
    regret,
    uniform_excess,
)
from ablations.study_claims import STUDY_CLAIMS

SCALE, TUNING, LEARNED, INFLATION, CUT = (
    "Scale of the values",
    "Fine-tuning",
    "A learned floor",
    "An inflated floor",
    "Naive truncation",
)

DOSES = ("deflated_0.25", "monte_carlo", "inflated_0.1", "inflated_0.25", "inflated_0.5", "inflated_1")
UNINFLATED_AND_INFLATED = DOSES[1:]


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
        OF_OVERESTIMATION, overestimation, Level(("monte_carlo",), "below"),
    ),
    Claim(
        "cal-ql-smaller-dip", TUNING,
        "Cal-QL's score dips less after the switch than CQL's.", "tutorial, Cal-QL: the solution",
        OF_DIP, dip, Difference(("monte_carlo",), "cql", "below"),
    ),
    Claim(
        "cal-ql-lower-regret", TUNING,
        "Cal-QL loses less during fine-tuning than CQL.", "Cal-QL, abstract",
        OF_REGRET, regret, Difference(("monte_carlo",), "cql", "below"),
    ),
    Claim(
        "cal-ql-final-score", TUNING,
        "Cal-QL ends fine-tuning no worse than CQL.", "tutorial, summary",
        OF_FINAL, final_score, NonInferiority("monte_carlo", "cql", MARGIN, better="above"),
    ),
    Claim(
        "learned-floor-scale", LEARNED,
        "With a learned floor, too, the values end offline training at or above the returns of the data.", "derived",
        OF_CALIBRATION, calibration, Level(("learned",), "above"),
    ),
    Claim(
        "learned-floor-score", LEARNED,
        "With a learned floor the final score is unaltered.", "tutorial, Q&A 3 (Cal-QL, 7.3 and figure 9)",
        OF_FINAL, final_score, Equivalence("learned", "monte_carlo", MARGIN),
    ),
    Claim(
        "learned-floor-regret", LEARNED,
        "With a learned floor the regret is unaltered.", "tutorial, Q&A 3 (Cal-QL, 7.3 and figure 9)",
        OF_REGRET, regret, Equivalence("learned", "monte_carlo", MARGIN),
    ),
    Claim(
        "inflation-binds", INFLATION,
        "The higher the floor, the more of the policy's actions lie below it.", "tutorial, Q&A 3",
        OF_BINDING, binding, DoseResponse(DOSES, "rises"),
    ),
    Claim(
        "inflation-lifts-unseen-actions", INFLATION,
        "The higher the floor, the more actions outside the data are over-estimated.", "tutorial, Q&A 3",
        OF_UNIFORM, uniform_excess, DoseResponse(DOSES, "rises"),
    ),
    Claim(
        "inflation-overestimates", INFLATION,
        "The higher the floor, the more the policy's own value is over-estimated.", "tutorial, Q&A 3",
        OF_OVERESTIMATION, overestimation, DoseResponse(DOSES, "rises"),
    ),
    Claim(
        "inflation-costs-score", INFLATION,
        "The higher an inflated floor, the lower the score.", "derived",
        OF_OFFLINE, offline_score, DoseResponse(UNINFLATED_AND_INFLATED, "falls"),
    ),
    Claim(
        "every-dose-costs-score", INFLATION,
        "Every dose of inflation lowers the score.", "derived",
        OF_OFFLINE, offline_score, Difference(DOSES[2:], "monte_carlo", "below"),
    ),
    Claim(
        "inflation-is-acceptable", INFLATION,
        "Over-estimation by a floor that is too high does no harm to fine-tuning: the regret is no worse than CQL's.",
        "tutorial, Q&A 3",
        OF_REGRET, regret, NonInferiority("inflated_1", "cql", MARGIN, better="below"),
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
        OF_BINDING, binding, Difference(("naive_truncation",), "exact", "above"),
    ),
    Claim(
        "naive-truncation-lifts-unseen-actions", CUT,
        "Naive truncation acts as an inflated floor: actions outside the data have higher values than with the truth.",
        "derived",
        OF_UNIFORM, uniform_excess, Difference(("naive_truncation",), "exact", "above"),
    ),
    Claim(
        "naive-truncation-costs-score", CUT,
        "Naive truncation acts as an inflated floor: the score is lower than with the truth.", "derived",
        OF_OFFLINE, offline_score, Difference(("naive_truncation",), "exact", "below"),
    ),
    *STUDY_CLAIMS,
)  # fmt: skip
