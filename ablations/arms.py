"""The arms: settings that an arm changes, with its label and colour in tables and figures, in their order.

The arms of implementation options were read in the sources of the official code (github.com/nakamotoo/Cal-QL), CORL
(github.com/corl-team/CORL), d3rlpy 2.8 (github.com/takuseno/d3rlpy), WSRL (github.com/zhouzypaul/wsrl), tianshou
(github.com/thu-ml/tianshou) and CQL's author (github.com/aviralkumar2907/CQL); those of ensembles also in REDQ
(github.com/watchernyu/REDQ) and RLPD (github.com/ikostrikov/rlpd). README.md has them in a table. All arms are settings
of one code path, so nothing else differs between them: networks, their inputs, the optimiser, and the sizes, learning
rates and alpha of a task's settings are floorbench's throughout.

The reference, of which each option changes one row, has the official settings, except that it updates after every step,
as CORL and WSRL do. No implementation matches it in every row, so `official` also differs from it in one option, the
update timing.

Differences without an arm:

- CORL stores a return-to-go of 0 for online transitions, which its loss never reads. Here the column keeps its values,
  and so do the metrics computed from it.
- The failure rules of CORL and d3rlpy equal the official one where success ends the episode, which holds for every task
  with a failure rule.
- tianshou's online use of floors computed offline: its learner of this algorithm covers the offline phase only.
- d3rlpy leaves updates undone when a phase ends within a block; here they are made up, so that all arms make equally
  many updates.
- WSRL leaves out offline data online for Cal-QL too; `wsrl_like` keeps half, as the official code.
- With a random subset of critics in the target, WSRL applies the regulariser to another one; here to all critics.
- The critics' loss is their mean (WSRL, RLPD) or sum (official; REDQ: mean times number); Adam does not see the factor,
  except for its epsilon. The multiplier's loss is averaged over critics (official: half of the sum of two).
- With several updates per step, WSRL's policy has its step after the critics', on all their batches together; REDQ's
  and RLPD's have it on the last batch, as here, but RLPD's after the critics' step. WSRL's multiplier changes with the
  policy, here with the critics.
- WSRL's temperature follows the entropy at next states; its AntMaze policy has one standard deviation for all states.
- REDQ explores with uniform actions at first, as RLPD does; here the initial policy acts during the warm-up. RLPD's
  target entropy is half of ours.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

from harness.errors import UserError
from harness.settings import Run, with_settings

Settings = dict[str, Any]


@dataclass(frozen=True)
class Arm:
    """What an arm changes, and how tables and figures show it."""

    # Changed settings by name, "floor.base" for example.
    settings: Settings
    label: str
    # Hexadecimal, for the arms that readers look for in every figure (after Okabe and Ito); the others are grey.
    colour: str | None = None


CAL_QL: Settings = {"floor.base": "monte_carlo"}
CQL: Settings = {"floor.base": "none"}

# What the algorithms are compared with: no push-down or push-up (SAC on both kinds of data), and a policy that imitates
# the data's actions throughout, with the critic of its value.
BASELINES: dict[str, Arm] = {
    "no_push_down": Arm({**CQL, "algorithm.alpha": 0.0}, "No push-down"),
    "behaviour_cloning": Arm(
        {**CQL, "algorithm.alpha": 0.0, "algorithm.policy_objective": "cloning", "schedule.mixing_ratio": 1.0},
        "Behaviour cloning",
    ),
}

# Arms that differ in the floor only.
FLOOR_ARMS: dict[str, Arm] = {
    "cql": Arm(CQL, "CQL", "#d55e00"),
    "monte_carlo": Arm(CAL_QL, "Cal-QL, Monte Carlo floor", "#0072b2"),
    "learned": Arm({"floor.base": "learned"}, "Cal-QL, learned floor", "#009e73"),
    "learned_online": Arm(
        {"floor.base": "learned", "floor.keeps_learning": True}, "Cal-QL, floor keeps learning online"
    ),
    "exact": Arm({"floor.base": "exact"}, "Cal-QL, exact floor"),
    "deflated_0.25": Arm({**CAL_QL, "floor.inflation": -0.25}, "Cal-QL, deflated by 0.25"),
    "inflated_0.1": Arm({**CAL_QL, "floor.inflation": 0.1}, "Cal-QL, inflated by 0.1"),
    "inflated_0.25": Arm({**CAL_QL, "floor.inflation": 0.25}, "Cal-QL, inflated by 0.25"),
    "inflated_0.5": Arm({**CAL_QL, "floor.inflation": 0.5}, "Cal-QL, inflated by 0.5"),
    "inflated_1": Arm({**CAL_QL, "floor.inflation": 1.0}, "Cal-QL, inflated by 1"),
    "noisy_0.1": Arm({**CAL_QL, "floor.noise": 0.1}, "Cal-QL, floor noise 0.1"),
    "noisy_0.25": Arm({**CAL_QL, "floor.noise": 0.25}, "Cal-QL, floor noise 0.25"),
    "noisy_0.5": Arm({**CAL_QL, "floor.noise": 0.5}, "Cal-QL, floor noise 0.5"),
    "constant_mean": Arm({"floor.base": "mean_return"}, "Cal-QL, mean return as floor"),
    # The largest return where every step costs: a floor that does not depend on the state.
    "constant_0": Arm({"floor.base": "constant", "floor.constant": 0.0}, "Cal-QL, constant floor 0"),
    "naive_truncation": Arm({**CAL_QL, "floor.truncation": "sum"}, "Cal-QL, naive truncation"),
    "calibrated_offline": Arm({**CAL_QL, "floor.active_online": False}, "Cal-QL, floor offline only"),
}

# Estimators of the learned floor.
LEARNED: Settings = {"floor.base": "learned"}
ESTIMATOR_ARMS: dict[str, Arm] = {
    "learned_out_of_fold": Arm(
        {**LEARNED, "behaviour_value.estimator": "out_of_fold"}, "Cal-QL, floor learned out of fold"
    ),
    "learned_td": Arm({**LEARNED, "behaviour_value.estimator": "td"}, "Cal-QL, floor learned by TD(0)"),
    "learned_td_0.9": Arm(
        {**LEARNED, "behaviour_value.estimator": "td", "behaviour_value.td_lambda": 0.9},
        "Cal-QL, floor learned by TD(0.9)",
    ),
    "learned_expectile_0.7": Arm(
        {**LEARNED, "behaviour_value.estimator": "expectile", "behaviour_value.level": 0.7},
        "Cal-QL, expectile 0.7 as floor",
    ),
    "learned_expectile_0.9": Arm(
        {**LEARNED, "behaviour_value.estimator": "expectile", "behaviour_value.level": 0.9},
        "Cal-QL, expectile 0.9 as floor",
    ),
    "learned_median": Arm({**LEARNED, "behaviour_value.estimator": "quantile"}, "Cal-QL, median return as floor"),
    "learned_quantile_0.9": Arm(
        {**LEARNED, "behaviour_value.estimator": "quantile", "behaviour_value.level": 0.9},
        "Cal-QL, quantile 0.9 as floor",
    ),
    "learned_ensemble": Arm({**LEARNED, "behaviour_value.estimator": "ensemble"}, "Cal-QL, mean of 5 learned floors"),
    "learned_lower_bound": Arm(
        {**LEARNED, "behaviour_value.estimator": "ensemble", "behaviour_value.deviations": 2.0},
        "Cal-QL, lower bound of 5 learned floors",
    ),
    "learned_success_only": Arm(
        {**LEARNED, "behaviour_value.estimator": "success_only"}, "Cal-QL, floor learned from successes"
    ),
    "learned_tenth": Arm(
        {**LEARNED, "behaviour_value.trajectories": 0.1}, "Cal-QL, floor learned from a tenth of the data"
    ),
    "optimal": Arm({"floor.base": "optimal"}, "Cal-QL, optimal value as floor"),
}

# Kinds of inflation at the same dose, a quarter of the return range, and errors that are right on average.
INFLATED: Settings = {**CAL_QL, "floor.inflation": 0.25}
ERROR: Settings = {**INFLATED, "floor.inflation_kind": "correlated_error"}
INFLATION_ARMS: dict[str, Arm] = {
    "inflated_capped": Arm({**INFLATED, "floor.inflation_kind": "capped"}, "Cal-QL, inflated up to the largest return"),
    "inflated_stretched": Arm({**INFLATED, "floor.inflation_kind": "multiplicative"}, "Cal-QL, stretched floor"),
    "inflated_rare": Arm({**INFLATED, "floor.inflation_kind": "rare_states"}, "Cal-QL, inflated in rare states"),
    "inflated_near_goal": Arm({**INFLATED, "floor.inflation_kind": "near_goal"}, "Cal-QL, inflated near the goal"),
    "error_uncorrelated": Arm(ERROR, "Cal-QL, floor error of mean 0"),
    "error_high_at_high": Arm(
        {**ERROR, "floor.error_correlation": 0.8}, "Cal-QL, floor error of mean 0, high at high returns"
    ),
    "error_high_at_low": Arm(
        {**ERROR, "floor.error_correlation": -0.8}, "Cal-QL, floor error of mean 0, high at low returns"
    ),
}

# Variants of the push-down with a Monte Carlo floor.
PUSH_DOWNS: dict[str, Arm] = {
    "uniform_floor": Arm({**CAL_QL, "algorithm.floor_uniform": True}, "Cal-QL, floor on uniform actions too"),
    "expectation": Arm({**CAL_QL, "algorithm.form": "expectation"}, "Cal-QL, expectation form"),
}

# Arms that differ only from the switch on: they share the offline phase of CQL or of Cal-QL.
SWITCH_ARMS: dict[str, Arm] = {
    # official: online_use_cql = False.
    "cql_then_sac": Arm({**CQL, "online.alpha": 0.0}, "CQL, then SAC"),
    "cal_ql_then_sac": Arm({**CAL_QL, "online.alpha": 0.0}, "Cal-QL, then SAC"),
    "cql_decayed": Arm({**CQL, "online.alpha": 0.0, "online.alpha_decay": 1.0}, "CQL, alpha decays online"),
    "cal_ql_decayed": Arm({**CAL_QL, "online.alpha": 0.0, "online.alpha_decay": 1.0}, "Cal-QL, alpha decays online"),
    "cql_less_offline": Arm(
        {**CQL, "online.mixing_ratio": 0.0, "online.mixing_decay": 1.0}, "CQL, offline share falls to 0"
    ),
    "cal_ql_less_offline": Arm(
        {**CAL_QL, "online.mixing_ratio": 0.0, "online.mixing_decay": 1.0}, "Cal-QL, offline share falls to 0"
    ),
    # The rules of implementations for offline data online; merged data (CORL's CQL) are `cql_merged_buffer` below.
    # official, for a negative mixing_ratio.
    "cql_offline_by_size": Arm({**CQL, "online.mixing_by_size": True}, "CQL, offline share by size of the data"),
    "cal_ql_offline_by_size": Arm(
        {**CAL_QL, "online.mixing_by_size": True}, "Cal-QL, offline share by size of the data"
    ),
    # WSRL.
    "cql_no_offline_data": Arm({**CQL, "online.mixing_ratio": 0.0}, "CQL, no offline data online"),
    "cal_ql_no_offline_data": Arm({**CAL_QL, "online.mixing_ratio": 0.0}, "Cal-QL, no offline data online"),
    "cql_recalibrated": Arm({**CQL, "online.recalibrate": True}, "CQL, recalibrated at the switch"),
    "cal_ql_recalibrated": Arm({**CAL_QL, "online.recalibrate": True}, "Cal-QL, recalibrated at the switch"),
    "cql_raised_0.25": Arm({**CQL, "online.critic_shift": 0.25}, "CQL, critics raised by 0.25"),
    "cal_ql_lowered_0.25": Arm({**CAL_QL, "online.critic_shift": -0.25}, "Cal-QL, critics lowered by 0.25"),
}

# Protocols of fine-tuning with ensembles of critics, and SAC without offline data. WSRL and RLPD make four updates of
# the critics and one of the policy per environment step, as in WSRL's comparison (RLPD's own scripts: 20 and one).
ENSEMBLE: Settings = {"algorithm.critics": 10, "algorithm.target_critics": 2}
WSRL_NETWORKS: Settings = {**ENSEMBLE, "algorithm.target_replacement": True, "algorithm.layer_norm": "all"}
FOUR_UPDATES: Settings = {"schedule.updates_per_step": 4, "online.policy_interval": 4}
SAC_ONLINE: Settings = {**CQL, "algorithm.alpha": 0.0, "schedule.offline_steps": 0, "online.warmup_horizons": 5}
PROTOCOL_ARMS: dict[str, Arm] = {
    # WSRL's initialisation, with Cal-QL online too.
    "cal_ql_ensemble": Arm({**CAL_QL, **WSRL_NETWORKS}, "Cal-QL, 10 normalised critics"),
    "wsrl": Arm(
        {
            **CAL_QL, **WSRL_NETWORKS, **FOUR_UPDATES, "online.alpha": 0.0, "online.warmup_horizons": 5,
            "schedule.mixing_ratio": 0.0,
        },
        "WSRL",
    ),
    "rlpd_like": Arm(
        {
            **SAC_ONLINE, **ENSEMBLE, **FOUR_UPDATES, "algorithm.layer_norm": "critics",
            "algorithm.policy_value": "mean", "schedule.mixing_ratio": 0.5,
        },
        "Like RLPD",
    ),
    "sac_online": Arm({**SAC_ONLINE, "schedule.mixing_ratio": 0.0}, "SAC from scratch, no offline data"),
}  # fmt: skip

# Floors between the value of the behaviour policy and that of the best one, or above, where both are known; and stale
# floors, of a policy that is worse or better than the one that collected the dataset.
KNOWN_VALUE: Settings = {"floor.base": "exact", "floor.inflation_kind": "value_gap"}
VALUE_ARMS: dict[str, Arm] = {
    **{
        f"value_gap_{share:g}": Arm({**KNOWN_VALUE, "floor.inflation": share}, f"Cal-QL, V_mu + {share:g} (V* - V_mu)")
        for share in (0.25, 0.5, 2.0)
    },
    "stale_worse": Arm({"floor.base": "exact", "floor.action_noise": 0.6}, "Cal-QL, value of a worse policy"),
    "stale_better": Arm({"floor.base": "exact", "floor.action_noise": 0.2}, "Cal-QL, value of a better policy"),
    "stale_learned_worse": Arm(
        {"floor.base": "learned", "floor.action_noise": 0.6}, "Cal-QL, learned value of a worse policy"
    ),
    "stale_learned_better": Arm(
        {"floor.base": "learned", "floor.action_noise": 0.2}, "Cal-QL, learned value of a better policy"
    ),
}

# The reference's options, whatever a task's settings are.
REFERENCE: Settings = {
    "floor.active_online": True,
    "floor.truncation": "failure_rule",
    "algorithm.floor_uniform": False,
    "algorithm.floor_after_density": False,
    "algorithm.max_backup": "min_then_max",
    "algorithm.backup_entropy": False,
    "algorithm.lagrange_alpha": "difference_and_gap",
    "algorithm.lagrange_multiplier": "exponential",
    "algorithm.lagrange_initial_log": 1.0,
    "algorithm.difference_min": None,
    "algorithm.output_gain": 1e-2,
    "schedule.mixing_ratio": 0.5,
    "schedule.update_block": 1,
}

OFFICIAL: Settings = {"schedule.update_block": None}

CORL: Settings = {
    "floor.active_online": False,
    "floor.truncation": "last_reward_rule",
    "algorithm.difference_min": -200.0,
    "algorithm.output_gain": sqrt(2.0),
}

D3RLPY: Settings = {
    "floor.truncation": "suffix_rule",
    "algorithm.max_backup": "mean_action",
    "algorithm.lagrange_initial_log": 0.0,
    # PyTorch's default, uniform on +-1 / sqrt(inputs), has this standard deviation times sqrt(inputs).
    "algorithm.output_gain": 1.0 / sqrt(3.0),
    "schedule.update_block": 1000,
}

WSRL: Settings = {
    "algorithm.lagrange_alpha": "nothing",
    "algorithm.lagrange_multiplier": "softplus",
    "algorithm.lagrange_initial_log": 0.0,
}

REFERENCE_ARMS: dict[str, Arm] = {
    "reference": Arm({**REFERENCE, **CAL_QL}, "Cal-QL, reference", "#0072b2"),
    "reference_cql": Arm({**REFERENCE, **CQL}, "CQL, reference", "#d55e00"),
}

# Implementations with all their options, as Cal-QL and as the CQL that each compares it with.
IMPLEMENTATIONS: dict[str, Arm] = {
    "official": Arm({**REFERENCE, **OFFICIAL, **CAL_QL}, "Cal-QL, official"),
    "official_cql": Arm({**REFERENCE, **OFFICIAL, **CQL}, "CQL, official"),
    "corl_like": Arm({**REFERENCE, **CORL, **CAL_QL}, "Cal-QL, like CORL"),
    "corl_like_cql": Arm({**REFERENCE, **CORL, **CQL, "schedule.mixing_ratio": None}, "CQL, like CORL"),
    "d3rlpy_like": Arm({**REFERENCE, **D3RLPY, **CAL_QL}, "Cal-QL, like d3rlpy"),
    "d3rlpy_like_cql": Arm({**REFERENCE, **D3RLPY, **CQL}, "CQL, like d3rlpy"),
    "wsrl_like": Arm({**REFERENCE, **WSRL, **CAL_QL}, "Cal-QL, like WSRL"),
    "wsrl_like_cql": Arm({**REFERENCE, **WSRL, **CQL, "schedule.mixing_ratio": 0.0}, "CQL, like WSRL"),
}


def _cal_ql_with(setting: str, value: Any, label: str) -> Arm:
    """The reference's Cal-QL with one option changed."""
    return Arm({**REFERENCE, **CAL_QL, setting: value}, f"Cal-QL, {label}")


