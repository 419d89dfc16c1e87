"""What the runs are doing and how long it will still take, read from their folders alone."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.launching.planner import describe

# Seconds between two refreshes on a terminal, and between two plain lines elsewhere.
REFRESH_INTERVAL = 1.0
LINE_INTERVAL = 15.0

# Seconds over which the speed behind the remaining time is averaged: several phases, so that it does not jump.
SPEED_PERIOD = 600.0


@dataclass(frozen=True)
class PackView:
    """One pack at one moment: states by run, where its training is, and run-updates per second of all its runs."""

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
        """Runs, phase and step in words."""
        count = f"{len(self.states)} run{'s' if len(self.states) > 1 else ''}"
        return f"{self.title}: {count}, {self.phase} {self.step:,}"


def view(title: str, pack: Sequence[RunFolder]) -> PackView:
    """Read a pack's folders; a failed or cancelled run's work counts as over, a stopped one's as not begun."""
    statuses = [folder.status() for folder in pack]
    running = [status for status in statuses if status["state"] == RunState.RUNNING]
    leader = running[0] if running else {}
    return PackView(
        title=title,
        states=tuple(status["state"] for status in statuses),
        progress=sum(_share(status) for status in statuses) / len(statuses),
        phase=leader.get("phase", "waiting"),
        step=leader.get("step", 0),
        speed=sum(status.get("updates_per_second", 0.0) for status in running),
    )


def _share(status: dict) -> float:
    if isinstance(status["state"], RunState) and status["state"].is_terminal:
        return 1.0
    return status.get("progress", 0.0) if status["state"] == RunState.RUNNING else 0.0


class ProgressDisplay:
    """A live display on a terminal, a plain line now and then elsewhere; `refresh` may be called as often as you like.

    Use as a context manager around the work.
    """

    def __init__(self, packs: Sequence[Sequence[RunFolder]], console: Console):
        self.packs = [(describe([folder.run() for folder in pack]), pack) for pack in packs]
        self.console = console
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self.bars = Progress(
            *columns, console=console, speed_estimate_period=SPEED_PERIOD, disable=not console.is_terminal
        )
        self.overall = self.bars.add_task("all", total=sum(len(pack) for pack in packs), note="")
        self.bar_of: dict[int, TaskID] = {}
        self.next_refresh = 0.0

    def __enter__(self) -> "ProgressDisplay":
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
        """Look at the folders and show what they say, if it is time to."""
        now = time.monotonic()
        if now < self.next_refresh:
            return
        self.next_refresh = now + (REFRESH_INTERVAL if self.console.is_terminal else LINE_INTERVAL)
        views = [view(title, pack) for title, pack in self.packs]
        over = sum(view.progress * len(view.states) for view in views)
        self.bars.update(self.overall, completed=over, note=self._summary(views))
        if self.console.is_terminal:
            self._show_packs(views)
        else:
            active = [view.line() for view in views if view.is_running]
            self.console.print(" | ".join([self._share_text(), self._summary(views), *active]))

    def _show_packs(self, views: Sequence[PackView]) -> None:
        for index, view in enumerate(views):
            if view.is_running and index not in self.bar_of:
                self.bar_of[index] = self.bars.add_task(view.title, total=1.0, note="")
            if index in self.bar_of:
                note = f"{len(view.states)} runs, {view.phase} {view.step:,}"
                self.bars.update(self.bar_of[index], completed=view.progress, note=note, visible=view.is_running)

    def _share_text(self) -> str:
        return f"{self.bars.tasks[0].percentage:.0f}%"

    def _summary(self, views: Sequence[PackView]) -> str:
        states = [state for view in views for state in view.states]
        failed = f", {states.count(RunState.FAILED)} failed" if RunState.FAILED in states else ""
        speed = sum(view.speed for view in views)
        remaining = self.bars.tasks[0].time_remaining
        time_left = f"{duration(remaining)} left" if remaining is not None else "measuring speed"
        return f"{states.count(RunState.DONE)}/{len(states)} runs done{failed}, {speed:,.0f} run-updates/s, {time_left}"


def duration(seconds: float) -> str:
    """A length of time to two figures or so: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
