"""The files in which others keep their runs: long CSV, exports of Weights & Biases charts, and folders of d3rlpy.

Reading executes nothing: CSV and JSON only. What a file says is a row per run and step; which of our definitions it
matches is decided in `results.frame.foreign`.
"""

import csv
import hashlib
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError, one_line
from harness.files import read_bytes, read_json
from harness.plain_values import quoted_if_odd, shown

# Headings of a long file, in lower case.
TASK = ("task", "dataset", "env", "environment", "env_name", "env_id")
ARM = ("arm", "algorithm", "algo", "agent", "method")
SEED = ("seed", "train_seed")
RUN = ("run", "run_id", "run_name", "name", "id")
STEP = ("step", "_step", "global_step", "total_step")
METRIC = ("metric", "key")
VALUE = ("value",)
PLACES = {*TASK, *ARM, *SEED, *RUN, *STEP, *METRIC}

# A chart's columns are "<run> - <metric>", then the same with these endings.
SEPARATOR, LEAST, LARGEST = " - ", "__MIN", "__MAX"

# A run of d3rlpy: its parameters, and a file of epoch, step and value per metric, of which this one evaluates.
PARAMETERS, ENVIRONMENT = "params.json", "environment"

# Relative difference up to which the ends of a chart's bucket are equal: exports have 16 digits.
SAME = 1e-9

# Larger numbers in a file may have lost digits.
LARGEST_WHOLE = 2**53

# Number of names that an error lists.
LISTED = 8


@dataclass(frozen=True)
class Row:
    """A value of a run at a step. Names are None where the file does not say them."""

    run: str
    step: int
    value: float
    task: str | None = None
    arm: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Parsed:
    """What a file says about one metric."""

    metric: str
    rows: list[Row]
    # SHA-256 of the file, or of the names and contents of the files in a folder that were read.
    sha256: str


def parse(path: Path, metric: str | None = None) -> Parsed:
    """Read a file or folder in the format that it has; `metric`: the one to read, needed if there are several.

    Raises UserError, with the line, for anything that is not in one of the formats.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _folders(path, metric)
        content = read_bytes(path)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not a text file; import takes CSV, or a folder of d3rlpy") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({(error.strerror or one_line(error)).lower()})") from None
    lines = list(_lines(path, text))
    if len(lines) < 2:
        raise UserError(f"{path}: has no rows; a header and a row per evaluation are expected")
    header = [name.strip() for name in lines[0][1]]
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise UserError(f"{path}:1: heading {quoted_if_odd(twice[0])} occurs twice; remove one of the columns")
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise UserError(f"{path}:{number}: has {len(cells)} cells, but the header {len(header)}; correct the line")
    chart = any(SEPARATOR in name for name in header[1:])
    chosen, rows = (_chart if chart else _long)(path, header, lines[1:], metric)
    return _parsed(path, chosen, rows, hashlib.sha256(content).hexdigest())


def _parsed(path: Path, metric: str, rows: Iterable[Row], sha256: str) -> Parsed:
    made = list(rows)
    if not made:
        raise UserError(f"{path}: has no values of {quoted_if_odd(metric)}; choose another with --metric")
    return Parsed(metric, made, sha256)


# Long files and charts ------------------------------------------------------------------------------------------------

Lines = Sequence[tuple[int, list[str]]]


def _lines(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """The lines of a CSV file that are not empty, with their numbers."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: not CSV ({error}); export it again") from None


def _long(path: Path, header: Sequence[str], lines: Lines, metric: str | None) -> tuple[str, Iterator[Row]]:
    """A row per evaluation: a column per name, and columns "metric" and "value" or a column per metric."""
    columns = {name.lower(): place for place, name in enumerate(header)}

    def column(names: Sequence[str]) -> int | None:
        return next((columns[name] for name in names if name in columns), None)

    step, value, kind = column(STEP), column(VALUE), column(METRIC)
    names = {key: column(headings) for key, headings in (("task", TASK), ("arm", ARM), ("seed", SEED), ("run", RUN))}
    if step is None:
        raise UserError(f"{path}:1: has no column of steps; name one of its columns {' or '.join(STEP)}")
    if kind is not None and value is not None:
        chosen = chosen_metric(path, dict.fromkeys(cells[kind] for _, cells in lines), metric)
        lines = [line for line in lines if line[1][kind] == chosen]
    else:
        chosen = chosen_metric(path, [name for name in header if name.lower() not in PLACES or name == metric], metric)
        value = header.index(chosen)

    def rows() -> Iterator[Row]:
        for number, cells in lines:
            at = f"{path}:{number}"
            identity = {key: None if place is None else cells[place].strip() or None for key, place in names.items()}
            result = _number(cells[value], at, header[value])
            if result is not None:
                seed = None if identity["seed"] is None else _whole(identity["seed"], at, "seed")
                run = (
                    identity["run"]
                    or " ".join(filter(None, (identity["task"], identity["arm"], identity["seed"])))
                    or path.stem
                )
                yield Row(run, _whole(cells[step], at, header[step]), result, identity["task"], identity["arm"], seed)

    return chosen, rows()


