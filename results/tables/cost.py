"""The tables of costs: attempts, core-hours, GPU-hours, wall time and memory; and what the time was spent on."""

from collections.abc import Iterator

import pandas as pd

from results.frame.frames import COST, EXPECTED, SECONDS
from results.style import label
from results.tables.table import NONE, Table, number

SOURCES = {
    "accounting": "SLURM's accounting",
    "runs": "measured by the runs",
    "both": "SLURM's accounting where available, otherwise measured by the runs",
}

GIGABYTE = 2**30
MILLION = 1e6


def cost(runs: pd.DataFrame) -> Table | None:
    """Cost of all runs, finished or not, by task and arm; None if the frame has no costs.

    Numbers: task, arm, runs, updates (gradient steps of finished runs), attempts, wall_hours, core_hours,
    gpu_hours, peak_memory (bytes), source.
    """
    if not set(COST) <= set(runs.columns) or not runs["attempts"].any():
        return None
    numbers = pd.DataFrame(_lines(runs))
    text = pd.DataFrame(
        {
            "Task": numbers["task"],
            "Arm": [NONE if arm == "" else label(arm) for arm in numbers["arm"]],
            "Runs": numbers["runs"].map(str),
            "Updates [M]": numbers["updates"].map(lambda value: number(value / MILLION, 2)),
            "Attempts": numbers["attempts"].map(str),
            "Core-hours": numbers["core_hours"].map(lambda value: number(value, 2)),
            "GPU-hours": numbers["gpu_hours"].map(lambda value: number(value, 2)),
            "Wall time [h]": numbers["wall_hours"].map(lambda value: number(value, 2)),
            "Peak memory [GiB]": numbers["peak_memory"].map(lambda value: number(value / GIGABYTE, 2)),
            "Source": numbers["source"],
        }
    )
    occurring = sorted(set(runs["cost_source"]) & set(SOURCES))
    sources = "; ".join(f"{source}: {SOURCES[source]}" for source in occurring)
    notes = (
        "Updates: gradient steps of the finished runs. All other columns include unfinished runs and every attempt. "
        "The cores and GPUs of a pack are divided among its runs, the cost of a prefix among the runs that start from "
        "it; its updates count for each of them. Wall time is summed over runs, so an hour of a pack counts once for "
        f"each of its runs. Peak memory is that of the largest process. Source: {sources}.",
    )
    return Table("cost", "Cost of the runs", numbers, text, notes)


def time_spent(runs: pd.DataFrame) -> Table | None:
    """Core-seconds of a finished run by task and part of the work; None if no run has recorded them.

    Numbers: task, runs, core_seconds (mean over runs), and the part of each as a fraction of it.
    """
    if not set(SECONDS) <= set(runs.columns):
        return None
    measured = runs[(runs["state"] == "done") & runs[list(SECONDS)].notna().any(axis=1)]
    if measured.empty:
        return None
    means = measured.groupby("task", sort=False)[list(SECONDS)].mean().fillna(0.0)
    total = means.sum(axis=1)
    counts = measured.groupby("task", sort=False).size()
    fractions = means.div(total, axis=0).rename(columns=lambda name: name.removeprefix("seconds."))
    numbers = pd.concat({"runs": counts, "core_seconds": total}, axis=1).join(fractions).reset_index()
    text = pd.DataFrame(
        {
            "Task": numbers["task"],
            "Runs": numbers["runs"].map(str),
            "Core-seconds": numbers["core_seconds"].map(lambda value: number(value, 1)),
            **{part.capitalize(): numbers[part].map(lambda value: f"{100 * value:.0f}%") for part in fractions.columns},
        }
    )
    notes = (
        "Means over finished runs; the time of a pack is divided among its runs. Start: imports, data, kernels and "
        "floors. Idle: time without processor time.",
    )
    return Table("time", "Core-seconds of a run", numbers, text, notes)


def expectation(runs: pd.DataFrame) -> Table | None:
    """Expected and taken processor time of finished runs by task; None if no run has recorded them.

    Numbers: task, runs, expected, taken (seconds, means over runs), ratio (taken to expected), idle (fraction of the
    time of a core in which the run waited for it).
    """
    if not {EXPECTED, *SECONDS} <= set(runs.columns):
        return None
    measured = runs[(runs["state"] == "done") & runs["seconds.update"].notna() & runs[EXPECTED].notna()]
    if measured.empty:
        return None
    idle = measured["seconds.idle"].fillna(0.0)
    taken = measured[list(SECONDS)].fillna(0.0).sum(axis=1) - idle
    frame = measured[["task"]].assign(expected=measured[EXPECTED], taken=taken, idle=idle)
    means = frame.groupby("task", sort=False).mean()
    counts = frame.groupby("task", sort=False).size()
    ratio, idle = means["taken"] / means["expected"], means["idle"] / (means["idle"] + means["taken"])
    columns = {"runs": counts, "expected": means["expected"], "taken": means["taken"], "ratio": ratio, "idle": idle}
    numbers = pd.DataFrame(columns).reset_index()
    text = pd.DataFrame(
        {
            "Task": numbers["task"],
            "Runs": numbers["runs"].map(str),
            "Expected [s]": numbers["expected"].map(lambda value: number(value, 1)),
            "Taken [s]": numbers["taken"].map(lambda value: number(value, 1)),
            "Taken / expected": numbers["ratio"].map(lambda value: number(value, 2)),
            "Idle": numbers["idle"].map(lambda value: f"{100 * value:.0f}%"),
        }
    )
    notes = (
        "Processor time of a run, means over finished runs. Expected: by the defaults, adjusted to the speed of the "
        "machine that computed it, with which the time of a grid is estimated before any of its runs has finished; "
        "afterwards it is estimated from these. Idle: time of a core without processor time, not counted as taken; on "
        "a busy machine runs take longer by this.",
    )
    return Table("expectation", "Expected and taken time", numbers, text, notes)


def _lines(runs: pd.DataFrame) -> Iterator[dict]:
    for (task, arm), group in runs.groupby(["task", "arm"], sort=False):
        yield {"task": task, "arm": arm, **_sum(group)}
    if runs[["task", "arm"]].drop_duplicates().shape[0] > 1:
        yield {"task": "all", "arm": "", **_sum(runs)}


def _sum(group: pd.DataFrame) -> dict:
    sources = set(group["cost_source"]) - {""}
    return {
        "runs": len(group),
        "updates": int(_updates(group[group["state"] == "done"])),
        "attempts": int(group["attempts"].sum()),
        **{name: float(group[name].sum()) for name in ("wall_hours", "core_hours", "gpu_hours")},
        "peak_memory": float(group["peak_memory"].max()),
        "source": NONE if not sources else sources.pop() if len(sources) == 1 else "both",
    }


def _updates(finished: pd.DataFrame) -> float:
    steps = finished["schedule.online_steps"]
    if "online.warmup_horizons" in finished:
        steps = (steps - finished["online.warmup_horizons"].fillna(0) * finished["task.horizon"]).clip(lower=0)
    online = steps * finished["schedule.updates_per_step"]
    return float((finished["schedule.offline_steps"] + online).sum())
