"""Hosted sets: downloaded with Minari, or imported from a local copy."""

import contextlib
import filecmp
import lzma
import os
import shutil
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import minari
from minari.storage.remotes import DEFAULT_REMOTE

from harness.data.files import (
    HDF5,
    METADATA,
    ORIGIN_FILE,
    dataset_ids,
    minari_folder,
    missing_file,
    missing_ids,
    set_files,
)
from harness.data.ogbench import URL, convert_npz, find_npz, is_converted, npz_name
from harness.data.reading import check_set
from harness.errors import UserError, one_line, reason
from harness.files import DamagedFileError, read_json, write_json
from harness.plain_values import shown
from harness.settings import Task

# Seconds after which the server counts as unreachable.
SERVER_TIMEOUT = 15.0

HDF5_SUFFIXES = (".hdf5", ".h5")

# What damaged, encrypted and strange archives raise.
ARCHIVE_ERRORS = (
    shutil.ReadError, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, OSError, EOFError, ValueError,
    RuntimeError,
)  # fmt: skip


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


@dataclass(frozen=True)
class _Copy:
    """The files of a set outside the Minari folder.

    Attributes:
        files: every file by its path in a data folder.
        missing: a file that the set lacks, or None.
        place: the data folder or the named file.
    """

    files: dict[str, Path]
    missing: str | None
    place: Path

    def write(self, data: Path) -> None:
        """Copy the files into a new data folder."""
        for name, file in self.files.items():
            target = data / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)

    def is_in(self, data: Path) -> bool:
        """Whether another data folder has the same bytes."""
        return set(self.files) == set(set_files(data)) and all(
            filecmp.cmp(file, data / name, shallow=False) for name, file in self.files.items()
        )


def take_sets(task: Task, source: Path) -> None:
    """Copy the sets of a task from a file, an archive or a folder into the Minari folder.

    `source` may be the folder of a set, a folder above sets, the HDF5 file of a set with metadata.json beside it, or an
    archive of any of these; nothing else is read. Sets are identified by the id in their metadata.json. An npz file of
    OGBench is identified by its name and converted. A set is checked before it is moved into place, and never replaces
    another.
    """
    if not source.exists():
        raise UserError(f"--from {source}: not found")
    if not (source.is_file() or source.is_dir()):
        # A device or a pipe may have no end.
        raise UserError(f"--from {source}: is neither a file nor a folder")
    with _unpacked(source) as (place, unpacked):
        copies = _copies(place, source)
        present, used = set(dataset_ids(task)) - set(missing_ids(task)), False
        for set_id in dataset_ids(task):
            copy, npz = copies.get(set_id), find_npz(set_id, place)
            if copy is not None and copy.missing is None:
                origin = source / copy.place.relative_to(place) if unpacked else copy.place
                _take(task, set_id, copy.write, origin, copy.is_in)
            elif npz is not None:
                origin = source / npz.relative_to(place) if unpacked else npz
                _take(task, set_id, partial(convert_npz, task, set_id, npz), origin, partial(is_converted, npz))
            elif set_id not in present:
                raise UserError(f"--from {source}: does not contain {_wanted(set_id)}; contains {_held(copies, place)}")
            else:
                continue
            used = True
        if not used:
            wanted = ", ".join(map(_wanted, dataset_ids(task)))
            raise UserError(f"--from {source}: does not contain {wanted}; contains {_held(copies, place)}")


def _wanted(set_id: str) -> str:
    return " or ".join(filter(None, (set_id, npz_name(set_id))))


def _held(copies: Mapping[str, _Copy], place: Path) -> str:
    """The sets in a source in words, with what incomplete ones lack, and a linked folder, in which none is searched."""
    sets = ", ".join(
        f"{name} without {copy.missing}" if copy.missing else name for name, copy in copies.items()
    ) or "no Minari set"  # fmt: skip
    linked = next((path for path in sorted(place.rglob("*")) if path.is_symlink() and path.is_dir()), None)
    return f"{sets}; links to folders are not followed, name the folder itself: {linked}" if linked else sets


