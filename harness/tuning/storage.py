"""Where the trials of a study are stored, a journal beside its runs or a database, and the leases of its drivers."""

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

# Folder in a root that holds a folder for every study.
STUDIES = "studies"

# Files and folders in the folder of a study: journal, run folders of the trials, ledger, report, leases, identity.
JOURNAL, RUNS, TRIALS, REPORT, LEASES, IDENTITY = (
    "journal.log", "runs", "trials.json", "report", "drivers", "identity.json",
)  # fmt: skip

# Age in seconds at which the journal's lock is stale: it is held for one write only.
STALE_LOCK = 10

# Seconds to wait for the lock while other drivers ask for trials.
LOCK_TIMEOUT = 120.0


def folder_of(root: Path, study: str) -> Path:
    """The folder of a study."""
    return Path(root).resolve() / STUDIES / study


def open_storage(folder: Path, url: str | None = None) -> BaseStorage:
    """The journal in a study's folder, or a database by its URL, for example postgresql+psycopg://user@host/name.

    The folder must be an absolute path, because Optuna's lock is a link to the journal. Raises UserError if the storage
    cannot be opened.
    """
    try:
        if url is not None:
            return RDBStorage(url)
        folder.mkdir(parents=True, exist_ok=True)
        journal = str(folder / JOURNAL)
        return JournalStorage(JournalFileBackend(journal, JournalFileSymlinkLock(journal, STALE_LOCK)))
    except OSError as error:
        raise UserError(f"{folder}: {one_line(error)}; choose another --root") from None
    except Exception as error:
        # Database drivers raise exceptions of many classes.
        place = f"--storage {without_password(url)}" if url else f"{folder / JOURNAL}: damaged"
        raise UserError(f"{place}: {one_line(error)}") from None


def identity(folder: Path) -> str:
    """A random name of a study's folder, the same under every path to it; created on the first call.

    Drivers that share a database must share the folder too, where their leases are. Call it under `asking`.
    """
    file = folder / IDENTITY
    if not file.exists():
        write_json(file, {"folder": secrets.token_hex(8)})
    return (read_json(file) or {})["folder"]


def without_password(url: str) -> str:
    """The URL of a database with its password hidden."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


@contextlib.contextmanager
def asking(folder: Path) -> Iterator[None]:
    """The lock under which one driver of a study at a time asks for trials; freed if its owner is killed."""
    try:
        with filelock.FileLock(folder / ".asking", timeout=LOCK_TIMEOUT):
            yield
    except filelock.Timeout:
        raise UserError(f"{folder / '.asking'}: another driver has held it for {LOCK_TIMEOUT:.0f} s") from None


def acquire_leases(folder: Path) -> list[Attempt]:
    """Acquire every lease of a study that no living driver holds, or a new one if all are held.

    Every trial belongs to a lease, and a lease has at most one living driver. It is owned like a run: its owner has a
    heartbeat (`harness.folders.attempts`), and whoever acquires it after the owner's death continues its open trials.
    """
    leases = folder / LEASES
    leases.mkdir(parents=True, exist_ok=True)
    details = {"launcher": "tune"}
    numbers = sorted(int(lease.name) for lease in leases.iterdir() if lease.name.isdigit())
    acquired = [attempt for number in numbers if (attempt := attempts.acquire(leases / str(number), details))]
    new_numbers = count(max(numbers, default=0) + 1)
    while not acquired:
        lease = leases / str(next(new_numbers))
        lease.mkdir(exist_ok=True)
        if attempt := attempts.acquire(lease, details):
            acquired.append(attempt)
    return acquired


def lease_number(lease: Attempt) -> int:
    """The number of a lease."""
    return int(lease.folder.parent.name)
