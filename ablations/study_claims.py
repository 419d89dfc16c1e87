"""Claims that grid `study` was made for, written down before its runs: what else one may do with a floor.

They are our own; where a source speaks of the subject it is named.
"""

from ablations.claim import Claim
from ablations.decision import Difference, Equivalence, NonInferiority
from ablations.measures import (
    MARGIN,
    OF_BINDING,
    OF_CALIBRATION,
    OF_FINAL,
    OF_OFFLINE,
    OF_REGRET,
    OF_UNIFORM,
    binding,
    calibration,
    final_score,
    offline_score,
    regret,
    uniform_excess,
)

LINES, KIND, DOSE, PLACE = (
    "Against the reference lines",
    "Which floor",
    "How much inflation",
    "Where the floor stands",
)

INFLATED = ("inflated_0.1", "inflated_0.25", "inflated_0.5", "inflated_1")
NOISY = ("noisy_0.1", "noisy_0.25", "noisy_0.5")

STUDY_CLAIMS: tuple[Claim, ...] = (
    Claim(
        "push-down-needed", LINES,
        "Offline, a push-down is needed: the score is higher with it, with or without a floor.", "tutorial, CQL",
        OF_OFFLINE, offline_score, Difference(("cql", "monte_carlo"), "no_push_down", "above"),
    ),
    Claim(
        "better-than-cloning", LINES,
        "Fine-tuning ends above the policy that only copies the data.", "derived",
        OF_FINAL, final_score, Difference(("cql", "monte_carlo"), "behaviour_cloning", "above"),
    ),
    Claim(
        "floor-lifts-scale", KIND,
        "Every floor lifts the values above those of CQL.", "Cal-QL, section 5",
        OF_CALIBRATION, calibration,
        Difference(("monte_carlo", "learned", "exact", "constant_mean"), "cql", "above"),
    ),
    Claim(
        "exact-floor-regret", KIND,
        "The true value as floor brings the regret of single returns: their noise averages out.", "derived",
        OF_REGRET, regret, Equivalence("exact", "monte_carlo", MARGIN),
    ),
    Claim(
        "floor-learned-on-regret", KIND,
        "A learned floor that keeps learning online brings the regret of a frozen one.", "derived",
        OF_REGRET, regret, Equivalence("learned_online", "learned", MARGIN),
    ),
    Claim(
        "noise-costs-regret", KIND,
        "Noise in the floor costs: the regret is higher than with single returns.", "derived",
        OF_REGRET, regret, Difference(NOISY, "monte_carlo", "above"),
    ),
    Claim(
        "noise-lifts-unseen-actions", KIND,
        "Noise in the floor acts as inflation: actions outside the data have higher values.", "derived",
        OF_UNIFORM, uniform_excess, Difference(NOISY, "monte_carlo", "above"),
    ),
    Claim(
        "one-number-costs-regret", KIND,
        "A floor must know the state: one number for all states has a higher regret.", "derived",
        OF_REGRET, regret, Difference(("constant_mean",), "monte_carlo", "above"),
    ),
    Claim(
        "every-dose-binds", DOSE,
        "Every dose of inflation lets more of the policy's actions lie below the floor.", "derived",
        OF_BINDING, binding, Difference(INFLATED, "monte_carlo", "above"),
    ),
    Claim(
        "every-dose-lifts-unseen-actions", DOSE,
        "Every dose of inflation lifts the values of actions outside the data.", "derived",
        OF_UNIFORM, uniform_excess, Difference(INFLATED, "monte_carlo", "above"),
    ),
    Claim(
        "every-dose-costs-regret", DOSE,
        "Every dose of inflation raises the regret.", "derived",
        OF_REGRET, regret, Difference(INFLATED, "monte_carlo", "above"),
    ),
    Claim(
        "small-inflation-is-free", DOSE,
        "A tenth of the return range too much does no harm: the regret is no worse.", "tutorial, Q&A 3",
        OF_REGRET, regret, NonInferiority("inflated_0.1", "monte_carlo", MARGIN, better="below"),
    ),
    Claim(
        "deflation-is-free", DOSE,
        "A floor that is too low by a quarter of the return range does no harm: the regret is no worse.", "derived",
        OF_REGRET, regret, NonInferiority("deflated_0.25", "monte_carlo", MARGIN, better="below"),
    ),
    Claim(
        "failure-rule-needed", PLACE,
        "Left out online, the failure rule costs: the naive sum has the higher regret.", "derived",
        OF_REGRET, regret, Difference(("naive_truncation",), "monte_carlo", "above"),
    ),
    Claim(
        "floor-needed-online", PLACE,
        "The floor is needed online: taken away at the switch, the regret is higher.",
        "reference of the implementations, CORL against the official code",
        OF_REGRET, regret, Difference(("calibrated_offline",), "monte_carlo", "above"),
    ),
    Claim(
        "floor-on-uniform-is-free", PLACE,
        "A floor under the uniform actions too makes no difference.",
        "reference of the implementations, tianshou against the official code",
        OF_REGRET, regret, Equivalence("uniform_floor", "monte_carlo", MARGIN),
    ),
    Claim(
        "expectation-costs-score", PLACE,
        "The expectation of equation 5.1 as it is written, without the soft maximum, has a lower score at the switch.",
        "Cal-QL, equation 5.1 against the official code",
        OF_OFFLINE, offline_score, Difference(("expectation",), "monte_carlo", "below"),
    ),
)  # fmt: skip
