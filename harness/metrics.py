"""The metric schema: every number that a run records or that is derived from its records.

Each metric is defined once: its meaning, unit, direction, range, aggregation and label. Tables, figures, claims,
verification and documentation read it here.
"""

from dataclasses import dataclass
from math import inf
from typing import Literal

Direction = Literal["higher is better", "lower is better", ""]
# "return": the task's mapped return. "share": a fraction between 0 and 1. Others as named.
Unit = Literal["share", "return", "steps", "updates", "episodes", "loss", "nats", "1"]


@dataclass(frozen=True)
class Metric:
    """A number of an evaluation or of a run."""

    # Column of metrics.jsonl, of the run summary, or of a derived table.
    name: str
    # Name in tables and figures.
    label: str
    meaning: str
    unit: Unit
    # How the number is aggregated, where it is not a single observation.
    aggregation: str = ""
    direction: Direction = ""
    low: float = -inf
    high: float = inf

    @property
    def axis_label(self) -> str:
        """The label with the direction that is better, for a figure of differences."""
        better = {"higher is better": "\n(right is better)", "lower is better": "\n(left is better)"}
        return self.label + better.get(self.direction, "")


def _share(name: str, label: str, meaning: str, aggregation: str = "", direction: Direction = "") -> Metric:
    return Metric(name, label, meaning, "share", aggregation, direction, 0.0, 1.0)


_PROBES = "mean over the probe transitions of the dataset"
_UPDATES = "mean over the updates since the previous evaluation"
_EPISODES = "mean over the deterministic evaluation episodes"

# Columns of metrics.jsonl.
EVALUATION = (
    Metric("updates", "Updates", "gradient steps so far", "updates", low=0),
    _share("score", "Score", "success rate, or normalised return", _EPISODES, "higher is better"),
    Metric("episode_return", "Episode return", "undiscounted mapped return", "return", _EPISODES, "higher is better"),
    Metric("episode_length", "Episode length", "environment steps of an episode", "steps", _EPISODES, low=0),
    Metric("calibration_policy", "Calibration, roll-outs", "Q(s, pi(s)) - discounted return from the first state",
           "return", _EPISODES),
    Metric("critic_loss", "Critic loss", "TD error plus weighted regulariser, summed over critics", "loss", _UPDATES),
    Metric("td_error", "TD error", "squared error of the Bellman target, mean of the critics", "loss", _UPDATES,
           low=0),
    Metric("difference", "Push-down minus push-up", "push-down - push-up after clipping, mean of the critics",
           "return", _UPDATES),
    _share("bound_rate_current", "Bound rate", "share of sampled actions of pi(.|s) whose Q lies below the floor",
           _UPDATES),
    _share("bound_rate_next", "Bound rate, next actions",
           "share of sampled actions of pi(.|s') whose Q lies below the floor", _UPDATES),
    Metric("policy_loss", "Policy loss", "entropy temperature * log pi - minimum (or mean) over critics", "loss",
           _UPDATES),
    Metric("policy_log_prob", "Log-probability", "log pi of the sampled actions", "nats", _UPDATES),
    Metric("entropy_temperature", "Entropy temperature", "temperature of the policy's entropy", "1", _UPDATES, low=0),
    Metric("lagrange_multiplier", "Lagrange multiplier", "multiplier of the regulariser", "1", _UPDATES, low=0),
    Metric("q_data", "Q of the data", "Q(s, a) of the dataset's actions, mean of the critics", "return", _PROBES),
    Metric("q_policy", "Q of the policy", "Q(s, pi(s)), mean of the critics", "return", _PROBES),
    Metric("q_uniform", "Q of random actions", "Q(s, a) of uniformly random actions, mean of the critics", "return",
           _PROBES),
    Metric("floor_mean", "Floor", "floor of the transition", "return", _PROBES),
    _share("below_floor", "Below the floor", "share of probe transitions with Q(s, pi(s)) below the floor", _PROBES),
    Metric("return_to_go", "Return-to-go", "return-to-go of the transition", "return", _PROBES),
    Metric("calibration_data", "Calibration", "Q(s, pi(s)) - return-to-go", "return", _PROBES),
    Metric("calibration_exact", "Calibration, exact", "Q(s, pi(s)) - V_mu(s), where V_mu is known", "return", _PROBES),
    Metric("overestimation_exact", "Over-estimation", "Q(s, pi(s)) - V_pi(s), where V_pi is known", "return", _PROBES),
    Metric("policy_gap_exact", "Policy gap", "V*(s) - V_pi(s), where both are known", "return", _PROBES,
           "lower is better", low=0),
    Metric("floor_error", "Floor error", "floor - V_mu(s), where V_mu is known", "return", _PROBES),
    Metric("floor_rmse", "Floor RMSE", "root mean square of floor - V_mu(s), where V_mu is known", "return", _PROBES,
           low=0),
    Metric("train_episodes", "Training episodes", "finished online training episodes", "episodes", "count", low=0),
    Metric("train_successes", "Training successes", "successful online training episodes", "episodes", "count", low=0),
)  # fmt: skip

