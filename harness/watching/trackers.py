"""Trackers: the metrics of runs for TensorBoard, Weights & Biases, or one file of JSON lines.

A tracker only reads run folders, so that these stay the truth: what a run has recorded is passed on afterwards, once,
however often a sweep is interrupted, and may be passed on later as a whole. The step is the number of offline gradient
steps plus the environment steps of the online phase. Files are in `ROOT/tracking/`.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from harness.errors import UserError, one_line
from harness.files import read_bytes, read_text, write_json
from harness.folders.run_folder import RunFolder
from harness.settings import Run, configuration

FOLDER = "tracking"

# Seconds between two looks at the folders of running runs.
INTERVAL = 5.0

# Columns of a row that place it and are no metrics.
PLACE = ("phase", "offline_step", "online_step")


class Tracker(Protocol):
    """Receives the metrics of runs."""

    def count(self, run: Run) -> int:
        """How many rows of a run it has received before."""

    def add(self, run: Run, group: str, rows: Sequence[tuple[int, dict[str, float]]]) -> None:
        """Receive the next rows of a run, which belongs to a group: steps and metrics by the names of the schema."""

    def close(self) -> None:
        """Write what is pending."""


class JsonLines:
    """A JSON object per row: one file, or one per writer, which count each other's rows."""

    def __init__(self, folder: Path, writer: str = "metrics"):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / f"{writer}.jsonl"
        self._counts: dict[str, int] = {}
        for file in {self.file, *folder.glob("*.jsonl")}:
            text = read_text(file) if file.exists() else ""
            complete = text[: text.rfind("\n") + 1]
            if complete != text and file == self.file:
                # Cut off by a crash.
                file.write_text(complete)
            for line in complete.splitlines():
                id = json.loads(line)["run"]
                self._counts[id] = self._counts.get(id, 0) + 1

    def count(self, run: Run) -> int:
        return self._counts.get(run.id, 0)

    def add(self, run: Run, group: str, rows: Sequence[tuple[int, dict[str, float]]]) -> None:
        names = {"run": run.id, "group": group, "task": run.task.name, "arm": run.arm, "seed": run.seed}
        with open(self.file, "a") as stream:
            stream.writelines(json.dumps({**names, "step": step, **row}) + "\n" for step, row in rows)
        self._counts[run.id] = self.count(run) + len(rows)

    def close(self) -> None:
        """Every row is written at once."""


class TensorBoard:
    """Event files, in `<group>/<task>/<arm>/<run id>`."""

    def __init__(self, folder: Path, writer: str = ""):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError("tracker tensorboard: not installed; pip install 'floorbench[tensorboard]'") from None
        self.folder, self._writer = folder, SummaryWriter
        self._counts: dict[str, int] = {}

    def _place(self, run: Run, group: str) -> Path:
        """The folder of a run; one that exists is kept, whatever its group."""
        return next(iter(self.folder.glob(f"*/*/*/{run.id}")), self.folder / group / run.task.name / run.arm / run.id)

    def count(self, run: Run) -> int:
        if run.id not in self._counts:
            from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

            place = self._place(run, "runs")
            events = EventAccumulator(str(place), size_guidance={"scalars": 0}).Reload() if place.exists() else None
            tags = events.Tags()["scalars"] if events else []
            self._counts[run.id] = len(events.Scalars("updates")) if events and "updates" in tags else 0
        return self._counts[run.id]

    def add(self, run: Run, group: str, rows: Sequence[tuple[int, dict[str, float]]]) -> None:
        place = self._place(run, group)
        with self._writer(str(place)) as writer:
            for step, row in rows:
                # Counted by `updates`, which therefore is written last.
                for name in sorted(row, key=lambda name: name == "updates"):
                    writer.add_scalar(name, row[name], step)
        self._counts[run.id] = self.count(run) + len(rows)

    def close(self) -> None:
        """Every row is written at once."""


