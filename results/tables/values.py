"""Tables about values: the scale of Q, learned floors, and calibration against exact values."""

from dataclasses import asdict

import pandas as pd

from results.frame import PAIRING, done
from results.frame.per_run import independent, replicated, replication
from results.statistics.intervals import CONFIDENCE, Estimate, bounds_of, mean_interval
from results.style import label
from results.tables.table import Table, interval_text, number

# The settings that determine the scale of Q -> their names for the reader.
SCALE_SETTINGS = {
    "task.data.transitions": "transitions",
    "task.data.action_noise": "action noise",
    "task.reward_scale": "reward scale",
    "task.reward_bias": "reward bias",
    "task.discount": "discount",
    "algorithm.alpha": "alpha",
    "algorithm.critic_learning_rate": "critic learning rate",
    "algorithm.tau": "tau",
    "schedule.offline_steps": "offline updates",
}


def scale_mismatch(runs: pd.DataFrame) -> Table:
    """Mean Q of dataset actions and mean return-to-go at the end of the offline phase, by task and arm.

    Numbers, per seed: task, arm, data_seed, seed, q_data, return_to_go, difference, below (whether Q is below the
    return-to-go).
    """
    finished = done(runs)
    numbers = finished[["task", "arm", *PAIRING]].assign(
        q_data=finished["offline_q_data"],
        return_to_go=finished["offline_return_to_go"],
        difference=finished["offline_q_data"] - finished["offline_return_to_go"],
        below=finished["offline_q_data"] < finished["offline_return_to_go"],
    )
    lines = []
    for (task, arm), group in numbers.groupby(["task", "arm"], sort=False):
        line = {
            "Task": task,
            "Arm": label(arm),
            "Mean return-to-go": number(group["return_to_go"].mean(), 1),
            "Mean Q(s, a)": interval_text(_mean(group, "q_data"), 1),
            "Calibration of Q(s, a)": interval_text(_mean(group, "difference"), 1, sign=True),
            "Seeds below": f"{int(group['below'].sum())} of {len(group)}",
        }
        lines.append(line)
    notes = (
        "Mean Q(s, a): of the dataset's actions, mean of the two critics over the probe transitions at the end of the "
        f"offline phase, in mapped return; mean over seeds [{CONFIDENCE:.0%} t interval].",
        "Calibration of Q(s, a): mean Q(s, a) - mean return-to-go of the same transitions; that of "
        "Q(s, pi(s)) is in the table of scores.",
        "Seeds below: seeds with a mean Q below the mean return-to-go of the same transitions.",
        *replication(finished),
        *(f"{task}: {_scale_settings(group)}." for task, group in finished.groupby("task", sort=False)),
    )
    return Table("scale_mismatch", "Scale of Q and returns of the data", numbers, pd.DataFrame(lines), notes)


def _mean(rows: pd.DataFrame, column: str) -> Estimate:
    """The mean of a column over the runs of an arm, or over their data seeds."""
    return mean_interval(replicated(rows[column], rows), bounds=bounds_of(column, rows))


def _scale_settings(runs: pd.DataFrame) -> str:
    """The settings that determine the scale of Q in the runs of a task, in words."""
    values = {name: runs[column].drop_duplicates() for column, name in SCALE_SETTINGS.items() if column in runs}
    return ", ".join(f"{name} {' or '.join(f'{value:.6g}' for value in column)}" for name, column in values.items())


# Number of a fit, decimals and heading.
FIT_COLUMNS = (
    ("held_out_rmse", 2, "Held-out RMSE"),
    ("held_out_r2", 3, "Held-out R2"),
    ("held_out_bias", 2, "Held-out bias"),
    ("exact_bias", 2, "Bias, V_mu"),
    ("exact_rmse", 2, "RMSE, V_mu"),
)