@contextlib.contextmanager
def _unpacked(source: Path) -> Iterator[tuple[Path, bool]]:
    """The file or folder to search, and whether it is a temporary copy of an archive's contents."""
    if source.is_dir() or source.suffix.lower() in (".npz", *HDF5_SUFFIXES):
        yield source, False
        return
    with tempfile.TemporaryDirectory(dir=minari_folder(), prefix=".unpacking-") as folder:
        try:
            unpack(source, Path(folder))
        except ARCHIVE_ERRORS as error:
            raise UserError(f"--from {source}: not a folder, HDF5 file or archive ({reason(error)})") from error
        yield Path(folder), True


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive, no member of which may lie or point outside the folder or be a device."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as content:
            for name in content.namelist():
                if not (folder / name).resolve().is_relative_to(folder.resolve()):
                    raise shutil.ReadError(f"its member {shown(name)} would be written outside the folder")
            content.extractall(folder)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as content:
            content.extractall(folder, filter="data")
    else:
        raise shutil.ReadError("it is neither a zip nor a tar archive, or is damaged")


def _copies(place: Path, source: Path) -> dict[str, _Copy]:
    """The sets in a folder by id, or the set of an HDF5 file; UserError if a set is there twice."""
    if place.is_file():
        return _of_file(place) if place.suffix.lower() in HDF5_SUFFIXES else {}
    datas = [folder for folder in (place, place / "data") if (folder / METADATA).is_file()][:1]
    datas = datas or sorted(file.parent for file in place.rglob(f"data/{METADATA}") if file.is_file())
    copies: dict[str, _Copy] = {}
    for data in datas:
        missing = missing_file(data)
        copy = _Copy({} if missing else {name: data / name for name in set_files(data)}, missing, data)
        set_id = _set_id(data / METADATA)
        if set_id is None:
            continue
        before = copies.setdefault(set_id, copy)
        if before is not copy and before.missing is None and copy.missing is None:
            raise UserError(
                f"--from {source}: contains {set_id} twice, in {before.place} and {copy.place}; name one of them"
            )
        if before.missing:
            copies[set_id] = copy
    return copies


def _of_file(file: Path) -> dict[str, _Copy]:
    """The set of a named HDF5 file."""
    metadata, usual = file.with_name(METADATA), file.with_name(HDF5)
    if not metadata.is_file():
        raise UserError(f"--from {file}: {METADATA} is missing beside it, which names the set; copy it there")
    if usual != file and usual.exists():
        raise UserError(f"--from {file}: {metadata} belongs to {HDF5} beside it; keep each set in a folder of its own")
    set_id = _set_id(metadata)
    if set_id is None:
        raise UserError(f"--from {file}: {metadata} names no dataset_id; import a complete set")
    return {set_id: _Copy({METADATA: metadata, HDF5: file}, None, file)}


def _set_id(metadata: Path) -> str | None:
    """The id in the metadata of a set; None if they are damaged or have none."""
    try:
        set_id = (read_json(metadata) or {}).get("dataset_id")
    except DamagedFileError:
        return None
    return set_id if isinstance(set_id, str) else None


def _take(task: Task, set_id: str, write: Callable[[Path], Any], origin: Path, is_in: Callable[[Path], bool]) -> None:
    """Write a set into the Minari folder unless it is there; UserError if other data are there or it is unsuitable.

    `write` creates a data folder; `is_in` says whether one holds the same data. The set is written and checked in a
    folder beside its place, so that no partial or refused set stays behind.
    """
    target = minari_folder() / set_id
    if missing_file(target / "data") is None:
        if not is_in(target / "data"):
            raise UserError(f"--from {origin}: {target} already holds other data of {set_id}; remove that folder first")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copying-") as name:
        folder = Path(name)
        write(folder / "data")
        try:
            check_set(set_id, folder, task)
        except UserError as error:
            raise UserError(f"--from {origin}: {error}; nothing was imported") from error
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        write_json(target / ORIGIN_FILE, {"from": str(origin.absolute())})
        (folder / "data").rename(target / "data")


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
