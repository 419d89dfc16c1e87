"""The check of a GPU, tried on the CPU at tiny sizes."""

import json

import pytest
import torch

from algorithms.kernels import gpu
from tests.benchmarks import gpu_check
from tests.benchmarks.gpu_speed import profiled


def phase(name, capsys):
    """All parts of the result of a phase."""
    assert gpu_check.main(["--phase", name, "--device", "cpu", "--tiny"]) == 0
    parts = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    return {name: value for part in parts for name, value in part.items()}


@pytest.fixture(autouse=True)
def same_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_rates_of_the_machine(capsys):
    assert min(phase("machine", capsys)["rates"].values()) > 0.0


@pytest.mark.parametrize("name", ["demo", "compiled demo", "triton reference"])
def test_speeds_of_updates(name, capsys):
    ways = ("eager", "captured", "drawn") if name == "demo" else ()
    sides = [(row["side"], row["runs"]) for row in phase(name, capsys)["updates"]]
    assert sides == [("plain", 1), *((how, runs) for runs in (1, 2) for how in ways)]


def test_profiles_of_updates(capsys):
    (row,) = phase("profile", capsys)["profiles"]
    assert (row["size"], row["runs"]) == ("demo", 2)
    assert row["nodes_per_update"] > 100
    assert 0.0 < sum(kernel["share"] for kernel in row["top"]) <= 1.0 + 1e-9


def test_a_profile_counts_operations():
    number = torch.zeros(8)

    def action():
        for _ in range(6):
            number.sin_()
        number.cos_()

    row = profiled(action, "cpu", updates=2)
    nodes = {kernel["name"]: kernel["nodes"] for kernel in row["top"]}
    assert (nodes["aten::sin_"], nodes["aten::cos_"]) == (6, 1)
    assert row["nodes_per_update"] == sum(nodes.values()) / 2


def test_seconds_of_acting(capsys):
    result = phase("acting", capsys)
    assert result["runs"] == 2
    assert min(result[name] for name in ("act", "evaluation", "online_step")) > 0.0


@pytest.mark.slow
def test_the_check_can_be_tried_without_a_gpu(tmp_path):
    """Every phase in a process of its own, at tiny sizes."""
    assert gpu_check.main(["--device", "cpu", "--tiny", "--out", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "CPU.json").read_text())
    assert list(results["phases"]) == list(gpu_check.DEADLINES) == list(gpu_check.PHASES)
    assert results["rates"] == results["phases"]["machine"]["rates"]
    trained = results["phases"]["training"]
    assert trained["runs"] == 4
    assert trained["interrupted"] == trained["two_workers"] == "equal"
    assert trained["half_cancelled"] == "equal (2 runs are left)"


def test_a_trial_leaves_no_rates_for_estimates(tmp_path, monkeypatch):
    """Without a GPU the tiny check takes the CPU."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(gpu_check, "DEADLINES", {"machine": 60})
    assert gpu_check.main(["--tiny"]) == 0
    (file,) = gpu.checks_folder().rglob("*.json")
    assert min(json.loads(file.read_text())["rates"].values()) > 0.0
    assert gpu.known_rates() == gpu.DATA_SHEET


def test_the_deadlines_leave_eight_minutes():
    assert sum(gpu_check.DEADLINES.values()) <= 8 * 60


def test_what_a_phase_says():
    """The speeds of the largest pack; no part is needed."""
    speeds = ("plain", 1, 175.0), ("drawn", 1, 1_400.0), ("drawn", 64, 3_500.4)
    updates = [{"side": side, "runs": runs, "updates_per_second": speed} for side, runs, speed in speeds]
    assert list(gpu_check.said({"units": "256 x 2", "updates": updates})) == [
        "drawn, 64 runs: 3,500 run-updates/s, 20.0 times plain"
    ]
    assert list(gpu_check.said({"act": 0.0012, "two_workers": "equal"})) == ["two workers: equal", "act: 1.2 ms"]
    assert list(gpu_check.said({"rates": {"bytes_per_second": 3.35e12}})) == ["bytes per second: 3.35e+12"]
    assert list(gpu_check.said({"error": "failed", "updates": updates[:1]})) == []


def test_a_phase_that_fails_or_hangs_costs_no_other(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "TINY_FACTOR", 1)
    monkeypatch.setattr(gpu_check, "DEADLINES", {"machine": 0.01, "unknown": 60})
    assert gpu_check.main(["--device", "cpu", "--tiny", "--out", str(tmp_path)]) == 1
    phases = json.loads((tmp_path / "CPU.json").read_text())["phases"]
    assert phases["machine"]["error"] == "not done after 0.01 s"
    assert "invalid choice: 'unknown'" in phases["unknown"]["error"]
    assert "machine: not done" in capsys.readouterr().out
