"""Snapshots of the code: jobs run the code as submitted, from a copy in the root."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UserError
from harness.files import absolute, json_bytes, naming, synchronise_folder
from harness.folders.provenance import CODE_FILE, CODE_PACKAGES, PROJECT, code_version
from slurm.submissions import CODE, FOLDER

# Files besides the packages that jobs import or provenance reads.
FILES = ("floorbench.py", "requirements.lock", "pyproject.toml")

HASH_LENGTH = 16


def take(root: Path) -> Path:
    """The snapshot of the code in `root/submissions/code/`, created atomically unless it exists.

    Its name is the hash of its content. Its `code.json` records the commit and the hash of uncommitted changes, for
    `harness.folders.provenance.code_version`.
    """
    content = {name: (PROJECT / name).read_bytes() for name in _names()}
    content[CODE_FILE] = json_bytes(code_version())
    name = digest(content)
    place = absolute(root) / FOLDER / CODE
    snapshot = place / name
    if snapshot.exists():
        check(snapshot)
        return snapshot
    temporary = place / f".{name}.{secrets.token_hex(4)}"
    try:
        for file, data in content.items():
            (temporary / file).parent.mkdir(parents=True, exist_ok=True)
            with naming(temporary / file):
                (temporary / file).write_bytes(data)
        os.rename(temporary, snapshot)
        synchronise_folder(place)
    except OSError:
        # Another process may have created the same snapshot.
        if not snapshot.exists():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return snapshot


def check(snapshot: Path) -> None:
    """Raise UserError if the content of a snapshot does not match its name."""
    content = {str(file.relative_to(snapshot)): file.read_bytes() for file in snapshot.rglob("*") if _is_code(file)}
    if digest(content) != snapshot.name:
        raise UserError(f"{snapshot}: content does not match its name; remove it when no job uses it")


def digest(content: dict[str, bytes]) -> str:
    """The hash of files by name."""
    total = hashlib.sha256()
    for name in sorted(content):
        total.update(f"{name}\0{len(content[name])}\0".encode() + content[name])
    return total.hexdigest()[:HASH_LENGTH]


def _names() -> Iterator[str]:
    """The files of a snapshot, relative to the project."""
    for package in CODE_PACKAGES:
        for file in sorted((PROJECT / package).rglob("*")):
            if _is_code(file):
                yield str(file.relative_to(PROJECT))
    yield from (name for name in FILES if (PROJECT / name).is_file())


def _is_code(file: Path) -> bool:
    """Whether a file belongs to the code; cached and hidden files do not."""
    return file.is_file() and "__pycache__" not in file.parts and not file.name.startswith(".")
