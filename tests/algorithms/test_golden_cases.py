"""Reference values of other implementations, and the script that checks them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).with_name("golden_cases")


def run_script(file: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tests.support.golden", file]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize("name", ["critic_loss", "return_to_go"])
def test_reference_values_agree(name):
    result = run_script(CASES / f"{name}.npz")
    assert result.returncode == 0, result.stdout + result.stderr
    assert float(result.stdout.split()[-1]) < 1e-6


@pytest.mark.parametrize("damage", [1.00001, np.nan])
def test_a_wrong_value_is_detected(tmp_path, damage):
    arrays = dict(np.load(CASES / "critic_loss.npz"))
    array = arrays["07/out/grad_q2_next"]
    array[np.unravel_index(np.abs(array).argmax(), array.shape)] *= damage
    np.savez(tmp_path / "wrong.npz", **arrays)
    (tmp_path / "wrong.json").write_text((CASES / "critic_loss.json").read_text())
    assert run_script(tmp_path / "wrong.npz").returncode == 1


def test_a_missing_file_is_a_usage_error(tmp_path):
    result = run_script(tmp_path / "nothing.npz")
    assert result.returncode == 2
    assert "usage" in result.stderr


def test_the_cases_cover_both_values_of_every_option():
    options = json.loads((CASES / "critic_loss.json").read_text())
    for option in ("calibrated", "importance_sampling", "lagrange", "max_target_backup", "backup_entropy"):
        assert {case[option] for case in options} == {True, False}
