"""The dictionary of columns: the meaning, unit and direction of every metric in the frames, from the metric schema."""

import pandas as pd

from harness.metrics import EVALUATION, LEARNED_FLOOR, SUMMARY, Metric

UNITS = {"share": "share (0 to 1)", "return": "mapped return", "1": "none"}

# Columns that every frame has, and those of costs: frame, meaning, unit.
KEYS = {
    "run": ("both", "id of the run: the hash of its settings", ""),
    "grid": ("runs", "the registered grids that contain the run, with runs(..., grids=True)", ""),
    "task": ("both", "environment, dataset and settings", ""),
    "arm": ("both", "what the run changes (ablations/arms.py)", ""),
    "data_seed": ("both", "seed of the dataset's collection; 0 for hosted data", ""),
    "seed": ("both", "seed of all random streams", ""),
    "schema_version": ("runs", "version of the settings", ""),
    "prefix": ("runs", "id of the offline phase that the run started from, else empty", ""),
    "state": ("runs", "done, running, failed, ...", ""),
    "reason": ("runs", "why the run failed, else empty", ""),
    "step": ("evaluations", "environment steps since the switch; before it, minus the gradient steps left", "steps"),
    "phase": ("evaluations", "offline or online", ""),
    "offline_step": ("evaluations", "gradient steps of the offline phase so far", "updates"),
    "online_step": ("evaluations", "environment steps of the online phase so far", "steps"),
}
COSTS = {
    "attempts": ("runs", "number of times the run was started", ""),
    "wall_hours": ("runs", "time of all attempts; a pack's time counts once for each of its runs", "hours"),
    "core_hours": ("runs", "cores of the pack divided among its runs, times their time", "hours"),
    "gpu_hours": ("runs", "the same for GPUs", "hours"),
    "peak_memory": ("runs", "largest memory of the process", "bytes"),
    "cost_source": ("runs", "who measured the cost: runs, accounting or both", ""),
}


def columns() -> pd.DataFrame:
    """A row per column of the frames: column, frame ("runs", "evaluations" or "both"), meaning, unit, better.

    Settings are left out; they are columns of `runs` by their dotted path, such as "algorithm.alpha", and
    harness/settings.py describes them.
    """
    rows = [_fixed(name, *values) for name, values in KEYS.items()]
    rows += [_metric("evaluations", metric) for metric in EVALUATION]
    rows += [_metric("runs", metric) for metric in SUMMARY]
    rows += [_metric("runs", metric, "learned_floor.") for metric in LEARNED_FLOOR]
    rows += [_fixed(name, *values) for name, values in COSTS.items()]
    return pd.DataFrame(rows)


def _metric(frame: str, metric: Metric, prefix: str = "") -> dict[str, str]:
    meaning = metric.meaning.format(window="dip_window", spacing="schedule.dense_interval")
    return {
        "column": prefix + metric.name,
        "frame": frame,
        "meaning": "; ".join(filter(None, (meaning, metric.aggregation))),
        "unit": UNITS.get(metric.unit, metric.unit),
        "better": metric.direction.partition(" ")[0],
    }


def _fixed(name: str, frame: str, meaning: str, unit: str) -> dict[str, str]:
    return {"column": name, "frame": frame, "meaning": meaning, "unit": unit, "better": ""}