def _cql_with(setting: str, value: Any, label: str) -> Arm:
    """The reference's CQL with one option changed."""
    return Arm({**REFERENCE, **CQL, setting: value}, f"CQL, {label}")


# The reference and one option changed at a time, with the implementations that choose it.
OPTIONS: dict[str, Arm] = {
    **REFERENCE_ARMS,
    # CORL
    "floor_off_online": _cal_ql_with("floor.active_online", False, "no floor online"),
    "floor_on_uniform": _cal_ql_with(
        "algorithm.floor_uniform", True, "floor on uniform actions"
    ),  # tianshou; optional in WSRL
    "floor_after_density": _cal_ql_with(
        "algorithm.floor_after_density", True, "floor after density correction"
    ),  # tianshou
    # tianshou
    "no_failure_rule": _cal_ql_with("floor.truncation", "sum", "no failure rule"),
    "one_backup_action": _cal_ql_with(
        "algorithm.max_backup", "off", "single backup action"
    ),  # tianshou; optional in all others
    # d3rlpy
    "mean_backup_action": _cal_ql_with("algorithm.max_backup", "mean_action", "mean-action backup"),
    # CQL's author
    "max_then_min_backup": _cal_ql_with("algorithm.max_backup", "max_then_min", "max-then-min backup"),
    # optional in most
    "backup_with_entropy": _cal_ql_with("algorithm.backup_entropy", True, "entropy in the backup"),
    "multiplier_from_one": _cal_ql_with(
        "algorithm.lagrange_initial_log", 0.0, "multiplier starts at 1"
    ),  # d3rlpy, WSRL
    # WSRL
    "multiplier_softplus": _cal_ql_with("algorithm.lagrange_multiplier", "softplus", "softplus multiplier"),
    # WSRL
    "multiplier_for_alpha": _cal_ql_with("algorithm.lagrange_alpha", "nothing", "multiplier replaces alpha"),
    # tianshou
    "gap_without_alpha": _cal_ql_with("algorithm.lagrange_alpha", "difference", "gap not scaled by alpha"),
    # CORL
    "difference_above_-200": _cal_ql_with("algorithm.difference_min", -200.0, "difference clipped at -200"),
    # CORL
    "output_gain_sqrt_2": _cal_ql_with("algorithm.output_gain", sqrt(2.0), "output gain √2"),
    # d3rlpy
    "output_gain_default": _cal_ql_with("algorithm.output_gain", 1.0 / sqrt(3.0), "PyTorch output gain"),
    # d3rlpy
    "updates_in_thousands": _cal_ql_with("schedule.update_block", 1000, "updates in blocks of 1,000"),
    # CORL
    "cql_merged_buffer": _cql_with("schedule.mixing_ratio", None, "merged buffer"),
    # WSRL
    "cql_online_alone": _cql_with("schedule.mixing_ratio", 0.0, "online data only"),
}

