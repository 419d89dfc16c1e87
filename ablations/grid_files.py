"""Grid files: grids that a user describes in TOML, wherever the name of a grid may stand.

tasks = ["winding-road"]
arms = ["cql", "monte_carlo"]
seeds = "0-5"                      # a number, a range, or a list of these
scale = "demo"                     # optional; --scale takes precedence

[settings]                         # the same for every run
schedule.offline_steps = 2_000

[product]                          # axes: every combination of their values
algorithm.alpha = [1, 5, 10]

[joint]                            # axes: their first values together, their second values, ...
algorithm.policy_learning_rate = [1e-4, 3e-4]
algorithm.critic_learning_rate = [3e-4, 1e-3]
"""

import re
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ablations.arms import ARMS, with_arm
from ablations.axes import Axes, grid, varied
from ablations.selection import Selection, listed, numbers
from harness.errors import UserError
from harness.extensions import load_file
from harness.files import read_toml
from harness.plain_values import first_problem, flat, quoted_if_odd
from harness.settings import Run, with_settings
from harness.tasks.registry import base_run

SUFFIX = ".toml"

# Largest number of runs that are started without a confirmation, and whose states are shown.
LARGE, SHOWN = 10_000, 50_000

# Length of an axis above which only some of its numbers are checked before the runs are made.
MANY = 1_000


class _Content(BaseModel):
    """The keys of a grid file."""

    model_config = ConfigDict(extra="forbid", strict=True)
    tasks: list[str] = Field(min_length=1)
    arms: list[str] = Field(min_length=1)
    seeds: int | str | list[int | str]
    scale: str = "demo"
    extensions: list[str] = []
    settings: dict[str, Any] = {}
    product: dict[str, Any] = {}
    joint: dict[str, Any] = {}


