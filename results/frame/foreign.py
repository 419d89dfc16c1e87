"""Runs of others: scores per evaluation under our definitions, kept in `ROOT/imported/<source>.parquet`.

They are a frame of their own, `Frames.foreign`, so that no average of ours contains them. Columns: source, run (its
name there), task, arm, seed, step (as in `evaluations`), phase, score, offline_steps; and where they are from: metric,
file, sha256. A score is a success rate or normalised return, from 0 to 1.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd

from harness.errors import UserError, one_line
from harness.plain_values import quoted_if_odd, shown
from results.frame.foreign_formats import LARGEST_WHOLE, Parsed, Row, some_of
from results.frame.frames import IMPORTED, SOURCE_NAME, checked_foreign, read_foreign, write_parquet

# The source of our runs, in tables and figures that have others.
OURS = "floorbench"

# Units by the end of a metric's name; CORL's score is per cent.
UNITS = {
    "d4rl_normalized_score": "percent", "percent": "percent", "pct": "percent", "%": "percent", "%)": "percent",
    "share": "share", "fraction": "share",
}  # fmt: skip
DIVISORS = {"share": 1.0, "percent": 100.0}

# Normalised scores may exceed 1, but a share beyond this is per cent.
LARGEST_SHARE = 2.0


@dataclass(frozen=True)
class Meaning:
    """How the values of a file become scores, and its names our names."""

    # Gradient steps of the offline phase; the steps after it are environment steps.
    offline_steps: int
    # Names of all runs, or their names for ours; an empty key is a name for all.
    tasks: Mapping[str, str] = field(default_factory=dict)
    arms: Mapping[str, str] = field(default_factory=dict)
    # Finds task, arm and seed in the names of runs, by groups of these names.
    names: re.Pattern[str] | None = None
    # "share" or "percent"; None: as the metric's name says.
    unit: str | None = None
    # Returns that count as the scores 0 and 1, if the values are returns.
    references: tuple[float, float] | None = None


def foreign_frame(parsed: Parsed, source: str, file: str, meaning: Meaning) -> pd.DataFrame:
    """The frame of a source; raises UserError for names, values and metrics that cannot stand beside ours."""
    if not SOURCE_NAME.fullmatch(source):
        raise UserError(
            f"--as {shown(source)}: must be up to 40 letters, digits, hyphens and underscores, such as corl"
        )
    if source.lower() == OURS:
        raise UserError(f"--as {source}: is the source of our runs; choose another name")
    rows = _seeded(_named(parsed.rows, meaning))
    scores = _scores(parsed, meaning)
    frame = pd.DataFrame({
        "source": source,
        "run": [row.run for row in rows],
        "task": [row.task for row in rows],
        "arm": [row.arm for row in rows],
        "seed": [row.seed for row in rows],
        "step": [row.step - meaning.offline_steps for row in rows],
        "phase": ["offline" if row.step <= meaning.offline_steps else "online" for row in rows],
        "score": scores,
        "offline_steps": meaning.offline_steps,
        "metric": parsed.metric,
        "file": file,
        "sha256": parsed.sha256,
    })  # fmt: skip
    frame = frame.sort_values(["task", "arm", "seed", "step"], kind="stable").reset_index(drop=True)
    _refuse_doubles(frame)
    return checked_foreign(frame, file)


def _identity(row: Row, meaning: Meaning) -> dict[str, str | int | None]:
    """Task, arm and seed of a run as its file names them: in columns, or in the name of the run."""
    identity: dict[str, str | int | None] = {"task": row.task, "arm": row.arm, "seed": row.seed}
    if meaning.names is not None:
        match = meaning.names.search(row.run)
        if match is None:
            raise UserError(f"--names {meaning.names.pattern}: matches no part of the run name {shown(row.run)}")
        identity |= {name: value for name, value in match.groupdict().items() if value is not None}
    seed = identity["seed"]
    if isinstance(seed, str) and (not seed.isdecimal() or int(seed[:20]) >= LARGEST_WHOLE):
        raise UserError(f"--names: finds the seed {shown(seed)} in the run name {shown(row.run)}; it must be a number")
    return {**identity, "seed": None if seed is None else int(seed)}


def _named(rows: Sequence[Row], meaning: Meaning) -> list[Row]:
    """The rows with our names of tasks and arms."""
    identities = [_identity(row, meaning) for row in rows]
    for name, renamed, option in (("task", meaning.tasks, "--task"), ("arm", meaning.arms, "--arm")):
        known = list(dict.fromkeys(str(names[name]) for names in identities if names[name] is not None))
        for theirs in renamed:
            if theirs and theirs not in known:
                raise UserError(
                    f"{option} {quoted_if_odd(theirs)}={renamed[theirs]}: no run has the {name} "
                    f"{quoted_if_odd(theirs)}; the file has {some_of(known)}"
                )
        for row, names in zip(rows, identities, strict=True):
            names[name] = renamed.get("") or renamed.get(str(names[name]), names[name])
            if names[name] is None:
                raise UserError(
                    f"run {quoted_if_odd(row.run)}: the file does not say its {name}; give it with {option}, or the "
                    f"part of run names that does with --names '(?P<{name}>...)'"
                )
    return [
        replace(row, task=str(names["task"]), arm=str(names["arm"]), seed=names["seed"])  # type: ignore[arg-type]
        for row, names in zip(rows, identities, strict=True)
    ]


def _seeded(rows: list[Row]) -> list[Row]:
    """The rows, where seeds are unknown with numbers in place of seeds: the order of the runs of a task and arm."""
    numbers: dict[tuple[str | None, str | None], dict[str, int]] = {}
    for row in rows:
        if row.seed is None:
            known = numbers.setdefault((row.task, row.arm), {})
            known.setdefault(row.run, len(known))
    return [row if row.seed is not None else replace(row, seed=numbers[row.task, row.arm][row.run]) for row in rows]


def unit_of(metric: str) -> str | None:
    """The unit that the name of a metric says: "percent" or "share"; None if it says none."""
    last = metric.lower().rpartition("/")[2]
    return next((unit for ending, unit in UNITS.items() if last.endswith(ending)), None)


def _scores(parsed: Parsed, meaning: Meaning) -> np.ndarray:
    """The values as scores, or UserError if their definition is not that of the score."""
    values = np.array([row.value for row in parsed.rows])
    name = f"metric {quoted_if_odd(parsed.metric)}"
    if "regret" in parsed.metric.lower():
        raise UserError(
            f"{name}: its definition is ambiguous (over evaluations, or over training episodes as in CORL); import the "
            "score per evaluation, from which regret_eval is computed"
        )
    if meaning.references is not None:
        if meaning.unit is not None:
            raise UserError("--unit and --reference-returns exclude each other; leave out one")
        low, high = meaning.references
        return np.asarray((values - low) / (high - low))
    unit = meaning.unit or unit_of(parsed.metric)
    if unit is None:
        raise UserError(
            f"{name}: its name does not say its unit; add --unit share (0 to 1), --unit percent, or --reference-returns"
        )
    if unit not in DIVISORS:
        raise UserError(f"--unit {quoted_if_odd(unit)}: unknown unit; choose one of {', '.join(DIVISORS)}")
    implied = meaning.unit and unit_of(parsed.metric)
    if implied and implied != unit:
        raise UserError(f"--unit {unit}: but the name of {name} says {implied}; leave out --unit")
    scores = values / DIVISORS[unit]
    success = "success" in parsed.metric.lower()
    largest = 1.0 if success else LARGEST_SHARE
    outside = values[(scores > largest) | (scores < (0.0 if success else -LARGEST_SHARE))]
    if len(outside):
        wrong = "a share; use --unit percent if it is per cent" if unit == "share" else "per cent of a score"
        raise UserError(f"{name}: {outside[0]:g} cannot be {wrong}")
    return np.asarray(scores)


def _refuse_doubles(frame: pd.DataFrame) -> None:
    """Raise UserError if two runs have one task, arm and seed, or a run has two values at a step."""
    names = ["task", "arm", "seed"]
    runs = frame.drop_duplicates([*names, "run"])
    twice = runs[runs.duplicated(names, keep=False)]
    if len(twice):
        first, other = twice.iloc[0], twice.iloc[1]
        raise UserError(
            f"runs {quoted_if_odd(first['run'])} and {quoted_if_odd(other['run'])}: are both {first['task']}, "
            f"{first['arm']}, seed {first['seed']}; tell them apart with --names or a column of seeds"
        )
    twice = frame[frame.duplicated([*names, "step"])]
    if len(twice):
        row = twice.iloc[0]
        raise UserError(
            f"run {quoted_if_odd(row['run'])}: has two values at step {row['step'] + row['offline_steps']}; remove one "
            "of them, or tell its runs apart with a column of run names"
        )


# Files ----------------------------------------------------------------------------------------------------------------


def store(frame: pd.DataFrame, root: Path) -> Path:
    """Keep the frame of a source in a root and return its file; raises UserError if the source exists."""
    source = str(frame["source"].iloc[0])
    file = Path(root) / IMPORTED / f"{source}.parquet"
    if file.exists():
        known = read_foreign(file)
        same = "the same content" if known["sha256"].iloc[0] == frame["sha256"].iloc[0] else "other content"
        raise UserError(
            f"--as {source}: exists already, of {known['file'].iloc[0]} with {same}; choose another name, or remove "
            f"{file}"
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_parquet(file, frame, compression="zstd")
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({one_line(error)}); choose another --root") from None
    return file


# Under our definitions ------------------------------------------------------------------------------------------------


def summaries(foreign: pd.DataFrame) -> pd.DataFrame:
    """A row per run of others: source, task, arm, seed, and `offline_score`, `final_score` and `regret_eval` as ours.

    The first and the last need an evaluation at the switch; NaN without, and for the latter two without online ones.
    """
    from harness.training.evaluation import regret_eval

    rows = []
    for (source, task, arm, seed), run in foreign.groupby(["source", "task", "arm", "seed"], sort=False):
        ordered = run.sort_values("step", kind="stable")
        from_switch = ordered[ordered["step"] >= 0]
        switch, online = from_switch[from_switch["step"] == 0], from_switch[from_switch["step"] > 0]
        regret = regret_eval(from_switch["step"].to_numpy(), from_switch["score"].to_numpy()) if len(switch) else None
        rows.append({
            "source": source, "task": task, "arm": arm, "seed": seed,
            "offline_score": switch["score"].iloc[0] if len(switch) else nan,
            "final_score": online["score"].iloc[-1] if len(online) else nan,
            "regret_eval": nan if regret is None else regret,
        })  # fmt: skip
    return pd.DataFrame(rows)


def name_beside_ours(arm: object, source: object) -> str:
    """The name of an arm of others in tables and figures."""
    return f"{arm} ({source})"
