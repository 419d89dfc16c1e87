"""The progress of what takes long: of packs with the remaining time, read from the run folders, and of datasets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Column

from harness.folders.reader import RunReader, RunSummary
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.launching.planner import describe
from harness.settings import HostedData, Task

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from harness.data.dataset import Dataset

# Seconds between two refreshes on a terminal, and between two plain lines elsewhere.
REFRESH_INTERVAL = 1.0
LINE_INTERVAL = 15.0

# Largest fraction of its time that a launcher spends on reading progress, where thousands of runs are queued.
REFRESH_FRACTION = 0.05

# Width of a bar in characters.
BAR_WIDTH = 12

# Seconds over which the speed behind the remaining time is averaged: several phases, so that it does not jump.
SPEED_PERIOD = 600.0


@dataclass(frozen=True)
class PackProgress:
    """The states of a pack's runs, its progress (0 to 1), and the updates per second summed over its runs."""

    title: str
    states: tuple[RunState, ...]
    progress: float
    phase: str
    step: int
    speed: float

    @property
    def is_running(self) -> bool:
        return RunState.RUNNING in self.states

    def line(self) -> str:
        """Number of runs, phase and step."""
        count = f"{len(self.states)} run{'s' if len(self.states) > 1 else ''}"
        return f"{self.title}: {count}, {self.phase} {self.step:,}"


def pack_progress(title: str, runs: Sequence[RunSummary]) -> PackProgress:
    """The progress of a pack; failed and cancelled runs count as finished, interrupted ones as not started."""
    running = [run.status for run in runs if run.state is RunState.RUNNING]
    leader = running[0] if running else {}
    return PackProgress(
        title=title,
        states=tuple(run.state for run in runs),
        progress=sum(_progress(run) for run in runs) / len(runs),
        phase=leader.get("phase", "waiting"),
        step=leader.get("step", 0),
        speed=sum(status.get("updates_per_second", 0.0) for status in running),
    )


def _progress(run: RunSummary) -> float:
    if run.state.is_terminal:
        return 1.0
    return run.status.get("progress", 0.0) if run.state is RunState.RUNNING else 0.0


class ProgressDisplay:
    """Progress bars on a terminal, and a line of text every `LINE_INTERVAL` seconds elsewhere.

    A context manager around the work, during which `refresh` may be called any number of times.
    """

    def __init__(self, packs: Sequence[Sequence[RunFolder]], console: Console):
        # Imported where it is used, because commands that only plan or show import this module.
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self.packs = [(describe([folder.run() for folder in pack]), pack) for pack in packs]
        # All folders are in one root.
        self.reader = RunReader(packs[0][0].path.parent) if packs else None
        self.console = console
        # The description takes what is left of the line; the others are never shortened.
        last = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        columns = (
            BarColumn(BAR_WIDTH),
            TaskProgressColumn(table_column=Column(min_width=4)),
            TextColumn("{task.fields[left]}", table_column=Column(min_width=16, no_wrap=True)),
            TextColumn("{task.fields[done]}", table_column=Column(min_width=10, no_wrap=True)),
            TextColumn("{task.description}", table_column=last),
        )
        self.bars = Progress(
            *columns,
            console=console,
            speed_estimate_period=SPEED_PERIOD,
            disable=not console.is_terminal,
            expand=True,
        )
        self.overall = self.bars.add_task("", total=sum(len(pack) for pack in packs), left="", done="")
        self.bar_of: dict[int, TaskID] = {}
        self.next_refresh = 0.0

    def __enter__(self) -> ProgressDisplay:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.next_refresh = 0.0
        if kind is None:
            self.refresh()
        self.bars.stop()

    def refresh(self) -> None:
        """Read the folders and show the progress, unless the last refresh is too recent."""
        now = time.monotonic()
        if now < self.next_refresh:
            return
        progress = [pack_progress(title, [self._read(folder) for folder in pack]) for title, pack in self.packs]
        completed = sum(pack.progress * len(pack.states) for pack in progress)
        self.bars.update(self.overall, completed=completed)
        done, failed, speed = self._counts(progress)
        self.bars.update(self.overall, description=speed + failed, left=self._time_left(), done=done)
        if self.console.is_terminal:
            self._show_packs(progress)
        else:
            active = [pack.line() for pack in progress if pack.is_running]
            percentage = f"{self.bars.tasks[0].percentage:.0f}%"
            summary = f"{done} runs done{failed}, {speed}, {self._time_left()}"
            self.console.print(" | ".join([percentage, summary, *active]))
        interval = REFRESH_INTERVAL if self.console.is_terminal else LINE_INTERVAL
        took = time.monotonic() - now
        self.next_refresh = now + took + max(interval, took / REFRESH_FRACTION)

    def _read(self, folder: RunFolder) -> RunSummary:
        assert self.reader is not None
        return self.reader.summary(folder.id)

    def _show_packs(self, progress: Sequence[PackProgress]) -> None:
        for index, pack in enumerate(progress):
            if pack.is_running and index not in self.bar_of:
                self.bar_of[index] = self.bars.add_task(pack.title, total=1.0, left="", done="")
            if index in self.bar_of:
                step, runs = f"{pack.phase} {pack.step:,}", f"{len(pack.states)} runs"
                self.bars.update(
                    self.bar_of[index], completed=pack.progress, left=step, done=runs, visible=pack.is_running
                )

    def _counts(self, progress: Sequence[PackProgress]) -> tuple[str, str, str]:
        """Finished runs "2/30", failed ones ", 1 failed" or "", and the speed, in words."""
        states = [state for pack in progress for state in pack.states]
        failed = f", {states.count(RunState.FAILED)} failed" if RunState.FAILED in states else ""
        speed = sum(pack.speed for pack in progress)
        return f"{states.count(RunState.DONE)}/{len(states)}", failed, f"{speed:,.0f} updates/s"

    def _time_left(self) -> str:
        remaining = self.bars.tasks[0].time_remaining
        return f"{duration(remaining)} left" if remaining is not None else "measuring speed"


def duration(seconds: float) -> str:
    """A duration in words: "40 s", "12 min", "3 h 20 min", "1,200 h"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes >= 100 * 60:
        return f"{seconds / 3600:,.0f} h"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def make_datasets(tasks: Iterable[Task], console: Console, download: bool = False) -> list[Dataset]:
    """Read and check the datasets of tasks; collect missing ones, with progress on `console`.

    Missing hosted datasets are downloaded only if `download` is set, as compute nodes may have no network.
    """
    return [_make_dataset(task, console, download) for task in tasks]


def _make_dataset(task: Task, console: Console, download: bool) -> Dataset:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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
