"""The cost of a run from its attempts, or from a cluster's accounting."""

import json
from dataclasses import asdict

import pytest

from ablations.grids import runs_of
from harness.folders.run_folder import RunFolder
from harness.folders.usage import ACCOUNTING
from harness.launching.defaults import REFERENCE
from harness.settings import prefix_of, with_settings
from results.frame import evaluations, runs
from results.frame.frames import SECONDS
from results.frame.record import cost_columns, expected_seconds
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
    accounting = cost_columns([account(1.0, pack_size=2, peak_memory=7), account(0.5)], NOON)
    assert accounting == {
        "attempts": 2, "wall_hours": 1.5, "core_hours": 1.0, "gpu_hours": 0.0, "peak_memory": 7, "cost_source": "runs",
        **dict.fromkeys(SECONDS),
    }  # fmt: skip
    spent = {"seconds": {"update": 3000.0}, "processor_seconds": 3500.0}
    columns = cost_columns([account(1.0, **spent)], NOON)
    assert [columns[name] for name in SECONDS] == [3000.0, None, None, None, 500.0, 100.0]
    assert cost_columns([], NOON)["cost_source"] == ""


def test_expected_seconds_are_those_of_the_machine_that_computed_the_run():
    """A machine of half the speed is expected to take twice as long; without a recorded speed nothing is expected."""
    run = runs_of("smoke")[0]
    usual, slow = asdict(REFERENCE), {name: value / 2 for name, value in asdict(REFERENCE).items()}
    seconds = [expected_seconds(run, [{"pack_size": 2, "speed": speed}], False) for speed in (usual, slow)]
    assert seconds[1] == pytest.approx(2 * seconds[0])
    assert expected_seconds(run, [{"pack_size": 2}], False) is None
    assert expected_seconds(run, [], False) is None


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


def test_the_cost_of_a_prefix_is_divided_among_the_runs_that_start_from_it(tmp_path):
    first = runs_of("smoke")[0]
    prefix, arms = prefix_of(first), [first, with_settings(first, {"arm": "sac", "online.alpha": 0.0})]
    place = RunFolder.of(tmp_path, prefix)
    place.create(prefix)
    place.begin_attempt({**account(0.0), "started": NOON})
    place.attempt.end("interrupted", peak_memory=7)
    (place.path / "attempts" / "000001.json").write_text(json.dumps(account(3.0, peak_memory=7, gpus=1)))
    write_done(tmp_path, [prefix, *arms])
    alone = runs(tmp_path)
    for folder in (RunFolder.of(tmp_path, run) for run in arms):
        folder.write_prefix({"prefix": prefix.id})
    shared = runs(tmp_path)
    for frame, hours, id in [(alone, 0.0, ""), (shared, 1.5, prefix.id)]:
        assert list(frame["arm"]) == ["cql", "sac"]
        assert list(frame["core_hours"]) == pytest.approx([hours] * 2, abs=0.01)
        assert list(frame["gpu_hours"]) == pytest.approx([hours] * 2, abs=0.01)
        assert list(frame["prefix"]) == [id] * 2
    assert list(shared["peak_memory"]) == [max(7, peak) for peak in alone["peak_memory"]]
    # Alone in a frame, a run still has half of the cost.
    (named,) = runs(tmp_path, [first.id])["core_hours"]
    assert named == pytest.approx(1.5, abs=0.01)
    assert set(evaluations(tmp_path)["arm"]) == {"cql", "sac"}
