"""Hosted datasets are copied or downloaded completely or not at all."""

import contextlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from huggingface_hub import constants

from harness.data.dataset import dataset_hash, load_dataset
from harness.data.files import dataset_folders, missing_ids, origins
from harness.data.hosting import download_sets, take_sets
from harness.errors import UserError
from harness.tasks.hosted import HOSTED
from tests.support.hosted_sets import adroit_set

PEN = HOSTED["pen-binary"].task
HUMAN, CLONED = PEN.data.ids


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A folder with both sets, as on another machine."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(folder))
        adroit_set(HUMAN)
        adroit_set(CLONED, seeds=range(3, 5))
    return folder


@pytest.fixture(autouse=True)
def minari_root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "here"))
    return tmp_path / "here"


def contents(folders):
    return [file.read_bytes() for folder in folders for file in sorted(folder.glob("data/*"))]


def test_from_a_folder(elsewhere):
    take_sets(PEN, elsewhere)
    assert missing_ids(PEN) == ()
    assert contents(dataset_folders(PEN)) == contents([elsewhere / HUMAN, elsewhere / CLONED])
    assert len(load_dataset(PEN).trajectories) == 3


def test_from_an_archive(elsewhere, tmp_path, minari_root):
    archive = shutil.make_archive(str(tmp_path / "pen"), "gztar", elsewhere)
    take_sets(PEN, tmp_path / "pen.tar.gz")
    assert archive == str(tmp_path / "pen.tar.gz")
    assert missing_ids(PEN) == ()
    assert [path.name for path in minari_root.iterdir()] == ["D4RL"]


@pytest.mark.parametrize("place", ["", "data", "data/main_data.hdf5"])
def test_one_by_one(elsewhere, place):
    """From the folder of a set, its data folder or its HDF5 file; a set that exists already is not needed."""
    with pytest.raises(UserError, match=f"does not contain {CLONED}; contains {HUMAN}$"):
        take_sets(PEN, elsewhere / HUMAN / place)
    assert missing_ids(PEN) == (CLONED,)
    take_sets(PEN, elsewhere / CLONED / place)
    assert missing_ids(PEN) == ()
    assert [line.partition(", imported from ")[2] for line in origins(PEN)] == [
        str(elsewhere / name / (place or "data")) for name in (HUMAN, CLONED)
    ]


def test_a_named_file_is_read_whatever_lies_around_it(elsewhere, tmp_path):
    """Other sets above and beside the named file are ignored."""
    shutil.copytree(elsewhere, tmp_path / "down/others")
    lonely = tmp_path / "down/files/pen.hdf5"
    lonely.parent.mkdir()
    shutil.copy(elsewhere / HUMAN / "data/main_data.hdf5", lonely)
    with pytest.raises(UserError, match=r"pen\.hdf5: metadata\.json is missing beside it") as error:
        take_sets(PEN, lonely)
    assert "\n" not in str(error.value)
    shutil.copy(elsewhere / HUMAN / "data/metadata.json", lonely.parent)
    with pytest.raises(UserError, match=f"does not contain {CLONED}; contains {HUMAN}$"):
        take_sets(PEN, lonely)
    assert missing_ids(PEN) == (CLONED,)
    shutil.copy(elsewhere / CLONED / "data/main_data.hdf5", lonely.parent)
    with pytest.raises(UserError, match=r"belongs to main_data\.hdf5 beside it"):
        take_sets(PEN, lonely)


@pytest.mark.parametrize("name", ["pen.HDF5", "pen (1).hdf5", "pen.H5"])
def test_a_file_of_any_name_is_read(elsewhere, tmp_path, name):
    for set_id in (HUMAN, CLONED):
        place = tmp_path / set_id
        place.mkdir(parents=True)
        shutil.copy(elsewhere / set_id / "data/main_data.hdf5", place / name)
        shutil.copy(elsewhere / set_id / "data/metadata.json", place)
    with pytest.raises(UserError, match=f"does not contain {CLONED}; contains {HUMAN}$"):
        take_sets(PEN, tmp_path / HUMAN / name)
    take_sets(PEN, tmp_path / CLONED / name)
    assert missing_ids(PEN) == ()


