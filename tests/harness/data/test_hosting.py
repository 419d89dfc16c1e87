"""Hosted datasets are copied or downloaded completely or not at all."""

import shutil
import subprocess
import sys

import pytest
from huggingface_hub import constants

from harness.data.dataset import load_dataset
from harness.data.files import dataset_folders, missing_ids
from harness.data.hosting import download_sets, take_sets
from harness.errors import UserError
from harness.tasks.hosted import HOSTED
from tests.support.hosted_sets import adroit_set

PEN = HOSTED["pen-binary"].task
HUMAN, CLONED = PEN.data.ids


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """The folder of another machine that has both sets."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(folder))
        adroit_set(HUMAN)
        adroit_set(CLONED, seeds=range(3, 5))
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "here"))
    return tmp_path / "here"


def contents(folders):
    return [file.read_bytes() for folder in folders for file in sorted(folder.glob("data/*"))]


def test_from_a_folder(elsewhere):
    take_sets(PEN, elsewhere)
    assert missing_ids(PEN) == ()
    assert contents(dataset_folders(PEN)) == contents([elsewhere / HUMAN, elsewhere / CLONED])
    assert len(load_dataset(PEN).trajectories) == 3


def test_from_an_archive(elsewhere, tmp_path, here):
    archive = shutil.make_archive(str(tmp_path / "pen"), "gztar", elsewhere)
    take_sets(PEN, tmp_path / "pen.tar.gz")
    assert archive == str(tmp_path / "pen.tar.gz")
    assert missing_ids(PEN) == ()
    assert [path.name for path in here.iterdir()] == ["D4RL"]


@pytest.mark.parametrize("place", ["", "data", "data/main_data.hdf5"])
def test_one_by_one(elsewhere, place):
    """From each set's own folder, its data folder or its HDF5 file; one that is there already is not asked for."""
    with pytest.raises(UserError, match=f"does not contain {CLONED}; contains {HUMAN}$"):
        take_sets(PEN, elsewhere / HUMAN / place)
    assert missing_ids(PEN) == (CLONED,)
    take_sets(PEN, elsewhere / CLONED / place)
    assert missing_ids(PEN) == ()


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


def test_an_incomplete_dataset_is_refused(elsewhere, tmp_path):
    shutil.copytree(elsewhere / HUMAN, tmp_path / "half")
    (tmp_path / "half/data/main_data.hdf5").unlink()
    with pytest.raises(UserError, match="does not contain"):
        take_sets(PEN, tmp_path / "half")
    assert missing_ids(PEN) == (HUMAN, CLONED)


def test_without_a_network_the_error_suggests_a_local_copy(monkeypatch, here):
    # Nobody listens there.
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError) as error:
        download_sets(PEN)
    line = str(error.value)
    assert line.startswith(f"dataset {HUMAN}: not found in {here} and cannot be downloaded (server unreachable: ")
    assert line.endswith("run floorbench data pen-binary where there is a network, or import a copy with --from")
    assert "\n" not in line


def test_compute_nodes_do_not_download():
    """`run` says what is missing; the client of the server is not even imported."""
    code = (
        "import sys; from harness.launching.datasets import make_datasets\n"
        "from harness.tasks.hosted import HOSTED\n"
        "from harness.terminal import remark_console; from harness.errors import UserError\n"
        "try: make_datasets([HOSTED['pen-binary'].task], remark_console())\n"
        "except UserError as error: print(error)\n"
        "print('huggingface_hub' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    message, tried = done.stdout.splitlines()
    assert message.startswith(f"dataset {HUMAN} + {CLONED}: not found in ")
    assert message.endswith("get it with: floorbench data pen-binary")
    assert tried == "False"