def _chart(path: Path, header: Sequence[str], lines: Lines, metric: str | None) -> tuple[str, Iterator[Row]]:
    """The export of a chart: a row per step, three columns per run and metric."""
    if header[0].lower() not in STEP:
        raise UserError(f"{path}:1: the axis of the chart is {quoted_if_odd(header[0])}; export it over Step")
    series: dict[str, dict[str, int]] = {}
    for place, name in enumerate(header[1:], 1):
        run, separator, of = name.rpartition(SEPARATOR)
        if not separator:
            raise UserError(f"{path}:1: heading {quoted_if_odd(name)}: is not RUN - METRIC; remove the column")
        if not of.endswith((LEAST, LARGEST)):
            series.setdefault(of, {})[run] = place
    chosen = chosen_metric(path, series, metric)
    places = {name: place for place, name in enumerate(header)}

    def rows() -> Iterator[Row]:
        for number, cells in lines:
            at = f"{path}:{number}"
            for run, place in series[chosen].items():
                value = _number(cells[place], at, header[place])
                if value is None:
                    continue
                for ending in (LEAST, LARGEST):
                    end = _number(cells[places[header[place] + ending]], at, header[place] + ending) if (
                        header[place] + ending in places) else None  # fmt: skip
                    if end is not None and not math.isclose(end, value, rel_tol=SAME, abs_tol=SAME):
                        raise UserError(
                            f"{at}: {quoted_if_odd(header[place])}: a mean of several runs or steps ({end:g} is in it);"
                            " export the chart without grouping and smoothing"
                        )
                yield Row(run, _whole(cells[0], at, header[0]), value)

    return chosen, rows()


def chosen_metric(path: Path, names: Iterable[str], wanted: str | None) -> str:
    """The wanted one of the metrics in a file, or the only one; raises UserError otherwise."""
    names = list(names)
    some = some_of(names)
    if wanted is None and len(names) != 1:
        raise UserError(f"{path}: has several metrics or none ({some}); choose one with --metric")
    if wanted is not None and wanted not in names:
        raise UserError(f"--metric {quoted_if_odd(wanted)}: is not in {path}, which has {some}")
    return names[0] if wanted is None else wanted


def some_of(names: Sequence[str]) -> str:
    """The first names, for an error."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return (", ".join(quoted_if_odd(name) for name in names[:LISTED]) or "none") + more


def _number(text: str, at: str, heading: str) -> float | None:
    """The number in a cell; None for an empty one."""
    if text.strip().lower() in ("", "nan", "none", "null"):
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise UserError(f"{at}: {quoted_if_odd(heading)} = {shown(text)}: is not a finite number")
    return value


def _whole(text: str, at: str, heading: str) -> int:
    """The whole number in a cell."""
    value = _number(text, at, heading)
    if value is None or not 0 <= value < LARGEST_WHOLE or value != int(value):
        raise UserError(f"{at}: {quoted_if_odd(heading)} = {shown(text)}: must be a whole number, 0 to 2**53")
    return int(value)


# Folders of d3rlpy ----------------------------------------------------------------------------------------------------


def _folders(path: Path, metric: str | None) -> Parsed:
    """The runs of d3rlpy in a folder: itself, or those directly in it."""
    folders = sorted(file.parent for file in [*path.glob(PARAMETERS), *path.glob(f"*/{PARAMETERS}")])
    if not folders:
        raise UserError(f"{path}: has no {PARAMETERS}; import takes folders of d3rlpy, or a CSV file")
    names = sorted({file.stem for folder in folders for file in folder.glob("*.csv")})
    wanted = ENVIRONMENT if metric is None and ENVIRONMENT in names else metric
    chosen = chosen_metric(path, names, wanted)
    rows: list[Row] = []
    total = hashlib.sha256()
    for folder in folders:
        file = folder / f"{chosen}.csv"
        if not file.is_file():
            raise UserError(f"{folder}: has no {file.name}; remove the folder, or choose another metric with --metric")
        for read in (folder / PARAMETERS, file):
            content = read_bytes(read)
            total.update(f"{read.relative_to(path)}\0{len(content)}\0".encode() + content)
        arm = algorithm(folder)
        for number, cells in _lines(file, content.decode("utf-8")):
            if len(cells) != 3:
                raise UserError(f"{file}:{number}: has {len(cells)} cells; epoch, step and value are expected")
            value = _number(cells[2], f"{file}:{number}", "value")
            if value is not None:
                rows.append(Row(folder.resolve().name, _whole(cells[1], f"{file}:{number}", "step"), value, arm=arm))
    return _parsed(path, chosen, rows, total.hexdigest())


def algorithm(folder: Path) -> str | None:
    """The algorithm of a run of d3rlpy: as its parameters name it, or as its folder begins."""
    values = read_json(folder / PARAMETERS) or {}
    config = values.get("config")
    for name in (config.get("type") if isinstance(config, dict) else None, values.get("algorithm")):
        if isinstance(name, str):
            return name
    match = re.fullmatch(r"(.+)_\d{14}", folder.resolve().name)
    return match[1] if match else None
