"""The tables: numbers for machines (long, one row per estimate), the same as text for people, and their files."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader

from harness.errors import UserError
from results.frame import done
from results.statistics.estimate import CONFIDENCE, Estimate
from results.statistics.intervals import mean_interval
from results.statistics.pairs import paired_difference
from results.style import label

# The arm against which the others are held, within seed.
BASELINE = "cql"


@dataclass(frozen=True)
class Metric:
    """One number per run, and how a table shows it."""

    name: str
    heading: str
    decimals: int
    # Frame of finished runs -> one number per run.
    of: Callable[[pd.DataFrame], pd.Series]
    # What it is, for the reader.
    meaning: str


METRICS = (
    Metric("offline_score", "Score, offline end", 2, lambda runs: runs["offline_score"],
           "success rate of the deterministic evaluation episodes at the end of the offline phase, the switch"),
    Metric("final_score", "Score, online end", 2, lambda runs: runs["final_score"],
           "the same at the last evaluation of the online phase (the last, not the best)"),
    Metric("regret_eval", "regret_eval", 2, lambda runs: runs["regret_eval"],
           "1 - mean score over the online phase, weighted by environment steps (trapezoid rule over the evaluations "
           "from the switch on)"),
    Metric("regret_train", "regret_train", 2, lambda runs: runs["regret_train"],
           "1 - mean success over the finished online training episodes, so with the policy's exploration"),
    Metric("dip", "Dip", 2, lambda runs: runs["dip"],
           "score at the switch - lowest evaluation in the first {window} environment steps, evaluated every "
           "{spacing}; 0 if it never falls"),
    Metric("calibration", "Calibration, offline end", 1,
           lambda runs: runs["offline_q_policy"] - runs["offline_return_to_go"],
           "mean Q(s, pi(s)) - mean return-to-go over the probe transitions of the dataset, at the switch, in units of "
           "the mapped return; below 0 the critic's scale lies under the data's"),
)  # fmt: skip


RECOVERY = (
    "Recovery: of the runs that dipped, how many came back to their score at the switch [and the mean number of "
    "environment steps from the switch until they did]."
)


@dataclass(frozen=True)
class Table:
    """A table's numbers and its text."""

    # Stem of its files.
    name: str
    title: str
    # For machines.
    numbers: pd.DataFrame
    # For people: formatted strings under readable headings.
    text: pd.DataFrame
    # What a reader must know beside it, one paragraph each.
    notes: tuple[str, ...] = ()
    # Column of the text whose values become heading rows in LaTeX.
    group: str = "Task"
    # Columns of sentences and the share of the page's width that each has in LaTeX; such a table may break over pages.
    prose: Mapping[str, float] = field(default_factory=dict)


def scores(runs: pd.DataFrame) -> Table:
    """Every metric of `METRICS`, and the recovery, by task and arm.

    `runs` is the frame of `results.frame.runs`; only finished runs enter, and column n says how many of how many.
    Numbers: task, arm, metric, mean, low, high, n, method. Raises UserError if no run is done.
    """
    finished = done(runs)
    if finished.empty:
        states = ", ".join(f"{count} {state}" for state, count in runs["state"].value_counts().items())
        raise UserError(f"report: no run is done yet ({states}); there is nothing to average")
    numbers, lines = [], []
    for (task, arm), group in runs.groupby(["task", "arm"], sort=False):
        here = finished[(finished["task"] == task) & (finished["arm"] == arm)]
        estimates = {metric: mean_interval(metric.of(here)) for metric in METRICS}
        fell, back = _recovery(here)
        rows = {metric.name: estimate for metric, estimate in estimates.items()} | {"recovery_steps": back}
        numbers += [{"task": task, "arm": arm, "metric": name, **asdict(estimate)} for name, estimate in rows.items()]
        cells = {metric.heading: interval_text(estimate, metric.decimals) for metric, estimate in estimates.items()}
        cells["Recovery"] = f"{back.n} of {fell}" + (f" [{back.mean:,.0f} steps]" if back.n else "")
        n = f"{len(here)}" if len(here) == len(group) else f"{len(here)} of {len(group)}"
        lines.append({"Task": task, "Arm": label(arm), **cells, "n": n})
    title = "Score, regret, dip and calibration by floor"
    return Table("scores", title, pd.DataFrame(numbers), pd.DataFrame(lines), definitions(finished))


def _recovery(finished: pd.DataFrame) -> tuple[int, Estimate]:
    """How many runs dipped, and the mean steps of those that came back (too few and too skewed for an interval)."""
    fell = finished[finished["dip"] > 0]
    back = fell["recovery_steps"].dropna()
    return len(fell), Estimate(float(back.mean()), nan, nan, len(back), "mean, no interval")


