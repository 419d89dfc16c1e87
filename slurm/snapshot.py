"""The code of a job is the code that was submitted: a copy of the project in the root, from which the job imports."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UserError
from harness.files import json_bytes, naming, synchronise_folder
from harness.folders.provenance import CODE_FILE, PROJECT, code_version
from slurm.submissions import CODE, FOLDER

# What jobs import, and what provenance looks at beside it.
PACKAGES = ("algorithms", "harness", "ablations", "results", "slurm")
BESIDE = ("floorbench.py", "requirements.lock", "pyproject.toml")

HASH_LENGTH = 16


def take(root: Path) -> Path:
    """The snapshot of this project's code in `root/submissions/code/`, made where there is none of equal content.

    Its name is the hash of its content; it appears whole or not at all. `code.json` in it says of which commit it is,
    and what hash the difference from that has, as `harness.folders.provenance.code_version` reads it there.
    """
    content = {name: (PROJECT / name).read_bytes() for name in _names()}
    content[CODE_FILE] = json_bytes(code_version())
    name = digest(content)
    place = Path(root).resolve() / FOLDER / CODE
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
        # Somebody else may have made the same one meanwhile.
        if not snapshot.exists():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return snapshot


def check(snapshot: Path) -> None:
    """Raise UserError if a snapshot does not hold any more what its name says."""
    content = {str(file.relative_to(snapshot)): file.read_bytes() for file in snapshot.rglob("*") if _counts(file)}
    if digest(content) != snapshot.name:
        raise UserError(f"{snapshot}: is not the code that its name says; remove it when no job runs from it")


def digest(content: dict[str, bytes]) -> str:
    """The hash of files by name."""
    total = hashlib.sha256()
    for name in sorted(content):
        total.update(f"{name}\0{len(content[name])}\0".encode() + content[name])
    return total.hexdigest()[:HASH_LENGTH]


def _names() -> Iterator[str]:
    """The files of the project that make a snapshot, relative to it."""
    for package in PACKAGES:
        for file in sorted((PROJECT / package).rglob("*")):
            if _counts(file):
                yield str(file.relative_to(PROJECT))
    yield from (name for name in BESIDE if (PROJECT / name).is_file())


def _counts(file: Path) -> bool:
    """Whether a file is code, and not what Python or an editor left beside it."""
    return file.is_file() and "__pycache__" not in file.parts and not file.name.startswith(".")
