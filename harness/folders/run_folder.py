"""A run's folder: the only truth about what was asked, what happened and what came out.

`config.json` the run, `provenance.json` where it was computed, `attempts/` by whom, `status.json` state and heartbeat,
`metrics.jsonl` one row per evaluation, `log.txt` what its workers said, `checkpoint/` and `replay/` what it goes on
from, `done.json` the summary, written last. `cancel.json` is there while the run is not wanted.
"""

import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from harness.errors import UserError
from harness.files import DamagedFileError, json_bytes, naming, read_json, write_json
from harness.folders import attempts
from harness.folders.append_file import contents
from harness.folders.attempts import Attempt
from harness.folders.processes import peak_memory
from harness.folders.state import RunState
from harness.settings import ID_LENGTH, Run, configuration, run_from_dict

if TYPE_CHECKING:
    from harness.folders.checkpoint import Checkpoint, Position

# Entries in a checkpoint's numbers: how long these files were when it was saved.
METRICS, REPLAY = "metrics", "replay"

# The file by which a run is cancelled.
CANCEL = "cancel.json"

# Bytes of a log that are read for its last line.
TAIL = 8192


class RunFolder:
    """Reader and writer of `root/<run id>/`.

    From `begin_attempt` to `end_attempt` the run is this process's: whatever writes first looks whether it still is,
    and raises `TakenOver` if not. Without an attempt of its own nothing is looked at.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self.attempt: Attempt | None = None

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
        if file.read_bytes() != json_bytes(configuration(run)):
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
            found = measured(data)
            # Folders of older versions do not say.
            written = summary.get("metrics", found)
            if written != found:
                raise DamagedFileError(f"{file}: is damaged: its {_described(found)} should be {_described(written)}")
        rows = []
        for number, line in enumerate(data.splitlines(), start=1):
            try:
                # Three times as quick as the standard library, and the same floats to the last bit.
                rows.append(from_json(line))
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
        """Whether a process has the run, as far as a reader can tell, whose clock may not be the file system's."""
        attempt = attempts.latest_attempt(self.path)
        return attempt is not None and attempt.is_alive(time.time())

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody does not want the run computed any more."""
        return (self.path / CANCEL).exists()

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
        """The file name of the newest checkpoint, or an empty string; such names sort by position."""
        return max((file.name for file in self.checkpoints.glob("*.ckpt")), default="")

    def load_checkpoint(self, position: "Position") -> "Checkpoint":
        """A checkpoint, after checking that the run's files are as long as it says; damage raises a UserError."""
        from harness.folders.checkpoint import Checkpoints

        checkpoint = Checkpoints(self.checkpoints).load(position)
        contents(self.metrics_file, checkpoint.numbers[METRICS])
        contents(self.replay, checkpoint.numbers[REPLAY])
        return checkpoint

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    def log_tail(self) -> str:
        """The last line of the log that says something, or an empty string."""
        return last_line(tail(self.log).encode())

    def provenance(self) -> dict[str, Any]:
        """What the last attempt that loaded its data wrote, and all `attempts`, oldest first; empty before any."""
        written = self._read("provenance.json") or {}
        # Folders of older versions have their attempts among the rest.
        history = [*written.get("attempts", []), *attempts.history(self.path)]
        return {**written, "attempts": history} if written or history else {}

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
            write_json(self.path / "config.json", configuration(run))

    def cancel(self, user: str) -> None:
        """Ask whoever computes the run to save it and stop, and others not to begin; `want` takes it back."""
        write_json(self.path / CANCEL, {"user": user, "asked": time.time()})

    def want(self) -> None:
        """Let a cancelled run be computed again."""
        (self.path / CANCEL).unlink(missing_ok=True)

    def begin_attempt(self, details: dict[str, Any]) -> bool:
        """Take the run for this process; False if it is in other hands. `details` are kept with the attempt."""
        self.attempt = attempts.acquire(self.path, details)
        return self.attempt is not None

    def end_attempt(self, reason: str) -> None:
        """Give the run back and keep the reason."""
        self.check_owner()
        if self.attempt is not None:
            self.attempt.end(reason, peak_memory=peak_memory())
            self.attempt = None

    def check_owner(self) -> None:
        """Raise `TakenOver` if another process owns the run by now."""
        if self.attempt is not None:
            self.attempt.check()

    def record_provenance(self, values: dict[str, Any]) -> None:
        """Replace `provenance.json`."""
        self.check_owner()
        write_json(self.path / "provenance.json", values)

    def write_status(self, state: RunState | str, **values: Any) -> None:
        """Replace `status.json`, with the heartbeat of now and the process that writes."""
        self.check_owner()
        writer = {"heartbeat": time.time(), "host": socket.gethostname(), "process": os.getpid()}
        write_json(self.path / "status.json", {"state": state, **writer, **values})

    def append_log(self, text: str) -> None:
        """Add to the log; it keeps the words of every attempt."""
        self.check_owner()
        with naming(self.log), open(self.log, "a") as file:
            file.write(text if text.endswith("\n") else text + "\n")

    def finish(self, summary: dict[str, Any]) -> None:
        """Write `done.json`, the last file of a run: the summary, and what the file of metrics must be from now on."""
        self.check_owner()
        metrics = self.metrics_file.read_bytes() if self.metrics_file.exists() else b""
        write_json(self.path / "done.json", {**summary, "metrics": measured(metrics)})


def tail(file: Path) -> str:
    """The last few thousand characters of a text; nothing if there is no such file."""
    try:
        with open(file, "rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL))
            return stream.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def last_line(text: bytes) -> str:
    """The last line of the end of a text that says something, or an empty string."""
    lines = text[-TAIL:].decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def settled_status(
    written: dict[str, Any] | None, done: bool, cancelled: dict[str, Any] | None, is_owned: Callable[[], bool]
) -> dict[str, Any]:
    """What `status.json` and `cancel.json` say (None: there is none), put right where other files know better."""
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
    """What `done.json` says of the file of metrics."""
    return {"rows": metrics.count(b"\n"), "bytes": len(metrics), "sha256": hashlib.sha256(metrics).hexdigest()}


def _described(mark: Any) -> str:
    """What `done.json` says of the rows, in words."""
    if not isinstance(mark, dict):
        return repr(mark)
    return f"{mark.get('rows')} rows in {mark.get('bytes')} bytes (SHA-256 {str(mark.get('sha256'))[:12]})"


def run_folders(root: Path) -> Iterator[RunFolder]:
    """Every run folder that lies directly in `root`, by name: also one that has lost its `config.json`."""
    if not Path(root).is_dir():
        raise UserError(f"{root}: no such folder of runs")
    for path in sorted(Path(root).iterdir()):
        if (path / "config.json").exists() or (is_id(path.name) and any(path.glob("[!.]*"))):
            yield RunFolder(path)


def is_id(name: str) -> bool:
    """Whether a name has the form of a run's id."""
    return len(name) == ID_LENGTH and set(name) <= set("0123456789abcdef")
