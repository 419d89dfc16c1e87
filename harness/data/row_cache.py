"""Cache of a dataset's transition table, in files beside the dataset that all processes of a machine memory-map.

The cache depends on the content of the sets and on how the task reads them, and is rebuilt when either changes.
"""

import contextlib
import hashlib
import tempfile
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np

from harness.data.files import dataset_folder
from harness.data.trajectories import TransitionTable
from harness.environments.families import view_of
from harness.files import DamagedFileError, check_file, read_json, write_json
from harness.plain_values import canonical_json
from harness.settings import HostedData, Task

# Increased when the same content gives another table.
ROWS_VERSION = 0

# Hidden, because Minari does not search hidden folders for datasets.
FOLDER = ".rows"

ARRAYS = ("table", "truncated", "lengths")


def map_table(task: Task, content_hash: str) -> tuple[TransitionTable, tuple[str, ...]] | None:
    """The cached table for a content hash, with its notes; None if it is missing or damaged.

    The table is mapped copy-on-write.
    """
    folder = _folder(task, content_hash)
    try:
        about = read_json(folder / "about.json")
        if about is None:
            return None
        for name in ARRAYS:
            check_file(folder / f"{name}.npy")
        arrays: dict[str, Any] = {name: np.load(folder / f"{name}.npy") for name in ("truncated", "lengths")}
        arrays["table"] = np.load(folder / "table.npy", mmap_mode="c")
        rows = TransitionTable(**arrays, observation_dim=about["observation_dim"])
        # The checksum reads the whole table, which also loads it into the shared page cache.
        return (rows, tuple(about["notes"])) if about["checksum"] == _checksum(rows) else None
    except (DamagedFileError, OSError, ValueError, KeyError, EOFError):
        return None


def cache_table(task: Task, content_hash: str, rows: TransitionTable, notes: tuple[str, ...]) -> None:
    """Cache a table in place of those of other contents; does nothing if the folder cannot be written."""
    folder = _folder(task, content_hash)
    with contextlib.suppress(OSError):
        folder.parent.mkdir(exist_ok=True)
        for entry in folder.parent.iterdir():
            if entry == folder or not entry.name.startswith(_content(content_hash)):
                rmtree(entry, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=_content(content_hash)))
        try:
            for name in ARRAYS:
                np.save(temporary / f"{name}.npy", getattr(rows, name))
            about = {"observation_dim": rows.observation_dim, "notes": notes, "checksum": _checksum(rows)}
            write_json(temporary / "about.json", about)
            temporary.rename(folder)
        finally:
            rmtree(temporary, ignore_errors=True)


def _folder(task: Task, content_hash: str) -> Path:
    """Named by the content and by all settings of the task that affect the table."""
    view = view_of(task)
    settings: dict[str, Any] = {
        "version": ROWS_VERSION,
        "parts": view.parts,
        "reward": [task.reward, task.reward_scale, task.reward_bias, task.success_reward],
        "repairs": task.data.repairs if isinstance(task.data, HostedData) else (),
        "maze": task.maze,
    }
    if view.centre:
        settings["scale"] = [view.centre, view.factor]
    reading = hashlib.sha256(canonical_json(settings).encode()).hexdigest()[:12]
    return dataset_folder(task) / FOLDER / f"{_content(content_hash)}-{reading}"


def _content(content_hash: str) -> str:
    return content_hash[:12]


def _checksum(rows: TransitionTable) -> str:
    digest = hashlib.sha256()
    for name in ARRAYS:
        digest.update(np.ascontiguousarray(getattr(rows, name)).reshape(-1).data)
    return digest.hexdigest()
