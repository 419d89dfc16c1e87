"""Attempts at a run: its current owner, the former ones, and how each attempt ended.

The process that creates the next of `attempts/000001.json`, `attempts/000002.json`, ... owns the run. The file is
written under a temporary name and then hard-linked, which only one process can do, also on network file systems. Its
modification time is the owner's heartbeat. Before every write the owner checks that the next number does not exist; if
it does, another process has taken the run over. The files are never removed: they are the run's history.
"""

import contextlib
import errno
import os
import re
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.errors import UserError
from harness.files import naming, read_json, synchronise_folder, write_json
from harness.folders.processes import has_ended, this_process

# Seconds between two heartbeats.
HEARTBEAT_INTERVAL = 5.0

# Seconds without a heartbeat after which a run may be taken over. Network file systems may show a file as it was a
# minute ago.
HEARTBEAT_LIMIT = 120.0

# Errors of file systems without hard links.
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)


class TakenOver(Exception):  # noqa: N818 (a signal, not an error)
    """Another process has taken the run over."""


@dataclass(frozen=True)
class Attempt:
    """One attempt: its number, the contents of its file, and the time of its last heartbeat.

    Heartbeats are on the clock of the file system, all other times on that of the machine that wrote them.
    """

    folder: Path
    number: int
    details: dict[str, Any]
    heartbeat: float

    @property
    def file(self) -> Path:
        return self.folder / f"{self.number:06d}.json"

    def check(self) -> None:
        """Raise `TakenOver` if a later attempt has begun."""
        following = self.folder / f"{self.number + 1:06d}.json"
        if following.exists():
            raise TakenOver(f"{following}: another process has taken the run over")

    def beat(self) -> None:
        """Write a heartbeat."""
        os.utime(self.file)

    def end(self, reason: str, **more: Any) -> None:
        """Release the run: record the end of the attempt, its reason and `more` details."""
        write_json(self.file, {**self.details, **more, "ended": time.time(), "reason": reason})

    def account(self, is_running: bool) -> dict[str, Any]:
        """The details. An attempt that ended without a record gets its last heartbeat as end."""
        if is_running or "ended" in self.details:
            return self.details
        return {**self.details, "ended": self.heartbeat, "reason": "lost: no end recorded"}

    def is_alive(self, now: float) -> bool:
        """Whether the owner still computes the run at time `now`; True in doubt."""
        if "ended" in self.details or now - self.heartbeat > HEARTBEAT_LIMIT:
            return False
        return not has_ended(self.details)


def acquire(folder: Path, details: dict[str, Any]) -> Attempt | None:
    """Make this process the owner of a run; None if another process owns it.

    `details` are written to the attempt's file, with the process and its start. Raises UserError if the file of the
    latest attempt is damaged or the file system has no hard links.
    """
    place = folder / "attempts"
    with naming(place):
        place.mkdir(exist_ok=True)
    before = latest_attempt(folder)
    details = {**this_process(), "started": time.time(), **details}
    temporary = place / f".{secrets.token_hex(8)}"
    write_json(temporary, details)
    try:
        # Both times are on the clock of the file system, so clocks of other machines do not matter.
        now = temporary.stat().st_mtime
        if before is not None and before.is_alive(now):
            return None
        attempt = Attempt(place, before.number + 1 if before else 1, details, now)
        if not _link(temporary, attempt.file):
            return None
        synchronise_folder(place)
        return attempt
    finally:
        # The linked file stays; a leftover temporary name is harmless.
        with contextlib.suppress(OSError):
            temporary.unlink()


def latest_attempt(folder: Path) -> Attempt | None:
    """The latest attempt at a run, or None. Raises UserError if its file is damaged."""
    numbers = _numbers(folder)
    return _read(folder / "attempts", numbers[-1]) if numbers else None


def history(folder: Path) -> list[dict[str, Any]]:
    """The accounts of all attempts, oldest first."""
    attempts = [_read(folder / "attempts", number) for number in _numbers(folder)]
    return [attempt.account(attempt is attempts[-1] and attempt.is_alive(time.time())) for attempt in attempts]


class Heartbeat:
    """Writes the heartbeats of attempts from a thread while its block runs."""

    def __init__(self, attempts: Sequence[Attempt]):
        self._attempts = list(attempts)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._end.wait(HEARTBEAT_INTERVAL):
            for attempt in self._attempts:
                # A file server may be unavailable for a moment.
                with contextlib.suppress(OSError):
                    attempt.beat()


def _numbers(folder: Path) -> list[int]:
    try:
        names = os.listdir(f"{folder}/attempts")
    except FileNotFoundError:
        return []
    return sorted(filter(None, map(file_number, names)))


def file_number(name: str) -> int | None:
    """The number of an attempt from its file name; None for other names."""
    return int(name.removesuffix(".json")) if re.fullmatch(r"\d{6,}\.json", name) else None


def _read(place: Path, number: int) -> Attempt:
    file = f"{place}/{number:06d}.json"
    # Read before stat: network file systems refresh the attributes of a file when it is opened.
    details = read_json(file) or {}
    return Attempt(place, number, details, os.stat(file).st_mtime)


def _link(temporary: Path, file: Path) -> bool:
    """Link a file to its number; False if another process was first."""
    try:
        with naming(file):
            os.link(temporary, file)
    except FileExistsError:
        # If the server's answer was lost, the repeated request finds the link of the first one.
        return temporary.stat().st_nlink == 2
    except OSError as error:
        if error.errno in NO_LINKS:
            raise UserError(
                f"{file.parent}: its file system has no hard links, which runs need; choose another --root"
            ) from None
        raise
    return True
