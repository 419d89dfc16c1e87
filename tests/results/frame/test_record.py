"""The cost of a run from its attempts, or from a cluster's accounting."""

import json

import pytest

from ablations.grids import runs_of
from harness.folders.run_folder import RunFolder
from harness.folders.usage import ACCOUNTING
from results.frame import runs
from results.frame.record import cost_columns
from tests.support.run_folder_factory import write_done

NOON = 1_700_000_000.0


@pytest.fixture(autouse=True)
def surroundings(tmp_path_factory, monkeypatch):
    """No data, and a cache of the test's own whose files count as settled at once."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("no_data")))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr("harness.folders.cache.SETTLED", -60.0)


def account(hours, **details):
    return {"started": NOON, "ended": NOON + 3600 * hours, **details}


def test_attempts_complete_the_accounting():
    found = cost_columns([account(1.0, pack_size=2, peak_memory=7), account(0.5)], NOON)
    assert found == {
        "attempts": 2, "wall_hours": 1.5, "core_hours": 1.0, "gpu_hours": 0.0, "peak_memory": 7, "cost_source": "runs",
    }  # fmt: skip
    assert cost_columns([], NOON)["cost_source"] == ""


def test_accounting_counts_also_where_a_finished_run_is_remembered(tmp_path):
    """The accounts come after the run was gathered once: what is kept of its folder does not hide them."""
    run = runs_of("smoke")[0]
    folder = RunFolder.of(tmp_path, run)
    folder.create(run)
    folder.begin_attempt({**account(0.0), "slurm": {"job": "7"}, "started": NOON})
    folder.end_attempt("interrupted")
    write_done(tmp_path, [run])
    before = runs(tmp_path).iloc[0]
    assert (before["attempts"], before["cost_source"]) == (2, "runs")
    place = tmp_path / "submissions" / "s"
    place.mkdir(parents=True)
    kept = {"tasks": {"7": "TIMEOUT"}, "runs": {run.id: {"core_hours": 5.0, "gpu_hours": 2.5}}}
    (place / ACCOUNTING).write_text(json.dumps(kept))
    after = runs(tmp_path).iloc[0]
    assert (after["attempts"], after["cost_source"], after["gpu_hours"]) == (2, "both", 2.5)
    assert after["core_hours"] == pytest.approx(5.0, abs=0.01)
    assert after["wall_hours"] == pytest.approx(before["wall_hours"], abs=0.01)