def test_a_set_that_is_there_twice_is_refused(elsewhere, tmp_path):
    for name in ("first", "second"):
        shutil.copytree(elsewhere / HUMAN, tmp_path / "both" / name)
    with pytest.raises(UserError, match=f"contains {HUMAN} twice, in .*first/data and .*second/data; name one"):
        take_sets(PEN, tmp_path / "both")


def test_another_copy_never_replaces_a_set(elsewhere, tmp_path):
    """The same bytes are accepted; other data are an error."""
    take_sets(PEN, elsewhere)
    before = contents(dataset_folders(PEN))
    take_sets(PEN, elsewhere / HUMAN)
    shutil.copytree(elsewhere / HUMAN, tmp_path / "other")
    with h5py.File(tmp_path / "other/data/main_data.hdf5", "r+") as stored:
        stored["episode_0/rewards"][0] += 1
    with pytest.raises(UserError, match=f"already holds other data of {HUMAN}; remove that folder first"):
        take_sets(PEN, tmp_path / "other")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=f"does not contain {HUMAN}, {CLONED}; contains no Minari set"):
        take_sets(PEN, tmp_path / "empty")
    assert contents(dataset_folders(PEN)) == before


def test_a_refused_copy_leaves_nothing_behind(elsewhere, tmp_path, minari_root):
    shutil.copytree(elsewhere / HUMAN, tmp_path / "bad")
    with h5py.File(tmp_path / "bad/data/main_data.hdf5", "r+") as stored:
        stored["episode_1/actions"][0] = 7.0
    with pytest.raises(UserError, match=r"episode 1: action 0 is .* outside the action box .*; nothing was imported$"):
        take_sets(PEN, tmp_path / "bad")
    assert [path for path in minari_root.rglob("*") if path.is_file()] == []


def test_an_invalid_source_is_a_one_line_error(tmp_path):
    (tmp_path / "notes.txt").write_text("no archive")
    for source, line in (
        (tmp_path / "nowhere", "not found"),
        (tmp_path / "notes.txt", "not a folder, HDF5 file or"),
    ):
        with pytest.raises(UserError, match=line) as error:
            take_sets(PEN, source)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=f"does not contain {HUMAN}; contains no Minari set"):
        take_sets(PEN, tmp_path)


