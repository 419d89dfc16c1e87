"""Hosted sets: downloaded with Minari, or imported from a local copy."""

import contextlib
import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import minari
from minari.storage.remotes import DEFAULT_REMOTE

from harness.data.files import FILES, minari_folder, missing_ids
from harness.data.ogbench import URL, convert_npz, find_npz, npz_name
from harness.errors import UserError, one_line, reason
from harness.files import read_json
from harness.settings import Task

# Seconds after which the server counts as unreachable.
SERVER_TIMEOUT = 15.0


def download_sets(task: Task) -> None:
    """Download the missing sets of a task with Minari, whose progress bars go to stderr.

    Interrupted downloads are resumed. Raises UserError if the server cannot be reached.
    """
    for set_id in missing_ids(task):
        if file := npz_name(set_id):
            raise UserError(
                f"dataset {set_id}: not found in {minari_folder()}; download {URL}/{file} and convert it with: "
                f"floorbench data {task.name} --from {file}"
            )
        try:
            _check_server()
            with contextlib.redirect_stdout(sys.stderr):
                # Without force Minari mistakes the folder of an interrupted download for a complete set.
                minari.download_dataset(set_id, force_download=True)
        except Exception as error:
            raise UserError(
                f"dataset {set_id}: not found in {minari_folder()} and cannot be downloaded ({_why(error)}); run "
                f"floorbench data {task.name} where there is a network, or import a copy with --from"
            ) from error


def take_sets(task: Task, source: Path) -> None:
    """Copy the missing sets of a task from a file, an archive or a folder into the Minari folder.

    `source` may be the folder of a set, a folder above it, its HDF5 file, or an archive of any of these. Sets are
    identified by the id in their metadata.json. An npz file of OGBench is identified by its name and converted.
    """
    if not source.exists():
        raise UserError(f"--from {source}: not found")
    with _unpacked(source) as folder:
        sets = {_set_id(file): file.parent.parent for file in sorted(folder.rglob("data/metadata.json"))}
        for set_id in missing_ids(task):
            if set_id in sets:
                copied = sets[set_id] / "data"
                _place(minari_folder() / set_id, partial(shutil.copytree, copied))
            elif npz := find_npz(set_id, folder):
                _place(minari_folder() / set_id, partial(convert_npz, task, set_id, npz))
            else:
                wanted = " or ".join(filter(None, (set_id, npz_name(set_id))))
                held = ", ".join(filter(None, sets)) or "no Minari set"
                raise UserError(f"--from {source}: does not contain {wanted}; contains {held}")


@contextlib.contextmanager
def _unpacked(source: Path) -> Iterator[Path]:
    """The folder to search: the source, the folder of the set of an HDF5 file, or the contents of an archive."""
    if source.is_dir():
        yield source.parent if source.name == "data" else source
    elif source.suffix == ".npz":
        yield source
    elif source.suffix == ".hdf5":
        yield source.resolve().parent.parent
    else:
        with tempfile.TemporaryDirectory(dir=minari_folder(), prefix=".unpacking-") as folder:
            try:
                shutil.unpack_archive(source, folder, filter=None if source.suffix == ".zip" else "data")
            except (shutil.ReadError, OSError, EOFError) as error:
                raise UserError(f"--from {source}: not a folder, HDF5 file or archive ({reason(error)})") from error
            yield Path(folder)


def _set_id(metadata: Path) -> str | None:
    """The id in the metadata of a complete set; None if it is incomplete."""
    complete = all((metadata.parent.parent / file).is_file() for file in FILES)
    return (read_json(metadata) or {}).get("dataset_id") if complete else None


def _place(target: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` create the data folder of a set beside `target`, then move it there: no partial set is ever seen."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copying-") as folder:
        write(Path(folder) / "data")
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        (Path(folder) / "data").rename(target / "data")


def _check_server() -> None:
    """Fail early if Minari's default server cannot be reached; Minari's client retries for half a minute."""
    from huggingface_hub import constants

    if not os.environ.get("MINARI_REMOTE", DEFAULT_REMOTE).startswith("hf://"):
        return
    try:
        urllib.request.urlopen(constants.ENDPOINT, timeout=SERVER_TIMEOUT).close()
    except urllib.error.HTTPError:
        # The server answered.
        return


def _why(error: Exception) -> str:
    return f"server unreachable: {error.reason}" if isinstance(error, urllib.error.URLError) else one_line(error)
