"""A run's folder: the only truth about what was asked, what happened and what came out.

`config.json` the run, `provenance.json` where it was computed, `status.json` state and heartbeat, `metrics.jsonl` one
row per evaluation, `done.json` the summary, written last.
"""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.settings import Run, run_from_dict, run_to_dict

# Seconds without a heartbeat after which a running run counts as lost.
HEARTBEAT_LIMIT = 120.0


class RunFolder:
    """Reader and writer of `root/<run id>/`."""

    def __init__(self, path: Path):
        self.path = Path(path)

    @classmethod
    def of(cls, root: Path, run: Run) -> "RunFolder":
        """The folder in which `run` belongs."""
        return cls(Path(root) / run.id)

    @property
    def id(self) -> str:
        return self.path.name

    # Reading ---------------------------------------------------------------------------------------------------------

    def run(self) -> Run:
        """The run of `config.json`."""
        values = self._read("config.json")
        if values is None:
            raise UserError(f"{self.path / 'config.json'}: is missing; this is not a run folder")
        run = run_from_dict(values, source=str(self.path / "config.json"))
        if run.id != self.id:
            raise UserError(f"{self.path / 'config.json'}: its settings belong to run {run.id}, not to this folder")
        return run

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of `metrics.jsonl`, in the order of the evaluations."""
        file = self.path / "metrics.jsonl"
        if not file.exists():
            return []
        rows = []
        for number, line in enumerate(file.read_text().splitlines(), start=1):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                raise UserError(f"{file}: line {number} is not a whole row of JSON") from None
        return rows

    def summary(self) -> dict[str, Any] | None:
        """What `done.json` says, or None while the run is not done."""
        return self._read("done.json")

    def status(self) -> dict[str, Any]:
        """State (planned, running, failed, lost, done), phase, step, share done, heartbeat, reason of a failure."""
        status = self._read("status.json") or {"state": "planned"}
        if (self.path / "done.json").exists():
            status["state"] = "done"
        elif status["state"] == "running" and time.time() - status["heartbeat"] > HEARTBEAT_LIMIT:
            status["state"] = "lost"
        return status

    def provenance(self) -> dict[str, Any]:
        return self._read("provenance.json") or {}

    def _read(self, name: str) -> dict[str, Any] | None:
        file = self.path / name
        try:
            return json.loads(file.read_text())
        except FileNotFoundError:
            return None
        except json.JSONDecodeError:
            raise UserError(f"{file}: is damaged (not JSON)") from None

    # Writing ---------------------------------------------------------------------------------------------------------

    def create(self, run: Run) -> None:
        """Make the folder and its `config.json`; leaves an existing one as it is."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / "config.json").exists():
            write_json(self.path / "config.json", run_to_dict(run))

    def restart(self, provenance: dict[str, Any]) -> None:
        """Begin an attempt from the first step: metrics of an unfinished attempt are dropped."""
        attempts = self.provenance().get("attempts", [])
        started = {"started": time.time(), **provenance.pop("attempt", {})}
        write_json(self.path / "provenance.json", {**provenance, "attempts": [*attempts, started]})
        (self.path / "metrics.jsonl").write_text("")

    def append_metrics(self, row: dict[str, Any]) -> None:
        """Add a row; NaN and infinity are refused, so a row always is JSON."""
        with open(self.path / "metrics.jsonl", "a") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")

    def write_status(self, state: str, **values: Any) -> None:
        """Replace `status.json`, with the heartbeat of now."""
        write_json(self.path / "status.json", {"state": state, "heartbeat": time.time(), **values})

    def finish(self, summary: dict[str, Any]) -> None:
        """Write `done.json`, the last file of a run."""
        write_json(self.path / "done.json", summary)


def write_json(file: Path, value: Any) -> None:
    """Write a file whole or not at all (a temporary file beside it, synchronised, then renamed)."""
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w") as stream:
            json.dump(value, stream, indent=1, allow_nan=False)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def run_folders(root: Path) -> Iterator[RunFolder]:
    """Every run folder that lies directly in `root`, by name."""
    if not Path(root).is_dir():
        raise UserError(f"{root}: there is no such folder of runs")
    for config in sorted(Path(root).glob("*/config.json")):
        yield RunFolder(config.parent)
