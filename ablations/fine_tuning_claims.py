"""The claims about the study of fine-tuning (`ablations.fine_tuning`)."""

from ablations.claim import Claim, Difference, Equivalence, Level, NonInferiority
from ablations.fine_tuning import ESTIMATORS
from ablations.measures import END_CHANGE, FINAL_SCORE, MARGIN, ONLINE_CHANGE, Q_CHANGE, REGRET

ONLINE = "Change online"
CAUSE = "Cause of the fall"

# Cells of the factorial.
OFF, RECALIBRATED, NO_DATA = "alpha=0,alpha_decay=0", "critic_shift=0,recalibrate=true", "mixing_ratio=0"
DECAYED, LOWERED = "alpha=0,alpha_decay=1", "critic_shift=-0.25,recalibrate=false"
LESS_DATA = "mixing_ratio=0.25"

# Cells of the remedies.
REMEDIES = "What removes the fall"
CRITICS_FIRST, NEW_CRITICS, POLICY_DATA = "critic_updates=1000", "new_critics=true", f"{NO_DATA},warmup_horizons=20"

# Topics of the grids `alphas` and `floor_error`.
ALPHAS, FLOOR_ERROR = "Weight of the regulariser", "Error of the floor"

# Topic of the grid `best_value`.
BEST_VALUE = "Inflation and the best value"

# Topic of the arms of `dip` that follow other protocols.
PROTOCOLS = "Protocols of fine-tuning"

