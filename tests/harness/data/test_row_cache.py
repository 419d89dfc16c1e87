"""Cached rows match the content of the dataset, are shared and read-only, and are rebuilt if damaged."""

import dataclasses

import h5py
import numpy as np
import pytest

from harness.data import reading as module
from harness.data.dataset import ensure_dataset, load_dataset
from harness.data.files import dataset_folder
from harness.data.row_cache import FOLDER


@pytest.fixture
def data(tiny_task, tmp_path, monkeypatch):
    """The tiny task's dataset in a separate folder, and how often it was read since."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    ensure_dataset(tiny_task)
    readings = []

    def counted(task):
        readings.append(task)
        return read(task)

    read = module.read_sets
    monkeypatch.setattr(module, "read_sets", counted)
    return readings


def kept(task):
    return sorted(path.name for path in (dataset_folder(task) / FOLDER).iterdir())


def test_cached_rows_are_not_read_again(tiny_task, data):
    first, second = load_dataset(tiny_task), load_dataset(tiny_task)
    assert data == []
    np.testing.assert_array_equal(first.rows.table, second.rows.table)
    assert isinstance(first.rows.table, np.memmap)


def test_rows_are_private_to_a_process_when_written(tiny_task, data):
    mine = load_dataset(tiny_task)
    before = float(mine.rows.table[0, 0])
    mine.rows.table[0, 0] = before + 1.0
    assert float(load_dataset(tiny_task).rows.table[0, 0]) == before


def test_each_way_of_reading_has_its_rows(tiny_task, data):
    scaled = dataclasses.replace(tiny_task, reward_scale=2.0, reward_bias=-2.0, failure_reward=-2.0)
    np.testing.assert_array_equal(load_dataset(scaled).rows.rewards, 2.0 * load_dataset(tiny_task).rows.rewards)
    assert len(kept(tiny_task)) == 2
    load_dataset(scaled)
    assert len(data) == 1
    # Settings that do not change the rows share them.
    load_dataset(dataclasses.replace(tiny_task, discount=0.5))
    assert len(data) == 1


@pytest.mark.parametrize("name", ["table.npy", "lengths.npy", "truncated.npy", "about.json"])
@pytest.mark.parametrize("harm", ["cut", "gone", "overwritten"])
def test_damaged_rows_are_rebuilt(tiny_task, data, name, harm):
    before = load_dataset(tiny_task)
    table = before.rows.table.copy()
    (file,) = (dataset_folder(tiny_task) / FOLDER).glob(f"*/{name}")
    content = file.read_bytes()
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(content[: len(content) // 2] + (b"" if harm == "cut" else b"\xa5" * (len(content) // 2)))
    again = load_dataset(tiny_task)
    np.testing.assert_array_equal(again.rows.table, table)
    np.testing.assert_array_equal(again.rows.lengths, before.rows.lengths)
    np.testing.assert_array_equal(again.rows.truncated, before.rows.truncated)
    assert again.repairs == ()
    assert len(data) == 1
    load_dataset(tiny_task)
    assert len(data) == 1, "made again once"


def test_rows_of_other_contents_are_removed(tiny_task, data):
    before = kept(tiny_task)
    with h5py.File(dataset_folder(tiny_task) / "data/main_data.hdf5", "r+") as stored:
        stored["episode_0"]["rewards"][3] += 0.5
    changed = load_dataset(tiny_task)
    assert changed.rows.rewards[3] == -0.5
    assert len(kept(tiny_task)) == 1
    assert kept(tiny_task) != before


def test_an_unwritable_folder_has_no_cached_rows(tiny_task, data):
    """A file at the path of the folder makes writing fail, as missing write permission does (except for root)."""
    for folder in (dataset_folder(tiny_task) / FOLDER).iterdir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    (dataset_folder(tiny_task) / FOLDER).rmdir()
    (dataset_folder(tiny_task) / FOLDER).write_text("")
    assert load_dataset(tiny_task).transitions == load_dataset(tiny_task).transitions >= 400
    assert len(data) == 2
