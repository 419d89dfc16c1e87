"""Where a study's trials are kept, a journal beside its runs or a database, and which driver works on which trial."""

import contextlib
import secrets
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import filelock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from harness.errors import UserError, one_line
from harness.files import read_json, write_json
from harness.folders import attempts
from harness.folders.attempts import Attempt

# In a root: a folder per study.
STUDIES = "studies"

# In a study's folder: the journal, the run folders of the trials, the table of the trials, the report.
JOURNAL, RUNS, TRIALS, REPORT = "journal.log", "runs", "trials.json", "report"

# There, too: what tells it from other folders.
IDENTITY = "identity.json"

# Seconds after which the journal's lock was left by a process that was killed: it is held for one write.
STALE_LOCK = 10

# Seconds to wait while other drivers ask for trials.
LOCK_PATIENCE = 120.0


def folder_of(root: Path, study: str) -> Path:
    """The folder of a study."""
    return Path(root).resolve() / STUDIES / study


def open_storage(folder: Path, url: str | None = None) -> BaseStorage:
    """The journal in a study's folder, or a database by its URL, for example postgresql+psycopg://user@host/name.

    The folder must be an absolute path: Optuna's lock is a link to the journal. Raises UserError where neither answers.
    """
    try:
        if url is not None:
            return RDBStorage(url)
        folder.mkdir(parents=True, exist_ok=True)
        journal = str(folder / JOURNAL)
        return JournalStorage(JournalFileBackend(journal, JournalFileSymlinkLock(journal, STALE_LOCK)))
    except OSError as error:
        raise UserError(f"{folder}: {one_line(error)}; name another --root") from None
    except Exception as error:
        # A database's own driver says what is wrong in many ways.
        place = f"--storage {without_password(url)}" if url else f"{folder / JOURNAL}: is damaged"
        raise UserError(f"{place}: {one_line(error)}") from None


def identity(folder: Path) -> str:
    """What tells a study's folder from any other, on whatever path it is reached; made at the first question.

    Drivers that share a database must share the folder, or they would not see whose trials are whose. The caller holds
    the lock of `asking`.
    """
    file = folder / IDENTITY
    if not file.exists():
        write_json(file, {"folder": secrets.token_hex(8)})
    return (read_json(file) or {})["folder"]


def without_password(url: str) -> str:
    """A database's URL as it may be shown."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


@contextlib.contextmanager
def asking(folder: Path) -> Iterator[None]:
    """Let one driver of a study ask at a time; the system frees the lock of one that is killed."""
    try:
        with filelock.FileLock(folder / ".asking", timeout=LOCK_PATIENCE):
            yield
    except filelock.Timeout:
        raise UserError(f"{folder / '.asking'}: another driver has held it for {LOCK_PATIENCE:.0f} s") from None


FOLDER = "drivers"


def take_seats(folder: Path) -> list[Attempt]:
    """Take every seat of a study that nobody living has; a new one if there is none."""
    place = folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    details = {"launcher": "tune"}
    present = sorted(int(each.name) for each in place.iterdir() if each.name.isdigit())
    taken = [attempt for number in present if (attempt := attempts.acquire(place / str(number), details))]
    numbers = count(max(present, default=0) + 1)
    while not taken:
        new = place / str(next(numbers))
        new.mkdir(exist_ok=True)
        if attempt := attempts.acquire(new, details):
            taken.append(attempt)
    return taken


def number_of(seat: Attempt) -> int:
    """The number of a seat."""
    return int(seat.folder.parent.name)
