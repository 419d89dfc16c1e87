"""Read the datasets of tasks; collect or download missing ones with a progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from harness.launching.progress import LINE_INTERVAL
from harness.settings import HostedData, Task

if TYPE_CHECKING:
    from harness.data.dataset import Dataset


def make_datasets(tasks: Iterable[Task], console: Console, download: bool = False) -> list[Dataset]:
    """Read and check the datasets of tasks; collect missing ones, with progress on `console`.

    Missing hosted datasets are downloaded only if `download` is set, as compute nodes may have no network.
    """
    return [_make_dataset(task, console, download) for task in tasks]


def _make_dataset(task: Task, console: Console, download: bool) -> Dataset:
    from harness.data.dataset import dataset_exists, ensure_dataset

    if isinstance(task.data, HostedData) and download and not dataset_exists(task):
        from harness.data.hosting import download_sets

        download_sets(task)
    if isinstance(task.data, HostedData) or dataset_exists(task):
        return ensure_dataset(task)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        return ensure_dataset(task, _progress_callback(task, progress, console))


def _progress_callback(task: Task, progress: Progress, console: Console) -> Callable[[int, int], None]:
    """Update a progress bar on a terminal; elsewhere print a line at intervals."""
    name = f"{task.name}, data seed {task.data_seed}" if task.data_seed else task.name
    bar = progress.add_task(f"collecting {name}", total=task.collected.transitions)
    next_line = time.monotonic()

    def report(transitions: int, wanted: int) -> None:
        nonlocal next_line
        progress.update(bar, completed=min(transitions, wanted))
        if not console.is_terminal and time.monotonic() >= next_line:
            next_line = time.monotonic() + LINE_INTERVAL
            console.print(f"collecting {name}: {transitions:,} of {wanted:,} transitions")

    return report
