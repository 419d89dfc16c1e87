"""The content hash of a dataset is cached while its files are unchanged."""

import json
import os

import h5py
import minari
import pytest

from harness.data import dataset, files, reading
from harness.data.dataset import dataset_hash, ensure_dataset, load_dataset
from harness.data.files import FILES, HASH_FILE, dataset_exists, dataset_folder
from harness.errors import UserError


@pytest.fixture
def data(tiny_task, tmp_path, monkeypatch):
    """The tiny task's dataset in a separate folder, and how often it was read since."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    ensure_dataset(tiny_task)
    dataset._read_hash.cache_clear()
    readings = []

    def counted(task):
        readings.append(task)
        return load_dataset(task)

    monkeypatch.setattr(dataset, "load_dataset", counted)
    return readings


def change(task, step=3):
    """Change a reward of the first episode in place: same file size, later modification time."""
    with h5py.File(dataset_folder(task) / "data/main_data.hdf5", "r+") as stored:
        stored["episode_0"]["rewards"][step] += 0.5


def test_no_dataset_no_hash(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    assert dataset_hash(tiny_task) is None


def test_loading_caches_the_hash_beside_the_data(tiny_task, data):
    content_hash = load_dataset(tiny_task).content_hash
    kept = json.loads((dataset_folder(tiny_task) / HASH_FILE).read_text())
    assert kept["content_hash"] == content_hash
    assert sorted(kept["files"]) == [f"data/{name}" for name in sorted(FILES)]
    assert dataset_hash(tiny_task) == content_hash
    assert data == []
    assert dataset_exists(tiny_task)
    assert list(minari.list_local_datasets()) == [files.dataset_id(tiny_task)]


def test_a_changed_file_is_read_again_once(tiny_task, data):
    before = dataset_hash(tiny_task)
    change(tiny_task)
    after = dataset_hash(tiny_task)
    assert after != before
    assert after == load_dataset(tiny_task).content_hash
    assert len(data) == 1
    assert dataset_hash(tiny_task) == after
    assert len(data) == 1


def test_a_touched_file_keeps_its_hash(tiny_task, data):
    before = dataset_hash(tiny_task)
    os.utime(dataset_folder(tiny_task) / "data" / FILES[0])
    assert dataset_hash(tiny_task) == before
    assert len(data) == 1


@pytest.mark.parametrize("kept", ["{", "[]", "{}", '{"files": 5, "content_hash": "00"}', '{"content_hash": 5}'])
def test_a_damaged_hash_file_is_ignored(tiny_task, data, kept):
    before = dataset_hash(tiny_task)
    (dataset_folder(tiny_task) / HASH_FILE).write_text(kept)
    assert dataset_hash(tiny_task) == before
    assert len(data) == 1
    dataset._read_hash.cache_clear()
    assert dataset_hash(tiny_task) == before
    assert len(data) == 1


def test_data_in_a_read_only_folder_are_read_once_per_process(tiny_task, data):
    """A folder at the path of the note makes writing fail, as missing write permission does (except for root)."""
    before = dataset_hash(tiny_task)
    (dataset_folder(tiny_task) / HASH_FILE).unlink()
    (dataset_folder(tiny_task) / HASH_FILE).mkdir()
    assert [dataset_hash(tiny_task) for _ in range(3)] == [before] * 3
    assert len(data) == 1


def test_data_that_change_while_being_read_are_not_cached(tiny_task, data, monkeypatch):
    (dataset_folder(tiny_task) / HASH_FILE).unlink()
    read = reading.read_sets

    def meanwhile(task):
        content = read(task)
        os.utime(dataset_folder(tiny_task) / "data" / FILES[1])
        return content

    monkeypatch.setattr(reading, "read_sets", meanwhile)
    load_dataset(tiny_task)
    assert not (dataset_folder(tiny_task) / HASH_FILE).exists()


def test_damaged_data_are_a_one_line_error(tiny_task, data):
    (dataset_folder(tiny_task) / "data" / FILES[1]).write_bytes(b"no HDF5")
    with pytest.raises(UserError, match=r"^dataset floorbench/tiny-.*cannot be read") as caught:
        dataset_hash(tiny_task)
    assert "\n" not in str(caught.value)


def test_data_that_have_not_changed_are_not_read_again(tiny_task, data, monkeypatch):
    known = dataset_hash(tiny_task)
    monkeypatch.setattr(h5py, "File", None)
    assert dataset_hash(tiny_task) == known
