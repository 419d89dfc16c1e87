"""Updates on a GPU: packs of several sizes, eager, captured and compiled, and the plain baseline.

`python -m pytest -m gpu tests/benchmarks` prints the tables; this takes some minutes.
"""

import json

import pytest
import torch

from tests.benchmarks import gpu_check
from tests.benchmarks.gpu_speed import Measured, sides, table
from tests.benchmarks.peers.sizes import SIZES

PACKS = (1, 8, 32, 64)
SECONDS = 2.0


@pytest.mark.parametrize("phase", ["machine", "demo", "compiled demo", "triton reference"])
def test_a_phase_of_the_check_runs_without_a_gpu(phase, capsys):
    assert gpu_check.main(["--phase", phase, "--device", "cpu", "--tiny"]) == 0
    result = json.loads(capsys.readouterr().out)
    if phase == "machine":
        assert min(result["rates"].values()) > 0.0
        return
    ways = () if phase.startswith(("compiled", "triton")) else ("eager", "captured", "drawn")
    sides = [(row["side"], row["runs"]) for row in result["updates"]]
    assert sides == [("plain", 1), *((how, runs) for runs in (1, 2) for how in ways)]


@pytest.mark.slow
def test_the_check_can_be_tried_without_a_gpu(tmp_path):
    """Every phase in a process of its own, at tiny sizes."""
    assert gpu_check.main(["--device", "cpu", "--tiny", "--out", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "CPU.json").read_text())
    assert list(results["phases"]) == list(gpu_check.DEADLINES)
    assert results["rates"] == results["phases"]["machine"]["rates"]
    assert results["phases"]["training"]["runs"] > 1


def test_the_deadlines_leave_eight_minutes():
    assert sum(gpu_check.DEADLINES.values()) <= 8 * 60


def test_a_phase_that_fails_or_hangs_costs_no_other(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "DEADLINES", {"machine": 0.01, "unknown": 60})
    assert gpu_check.main(["--device", "cpu", "--tiny", "--out", str(tmp_path)]) == 1
    phases = json.loads((tmp_path / "CPU.json").read_text())["phases"]
    assert phases["machine"]["error"] == "not done after 0.01 s"
    assert "invalid choice: 'unknown'" in phases["unknown"]["error"]
    assert "machine: not done" in capsys.readouterr().out


@pytest.mark.gpu
@pytest.mark.parametrize("name", SIZES)
def test_updates_on_a_gpu(name, capsys):
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    measured = list(sides(SIZES[name], PACKS, "cuda", SECONDS))
    with capsys.disabled():
        print(f"\n{torch.cuda.get_device_name()}\n{table(name, measured)}")
    assert all(row.updates_per_second > 0 for row in measured)


def test_the_table():
    measured = [
        Measured("plain", 1, 50.0, 2_000_000),
        Measured("eager", 8, 200.0, 0),
        Measured("captured", 8, 500.0, 0),
    ]
    lines = [line.split() for line in table("demo", measured).splitlines()]
    assert lines[1] == ["plain", "1", "50", "1.00", "2"]
    assert lines[2] == ["eager", "8", "200", "4.00", "1.00", "0"]
    assert lines[3] == ["captured", "8", "500", "10.00", "2.50", "0"]
