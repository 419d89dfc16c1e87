"""A dataset's rows in a file beside it, which all processes of a machine map into their memory instead of copying it.

The file depends on the content of the sets and on how the task reads them; it is made again wherever either changes.
"""

import contextlib
import hashlib
import tempfile
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np

from harness.data.files import dataset_folder
from harness.data.trajectories import Rows
from harness.environments.environment import view_of
from harness.files import DamagedFileError, read_json, write_json
from harness.settings import HostedData, Task, canonical_json

# Raised when rows are made otherwise of the same content.
ROWS_VERSION = 0

# Minari does not look for datasets in hidden folders.
FOLDER = ".rows"

ARRAYS = ("table", "truncated", "lengths")


def map_rows(task: Task, content_hash: str) -> tuple[Rows, tuple[str, ...]] | None:
    """The rows kept for a content and the notes that go with them; None where there are none, or damaged ones.

    The table is mapped; what a process writes into it stays its own.
    """
    folder = _folder(task, content_hash)
    try:
        about = read_json(folder / "about.json")
        if about is None:
            return None
        arrays: dict[str, Any] = {name: np.load(folder / f"{name}.npy") for name in ("truncated", "lengths")}
        arrays["table"] = np.load(folder / "table.npy", mmap_mode="c")
        rows = Rows(**arrays, observation_dim=about["observation_dim"])
        # Reading all of it once also brings it into the memory that processes share.
        return (rows, tuple(about["notes"])) if about["checksum"] == _checksum(rows) else None
    except (DamagedFileError, OSError, ValueError, KeyError, EOFError):
        return None


def keep_rows(task: Task, content_hash: str, rows: Rows, notes: tuple[str, ...]) -> None:
    """Keep rows for the next processes, in place of those of other contents; nothing happens where no file can be."""
    folder = _folder(task, content_hash)
    with contextlib.suppress(OSError):
        folder.parent.mkdir(exist_ok=True)
        for other in folder.parent.iterdir():
            if other == folder or not other.name.startswith(_content(content_hash)):
                rmtree(other, ignore_errors=True)
        making = Path(tempfile.mkdtemp(dir=folder.parent, prefix=_content(content_hash)))
        try:
            for name in ARRAYS:
                np.save(making / f"{name}.npy", getattr(rows, name))
            about = {"observation_dim": rows.observation_dim, "notes": notes, "checksum": _checksum(rows)}
            write_json(making / "about.json", about)
            making.rename(folder)
        finally:
            rmtree(making, ignore_errors=True)


def _folder(task: Task, content_hash: str) -> Path:
    """Named by the content and by everything of the task that decides the rows made of it."""
    view = view_of(task)
    decisive: dict[str, Any] = {
        "version": ROWS_VERSION,
        "parts": view.parts,
        "reward": [task.reward, task.reward_scale, task.reward_bias, task.success_reward],
        "repairs": task.data.repairs if isinstance(task.data, HostedData) else (),
        "maze": task.maze,
    }
    if view.centre:
        decisive["scale"] = [view.centre, view.factor]
    reading = hashlib.sha256(canonical_json(decisive).encode()).hexdigest()[:12]
    return dataset_folder(task) / FOLDER / f"{_content(content_hash)}-{reading}"


def _content(content_hash: str) -> str:
    return content_hash[:12]


def _checksum(rows: Rows) -> str:
    digest = hashlib.sha256()
    for name in ARRAYS:
        digest.update(np.ascontiguousarray(getattr(rows, name)).reshape(-1).data)
    return digest.hexdigest()
