"""The folder of a run.

`config.json` holds the settings, `provenance.json` code, packages, machine and data, `attempts/` the owners,
`status.json` state and progress, `metrics.jsonl` one row per evaluation, `log.txt` the log, `checkpoint/` and `replay/`
what is needed to resume, and `done.json` the summary, written last. `cancel.json` exists while the run is cancelled,
`prefix.json` if the run starts from the last checkpoint of a prefix, which is another run of the root.
"""

import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from algorithms.kernels.speed import machine_speed
from harness.errors import UserError
from harness.files import (
    DamagedFileError,
    atomic_write,
    json_object,
    naming,
    open_file,
    read_bytes,
    read_json,
    write_json,
)
from harness.folders import attempts
from harness.folders.append_file import contents
from harness.folders.attempts import Attempt
from harness.folders.processes import peak_memory
from harness.folders.state import RunState
from harness.folders.usage import Effort
from harness.settings import ID_LENGTH, Run, run_from_dict, settings_text

if TYPE_CHECKING:
    from harness.folders.checkpoint import Checkpoint, Position

# Entries in a checkpoint's numbers: how long these files were when it was saved.
METRICS, REPLAY = "metrics", "replay"

# Exist while a run is cancelled, and if it starts from a prefix.
CANCEL, PREFIX = "cancel.json", "prefix.json"

# Number of settings that are kept after they have been checked.
PARSED = 50_000

# Bytes at the end of a log that are read for its last line.
TAIL = 8192