def definitions(finished: pd.DataFrame) -> tuple[str, ...]:
    """What each metric means, with the window and spacing of the dip as the runs had them."""
    window = _range(finished["dip_window"])
    spacing = _range(finished["schedule.dense_interval"])
    lines = [f"{metric.heading}: {metric.meaning.format(window=window, spacing=spacing)}." for metric in METRICS]
    intervals = (
        f"Cells give the mean over seeds [{CONFIDENCE:.0%} t interval] and n the finished runs; intervals are not cut "
        "at 0 and 1, and one of width zero means that every seed gave the same number."
    )
    return (intervals, *lines, RECOVERY)


def differences(runs: pd.DataFrame) -> Table | None:
    """Every other arm minus `BASELINE` within seed, or None where there is nothing to compare.

    Numbers: task, arm, metric, mean, low, high, n, method, correlation.
    """
    finished = done(runs)
    rows, lines = [], []
    for task, group in finished.groupby("task", sort=False):
        baseline = group[group["arm"] == BASELINE].set_index("seed")
        for arm, other in group[group["arm"] != BASELINE].groupby("arm", sort=False):
            seeds = baseline.index.intersection(other["seed"].to_list())
            if seeds.empty:
                continue
            theirs = other.set_index("seed")
            line = {"Task": task, "Arm": label(arm)}
            for metric in METRICS:
                estimate = paired_difference(metric.of(theirs)[seeds], metric.of(baseline)[seeds])
                rows.append({"task": task, "arm": arm, "metric": metric.name, **asdict(estimate)})
                line[metric.heading] = interval_text(estimate, metric.decimals, sign=True)
                if metric.name == "regret_eval":
                    line["r"] = _number(estimate.correlation, 2)
            lines.append({**line, "n": str(len(seeds))})
    if not rows:
        return None
    notes = (
        f"Mean difference within seed [{CONFIDENCE:.0%} paired t interval], not adjusted for the number of arms; n "
        "pairs. r is the correlation of regret_eval between the two arms over the seeds.",
    )
    text = pd.DataFrame(lines)
    text = text[[*[column for column in text.columns if column not in ("r", "n")], "r", "n"]]
    return Table("differences", f"Difference to {label(BASELINE)} within seed", pd.DataFrame(rows), text, notes)


def scale_mismatch(runs: pd.DataFrame) -> Table:
    """Mean Q on dataset actions against mean return-to-go at the end of the offline phase, seed by seed.

    Numbers: task, arm, seed, q_data, return_to_go, difference, below (whether Q lies below the return-to-go).
    """
    finished = done(runs)
    numbers = finished[["task", "arm", "seed"]].assign(
        q_data=finished["offline_q_data"],
        return_to_go=finished["offline_return_to_go"],
        difference=finished["offline_q_data"] - finished["offline_return_to_go"],
        below=finished["offline_q_data"] < finished["offline_return_to_go"],
    )
    lines, notes = [], []
    for task, of_task in numbers.groupby("task", sort=False):
        for seed, of_seed in of_task.groupby("seed"):
            line = {"Task": task, "Seed": str(seed), "Mean return-to-go": _number(of_seed["return_to_go"].mean(), 1)}
            cells = {label(row.arm): _number(row.q_data, 1) for row in of_seed.itertuples()}
            lines.append(line | cells)
        counts = [f"{label(arm)}: {int(group['below'].sum())} of {len(group)}"
                  for arm, group in of_task.groupby("arm", sort=False)]  # fmt: skip
        notes.append(f"{task}: seeds in which Q lies below the return-to-go. {'; '.join(counts)}. "
                     f"Seen with these settings: {_scale_settings(finished[finished['task'] == task])}.")  # fmt: skip
    notes.append(
        "Columns named after arms: mean Q(s, a) of the two critics over the probe transitions of the dataset at the "
        "end of the offline phase, in units of the mapped return."
    )
    arms = [label(arm) for arm in numbers["arm"].drop_duplicates()]
    text = pd.DataFrame(lines).reindex(columns=["Task", "Seed", "Mean return-to-go", *arms]).fillna("-")
    return Table("scale_mismatch", "Scale of Q against the data's returns", numbers, text, tuple(notes))


