"""`floorbench data`: make the datasets of tasks, check them, print their cards."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from harness.commands.output import print_json, remark_console, result_console, text_table
from harness.progress import LINE_INTERVAL
from harness.settings import Task
from harness.tasks import DEMO, base_run

if TYPE_CHECKING:
    from harness.dataset import Dataset


def show_cards(names: Sequence[str], scale: str, as_json: bool) -> None:
    """Make what is missing and print one card per task."""
    from harness.dataset_card import dataset_card

    tasks = [base_run(name, scale, seed=0).task for name in names]
    datasets = make_datasets(tasks, remark_console())
    cards = [dataset_card(task, dataset) for task, dataset in zip(tasks, datasets, strict=True)]
    if as_json:
        print_json(cards)
        return
    for card in cards:
        result_console().print(text_table(("", ""), card.items()))


def list_tasks(scale: str, as_json: bool) -> None:
    """Every task (all scales have the same) and whether its dataset is there."""
    from harness.dataset import dataset_exists, dataset_id

    tasks = [base_run(name, scale, seed=0).task for name in DEMO]
    rows = [
        {"task": task.name, "environment": task.environment, "dataset": dataset_id(task), "made": dataset_exists(task)}
        for task in tasks
    ]
    if as_json:
        print_json(rows)
    else:
        columns = ("task", "environment", "dataset", "made")
        cells = [[row["task"], row["environment"], row["dataset"], "yes" if row["made"] else "no"] for row in rows]
        result_console().print(text_table(columns, cells))


def make_datasets(tasks: Iterable[Task], console: Console) -> "list[Dataset]":
    """Read and check the datasets of tasks; the missing ones are made first, with progress on `console`."""
    return [_make_dataset(task, console) for task in tasks]


def _make_dataset(task: Task, console: Console) -> "Dataset":
    from harness.dataset import dataset_exists, ensure_dataset

    if dataset_exists(task):
        return ensure_dataset(task)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        return ensure_dataset(task, _teller(task, bars, console))


def _teller(task: Task, bars: Progress, console: Console) -> Callable[[int, int], None]:
    bar = bars.add_task(f"collecting {task.name}", total=task.data.transitions)
    next_line = time.monotonic()

    def tell(transitions: int, wanted: int) -> None:
        nonlocal next_line
        bars.update(bar, completed=min(transitions, wanted))
        if not console.is_terminal and time.monotonic() >= next_line:
            next_line = time.monotonic() + LINE_INTERVAL
            console.print(f"collecting {task.name}: {transitions:,} of {wanted:,} transitions")

    return tell
