"""`floorbench data`: make the datasets of tasks, check them, print their cards."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from harness.commands.card import print_card, write_card
from harness.commands.output import print_json, remark_console, result_console
from harness.errors import UserError
from harness.launching.progress import LINE_INTERVAL
from harness.settings import HostedData, Task
from harness.tasks.tasks import scaled_task

if TYPE_CHECKING:
    from harness.data.dataset import Dataset


def show_cards(names: Sequence[str], scale: str, as_json: bool, out: Path | None, source: Path | None) -> None:
    """Make or get what is missing and print one card per task.

    With `out`, each card is written as table and figure into that folder; hosted data are taken from `source` if named.
    """
    from harness.data.dataset_card import card_arrays, dataset_card

    console = remark_console()
    tasks = [scaled_task(name, scale) for name in names]
    if source is not None:
        _take_from(source, tasks)
    cards = []
    for task, dataset in zip(tasks, make_datasets(tasks, console, download=True), strict=True):
        arrays = card_arrays(task, dataset)
        cards.append(dataset_card(task, dataset, arrays))
        if not as_json:
            print_card(cards[-1], result_console())
        if out is not None:
            console.print(f"card: {write_card(cards[-1], arrays, out)[0].with_suffix('.*')}")
    if as_json:
        print_json(cards)


def make_datasets(tasks: Iterable[Task], console: Console, download: bool = False) -> "list[Dataset]":
    """Read and check the datasets of tasks; the missing ones are made first, with progress on `console`.

    Hosted ones are downloaded first where `download` allows it: not on a machine that computes.
    """
    return [_make_dataset(task, console, download) for task in tasks]


def _take_from(source: Path, tasks: Sequence[Task]) -> None:
    from harness.data.hosting import take_sets

    for task in tasks:
        if not isinstance(task.data, HostedData):
            raise UserError(f"--from: the data of {task.name} are made here, not copied; leave it out")
        take_sets(task, source)


def _make_dataset(task: Task, console: Console, download: bool) -> "Dataset":
    from harness.data.dataset import dataset_exists, ensure_dataset

    if isinstance(task.data, HostedData) and download and not dataset_exists(task):
        from harness.data.hosting import download_sets

        download_sets(task)
    if isinstance(task.data, HostedData) or dataset_exists(task):
        return ensure_dataset(task)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        return ensure_dataset(task, _teller(task, bars, console))


def _teller(task: Task, bars: Progress, console: Console) -> Callable[[int, int], None]:
    bar = bars.add_task(f"collecting {task.name}", total=task.collected.transitions)
    next_line = time.monotonic()

    def tell(transitions: int, wanted: int) -> None:
        nonlocal next_line
        bars.update(bar, completed=min(transitions, wanted))
        if not console.is_terminal and time.monotonic() >= next_line:
            next_line = time.monotonic() + LINE_INTERVAL
            console.print(f"collecting {task.name}: {transitions:,} of {wanted:,} transitions")

    return tell