# The settings that decide the scale of Q, by the words a reader knows them by.
SCALE_SETTINGS = {
    "task.data.transitions": "transitions",
    "task.data.action_noise": "action noise",
    "task.reward_scale": "reward scale",
    "task.reward_bias": "reward bias",
    "task.discount": "discount",
    "algorithm.alpha": "alpha",
    "algorithm.critic_learning_rate": "critic rate",
    "algorithm.tau": "tau",
    "schedule.offline_steps": "offline updates",
}


def _scale_settings(runs: pd.DataFrame) -> str:
    """What decides the scale of Q in these runs, in words."""
    values = {name: runs[column].drop_duplicates() for column, name in SCALE_SETTINGS.items() if column in runs}
    return ", ".join(f"{name} {' or '.join(f'{value:.6g}' for value in each)}" for name, each in values.items())


def learned_floor(runs: pd.DataFrame) -> Table | None:
    """Held-out error of every learned floor, or None if no run learned one.

    Numbers: task, arm, seed, held_out_rmse, held_out_r2, steps.
    """
    names = ["held_out_rmse", "held_out_r2", "steps"]
    finished = done(runs)
    fitted = finished[finished["learned_floor.held_out_rmse"].notna()]
    if fitted.empty:
        return None
    numbers = fitted[["task", "arm", "seed"]].assign(**{name: fitted[f"learned_floor.{name}"] for name in names})
    numbers = numbers.reset_index(drop=True)
    text = pd.DataFrame(
        {
            "Task": numbers["task"],
            "Arm": numbers["arm"].map(label),
            "Seed": numbers["seed"].map(str),
            "Held-out RMSE": numbers["held_out_rmse"].map(lambda value: _number(value, 2)),
            "Held-out R2": numbers["held_out_r2"].map(lambda value: _number(value, 3)),
            "Gradient steps": numbers["steps"].map(lambda value: _number(value, 0)),
        }
    )
    notes = ("Regression of a value network on return-to-go, measured on trajectories kept out of the fit; RMSE in "
             "units of the mapped return.",)  # fmt: skip
    return Table("learned_floor", "Held-out error of the learned floor", numbers, text, notes)


def write(table: Table, folder: Path) -> list[Path]:
    """Write `<name>.csv` (numbers), `.md` and `.tex` (text, booktabs); the same table gives the same bytes."""
    files = {
        "csv": table.numbers.to_csv(index=False, float_format="%.6g", lineterminator="\n"),
        "md": "\n\n".join([f"**{table.title}**", _markdown(table.text), *table.notes]) + "\n",
        "tex": latex(table),
    }
    paths = []
    for suffix, content in files.items():
        paths.append(folder / f"{table.name}.{suffix}")
        paths[-1].write_text(content)
    return paths


def latex(table: Table) -> str:
    """The table with booktabs rules and a heading row per group, in letters that fit two columns.

    A `table*`, or a `longtable` where the table has columns of prose.
    """
    environment = Environment(
        loader=PackageLoader("results"), variable_start_string="<<", variable_end_string=">>", block_start_string="<%",
        block_end_string="%>", comment_start_string="<#", comment_end_string="#>", trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["tex"] = _tex
    columns = [column for column in table.text.columns if column != table.group]
    groups = [(name, rows[columns].to_numpy().tolist()) for name, rows in table.text.groupby(table.group, sort=False)]
    template = environment.get_template("long_table.tex" if table.prose else "table.tex")
    return template.render(table=table, columns=columns, groups=groups)


def _markdown(text: pd.DataFrame) -> str:
    return text.to_markdown(index=False, disable_numparse=True)


def _tex(text: str) -> str:
    """Escape for LaTeX, with true minus signs before digits."""
    special = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
               "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}  # fmt: skip
    escaped = "".join(special.get(letter, letter) for letter in text)
    return re.sub(r"(?<![\w.])-(?=\d)", "$-$", escaped)


def interval_text(estimate: Estimate, decimals: int, sign: bool = False) -> str:
    """A mean and its interval as a cell shows them: "-3.1 [-4.0, -2.2]", or "-" for no runs."""
    if estimate.n == 0:
        return "-"
    text = _number(estimate.mean, decimals, sign)
    if pd.isna(estimate.low):
        return text
    return f"{text} [{_number(estimate.low, decimals)}, {_number(estimate.high, decimals)}]"


def _number(value: Any, decimals: int, sign: bool = False) -> str:
    if pd.isna(value):
        return "-"
    # Adding zero turns the -0.0 that rounding leaves into 0.0.
    return f"{round(float(value), decimals) + 0.0:{'+' if sign else ''},.{decimals}f}"


def _range(values: pd.Series) -> str:
    """One number, or the smallest to the largest where tasks differ."""
    values = values.dropna()
    low, high = values.min(), values.max()
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"