FINE_TUNING_CLAIMS: tuple[Claim, ...] = (
    Claim(
        "cql-falls-online", ONLINE,
        "CQL's score falls when fine-tuning begins.", "tutorial, Cal-QL: the problem",
        *ONLINE_CHANGE, Level(("cql",), "below"), primary=True,
    ),
    Claim(
        "cal-ql-falls-less", ONLINE,
        "Cal-QL's score falls less than CQL's.", "Cal-QL, abstract",
        *ONLINE_CHANGE, Difference(("monte_carlo",), "cql", "above"), primary=True,
    ),
    Claim(
        "learned-floor-online", ONLINE,
        "A learned floor prevents the fall as well as the Monte Carlo floor.",
        "tutorial, Q&A 3 (Cal-QL, 7.3 and figure 9)",
        *ONLINE_CHANGE, Equivalence("learned", "monte_carlo", MARGIN, control="cal-ql-falls-less"), primary=True,
    ),
    Claim(
        "deflated-floor-online", ONLINE,
        "A floor that is too low by a quarter of the return range prevents the fall as well.", "derived",
        *ONLINE_CHANGE, NonInferiority("deflated_0.25", "monte_carlo", MARGIN, "above", control="cal-ql-falls-less"),
        primary=True,
    ),
    Claim(
        "constant-floor-online", ONLINE,
        "A floor that ignores the state, the mean return-to-go of the data, prevents the fall as well as the Monte "
        "Carlo floor.",
        "derived",
        *ONLINE_CHANGE,
        NonInferiority("constant_mean", "monte_carlo", MARGIN, "above", control="cal-ql-falls-less"),
    ),
    Claim(
        "floor-that-keeps-learning", ONLINE,
        "The score falls less with a learned floor that keeps learning online than with one that does not.", "derived",
        *ONLINE_CHANGE, Difference(("learned_online",), "learned", "above"),
    ),
    Claim(
        "cal-ql-gains-online", ONLINE,
        "Cal-QL's score rises when fine-tuning begins.", "Cal-QL, abstract",
        *ONLINE_CHANGE, Level(("monte_carlo",), "above"),
    ),
    Claim(
        "falls-without-push-down", CAUSE,
        "CQL's score falls as well when the push-down ends at the switch: the scale of its values suffices.",
        "tutorial, Cal-QL: unlearning",
        *ONLINE_CHANGE, Level((f"cql[{OFF}]",), "below"), primary=True,
    ),
    Claim(
        "recalibration-prevents-fall", CAUSE,
        "When the push-down ends at the switch, critics shifted to the returns of the policy prevent CQL's fall.",
        "derived",
        *ONLINE_CHANGE, Difference((f"cql[{OFF},{RECALIBRATED}]",), f"cql[{OFF}]", "above"), primary=True,
    ),
    Claim(
        "recalibration-with-push-down", CAUSE,
        "While the push-down goes on, critics shifted to the returns of the policy prevent CQL's fall.", "derived",
        *ONLINE_CHANGE, Difference((f"cql[{RECALIBRATED}]",), "cql", "above"), primary=True,
    ),
    Claim(
        "push-down-online-costs", CAUSE,
        "CQL's fall is due to the push-down online: it falls less without.", "WSRL, section 4",
        *ONLINE_CHANGE, Difference((f"cql[{OFF}]",), "cql", "above"), primary=True,
    ),
    Claim(
        "floor-helps-without-push-down", CAUSE,
        "Even when the push-down ends at the switch, Cal-QL falls less than CQL.", "Cal-QL, section 4",
        *ONLINE_CHANGE, Difference((f"monte_carlo[{OFF}]",), f"cql[{OFF}]", "above"), primary=True,
    ),
    Claim(
        "falls-without-offline-data", CAUSE,
        "Without offline data online, the score falls when fine-tuning begins, with a floor as well.",
        "WSRL (2412.07762), section 4: forgetting",
        *ONLINE_CHANGE, Level((f"cql[{NO_DATA}]", f"monte_carlo[{NO_DATA}]"), "below"),
    ),
    Claim(
        "offline-data-prevent-fall", CAUSE,
        "Cal-QL falls less with offline data online than without.", "WSRL (2412.07762), section 4: forgetting",
        *ONLINE_CHANGE, Difference(("monte_carlo",), f"monte_carlo[{NO_DATA}]", "above"),
    ),
    Claim(
        "values-fall-without-offline-data", CAUSE,
        "Without offline data online, the values of the dataset's states fall.",
        "WSRL (2412.07762), section 4: downward spiral",
        *Q_CHANGE, Level((f"cql[{NO_DATA}]", f"monte_carlo[{NO_DATA}]"), "below"),
    ),
    Claim(
        "lowered-critics-fall", CAUSE,
        "Critics that are lowered by a quarter of the return range at the switch make Cal-QL's score fall more: a "
        "wrong scale is enough.",
        "tutorial, Cal-QL: unlearning",
        *ONLINE_CHANGE, Difference((f"monte_carlo[{LOWERED}]",), "monte_carlo", "below"),
    ),
    Claim(
        "lowered-critics-fall-without-push-down", CAUSE,
        "When the push-down ends at the switch, too, critics that are lowered there make Cal-QL's score fall more.",
        "tutorial, Cal-QL: unlearning",
        *ONLINE_CHANGE, Difference((f"monte_carlo[{OFF},{LOWERED}]",), f"monte_carlo[{OFF}]", "below"),
    ),
    Claim(
        "decay-over-end", CAUSE,
        "CQL's score falls less when the push-down decays over the online phase than when it ends at the switch.",
        "derived",
        *ONLINE_CHANGE, Difference((f"cql[{DECAYED}]",), f"cql[{OFF}]", "above"),
    ),
    Claim(
        "decay-over-end-with-floor", CAUSE,
        "With a floor, too, the score falls less when the push-down decays than when it ends at the switch.", "derived",
        *ONLINE_CHANGE, Difference((f"monte_carlo[{DECAYED}]",), f"monte_carlo[{OFF}]", "above"),
    ),
    Claim(
        "floor-only-offline-falls", CAUSE,
        "With a floor that is removed at the switch, the score falls more than with one that stays.", "derived",
        *ONLINE_CHANGE, Difference(("calibrated_offline",), "monte_carlo", "below"),
    ),
    Claim(
        "fewer-offline-data-fall", CAUSE,
        "Cal-QL's score falls more with a quarter of offline data in each batch online than with a half.",
        "derived",
        *ONLINE_CHANGE, Difference((f"monte_carlo[{LESS_DATA}]",), "monte_carlo", "below"),
    ),
    Claim(
        "critics-first-prevent-fall", REMEDIES,
        "When the push-down ends at the switch, the score falls less if the critics first adapt alone.", "derived",
        *END_CHANGE, Difference((f"cql[{OFF},{CRITICS_FIRST}]",), f"cql[{OFF}]", "above"),
    ),
    Claim(
        "critics-first-prevent-fall-with-floor", REMEDIES,
        "With a floor, too, the score falls less if the critics first adapt alone when the push-down ends.", "derived",
        *END_CHANGE, Difference((f"monte_carlo[{OFF},{CRITICS_FIRST}]",), f"monte_carlo[{OFF}]", "above"),
    ),
    Claim(
        "new-critics-harm", REMEDIES,
        "New critics at the switch make the score fall if the policy follows them at once.",
        "Online Pre-Training (2507.08387)",
        *ONLINE_CHANGE, Level((f"cql[{NEW_CRITICS}]", f"cql[{OFF},{NEW_CRITICS}]"), "below"),
    ),
    Claim(
        "new-critics-prevent-fall", REMEDIES,
        "Critics that are new at the switch and first trained alone prevent CQL's fall: its values are to blame.",
        "Online Pre-Training (2507.08387)",
        *END_CHANGE, Difference((f"cql[{NEW_CRITICS},{CRITICS_FIRST}]",), "cql", "above"),
    ),
    Claim(
        "new-critics-prevent-fall-without-push-down", REMEDIES,
        "When the push-down ends at the switch, too, new critics that are first trained alone prevent CQL's fall.",
        "Online Pre-Training (2507.08387)",
        *END_CHANGE, Difference((f"cql[{OFF},{NEW_CRITICS},{CRITICS_FIRST}]",), f"cql[{OFF}]", "above"),
    ),
    Claim(
        "policy-data-over-offline-data", REMEDIES,
        "Where the policy at the switch is better than the dataset, its own transitions protect it better online than "
        "the dataset does.",
        "Three Regimes (2510.01460), superior regime",
        *END_CHANGE, Difference((f"monte_carlo[{POLICY_DATA}]",), "monte_carlo", "above"),
    ),
    Claim(
        "warmup-prevents-fall", REMEDIES,
        "Without offline data, a warm-up with the offline policy makes the score fall less.",
        "WSRL (2412.07762): warm-up",
        *END_CHANGE, Difference((f"monte_carlo[{POLICY_DATA}]",), f"monte_carlo[{NO_DATA}]", "above"),
    ),
    Claim(
        "warmup-prevents-fall-of-cql", REMEDIES,
        "Without offline data, a warm-up with the offline policy makes CQL's score fall less, too.",
        "WSRL (2412.07762): warm-up",
        *END_CHANGE, Difference((f"cql[{POLICY_DATA}]",), f"cql[{NO_DATA}]", "above"),
    ),
    Claim(
        "floor-helps-after-warmup", REMEDIES,
        "After a warm-up and without offline data, Cal-QL's score falls less than CQL's.", "derived",
        *END_CHANGE, Difference((f"monte_carlo[{POLICY_DATA}]",), f"cql[{POLICY_DATA}]", "above"),
    ),
    Claim(
        "critics-first-with-push-down", REMEDIES,
        "While the push-down goes on, too, CQL's score falls less if the critics first adapt alone.", "derived",
        *END_CHANGE, Difference((f"cql[{CRITICS_FIRST}]",), "cql", "above"),
    ),
    Claim(
        "policy-collapse", REMEDIES,
        "Fine-tuning by a standard off-policy algorithm makes the score fall at first, whatever the critics were "
        "trained with.",
        "Luo et al. (2303.17396): policy collapse",
        *ONLINE_CHANGE, Level((f"cql[{OFF}]", f"monte_carlo[{OFF}]"), "below"),
    ),
    Claim(
        "fall-grows-with-alpha", ALPHAS,
        "CQL's score falls more, the larger the weight of the regulariser.", "derived",
        *ONLINE_CHANGE, Difference(("cql[alpha=50]",), "cql[alpha=1]", "below"),
    ),
    Claim(
        "small-alpha-falls", ALPHAS,
        "CQL's score falls with a weight of the regulariser of 1 and of 5 as well.", "derived",
        *ONLINE_CHANGE, Level(("cql[alpha=1]", "cql[alpha=5]"), "below"),
    ),
    Claim(
        "floor-over-small-alpha", ALPHAS,
        "CQL with a smaller weight of the regulariser ends below Cal-QL: no weight replaces the floor.", "derived",
        *FINAL_SCORE, Difference(("cql[alpha=1]", "cql[alpha=5]"), "monte_carlo", "below"),
    ),
    Claim(
        "floor-helps-at-large-alpha", ALPHAS,
        "With a weight of the regulariser of 50, too, Cal-QL's score falls less than CQL's.", "derived",
        *ONLINE_CHANGE, Difference(("monte_carlo[alpha=50]",), "cql[alpha=50]", "above"),
    ),
    Claim(
        "floor-helps-with-lagrange", ALPHAS,
        "With the Lagrange form of the regulariser, too, Cal-QL's score falls less than CQL's.", "derived",
        *ONLINE_CHANGE, Difference(("monte_carlo[lagrange=true]",), "cql[lagrange=true]", "above"),
    ),
    Claim(
        "few-trajectories-online", FLOOR_ERROR,
        "A floor learned from one trajectory in a hundred prevents the fall less than one learned from all.",
        "derived",
        *ONLINE_CHANGE, Difference(("learned[trajectories=0.01]",), "learned", "below"),
    ),
    Claim(
        "learned-floors-fall-more", FLOOR_ERROR,
        "With a floor learned from 1, 10 or 100 % of the trajectories, the score falls more than with the Monte Carlo "
        "floor.",
        "derived",
        *ONLINE_CHANGE,
        Difference(("learned[trajectories=0.01]", "learned[trajectories=0.1]", "learned"), "monte_carlo", "below"),
    ),
    Claim(
        "estimators-from-few-trajectories", FLOOR_ERROR,
        "With a floor estimated from one trajectory in a hundred, by any estimator, the score falls more than with the "
        "Monte Carlo floor.",
        "derived",
        *ONLINE_CHANGE,
        Difference(
            tuple(f"{arm}[trajectories=0.01]" for arm in ESTIMATORS if arm != "learned"), "monte_carlo", "below",
        ),
    ),
    Claim(
        "offline-training-pays", PROTOCOLS,
        "Cal-QL ends above SAC that starts from scratch, without offline data.", "derived",
        *FINAL_SCORE, Difference(("monte_carlo",), "sac_online", "above"),
    ),
    Claim(
        "offline-training-over-data-alone", PROTOCOLS,
        "Cal-QL ends above an algorithm that starts from scratch with the same data in its batches.",
        "derived; the algorithm: RLPD (2302.02948)",
        *FINAL_SCORE, Difference(("monte_carlo",), "rlpd_like", "above"),
    ),
    Claim(
        "wsrl-over-cal-ql", PROTOCOLS,
        "WSRL, without offline data online, ends above Cal-QL.", "WSRL (2412.07762), abstract",
        *FINAL_SCORE, Difference(("wsrl",), "monte_carlo", "above"),
    ),
    Claim(
        "wsrl-falls", PROTOCOLS,
        "WSRL's score falls when fine-tuning begins.", "WSRL (2412.07762): warm-up",
        *ONLINE_CHANGE, Level(("wsrl",), "below"),
    ),
    Claim(
        "floor-above-best-value-costs", BEST_VALUE,
        "A floor above the value of the best policy costs regret.", "derived",
        *REGRET, Difference(("value_gap_2",), "exact", "above"),
    ),
    Claim(
        "floor-at-best-value-is-free", BEST_VALUE,
        "A floor at the value of the best policy costs no more regret than one at that of the behaviour policy.",
        "derived",
        *REGRET, NonInferiority("optimal", "exact", MARGIN, "below", control="floor-above-best-value-costs"),
    ),
)  # fmt: skip
