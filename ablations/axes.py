"""Products of tasks, arms and seeds, and axes: settings that a grid varies, with names for the arms that result.

An arm with varied settings is called `cql[alpha=5,mixing_ratio=0.25]`: the arm, and in brackets the last parts of the
settings' names with their values, in the order of the axes.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from ablations.arms import with_arm
from harness.errors import UserError
from harness.settings import Run, with_settings
from harness.tasks.registry import base_run, with_data_seed

# Values by dotted setting.
Axes = Mapping[str, Sequence[Any]]

_VARIANT = re.compile(r"([^\[\]]+)\[([^\[\]]+)\]")


def grid(
    tasks: Iterable[str],
    arms: Iterable[str],
    seeds: Iterable[int],
    scale: str,
    data_seeds: Iterable[int] = (0,),
    settings: Mapping[str, Any] | None = None,
) -> list[Run]:
    """Return the product of tasks, arms, data seeds and seeds: 5 data seeds and 4 seeds give 20 runs per task and arm.

    Data seeds other than 0 need tasks whose data are collected here. `settings` change those of the tasks; arms may
    change them further.
    """
    seeds = tuple(seeds)
    runs = [
        with_arm(_changed(base_run(task, scale, seeds[0]), data_seed, settings), arm)
        for task, arm, data_seed in product(tasks, arms, data_seeds if seeds else ())
    ]
    return [replace(run, seed=seed) for run in runs for seed in seeds]


def _changed(run: Run, data_seed: int, settings: Mapping[str, Any] | None) -> Run:
    run = replace(run, task=with_data_seed(run.task, data_seed))
    return with_settings(run, dict(settings), source="grid") if settings else run


def varied(runs: Iterable[Run], axes: Axes, joint: bool = False) -> list[Run]:
    """Every run with every combination of the axes' values; `joint`: with their first values, their second, ...

    A combination that changes nothing keeps the arm's name, so that the run keeps its id. Raises UserError for an axis
    without values, joint axes of different lengths, two axes with the same last part, and values that a setting does
    not take.
    """
    _check(axes, joint)
    combinations = list(zip(*axes.values(), strict=True) if joint else product(*axes.values()))
    changes = [dict(zip(axes, values, strict=True)) for values in combinations]
    return list(dict.fromkeys(_variant(run, change) for run in runs for change in changes))


def split_variant(arm: str) -> tuple[str, str]:
    """The arm and the varied settings of a name: ("cql", "alpha=5,mixing_ratio=0.25"); the second empty for an arm."""
    match = _VARIANT.fullmatch(arm)
    return (match[1], match[2]) if match else (arm, "")


def variant_name(arm: str, changes: Mapping[str, Any]) -> str:
    """The name of an arm with changed settings (dotted name to value); a variant of a variant has both changes."""
    arm, before = split_variant(arm)
    values = [f"{_last_part(setting)}={_text(value)}" for setting, value in changes.items()]
    return f"{arm}[{','.join(filter(None, [before, *values]))}]"


def _variant(run: Run, changes: Mapping[str, Any]) -> Run:
    changed = with_settings(run, {**changes, "arm": variant_name(run.arm, changes)}, source="axes")
    return run if replace(changed, arm=run.arm) == run else changed


def _check(axes: Axes, joint: bool) -> None:
    for setting, values in axes.items():
        if isinstance(values, str) or not values:
            raise UserError(f"axes: {setting} = {values!r}: must be a list of values")
    lengths = {setting: len(values) for setting, values in axes.items()}
    if joint and len(set(lengths.values())) > 1:
        listed = ", ".join(f"{setting} {length}" for setting, length in lengths.items())
        raise UserError(f"axes: joint axes need equally many values, not {listed}")
    parts: dict[str, str] = {}
    for setting in axes:
        other = parts.setdefault(_last_part(setting), setting)
        if other != setting:
            raise UserError(
                f"axes: {other} and {setting}: end in the same word, which names the arms; vary one of them"
            )


def _last_part(setting: str) -> str:
    return setting.rpartition(".")[2]


def _text(value: Any) -> str:
    """A value without brackets and quotes, which would be ambiguous in a name; 5 and 5.0 are the same."""
    text = json.dumps(value).removesuffix(".0") if isinstance(value, float) else json.dumps(value)
    return re.sub(r"[\[\]\"\s]", "", text).replace(",", "x")