@dataclass(frozen=True)
class GridFile:
    """The content of a grid file. Its values are valid, each for itself."""

    path: Path
    tasks: tuple[str, ...]
    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    scale: str
    settings: dict[str, Any] = field(default_factory=dict)
    product: Axes = field(default_factory=dict)
    joint: Axes = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of runs; fewer if some combinations are equal."""
        steps = len(next(iter(self.joint.values()))) if self.joint else 1
        axes = prod(len(values) for values in self.product.values())
        return len(self.tasks) * len(self.arms) * len(self.seeds) * axes * steps

    @property
    def size(self) -> str:
        """The number of runs and its factors: "12 runs: 1 task, 2 arms, 3 seeds, 2 values of algorithm.alpha"."""
        factors = [
            f"{len(values):,} {noun if len(values) == 1 else noun + 's'}"
            for noun, values in (("task", self.tasks), ("arm", self.arms), ("seed", self.seeds))
        ]
        factors += [f"{len(values):,} values of {name}" for name, values in self.product.items()]
        if self.joint:
            factors.append(f"{len(next(iter(self.joint.values()))):,} joint values of {' and '.join(self.joint)}")
        return f"{self.count:,} runs: {', '.join(factors)}"

    def meaning(self) -> dict[str, Any]:
        """The content as JSON values, with patterns and ranges resolved."""
        return {
            "file": str(self.path),
            "scale": self.scale,
            "tasks": self.tasks,
            "arms": self.arms,
            "seeds": self.seeds,
            "settings": self.settings,
            "product": dict(self.product),
            "joint": dict(self.joint),
            "runs": self.count,
        }

    def narrowed(self, selection: Selection | None) -> "GridFile":
        """The file with the selected tasks and seeds only; arms and empty selections are left to `runs`."""
        if selection is None:
            return self
        tasks = [task for task in self.tasks if selection.selects_task(task)]
        seeds = [seed for seed in self.seeds if selection.selects_seed(seed)]
        return replace(self, tasks=tuple(tasks or self.tasks), seeds=tuple(seeds or self.seeds))

    def runs(self) -> list[Run]:
        """The runs, by task, arm, values of the axes and seed."""
        first = [
            with_settings(run, self.settings, source=str(self.path))
            for run in grid(self.tasks, self.arms, self.seeds[:1], self.scale)
        ]
        if self.product:
            first = varied(first, self.product)
        if self.joint:
            first = varied(first, self.joint, joint=True)
        return [run if run.seed == seed else replace(run, seed=seed) for run in first for seed in self.seeds]


def read(path: Path, scale: str | None = None) -> GridFile:
    """The content of a grid file, at another scale if one is given.

    Raises UserError with file, line and key for anything that is not valid.
    """
    path = Path(path)
    try:
        text, values = read_toml(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such grid file; see ablations/README.md for its keys") from None
    lines = _lines(text)

    def at(*keys: str) -> str:
        """File and line of a key."""
        return f"{path}:{lines.get(keys, lines.get(keys[:1], 1))}"

    try:
        content = _Content.model_validate(values)
    except ValidationError as error:
        keys = tuple(str(part) for part in error.errors()[0]["loc"])
        raise UserError(f"{at(*keys)}: {first_problem(error, noun='key')}") from None
    for file in content.extensions:
        load_file(path.parent / file)
    scale = scale or content.scale
    seeds = content.seeds if isinstance(content.seeds, list) else [content.seeds]
    result = GridFile(
        path=path,
        tasks=tuple(dict.fromkeys(content.tasks)),
        arms=tuple(dict.fromkeys(content.arms)),
        seeds=tuple(numbers(seeds, f"{at('seeds')}: seeds")),
        scale=scale,
        settings=flat(content.settings),
        product=flat(content.product),
        joint=flat(content.joint),
    )
    if not result.seeds:
        raise UserError(f"{at('seeds')}: seeds: names none; give a number, a range or a list of these")
    _check(result, at)
    return result


def _check(content: GridFile, at: Any) -> None:
    """Check every name and value for itself, so that errors have a line."""
    for task in content.tasks:
        try:
            run = base_run(task, content.scale, content.seeds[0])
        except UserError as error:
            raise UserError(f"{at('scale' if 'unknown scale' in str(error) else 'tasks')}: {error}") from None
    for arm in content.arms:
        if arm not in ARMS:
            raise UserError(f"{at('arms')}: arm {quoted_if_odd(arm)}: unknown arm; choose one of {listed(list(ARMS))}")
    run = with_arm(run, content.arms[0])
    for setting, value in content.settings.items():
        run = with_settings(run, {setting: value}, source=at("settings", *setting.split(".")))
    for table, axes in (("product", content.product), ("joint", content.joint)):
        lengths = set()
        for setting, values in axes.items():
            place = at(table, *setting.split("."))
            if not isinstance(values, list) or not values:
                raise UserError(f"{place}: {table}.{setting} = {values!r}: must be a list of values")
            lengths.add(len(values))
            if table == "joint" and len(lengths) > 1:
                raise UserError(f"{place}: joint.{setting}: has {len(values)} values; joint axes need equally many")
            if setting in ("arm", "seed", "task.name") or (table == "joint" and setting in content.product):
                key = {"arm": "arms", "seed": "seeds", "task.name": "tasks"}.get(setting, "only one of the tables")
                raise UserError(f"{place}: {table}.{setting}: cannot be an axis here; use {key}")
            for value in _sample(values):
                with_settings(run, {setting: value}, source=place)


def _sample(values: list[Any]) -> list[Any]:
    """All values of a short axis; of a long one those of each type and the extremes, which are quick to check."""
    if len(values) <= MANY:
        return values
    numeric = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numeric) < len(values):
        return values
    return [min(numeric), max(numeric), *{type(value): value for value in values}.values()]


_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?")
_KEY = re.compile(r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'|\s*\.\s*)+?)\s*=")


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """The line of every key, by its path; a table has the line of its header or of its first key."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.fullmatch(line):
            table = _path(header[1])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            path = (*table, *_path(key[1]))
            for length in range(1, len(path) + 1):
                lines.setdefault(path[:length], number)
    return lines


def _path(key: str) -> tuple[str, ...]:
    """The parts of a dotted key; quoted keys may contain dots, which also separate settings."""
    return tuple(part.strip() for part in re.sub("[\"']", "", key).split("."))
