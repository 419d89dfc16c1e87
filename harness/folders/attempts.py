"""Attempts at a run: who computes it, who did before, and how each attempt ended.

`attempts/000001.json`, `attempts/000002.json`, ...: the process that creates the next number owns the run. A file
appears under its number whole, by a link, which exactly one process can make, also on a network file system. Its time
of change is the owner's heartbeat. Before every write an owner looks whether the next number exists; if it does, the
run was taken over and the former owner writes nothing more. Files are never removed: they are the run's history, and
a number never has two meanings.
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

# Seconds without a heartbeat after which a run may be taken over: network file systems may show a file as it was up
# to a minute ago.
HEARTBEAT_LIMIT = 120.0

# What a file system says that has no links.
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)


class TakenOver(Exception):  # noqa: N818 (nothing went wrong; the run is in other hands)
    """Another process owns the run by now."""


@dataclass(frozen=True)
class Attempt:
    """One attempt: its number, what its file said when it was read, and the time of its heartbeat then.

    Times of heartbeats are on the clock of the file system, everything else on that of the machine that wrote it.
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
        """Show that the owner lives."""
        os.utime(self.file)

    def end(self, reason: str, **more: Any) -> None:
        """Write that the attempt has ended, and why, with what `more` is known only now; the run is free."""
        write_json(self.file, {**self.details, **more, "ended": time.time(), "reason": reason})

    def account(self, goes_on: bool) -> dict[str, Any]:
        """The details; of an attempt that neither goes on nor has said how it ended, with its last heartbeat as end."""
        if goes_on or "ended" in self.details:
            return self.details
        return {**self.details, "ended": self.heartbeat, "reason": "lost: it ended without a word"}

    def is_alive(self, now: float) -> bool:
        """Whether the owner still has the run at time `now`, by all that can be known: in doubt it has."""
        if "ended" in self.details or now - self.heartbeat > HEARTBEAT_LIMIT:
            return False
        return not has_ended(self.details)


def acquire(folder: Path, details: dict[str, Any]) -> Attempt | None:
    """Take the run of a run folder for this process, or None if it is in other hands.

    `details` are kept in the attempt's file, with the process and its start. Raises UserError if the newest attempt's
    file is damaged or the file system has no links.
    """
    place = folder / "attempts"
    with naming(place):
        place.mkdir(exist_ok=True)
    before = latest_attempt(folder)
    own = {**this_process(), "started": time.time(), **details}
    temporary = place / f".{secrets.token_hex(8)}"
    write_json(temporary, own)
    try:
        # The age of a new file beside the old one: clocks of other machines do not come into it.
        now = temporary.stat().st_mtime
        if before is not None and before.is_alive(now):
            return None
        attempt = Attempt(place, before.number + 1 if before else 1, own, now)
        if not _link(temporary, attempt.file):
            return None
        synchronise_folder(place)
        return attempt
    finally:
        # Under its number the file stays; left under this name too it would do no harm.
        with contextlib.suppress(OSError):
            temporary.unlink()


def latest_attempt(folder: Path) -> Attempt | None:
    """The newest attempt at the run of a run folder; None if there was none. Damage raises a UserError."""
    numbers = _numbers(folder / "attempts")
    return _read(folder / "attempts", numbers[-1]) if numbers else None


def history(folder: Path) -> list[dict[str, Any]]:
    """What is known of all attempts, oldest first."""
    found = [_read(folder / "attempts", number) for number in _numbers(folder / "attempts")]
    return [attempt.account(attempt is found[-1] and attempt.is_alive(time.time())) for attempt in found]


class Heartbeat:
    """Beats for attempts in a thread of its own while its block runs, also during long evaluations."""

    def __init__(self, attempts: Sequence[Attempt]):
        self._attempts = list(attempts)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)

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
                # A file server that is away for a moment must not stop the heart.
                with contextlib.suppress(OSError):
                    attempt.beat()


def _numbers(place: Path) -> list[int]:
    try:
        names = os.listdir(place)
    except FileNotFoundError:
        return []
    return sorted(filter(None, map(file_number, names)))


def file_number(name: str) -> int | None:
    """The number of the attempt that a file of this name tells of; None if it tells of none."""
    return int(name.removesuffix(".json")) if re.fullmatch(r"\d{6,}\.json", name) else None


def _read(place: Path, number: int) -> Attempt:
    file = place / f"{number:06d}.json"
    # Reading comes first: a network file system asks its server about a file only when it is opened.
    details = read_json(file) or {}
    return Attempt(place, number, details, file.stat().st_mtime)


def _link(temporary: Path, file: Path) -> bool:
    """Give a file its number; False if another process was first."""
    try:
        with naming(file):
            os.link(temporary, file)
    except FileExistsError:
        # A server whose answer got lost is asked again and finds its own link there.
        return temporary.stat().st_nlink == 2
    except OSError as error:
        if error.errno in NO_LINKS:
            raise UserError(
                f"{file.parent}: its file system has no links, by which one process takes a run; name another --root"
            ) from None
        raise
    return True
