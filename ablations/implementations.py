"""Where implementations of Cal-QL and CQL disagree, as arms: whole implementations, and each disagreement alone.

Read in the sources of the official code (github.com/nakamotoo/Cal-QL), CORL (github.com/corl-team/CORL), d3rlpy 2.8
(github.com/takuseno/d3rlpy), WSRL (github.com/zhouzypaul/wsrl), tianshou (github.com/thu-ml/tianshou) and CQL's author
(github.com/aviralkumar2907/CQL). All arms are settings of one code path, so that nothing else differs between them:
networks, their inputs, the optimiser and whatever a task's settings say of sizes, rates and alpha are ours throughout.

The reference, of which each single switch changes one row, has the official settings but an update after every step, as
CORL and WSRL do: nobody's in every row. So the arm `official` is a single switch as well, that of the update timing.

CORL stores 0 for the return-to-go of online transitions, which its loss then never looks at; here the column stays what
it is, and so do the numbers that are logged of it. The failure rules of CORL and d3rlpy have no arm of their own: where
a success ends the episode they make the same column as the official one, and all tasks with a failure rule are of that
kind. What tianshou does online with floors made offline ("stale") has none either: its learner of this algorithm is for
the offline phase. Block ends differ from d3rlpy's in one point: what is left when the phase ends is made up there, so
that all arms make equally many updates.
"""

from math import sqrt
from typing import Any

Settings = dict[str, Any]

CAL_QL: Settings = {"floor.base": "monte_carlo"}
CQL: Settings = {"floor.base": "none"}

# What the reference has in the rows of the table, whatever a task's own settings say.
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
    # Uniform on +-1 / sqrt(inputs), torch's default, has this standard deviation times sqrt(inputs).
    "algorithm.output_gain": 1.0 / sqrt(3.0),
    "schedule.update_block": 1000,
}

WSRL: Settings = {
    "algorithm.lagrange_alpha": "nothing",
    "algorithm.lagrange_multiplier": "softplus",
    "algorithm.lagrange_initial_log": 0.0,
}

# Whole implementations, as Cal-QL and as the CQL that each compares it with.
IMPLEMENTATIONS: dict[str, Settings] = {
    "official": {**REFERENCE, **OFFICIAL, **CAL_QL},
    "official_cql": {**REFERENCE, **OFFICIAL, **CQL},
    "corl_like": {**REFERENCE, **CORL, **CAL_QL},
    "corl_like_cql": {**REFERENCE, **CORL, **CQL, "schedule.mixing_ratio": None},
    "d3rlpy_like": {**REFERENCE, **D3RLPY, **CAL_QL},
    "d3rlpy_like_cql": {**REFERENCE, **D3RLPY, **CQL},
    "wsrl_like": {**REFERENCE, **WSRL, **CAL_QL},
    "wsrl_like_cql": {**REFERENCE, **WSRL, **CQL, "schedule.mixing_ratio": 0.0},
}

# One row of the table at a time, with who does so.
_CHANGES: dict[str, Settings] = {
    "floor_off_online": {"floor.active_online": False},  # CORL
    "floor_on_uniform": {"algorithm.floor_uniform": True},  # tianshou, optional in WSRL
    "floor_after_density": {"algorithm.floor_after_density": True},  # tianshou
    "no_failure_rule": {"floor.truncation": "sum"},  # tianshou
    "one_backup_action": {"algorithm.max_backup": "off"},  # tianshou, an option of all others
    "mean_backup_action": {"algorithm.max_backup": "mean_action"},  # d3rlpy
    "max_then_min_backup": {"algorithm.max_backup": "max_then_min"},  # CQL's author
    "backup_with_entropy": {"algorithm.backup_entropy": True},  # an option of most
    "multiplier_from_one": {"algorithm.lagrange_initial_log": 0.0},  # d3rlpy, WSRL
    "multiplier_softplus": {"algorithm.lagrange_multiplier": "softplus"},  # WSRL
    "multiplier_for_alpha": {"algorithm.lagrange_alpha": "nothing"},  # WSRL
    "gap_without_alpha": {"algorithm.lagrange_alpha": "difference"},  # tianshou
    "difference_above_-200": {"algorithm.difference_min": -200.0},  # CORL
    "output_gain_sqrt_2": {"algorithm.output_gain": sqrt(2.0)},  # CORL
    "output_gain_default": {"algorithm.output_gain": 1.0 / sqrt(3.0)},  # d3rlpy
    "updates_in_thousands": {"schedule.update_block": 1000},  # d3rlpy
}

SWITCHES: dict[str, Settings] = {
    "reference": {**REFERENCE, **CAL_QL},
    "reference_cql": {**REFERENCE, **CQL},
    **{name: {**REFERENCE, **CAL_QL, **change} for name, change in _CHANGES.items()},
    "cql_merged_buffer": {**REFERENCE, **CQL, "schedule.mixing_ratio": None},  # CORL
    "cql_online_alone": {**REFERENCE, **CQL, "schedule.mixing_ratio": 0.0},  # WSRL
}