class RunFolder:
    """Reader and writer of `root/<run id>/`.

    From `begin_attempt` to `end_attempt` this process owns the run: every write first checks that it still does, and
    raises `TakenOver` otherwise. Without an attempt nothing is checked.
    """

    def __init__(self, path: Path):
        self.path = path
        self.attempt: Attempt | None = None
        # The run that should be in the folder, if it is known.
        self._named: Run | None = None
        # What the attempt has spent, and this process's processor time at its start.
        self.effort = Effort()
        self._processor_time = 0.0

    @classmethod
    def of(cls, root: Path, run: Run) -> "RunFolder":
        """The folder of `run` in a root."""
        folder = cls(Path(root) / run.id)
        folder._named = run
        return folder

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def exists(self) -> bool:
        """Whether there is a folder, or a file, with more than temporary files in it."""
        # The folder is listed only if it has no settings: in a large root this takes most of the time.
        if os.path.exists(f"{self.path}/config.json"):
            return True
        return self.path.exists() and not (self.path.is_dir() and not any(self.path.glob("[!.]*")))

    # Reading ---------------------------------------------------------------------------------------------------------

    def run(self) -> Run:
        """The run in `config.json`, which must be byte-identical to the text of its settings."""
        file = self.path / "config.json"
        try:
            text = read_bytes(file)
        except FileNotFoundError:
            raise UserError(f"{file}: is missing; this is not a run folder") from None
        except NotADirectoryError:
            raise UserError(f"{self.path}: is a file, not a run folder") from None
        if self._named is not None and text == settings_text(self._named):
            return self._named
        return run_of_text(text, file)

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of `metrics.jsonl`.

        An incomplete last row of an unfinished run is ignored: it is removed when the run is resumed. Any other damage,
        and any difference from the entry in `done.json`, raises `DamagedFileError`.
        """
        file = self.path / "metrics.jsonl"
        summary = self.summary()
        try:
            data = read_bytes(file)
        except FileNotFoundError:
            data = b""
        if summary is None:
            data = data[: data.rfind(b"\n") + 1]
        else:
            actual = measured(data)
            # Older versions wrote no entry.
            expected = summary.get("metrics", actual)
            if expected != actual:
                raise DamagedFileError(f"{file}: is damaged: has {_described(actual)}, not {_described(expected)}")
        rows = []
        for number, line in enumerate(data.splitlines(), start=1):
            try:
                # Three times as fast as the standard library, with the same floats.
                rows.append(from_json(line))
            except (ValueError, RecursionError):
                raise DamagedFileError(f"{file}: line {number} is not valid JSON") from None
            if not isinstance(rows[-1], dict):
                raise DamagedFileError(f"{file}: line {number} is not a JSON object")
        return rows

    def summary(self) -> dict[str, Any] | None:
        """The contents of `done.json`, or None while the run is not done."""
        return self._read("done.json")

    def status(self) -> dict[str, Any]:
        """State, phase, step, progress (0 to 1), heartbeat, and the reason of a failure.

        A running run is lost when its owner's heartbeat has stopped, or when the owner's process on this machine has
        ended. The state is a `RunState`, unless the file holds another text.
        """
        return settled_status(self._read("status.json"), self.summary() is not None, self._read(CANCEL), self.is_owned)

    @property
    def state(self) -> RunState:
        """The state in `status`. Raises `DamagedFileError` for an unknown state."""
        state = self.status().get("state")
        if not isinstance(state, RunState):
            raise DamagedFileError(
                f"{self.path / 'status.json'}: state {state!r} is none of {', '.join(RunState.of_folder())}"
            )
        return state

    def is_owned(self) -> bool:
        """Whether a process owns the run, assuming that this clock agrees with that of the file system."""
        attempt = attempts.latest_attempt(self.path)
        return attempt is not None and attempt.is_alive(time.time())

    @property
    def is_cancelled(self) -> bool:
        """Whether the run was cancelled."""
        return (self.path / CANCEL).exists()

    @property
    def prefix(self) -> "RunFolder | None":
        """The folder of the run's prefix; None if the run trains its offline phase itself."""
        values = self.prefix_record()
        return None if values is None else RunFolder(self.path.parent / values["prefix"])

    def prefix_record(self) -> dict[str, Any] | None:
        """The contents of `prefix.json`, or None: the `prefix`, and after the start where it was computed."""
        values = self._read(PREFIX)
        if values is not None and not (isinstance(values.get("prefix"), str) and is_id(values["prefix"])):
            raise DamagedFileError(f"{self.path / PREFIX}: is damaged: names no prefix")
        return values

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def replay(self) -> Path:
        """The file of online transitions."""
        return self.path / "replay" / "online.bin"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoint"

    @property
    def newest_checkpoint(self) -> str:
        """The file name of the newest checkpoint, or an empty string; names sort by position."""
        try:
            names = os.listdir(f"{self.path}/checkpoint")
        except (FileNotFoundError, NotADirectoryError):
            return ""
        newest = max((name for name in names if name.endswith(".ckpt")), default="")
        if not newest:
            from harness.folders.checkpoint import Checkpoints

            newest = max((f"{position}.ckpt" for position in Checkpoints(self.checkpoints).positions()), default="")
        return newest

    def load_checkpoint(self, position: "Position") -> "Checkpoint":
        """A checkpoint, after checking the lengths of the run's files against it; damage raises a UserError."""
        from harness.folders.checkpoint import Checkpoints

        checkpoint = Checkpoints(self.checkpoints).load(position)
        contents(self.metrics_file, checkpoint.numbers[METRICS])
        contents(self.replay, checkpoint.numbers[REPLAY])
        return checkpoint

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    def log_tail(self) -> str:
        """The last non-empty line of the log, or an empty string."""
        return last_line(tail(self.log).encode())

    def provenance(self) -> dict[str, Any]:
        """The provenance that the last attempt wrote, with all `attempts`, oldest first; empty without attempts."""
        written = self._read("provenance.json") or {}
        # Older versions kept the attempts in this file.
        history = [*written.get("attempts", []), *attempts.history(self.path)]
        return {**written, "attempts": history} if written or history else {}

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return read_json(f"{self.path}/{name}")
        except NotADirectoryError:
            raise UserError(f"{self.path}: is a file, not a run folder") from None

    # Writing ---------------------------------------------------------------------------------------------------------

    def create(self, run: Run) -> None:
        """Create the folder and its `config.json`, unless they exist."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / "config.json").exists():
            with atomic_write(self.path / "config.json") as stream:
                stream.write(settings_text(run))

    def cancel(self, user: str) -> None:
        """Make the owner save the run and stop, and keep others from starting it, until `uncancel`."""
        write_json(self.path / CANCEL, {"user": user, "asked": time.time()})

    def uncancel(self) -> None:
        """Allow a cancelled run to be computed again."""
        (self.path / CANCEL).unlink(missing_ok=True)

    def write_prefix(self, values: dict[str, Any] | None) -> None:
        """Replace `prefix.json` (see `prefix_record`), or remove it."""
        self.check_owner()
        if values is None:
            (self.path / PREFIX).unlink(missing_ok=True)
        else:
            write_json(self.path / PREFIX, values)

    def begin_attempt(self, details: dict[str, Any]) -> bool:
        """Make this process the owner; False if another process is. `details` are kept with the attempt."""
        self.effort, self._processor_time = Effort(), time.process_time()
        self.attempt = attempts.acquire(self.path, details)
        return self.attempt is not None

    def end_attempt(self, reason: str) -> None:
        """Release the run and record the reason."""
        self.check_owner()
        if self.attempt is not None:
            busy = time.process_time() - self._processor_time + self.effort.elsewhere
            seconds = dict(self.effort.seconds)
            used = {"peak_memory": peak_memory(), "seconds": seconds, "processor_seconds": busy}
            self.attempt.end(reason, **used, speed=asdict(machine_speed()))
            self.attempt = None

    def check_owner(self) -> None:
        """Raise `TakenOver` if another process has taken the run over."""
        if self.attempt is not None:
            self.attempt.check()

    def record_provenance(self, values: dict[str, Any]) -> None:
        """Replace `provenance.json`."""
        self.check_owner()
        write_json(self.path / "provenance.json", values)

    def write_status(self, state: RunState | str, **values: Any) -> None:
        """Replace `status.json`; adds the time and this process."""
        self.check_owner()
        writer = {"heartbeat": time.time(), "host": socket.gethostname(), "process": os.getpid()}
        write_json(self.path / "status.json", {"state": state, **writer, **values})

    def append_log(self, text: str) -> None:
        """Append to the log."""
        self.check_owner()
        with naming(self.log), open(self.log, "a", encoding="utf-8", errors="replace") as file:
            file.write(text if text.endswith("\n") else text + "\n")

    def finish(self, summary: dict[str, Any]) -> None:
        """Write `done.json`, the last file of a run: its summary, and length and hash of the metrics."""
        self.check_owner()
        metrics = read_bytes(self.metrics_file) if self.metrics_file.exists() else b""
        write_json(self.path / "done.json", {**summary, "metrics": measured(metrics)}, self.check_owner)


class Snapshot(RunFolder):
    """A run folder for reading, each of whose JSON files is read once."""

    def __init__(self, folder: RunFolder):
        super().__init__(folder.path)
        self._named = folder._named
        self._contents: dict[str, dict[str, Any] | None] = {}

    def _read(self, name: str) -> dict[str, Any] | None:
        if name not in self._contents:
            self._contents[name] = super()._read(name)
        return self._contents[name]


def tail(file: Path) -> str:
    """The last few thousand characters of a file; empty if it does not exist."""
    try:
        with open_file(file) as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL))
            return stream.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def last_line(text: bytes) -> str:
    """The last non-empty line of a text, or an empty string."""
    lines = text[-TAIL:].decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def settled_status(
    written: dict[str, Any] | None, done: bool, cancelled: dict[str, Any] | None, is_owned: Callable[[], bool]
) -> dict[str, Any]:
    """The status from the contents of `status.json` and `cancel.json` (None: missing), corrected by the other files."""
    status = dict(written or {"state": RunState.PLANNED})
    if done:
        return status | {"state": RunState.DONE, "progress": 1.0}
    state = status.get("state")
    if state not in RunState.of_folder():
        return status
    state = status["state"] = RunState(state)
    if state is RunState.RUNNING and not is_owned():
        state = status["state"] = RunState.LOST
    if cancelled is not None and state.is_cancellable and state is not RunState.RUNNING:
        return status | {
            "state": RunState.CANCELLED,
            "reason": f"cancelled by {cancelled.get('user', 'an unknown user')}",
        }
    return status


def measured(metrics: bytes) -> dict[str, Any]:
    """The entry in `done.json` on the file of metrics."""
    return {"rows": metrics.count(b"\n"), "bytes": len(metrics), "sha256": hashlib.sha256(metrics).hexdigest()}


def _described(mark: Any) -> str:
    """Such an entry in words."""
    if not isinstance(mark, dict):
        return repr(mark)
    return f"{mark.get('rows')} rows in {mark.get('bytes')} bytes (SHA-256 {str(mark.get('sha256'))[:12]})"


@lru_cache(maxsize=PARSED)
def run_of_text(text: bytes, file: Path) -> Run:
    """The run of the text of a `config.json`, which commands need several times.

    Raises UserError unless it is that of the run after which its folder is named.
    """
    run = run_from_dict(json_object(text, file), source=str(file))
    if run.id != file.parent.name:
        raise UserError(f"{file}: its settings belong to run {run.id}, not to this folder")
    if text != settings_text(run):
        raise DamagedFileError(f"{file}: is damaged: it must be byte-identical to the text of its settings")
    return run


def run_folders(root: Path) -> Iterator[RunFolder]:
    """The run folders directly in `root`, by name, including those without `config.json`."""
    if not Path(root).is_dir():
        raise UserError(f"{root}: no such folder of runs")
    for name in sorted(os.listdir(root)):
        path = Path(root) / name
        if os.path.exists(f"{path}/config.json") or (is_id(name) and any(path.glob("[!.]*"))):
            yield RunFolder(path)


def is_id(name: str) -> bool:
    """Whether a name has the form of a run id."""
    return len(name) == ID_LENGTH and set(name) <= set("0123456789abcdef")