class WeightsAndBiases:
    """Runs of the project `floorbench` with the run ids; WANDB_MODE=offline works without a network."""

    def __init__(self, folder: Path, writer: str = ""):
        try:
            import wandb
        except ImportError:
            raise UserError("tracker wandb: not installed; pip install 'floorbench[wandb]'") from None
        self.folder, self._wandb = folder, wandb
        self._open: dict[str, Any] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def _mark(self, run: Run) -> Path:
        return self.folder / "rows" / f"{run.id}.json"

    def count(self, run: Run) -> int:
        mark = self._mark(run)
        return int(json.loads(read_bytes(mark))["rows"]) if mark.exists() else 0

    def add(self, run: Run, group: str, rows: Sequence[tuple[int, dict[str, float]]]) -> None:
        if run.id not in self._open:
            self._open[run.id] = self._wandb.init(
                project="floorbench", id=run.id, name=f"{run.task.name} {run.arm} seed {run.seed}", group=group,
                job_type=run.arm, tags=[run.task.name], config=configuration(run), dir=str(self.folder),
                resume="allow", reinit="create_new", settings=self._wandb.Settings(silent=True),
            )  # fmt: skip
        for step, row in rows:
            self._open[run.id].log(row, step=step)
        self._mark(run).parent.mkdir(exist_ok=True)
        write_json(self._mark(run), {"rows": self.count(run) + len(rows)})

    def close(self) -> None:
        for run in self._open.values():
            run.finish()
        self._open.clear()


# A tracker is made of its folder and the name of the writer, which several array tasks that write there differ in.
TRACKERS: dict[str, Callable[[Path, str], Tracker]] = {
    "jsonl": JsonLines,
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
}

# The writer on this machine.
HERE = "metrics"


def check_names(names: Iterable[str]) -> None:
    """Raise UserError for an unknown tracker."""
    for name in names:
        if name not in TRACKERS:
            raise UserError(f"tracker {name!r}: unknown tracker; choose one of {', '.join(TRACKERS)}")


class Tracking:
    """Passes what runs record on to trackers."""

    def __init__(self, names: Sequence[str], root: Path, runs: Sequence[Run], group: str, writer: str = HERE):
        """Trackers by name; raises UserError for an unknown one and for one that is not installed."""
        check_names(names)
        self.runs, self.root, self.group = runs, Path(root), group
        self.trackers: list[Tracker] = [
            TRACKERS[name](self.root / FOLDER / name, writer) for name in dict.fromkeys(names)
        ]
        self.problem = ""
        self._next = 0.0

    def watch(self) -> None:
        """Pass on new rows, at most once per interval. A problem ends the tracking, not the runs."""
        if self.trackers and time.monotonic() >= self._next:
            self._attempt(self.update)
            self._next = time.monotonic() + INTERVAL

    def finish(self) -> None:
        """Pass on the last rows, and end; a problem is only recorded."""
        self._attempt(self.close)

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:
            self.problem, self.trackers = f"tracking ended: {one_line(error)}", []

    def update(self) -> int:
        """Pass on every row that the trackers do not have; returns their number."""
        added = 0
        for run in self.runs if self.trackers else ():
            folder = RunFolder.of(self.root, run)
            rows = [_placed(run, row) for row in folder.metrics()] if folder.metrics_file.exists() else []
            for tracker in self.trackers:
                if new := rows[tracker.count(run) :]:
                    tracker.add(run, self.group, new)
                    added += len(new)
        return added

    def close(self) -> None:
        """Pass on the last rows, and end."""
        self.update()
        for tracker in self.trackers:
            tracker.close()


def _placed(run: Run, row: dict[str, Any]) -> tuple[int, dict[str, float]]:
    """The step of a row, and its metrics without missing ones."""
    offline = row["phase"] == "offline"
    step = row["offline_step"] if offline else run.schedule.offline_steps + row["online_step"]
    return step, {name: value for name, value in row.items() if name not in PLACE and value is not None}
