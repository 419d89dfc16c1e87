"""A run's folder: the only truth about what was asked, what happened and what came out.

`config.json` the run, `provenance.json` where it was computed, `status.json` state and heartbeat, `metrics.jsonl` one
row per evaluation, `log.txt` what its workers said, `done.json` the summary, written last.
"""

import fcntl
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from harness.errors import UserError
from harness.files import DamagedFileError, json_bytes, read_json, write_json
from harness.settings import ID_LENGTH, Run, run_from_dict, run_to_dict

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
        """The run of `config.json`, which must hold its text byte for byte: any change of the file is damage."""
        file = self.path / "config.json"
        values = self._read("config.json")
        if values is None:
            raise UserError(f"{file}: is missing; this is not a run folder")
        run = run_from_dict(values, source=str(file))
        if run.id != self.id:
            raise UserError(f"{file}: its settings belong to run {run.id}, not to this folder")
        if file.read_bytes() != json_bytes(run_to_dict(run)):
            raise DamagedFileError(f"{file}: is damaged: it should be the text of its settings, byte for byte")
        return run

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of `metrics.jsonl`, in the order of the evaluations.

        Of an unfinished run a half-written last row is left out: it is cut off when the run goes on. Any other damage,
        and any difference from what `done.json` says of the file, raises `DamagedFileError`.
        """
        file = self.path / "metrics.jsonl"
        summary = self.summary()
        data = file.read_bytes() if file.exists() else b""
        if summary is None:
            data = data[: data.rfind(b"\n") + 1]
        else:
            found = {"rows": data.count(b"\n"), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            # Folders of older versions do not say.
            written = summary.get("metrics", found)
            if written != found:
                raise DamagedFileError(f"{file}: is damaged: its {_described(found)} should be {_described(written)}")
        rows = []
        for number, line in enumerate(data.splitlines(), start=1):
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError):
                raise DamagedFileError(f"{file}: line {number} is not a whole row of JSON") from None
            if not isinstance(rows[-1], dict):
                raise DamagedFileError(f"{file}: line {number} is not a row of named values")
        return rows

    def summary(self) -> dict[str, Any] | None:
        """What `done.json` says, or None while the run is not done."""
        return self._read("done.json")

    def status(self) -> dict[str, Any]:
        """State, phase, step, share of the work done (0 to 1), heartbeat, reason of a failure.

        The state is "planned", "running", "interrupted", "lost", "failed" or "done". A running run is lost when its
        heart has stopped, or when its process has ended on this very machine.
        """
        status = self._read("status.json") or {"state": "planned"}
        if self.summary() is not None:
            status |= {"state": "done", "share": 1.0}
        elif status.get("state") == "running" and not _is_alive(status):
            status["state"] = "lost"
        return status

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    def last_words(self) -> str:
        """The last line of the log that says something, or an empty string."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def provenance(self) -> dict[str, Any]:
        return self._read("provenance.json") or {}

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return read_json(self.path / name)
        except NotADirectoryError:
            raise UserError(f"{self.path}: is a file where a run folder should be") from None

    # Writing ---------------------------------------------------------------------------------------------------------

    def create(self, run: Run) -> None:
        """Make the folder and its `config.json`; leaves an existing one as it is."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / "config.json").exists():
            write_json(self.path / "config.json", run_to_dict(run))

    def restart(self, provenance: dict[str, Any]) -> None:
        """Begin an attempt from the first step: what an earlier attempt measured is dropped."""
        attempts = self.provenance().get("attempts", [])
        attempt = {"started": time.time(), **provenance.get("attempt", {})}
        lasting = {name: value for name, value in provenance.items() if name != "attempt"}
        write_json(self.path / "provenance.json", {**lasting, "attempts": [*attempts, attempt]})
        (self.path / "done.json").unlink(missing_ok=True)
        (self.path / "metrics.jsonl").write_text("")

    def append_metrics(self, row: dict[str, Any]) -> None:
        """Add a row; NaN and infinity are refused, so a row always is JSON."""
        with open(self.path / "metrics.jsonl", "a") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")

    def write_status(self, state: str, **values: Any) -> None:
        """Replace `status.json`, with the heartbeat of now and the process that writes."""
        writer = {"heartbeat": time.time(), "host": socket.gethostname(), "process": os.getpid()}
        write_json(self.path / "status.json", {"state": state, **writer, **values})

    def append_log(self, text: str) -> None:
        """Add to the log; it keeps the words of every attempt."""
        with open(self.log, "a") as file:
            file.write(text if text.endswith("\n") else text + "\n")

    def lock(self) -> IO[str] | None:
        """Take the run for this process, or None if another process has it.

        The run is free again when the returned file is closed or the process ends, however it ends.
        """
        file = open(self.path / ".lock", "w")  # noqa: SIM115 (the caller closes it)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def finish(self, summary: dict[str, Any]) -> None:
        """Write `done.json`, the last file of a run."""
        write_json(self.path / "done.json", summary)


def _is_alive(status: dict[str, Any]) -> bool:
    if time.time() - status.get("heartbeat", 0.0) > HEARTBEAT_LIMIT:
        return False
    if status.get("host") != socket.gethostname() or "process" not in status:
        return True
    try:
        os.kill(status["process"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _described(mark: Any) -> str:
    """What `done.json` says of the rows, in words."""
    if not isinstance(mark, dict):
        return repr(mark)
    return f"{mark.get('rows')} rows in {mark.get('bytes')} bytes (SHA-256 {str(mark.get('sha256'))[:12]})"


def run_folders(root: Path) -> Iterator[RunFolder]:
    """Every run folder that lies directly in `root`, by name: also one that has lost its `config.json`."""
    if not Path(root).is_dir():
        raise UserError(f"{root}: there is no such folder of runs")
    for path in sorted(Path(root).iterdir()):
        if (path / "config.json").exists() or (_is_id(path.name) and any(path.glob("[!.]*"))):
            yield RunFolder(path)


def _is_id(name: str) -> bool:
    return len(name) == ID_LENGTH and set(name) <= set("0123456789abcdef")