# Those against exact values.
TRUTH = ("calibration_exact", "overestimation_exact", "policy_gap_exact", "floor_error", "floor_rmse")

# Columns of metrics.jsonl with schedule.calibration_value.
_STARTS = "share of the first states of the deterministic evaluation episodes"
CALIBRATION = (
    _share("calibrated_share", "Calibrated", "V_mu(s) <= Q(s, pi(s)) <= discounted return of the episode from s",
           _STARTS, "higher is better"),
    _share("below_behaviour_share", "Below the behaviour", "Q(s, pi(s)) < V_mu(s)", _STARTS, "lower is better"),
    _share("above_policy_share", "Above the policy", "Q(s, pi(s)) > discounted return of the episode from s", _STARTS,
           "lower is better"),
)  # fmt: skip

# Numbers of done.json.
SUMMARY = (
    _share("offline_score", "Score, offline end",
           "success rate of the deterministic evaluation episodes at the end of the offline phase, the switch",
           direction="higher is better"),
    _share("final_score", "Score, online end",
           "the same at the last evaluation of the online phase (the last, not the best)",
           direction="higher is better"),
    _share("regret_eval", "regret_eval",
           "1 - mean score over the online phase, weighted by environment steps (trapezoidal rule over the evaluations "
           "from the switch on)", direction="lower is better"),
    _share("regret_train", "regret_train",
           "1 - mean success over the finished online training episodes, with the policy's exploration",
           direction="lower is better"),
    _share("dip", "Dip",
           "score at the switch - lowest evaluation in the first {window} environment steps, evaluated "
           "{spacing}; 0 if it never falls", direction="lower is better"),
    Metric("recovery_steps", "Recovery", "environment steps from the switch until the score at the switch is regained",
           "steps", direction="lower is better", low=0),
    Metric("dip_window", "Dip window", "environment steps in which the dip is measured", "steps", low=0),
    Metric("offline_q_data", "Q of the data, offline end", "q_data at the switch", "return", _PROBES),
    Metric("offline_q_policy", "Q of the policy, offline end", "q_policy at the switch", "return", _PROBES),
    Metric("offline_return_to_go", "Return-to-go, offline end", "return_to_go at the switch", "return", _PROBES),
)  # fmt: skip

# The fit of a learned floor, in done.json.
LEARNED_FLOOR = (
    Metric("held_out_rmse", "Held-out RMSE", "root mean squared error on trajectories the fit did not use", "return",
           direction="lower is better", low=0),
    Metric("held_out_r2", "Held-out R2", "share of the variance explained on trajectories the fit did not use", "share",
           direction="higher is better", high=1.0),
    Metric("held_out_bias", "Held-out bias", "mean estimate minus return-to-go on trajectories the fit did not use",
           "return"),
    Metric("exact_bias", "Bias", "mean estimate minus V_mu over the dataset, where V_mu is known", "return"),
    Metric("exact_rmse", "RMSE", "root mean square of estimate minus V_mu over the dataset, where V_mu is known",
           "return", direction="lower is better", low=0),
    Metric("steps", "Fit steps", "gradient steps until the parameters that were kept", "updates", low=0),
)  # fmt: skip

# Derived from the two above.
DERIVED = (
    Metric("calibration", "Calibration of Q(s, pi(s))",
           "mean Q(s, pi(s)) - mean return-to-go over the probe transitions of the dataset, at the switch, in units of "
           "the mapped return; below 0 the scale of the critic is below that of the data", "return", _PROBES),
    _share("bound_rate", "Bound rate",
           "share of sampled policy actions below the floor, over the last updates before the switch, for arms with a "
           "floor"),
    Metric("online_change", "Change online",
           "mean score over the evaluations of the online phase - mean score of the last two offline evaluations; "
           "below 0 fine-tuning lost more than it gained", "share", direction="higher is better", low=-1.0, high=1.0),
    _share("area_below", "Area below the offline score",
           "depth of the score below the mean of the last two offline evaluations, averaged over the environment steps "
           "of the online phase", direction="lower is better"),
    _share("train_score", "Training score",
           "success rate of the training episodes that finished since the previous evaluation, with the policy's "
           "exploration", direction="higher is better"),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.name: metric for metric in (*EVALUATION, *CALIBRATION, *SUMMARY, *DERIVED)}


def names(metrics: tuple[Metric, ...], unit: Unit | None = None) -> tuple[str, ...]:
    """The names of metrics, or of those with a unit."""
    return tuple(metric.name for metric in metrics if unit in (None, metric.unit))