def learned_floor(runs: pd.DataFrame) -> Table | None:
    """Errors of the learned floors by task and arm; None if no run has one.

    Numbers, per seed: task, arm, data_seed, seed, the columns of `FIT_COLUMNS`, steps.
    """
    names = [*(name for name, _, _ in FIT_COLUMNS), "steps"]
    finished = done(runs)
    fitted = finished[finished["learned_floor.held_out_rmse"].notna()]
    if fitted.empty:
        return None
    numbers = fitted[["task", "arm", *PAIRING]].assign(**{name: fitted[f"learned_floor.{name}"] for name in names})
    numbers = numbers.reset_index(drop=True)
    shown = [column for column in FIT_COLUMNS if numbers[column[0]].notna().any()]
    lines = [
        {
            "Task": task,
            "Arm": label(arm),
            **{heading: interval_text(_mean(group, name), decimals) for name, decimals, heading in shown},
            "Gradient steps": number(group["steps"].mean(), 0),
            "n": str(independent(group)),
        }
        for (task, arm), group in numbers.groupby(["task", "arm"], sort=False)
    ]
    notes = (
        "Estimate minus return-to-go on trajectories that were not fitted, and estimate minus V_mu, the value of the "
        "behaviour policy, over the dataset, where V_mu is known; in mapped return. A return scatters around V_mu, so "
        "the RMSE against returns cannot be 0; that against V_mu can. "
        f"Mean over n seeds [{CONFIDENCE:.0%} t interval].",
        *replication(numbers),
    )
    return Table("learned_floor", "Errors of the learned floors", numbers, pd.DataFrame(lines), notes)


# Column of the evaluations, heading and meaning.
COLUMNS = (
    ("calibration_exact", "Q - V_mu", "mean Q(s, pi(s)) of the critics - exact value of the behaviour policy; "
     "below 0 the scale of the critic is below that of the behaviour policy"),
    ("overestimation_exact", "Q - V_pi", "the same Q - exact value of the deterministic policy of the run; above 0 the "
     "critic is not conservative"),
    ("policy_gap_exact", "V* - V_pi", "suboptimality of the policy; minus Q - V_pi it is V* - Q, the miscalibration "
     "part of the regret"),
    ("floor_error", "Floor - V_mu", "mean error of the floor"),
    ("floor_rmse", "Floor RMSE", "root mean squared error of the floor; for Monte Carlo floors the spread of "
     "the returns"),
)  # fmt: skip


def truth(evaluations: pd.DataFrame) -> Table | None:
    """Values and floors against exact values at the end of both phases; None without a task with exact values.

    `evaluations` is the frame of that name. Numbers: task, at, arm, metric, mean, low, high, n, method.
    """
    if "calibration_exact" not in evaluations:
        return None
    known = evaluations[evaluations["calibration_exact"].notna()]
    if known.empty:
        return None
    last = known.groupby("run", sort=False).tail(1)
    ends = {"offline end": known[known["step"] == 0], "online end": last[last["phase"] == "online"]}
    numbers, lines = [], []
    for task in known["task"].unique():
        for at, rows in ends.items():
            for arm, group in rows[rows["task"] == task].groupby("arm", sort=False):
                line = {"Task": task, "At": at, "Arm": label(arm)}
                for metric, heading, _ in COLUMNS:
                    estimate = _mean(group, metric)
                    numbers.append({"task": task, "at": at, "arm": arm, "metric": metric, **asdict(estimate)})
                    line[heading] = interval_text(estimate, 2)
                lines.append({**line, "n": str(independent(group))})
    notes = (
        "Over the probe transitions of the dataset, against exact values computed from the environment's model, in "
        f"mapped return; mean over seeds [{CONFIDENCE:.0%} t interval]. The values of a calibrated and conservative "
        "critic lie between V_mu and V_pi.",
        *replication(known),
        *(f"{heading}: {meaning}." for _, heading, meaning in COLUMNS),
    )
    return Table("truth", "Calibration against exact values", pd.DataFrame(numbers), pd.DataFrame(lines), notes)