@pytest.mark.parametrize("kind", ["gz", "xz", "bz2", "zip"])
def test_damaged_archives_are_one_line_errors(elsewhere, tmp_path, minari_root, kind):
    """Cut off, empty, or with other bytes at some place: refused, or the sets in it are complete."""
    form = "zip" if kind == "zip" else f"{kind}tar".replace("bz2tar", "bztar")
    archive = Path(shutil.make_archive(str(tmp_path / "pen"), form, elsewhere))
    intact = archive.read_bytes()
    cuts = [intact[: len(intact) * part // 4] for part in range(4)]
    for content in (*cuts, *(changed(intact, len(intact) * part // 8) for part in range(8))):
        archive.write_bytes(content)
        with contextlib.suppress(UserError):
            take_sets(PEN, archive)
    assert list(minari_root.glob(".*")) == []


def changed(content, place):
    """Forty other bytes at a place."""
    return content[:place] + bytes(byte ^ 0x5A for byte in content[place : place + 40]) + content[place + 40 :]


def test_an_encrypted_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "pen.zip", "w") as archive:
        archive.writestr("data/metadata.json", "{}")
    content = bytearray((tmp_path / "pen.zip").read_bytes())
    # The flags of the member, in its own header and in the directory at the end.
    content[content.find(b"PK\x03\x04") + 6] |= 1
    content[content.find(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "pen.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"not a folder, HDF5 file or archive .*is encrypted"):
        take_sets(PEN, tmp_path / "pen.zip")


def test_pipes_and_devices_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pen.tar.gz")
    (tmp_path / "set/data").mkdir(parents=True)
    os.mkfifo(tmp_path / "set/data/metadata.json")
    for source in (tmp_path / "pen.tar.gz", Path("/dev/zero")):
        with pytest.raises(UserError, match="is neither a file nor a folder"):
            take_sets(PEN, source)
    with pytest.raises(UserError, match=r"contains no Minari set$"):
        take_sets(PEN, tmp_path)


def test_linked_folders_below_the_named_one_are_named_and_not_searched(elsewhere, tmp_path):
    (tmp_path / "down").mkdir()
    (tmp_path / "down/pen").symlink_to(elsewhere)
    with pytest.raises(
        UserError, match=f"contains no Minari set; links .* name the folder itself: {tmp_path}/down/pen$"
    ):
        take_sets(PEN, tmp_path / "down")
    take_sets(PEN, tmp_path / "down/pen")
    assert missing_ids(PEN) == ()


def test_an_incomplete_dataset_is_refused(elsewhere, tmp_path):
    shutil.copytree(elsewhere / HUMAN, tmp_path / "half")
    (tmp_path / "half/data/main_data.hdf5").unlink()
    with pytest.raises(UserError, match=f"does not contain {HUMAN}; contains {HUMAN} without main_data.hdf5"):
        take_sets(PEN, tmp_path / "half")
    assert missing_ids(PEN) == (HUMAN, CLONED)


@pytest.mark.parametrize("data_format", ["arrow", "parquet"])
def test_sets_in_arrow_and_parquet_are_the_same_data(elsewhere, tmp_path, data_format):
    """The same episodes in another of Minari's formats give the same content hash, table and notes."""
    take_sets(PEN, elsewhere)
    usual = load_dataset(PEN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "others"))
        adroit_set(HUMAN, data_format=data_format)
        adroit_set(CLONED, seeds=range(3, 5), data_format=data_format)
        patch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "there"))
        take_sets(PEN, tmp_path / "others")
        other = load_dataset(PEN)
    assert other.content_hash == usual.content_hash
    assert np.array_equal(other.rows.table, usual.rows.table)
    assert other.repairs == usual.repairs
    with pytest.raises(UserError, match="already holds other data"):
        take_sets(PEN, tmp_path / "others")


def test_an_incomplete_set_in_arrow_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    for name in (HUMAN, CLONED):
        adroit_set(name, data_format="arrow")
    part = next((tmp_path / HUMAN / "data/1").glob("part-*"))
    before = dataset_hash(PEN)
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(UserError, match=f"dataset {HUMAN}: episode 1: cannot be read"):
        dataset_hash(PEN)
    part.unlink()
    os.mkfifo(part)
    with pytest.raises(UserError, match=f"dataset {HUMAN}: {part}: is a pipe where a file should be; delete"):
        load_dataset(PEN)
    part.unlink()
    with pytest.raises(UserError, match=rf"dataset {HUMAN}: episode 1: cannot be read \(has no rows\)"):
        load_dataset(PEN)
    shutil.rmtree(part.parent)
    assert missing_ids(PEN) == (HUMAN,)
    assert before is not None


def test_without_a_network_the_error_suggests_a_local_copy(monkeypatch, minari_root):
    # Nobody listens there.
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError) as error:
        download_sets(PEN)
    line = str(error.value)
    prefix = f"dataset {HUMAN}: not found in {minari_root} and cannot be downloaded (server unreachable: "
    assert line.startswith(prefix)
    assert line.endswith("run floorbench data pen-binary where there is a network, or import a copy with --from")
    assert "\n" not in line


def test_compute_nodes_do_not_download():
    """`run` names what is missing, without importing the client of the server."""
    code = (
        "import sys; from harness.launching.progress import make_datasets\n"
        "from harness.tasks.hosted import HOSTED\n"
        "from harness.command_line import remark_console; from harness.errors import UserError\n"
        "try: make_datasets([HOSTED['pen-binary'].task], remark_console())\n"
        "except UserError as error: print(error)\n"
        "print('huggingface_hub' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    message, tried = done.stdout.splitlines()
    assert message.startswith(f"dataset {HUMAN} + {CLONED}: not found in ")
    assert message.endswith("get it with: floorbench data pen-binary")
    assert tried == "False"
