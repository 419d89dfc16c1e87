"""Selections of runs by task, arm and seed: from a grid, from a root, or as a grid without a name."""

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from ablations.arms import ARMS
from ablations.axes import grid
from harness.errors import UserError
from harness.plain_values import quoted_if_odd
from harness.settings import Run
from harness.tasks.registry import SCALES

# Largest number of values that an error lists.
LISTED = 12

# Seeds are 64-bit integers.
SEED_DIGITS = 18

_SEEDS = re.compile(r"(\d+)(?:-(\d+))?")

# Task, arm and seed; None where the settings are unreadable.
Names = tuple[str | None, str | None, int | None]

T = TypeVar("T")


@dataclass(frozen=True)
class Selection:
    """Which runs are meant; an empty field means all.

    Tasks and arms are names or patterns of the shell (`pointmaze-*`), seeds are numbers or ranges (`0-4`).
    """

    tasks: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, tasks: Sequence[str] | None, arms: Sequence[str] | None, seeds: Sequence[str] | None
    ) -> "Selection | None":
        """The selection of the options --task, --arm and --seed; None if none was given."""
        given = tuple(tasks or ()), tuple(arms or ()), tuple(seeds or ())
        return cls(*given) if any(given) else None

    def __str__(self) -> str:
        """The options that make this selection."""
        named = ("--task", self.tasks), ("--arm", self.arms), ("--seed", self.seeds)
        return " ".join(f"{option} {value}" for option, values in named for value in values)

    def chosen(self, items: Sequence[T], names: Callable[[T], Names], of: str) -> list[T]:
        """The items with selected `names` (task, arm and seed). `of` says where they are from, for errors.

        Raises UserError for an option that matches no item, and if no item matches all.
        """
        all_names = [names(item) for item in items]
        tasks = {task: None for task, *_ in all_names if task}
        arms = {arm: None for _, arm, _ in all_names if arm}
        seeds = sorted({name[2] for name in all_names if name[2] is not None})
        wanted = (
            _matching("--task", self.tasks, list(tasks), of),
            _matching("--arm", self.arms, list(arms), of),
            _matching_seeds(self.seeds, seeds, of),
        )
        result = [
            item
            for item, names_of_item in zip(items, all_names, strict=True)
            if all(values is None or name in values for values, name in zip(wanted, names_of_item, strict=True))
        ]
        if not result:
            raise UserError(f"{self}: no run in {of} has all of these; leave one out")
        return result

    def runs(self, runs: Sequence[Run], of: str) -> list[Run]:
        """The selected ones of some runs; raises UserError as `chosen` does."""
        return self.chosen(runs, lambda run: (run.task.name, run.arm, run.seed), of)

    def selects_task(self, task: str) -> bool:
        """Whether runs of a task can be selected."""
        return not self.tasks or any(_matches(task, pattern) for pattern in self.tasks)

    def selects_seed(self, seed: int) -> bool:
        """Whether runs with a seed can be selected."""
        return not self.seeds or seed in _seed_set(self.seeds)

    def grid(self, scale: str) -> list[Run]:
        """The product of the selected tasks, arms and seeds: a grid without a name.

        Its runs have the ids that runs of a named grid with the same settings have. Raises UserError for an unknown
        name, and if tasks, arms or seeds are missing.
        """
        for option, values in (("--task", self.tasks), ("--arm", self.arms), ("--seed", self.seeds)):
            if not values:
                raise UserError(f"{self}: without a grid, {option} is needed as well; add it, or name a grid")
        if scale not in SCALES:
            raise UserError(f"scale {scale!r}: unknown scale; choose one of {', '.join(SCALES)}")
        tasks = _matching("--task", self.tasks, list(SCALES[scale]), f"scale {scale}")
        arms = _matching("--arm", self.arms, list(ARMS), "the registry")
        return grid(tasks or (), arms or (), numbers(self.seeds, "--seed"), scale)


@functools.cache
def _seed_set(seeds: tuple[Any, ...]) -> frozenset[int]:
    return frozenset(numbers(seeds, "--seed"))


def numbers(seeds: Iterable[Any], source: str) -> list[int]:
    """The distinct seeds of numbers and ranges: 0, "3", "5-7"; raises UserError for anything else."""
    result: dict[int, None] = {}
    for text in seeds:
        match = _SEEDS.fullmatch(str(text).strip())
        if match and max(map(len, filter(None, match.groups()))) > SEED_DIGITS:
            raise UserError(f"{source} {str(text)[:SEED_DIGITS]}...: seeds have at most {SEED_DIGITS} digits")
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first or isinstance(text, bool):
            raise UserError(f"{source} {quoted_if_odd(str(text))}: must be a number or a range, such as 3 or 0-4")
        if last - first >= 1_000_000:
            raise UserError(f"{source} {text}: {last - first + 1:,} seeds; must be at most 1,000,000")
        result |= dict.fromkeys(range(first, last + 1))
    return list(result)


def _matching(option: str, patterns: Sequence[str], values: Sequence[str], of: str) -> list[str] | None:
    """The values that match a pattern or equal it, in the order of the patterns; None without patterns."""
    if not patterns:
        return None
    result: dict[str, None] = {}
    for pattern in patterns:
        matches = [value for value in values if _matches(value, pattern)]
        if not matches:
            raise UserError(f"{option} {quoted_if_odd(pattern)}: selects nothing; {of} has {listed(values)}")
        result |= dict.fromkeys(matches)
    return list(result)


def _matches(value: str, pattern: str) -> bool:
    # Names of arms may contain brackets, which are special in patterns.
    return value == pattern or fnmatchcase(value, pattern)


def _matching_seeds(seeds: Sequence[str], values: Sequence[int], of: str) -> set[int] | None:
    """The values that are selected; None without seeds."""
    if not seeds:
        return None
    result: set[int] = set()
    for text in seeds:
        matches = set(numbers([text], "--seed")) & set(values)
        if not matches:
            raise UserError(f"--seed {text}: selects nothing; {of} has {_ranges(values)}")
        result |= matches
    return result


def listed(values: Sequence[str]) -> str:
    """Values separated by commas; long lists are cut."""
    more = f" and {len(values) - LISTED} more" if len(values) > LISTED else ""
    return ", ".join(values[:LISTED]) + more if values else "none"


def _ranges(seeds: Sequence[int]) -> str:
    """Sorted seeds as ranges: 0-4, 7."""
    groups: list[list[int]] = []
    for seed in seeds:
        if groups and seed == groups[-1][-1] + 1:
            groups[-1].append(seed)
        else:
            groups.append([seed])
    return listed([f"{group[0]}-{group[-1]}" if len(group) > 1 else str(group[0]) for group in groups])
