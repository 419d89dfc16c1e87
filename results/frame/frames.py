"""The frames, their columns, and frames as files: a report can be made from them without the run folders."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, fields
from io import BytesIO
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from harness import metrics
from harness.errors import UserError, reason
from harness.files import atomic_write, check_file
from harness.folders.state import RunState
from harness.folders.usage import PARTS
from harness.metrics import names
from harness.plain_values import shown
from harness.settings import Run
from harness.watching.verification import Original
from results.style import in_order

# Increase when the meaning of a column changes.
FORMAT = 1

# The numbers of `done.json`.
SUMMARY = names(metrics.SUMMARY)
LEARNED_FLOOR = names(metrics.LEARNED_FLOOR)

# The cost of a run (`results.frame.record.cost_columns`).
COST = ("attempts", "wall_hours", "core_hours", "gpu_hours", "peak_memory", "cost_source")

# The core-seconds of a run by part of the work (`harness.folders.usage.parts`).
SECONDS = tuple(f"seconds.{name}" for name in PARTS)

# The core-seconds that the defaults of `harness.launching.cost` expect of a run.
EXPECTED = "expected_seconds"

# Columns that identify an evaluation, and those of them that hold text; all others hold numbers.
EVALUATION_KEYS = ("run", "task", "arm", "data_seed", "seed", "step", "phase")
TEXT = ("run", "task", "arm", "phase")

# What pairs the runs of a task: with equal data seeds and seeds, arms have the same data and the same random streams.
PAIRING = ["data_seed", "seed"]

# The setting that `data_seed` repeats.
DATA_SEED = "task.data.seed"

# Characters that names of runs, tasks and arms do not have: they mean something in paths, HTML, Markdown or LaTeX.
ODD = frozenset("/\\<>&\"'$`|")

# With what a formula begins in a spreadsheet.
FORMULA = ("=", "+", "-", "@")

# The columns of runs of others (`results.frame.foreign`).
FOREIGN = {
    "source": "str", "run": "str", "task": "str", "arm": "str", "seed": "int64", "step": "int64", "phase": "str",
    "score": "float64", "offline_steps": "int64", "metric": "str", "file": "str", "sha256": "str",
}  # fmt: skip

# The folder of a root, or of exported numbers, with a file per source.
IMPORTED = "imported"

SOURCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")

# Longest name of a task, arm or run.
LONGEST = 120

# The columns without which the frame of a file is not one of ours.
NEEDED = {
    "runs": ("run", "task", "arm", "seed", "state", *SUMMARY[:1]),
    "evaluations": ("run", "task", "arm", "seed", "step", "phase"),
    "provenance": ("run", "dataset"),
}

# Columns of evaluations that `metrics.jsonl` does not have.
ADDED = [name for name in EVALUATION_KEYS if name != "phase"]

# The column that holds the extensions that a run uses; frames of runs without any lack it.
EXTENSIONS = "extensions"

# Prefixes of the columns that hold settings, and of those of the provenance that hold machine and packages.
SETTINGS = ("task.", "floor.", "behaviour_value.", "algorithm.", "schedule.", "online.")
MACHINE, PACKAGES = "machine.", "packages."


@dataclass(frozen=True)
class Frames:
    """The contents of run folders; `results.frame.gathering` lists the columns."""

    # One row per run.
    runs: pd.DataFrame
    # One row per finished run and evaluation.
    evaluations: pd.DataFrame
    # One row per run that has been started.
    provenance: pd.DataFrame
    # One row per run of others and evaluation; no average of ours contains them.
    foreign: pd.DataFrame = field(default_factory=lambda: no_foreign())


# The frames of our runs, and the one that exports have if there are runs of others.
OTHERS = "foreign"
NAMES = tuple(one.name for one in fields(Frames) if one.name != OTHERS)


def no_foreign() -> pd.DataFrame:
    """The frame of no runs of others."""
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in FOREIGN.items()})


def settings_columns(frame: pd.DataFrame) -> list[str]:
    """The columns of `runs` that hold settings, without seeds and names."""
    return [
        column
        for column in frame.columns
        if (column.startswith(SETTINGS) and column != DATA_SEED) or column == EXTENSIONS
    ]


def done(frame: pd.DataFrame) -> pd.DataFrame:
    """The finished runs among the rows of `runs`: only these enter estimates."""
    return frame[frame["state"] == RunState.DONE].reset_index(drop=True)


def ordered(frame: pd.DataFrame, then: list[str]) -> pd.DataFrame:
    """Sort by task, arm (in the order of the tables) and the columns `then`."""
    rank = {arm: place for place, arm in enumerate(in_order(frame["arm"].unique()))}
    order = frame.assign(_arm=frame["arm"].map(rank)).sort_values(["task", "_arm", *then], kind="stable").index
    return frame.loc[order].reset_index(drop=True)


def numeric(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows of evaluations as a frame: every column but text holds numbers, and missing values are NaN."""
    frame = pd.DataFrame(rows, columns=None if rows else list(EVALUATION_KEYS))
    for column in frame.columns.difference(list(TEXT)):
        frame[column] = pd.to_numeric(frame[column])
        if frame[column].isna().all():
            frame[column] = frame[column].astype(float)
    return frame


def joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate frames of evaluations; without any rows, an empty frame with the key columns."""
    return pd.concat([frame for frame in frames if len(frame)] or [numeric([])], ignore_index=True)


def checked(frames: Frames, place: object) -> Frames:
    """The frames; UserError if a name in them could not be part of a file name, a figure or a page."""
    for column in ("run", "task", "arm"):
        for name in frames.runs[column].dropna().unique() if column in frames.runs else ():
            if fault := fault_of_name(str(name)):
                raise UserError(f"{place}: {column} {shown(name)}: {fault}; names that floorbench writes do not")
    return frames


def fault_of_name(name: str) -> str:
    """What is wrong with a name: "contains '<'"; "" if nothing is."""
    letter = next((one for one in name if one in ODD or not one.isprintable()), None)
    if letter:
        return f"contains {letter!r}"
    if name.startswith(FORMULA):
        return f"begins with {name[0]!r}, as formulas of spreadsheets do"
    return "begins with a dot" if name.startswith(".") else ""


def checked_foreign(frame: pd.DataFrame, place: object) -> pd.DataFrame:
    """The frame; UserError for a name that could not stand in a figure, a page or a table."""
    for column in ("task", "arm", "run", "file"):
        for name in map(str, frame[column].unique()):
            fault = fault_of_name(name)
            if not name or len(name) > LONGEST:
                fault = f"must have 1 to {LONGEST} characters"
            if fault:
                raise UserError(f"{place}: {column} {shown(name)}: {fault}; rename it")
    return frame


def export(frames: Frames, folder: Path) -> list[Path]:
    """Write `runs.parquet`, `evaluations.parquet` and `provenance.parquet` and return their paths.

    With runs of others also `foreign.parquet`. Raises UserError if the folder cannot be written.
    """
    folder = Path(folder)
    names = NAMES if frames.foreign.empty else (*NAMES, OTHERS)
    paths = [folder / f"{name}.parquet" for name in names]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if frames.foreign.empty:
            (folder / f"{OTHERS}.parquet").unlink(missing_ok=True)
        for name, path in zip(names, paths, strict=True):
            frame = getattr(frames, name).copy()
            frame.attrs = {"format": FORMAT}
            write_parquet(path, frame, compression="zstd")
    except OSError as error:
        raise UserError(f"folder of frames {folder}: cannot be written ({error.strerror}); name another") from None
    return paths


def write_parquet(path: Path, frame: pd.DataFrame, **options: Any) -> None:
    """Write a frame atomically."""
    buffer = BytesIO()
    frame.to_parquet(buffer, index=False, **options)
    with atomic_write(path) as stream:
        stream.write(buffer.getbuffer())


def is_exported(folder: Path) -> bool:
    """Whether a folder holds frames as `export` writes them."""
    return all((Path(folder) / f"{name}.parquet").is_file() for name in NAMES)


def load(folder: Path, only: Collection[str] | None = None) -> Frames:
    """Read exported frames, with `only` just the runs with these ids.

    Raises UserError if the files are missing or damaged, or hold none of the runs.
    """
    frames = [_loaded(Path(folder) / f"{name}.parquet") for name in NAMES]
    if only is not None:
        frames = [frame[frame["run"].isin(only)].reset_index(drop=True) for frame in frames]
    _add_new_columns(*frames)
    if frames[0].empty:
        raise UserError(f"{folder}: contains none of the named runs" if only is not None else f"{folder}: has no runs")
    runs, evaluations, provenance = frames
    return checked(Frames(runs, evaluations, provenance, load_foreign([Path(folder)])), folder)


def _add_new_columns(runs: pd.DataFrame, evaluations: pd.DataFrame, provenance: pd.DataFrame) -> None:
    """Add the columns that earlier versions did not export: errors of learned floors, unknown, and data seeds."""
    for name in LEARNED_FLOOR:
        if f"learned_floor.{name}" not in runs:
            runs[f"learned_floor.{name}"] = nan
    if "data_seed" in runs:
        return
    seeds = runs[DATA_SEED] if DATA_SEED in runs else pd.Series(0, runs.index)
    runs.insert(list(runs.columns).index("seed"), "data_seed", seeds.fillna(0).astype(int))
    of_run = evaluations["run"].map(runs.set_index("run")["data_seed"])
    evaluations.insert(list(evaluations.columns).index("seed"), "data_seed", of_run)


def _loaded(path: Path) -> pd.DataFrame:
    try:
        check_file(path)
        frame = pd.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"{path}: not found; write it with: floorbench report --export {path.parent}") from None
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: is damaged ({reason(error)}); export the frames again") from None
    # Other programs keep the columns, but not the attributes.
    if frame.attrs.get("format", FORMAT) != FORMAT:
        raise UserError(f"{path}: was not written in format {FORMAT} of this version; export the frames again")
    if missing := [column for column in NEEDED[path.stem] if column not in frame.columns]:
        raise UserError(f"{path}: lacks the columns {', '.join(missing)}; export the frames again")
    # Parquet has lists but no tuples.
    for column in frame.select_dtypes(object):
        frame[column] = [tuple(value.tolist()) if hasattr(value, "tolist") else value for value in frame[column]]
    frame.attrs = {}
    return frame


def load_foreign(roots: Sequence[Path]) -> pd.DataFrame:
    """The sources of some roots, or of exported numbers; raises UserError if two have one name or one is damaged."""
    exported = [file for root in roots if (file := Path(root) / f"{OTHERS}.parquet").is_file()]
    files = [file for root in roots for file in sorted((Path(root) / IMPORTED).glob("*.parquet"))]
    for place, file in enumerate(files):
        if twin := next((other for other in files[:place] if other.name == file.name), None):
            raise UserError(f"{twin} and {file}: are sources of one name; rename or remove one")
    frames = [*(read_foreign(file, exported=True) for file in exported), *map(read_foreign, files)]
    names = [name for frame in frames for name in frame["source"].unique()]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{roots[0]}: source {twice} is imported and among the exported numbers; remove one")
    return pd.concat(frames, ignore_index=True) if frames else no_foreign()


def read_foreign(file: Path, exported: bool = False) -> pd.DataFrame:
    """Runs of others: of one source, whose name the file has, or `exported` ones; raises UserError if damaged."""
    try:
        check_file(file)
        frame = pd.read_parquet(file)[list(FOREIGN)].astype(FOREIGN)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: is damaged ({reason(error)}); remove it and import again") from None
    names = set(frame["source"])
    if not names or not all(map(SOURCE_NAME.fullmatch, names)) or not (exported or names == {file.stem}):
        raise UserError(f"{file}: was not written by floorbench import; remove it")
    return checked_foreign(frame, file)


def originals(frames: Frames, runs: Iterable[Run], place: Path) -> dict[str, Original]:
    """The finished ones among the runs, by id, as originals to verify repetitions against.

    `place` is where the frames come from. Frames hold only the last attempt's machine, and no hash of the parameters.
    """
    finished = set(done(frames.runs)["run"])
    rows = {str(run): group for run, group in frames.evaluations.groupby("run", sort=False)}
    provenance = frames.provenance.set_index("run").to_dict("index")
    return {
        run.id: Original(
            run=run,
            rows=_metric_rows(rows[run.id]),
            metrics=None,
            records=[_nested(provenance[run.id])],
            dataset=provenance[run.id].get("dataset"),
            parameters_hash=None,
            source=place,
        )
        for run in runs
        if run.id in finished
    }


def _metric_rows(evaluations: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of `metrics.jsonl`, without missing values."""
    return [
        {str(name): value for name, value in row.items() if not pd.isna(value)}
        for row in evaluations.drop(columns=ADDED).to_dict("records")
    ]


def _nested(row: dict[Any, Any]) -> dict[str, dict[str, Any]]:
    """Machine and packages of a row of the provenance."""
    return {
        prefix.rstrip("."): {name.removeprefix(prefix): row[name] for name in row if name.startswith(prefix)}
        for prefix in (MACHINE, PACKAGES)
    }
