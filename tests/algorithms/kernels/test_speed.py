"""The speed of a core: measured once and kept beside the kernels."""

import json
import sys

import pytest

from algorithms.kernels import speed
from algorithms.kernels.speed import Speed, fma_rate, interpreter_rate, machine_speed

KEPT = f"speed-{sys.version_info.major}.{sys.version_info.minor}.json"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A build folder of built kernels, and a speed that takes no measurement."""
    monkeypatch.setattr(speed, "build_folder", lambda: tmp_path)
    monkeypatch.setattr(speed, "is_built", lambda: True)
    monkeypatch.setattr(speed, "measured", lambda: Speed(2e11, 1e7))
    machine_speed.cache_clear()
    yield tmp_path
    machine_speed.cache_clear()


def test_rates_are_work_by_time():
    """A clock that runs a second per reading: the rate is the work of a burst."""
    seconds = iter(range(100))
    assert interpreter_rate(lambda: next(seconds)) == speed.ROUNDS
    operations = fma_rate(lambda: next(seconds))
    # 12 vectors of 4, 8 or 16 numbers, multiplied and added.
    assert operations / (speed.BURST * 12 * 2) in (4, 8, 16)


def test_the_speed_is_measured_once(folder, monkeypatch):
    assert machine_speed() == Speed(2e11, 1e7)
    assert json.loads((folder / KEPT).read_text()) == {"arithmetic": 2e11, "interpreter": 1e7}
    assert [file.name for file in folder.iterdir()] == [KEPT]
    monkeypatch.setattr(speed, "measured", lambda: Speed(1.0, 1.0))
    machine_speed.cache_clear()
    assert machine_speed() == Speed(2e11, 1e7)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"arithmetic": 1.0}', '{"arithmetic": 1.0, "other": 2.0}'])
def test_a_damaged_record_is_measured_again(folder, text):
    (folder / KEPT).write_text(text)
    assert machine_speed() == Speed(2e11, 1e7)


def test_a_process_without_torch_lets_another_measure(folder, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(speed, "_measured_elsewhere", lambda: Speed(3e11, 2e7))
    assert machine_speed() == Speed(3e11, 2e7)


def test_another_process_measures():
    elsewhere = speed._measured_elsewhere()
    assert elsewhere.arithmetic > 0
    assert elsewhere.interpreter > 0


def test_without_kernels_there_is_no_arithmetic(folder, monkeypatch):
    monkeypatch.setattr(speed, "is_built", lambda: False)
    assert machine_speed().arithmetic is None
    assert not list(folder.iterdir())