# Every arm, in the order of tables and figures.
ARMS: dict[str, Arm] = {
    **BASELINES,
    **FLOOR_ARMS,
    **ESTIMATOR_ARMS,
    **INFLATION_ARMS,
    **PUSH_DOWNS,
    **SWITCH_ARMS,
    **PROTOCOL_ARMS,
    **VALUE_ARMS,
    **REFERENCE_ARMS,
    **IMPLEMENTATIONS,
    **OPTIONS,
}

# Groups of arms that figures show together, in the order of the arms.
GROUPS: dict[str, tuple[str, ...]] = {
    "Baselines": (*BASELINES, "cql", "monte_carlo"),
    "Learned floors": ("learned", "learned_online", "exact"),
    "Size of the floor": ("deflated_0.25", "inflated_0.1", "inflated_0.25", "inflated_0.5", "inflated_1"),
    "Noise in the floor": ("noisy_0.1", "noisy_0.25", "noisy_0.5"),
    "Constant and truncated floors": ("constant_mean", "constant_0", "naive_truncation"),
    "Estimators of the floor": tuple(ESTIMATOR_ARMS),
    "Kinds of inflation": tuple(INFLATION_ARMS),
    "Form of the push-down": ("calibrated_offline", *PUSH_DOWNS),
    "Changes at the switch": tuple(SWITCH_ARMS),
    "Protocols of fine-tuning": tuple(PROTOCOL_ARMS),
    "Floors between known values": tuple(VALUE_ARMS),
    "Implementations": (*REFERENCE_ARMS, *IMPLEMENTATIONS),
    "Implementation options": tuple(name for name in OPTIONS if name not in REFERENCE_ARMS),
}


def with_arm(run: Run, arm: str) -> Run:
    """Return the run with an arm's name and settings.

    Raises UserError for an unknown arm.
    """
    if arm not in ARMS:
        raise UserError(f"arm {arm!r}: unknown arm; choose one of {', '.join(ARMS)}")
    return with_settings(run, {"arm": arm, **ARMS[arm].settings}, source=f"arm {arm}")
