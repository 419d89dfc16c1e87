"""A finished run held against its repetition."""

import json

import pytest

from ablations.grids import runs_of
from harness.folders.files import read_json, write_json
from harness.folders.run_folder import RunFolder
from harness.settings import with_settings
from harness.watching.verification import sample, verify
from tests.run_folder_factory import fail, write_done

RUN = runs_of("smoke")[0]


@pytest.fixture
def pair(tmp_path):
    """A run and its repetition, on one machine, with equal bytes."""
    return [write_done(tmp_path / name, [RUN])[0] for name in ("there", "here")]


def rewrite(folder, **values):
    """Change the last row, and what `done.json` says of the rows."""
    *rows, last = folder.metrics()
    rows.append({**last, **values})
    folder.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = folder.summary()
    del summary["metrics"]
    folder.finish(summary)


def on_another_machine(folder):
    file = folder.path / "provenance.json"
    write_json(file, {**read_json(file), "machine": {"processor": "another processor", "cores": 2}})


def test_equal_bytes_agree(pair):
    found = verify(*pair)
    assert found.run == RUN
    assert found.comparison.kind == "bytes"
    assert found.difference is None
    # The made-up folders have no hash of parameters, and the reader is told.
    assert "final parameters not compared" in found.remark


def test_a_changed_number_is_found(pair):
    rewrite(pair[1], q_data=1.25)
    difference = verify(*pair).difference
    assert (difference.column, difference.here) == ("q_data", "1.25")
    assert difference.row == len(pair[0].metrics())


def test_runs_on_cards_agree_within_tolerances(tmp_path):
    run = with_settings(RUN, {"algorithm.kernel": "cuda"})
    there, here = (write_done(tmp_path / name, [run])[0] for name in ("there", "here"))
    rewrite(here, q_data=here.metrics()[-1]["q_data"] + 1e-9)
    found = verify(there, here)
    assert found.comparison.kind == "tolerances"
    assert "cards" in found.comparison.why
    assert found.difference is None


def test_other_parameters_are_found(pair):
    for folder, parameters in zip(pair, ("aa", "bb"), strict=True):
        folder.finish({**folder.summary(), "parameters_hash": parameters})
    found = verify(*pair)
    assert str(found.difference) == "parameters_hash: aa there, bb here"
    assert found.remark == ""


def test_another_machine_is_compared_within_tolerances(pair):
    on_another_machine(pair[0])
    last = pair[0].metrics()[-1]
    rewrite(pair[1], q_data=last["q_data"] * (1 + 1e-6))
    found = verify(*pair)
    assert found.comparison.kind == "tolerances"
    assert "processor: another processor there, a processor here" in found.comparison.why
    assert found.difference is None
    rewrite(pair[1], updates=last["updates"] + 1)
    assert verify(*pair).difference.column == "updates"


def test_an_attempt_on_another_machine_counts(tmp_path, pair):
    """The run was begun elsewhere and finished here: its bytes need not be those of one machine."""
    attempt = next((pair[0].path / "attempts").glob("*.json"))
    write_json(attempt, {**read_json(attempt), "packages": {"torch": "2.12.0", "mujoco": "3.3.7"}})
    found = verify(*pair)
    assert found.comparison.kind == "tolerances"
    assert "torch: 2.12.0 there, 2.13.0 here" in found.comparison.why


def test_a_repetition_that_fails_differs(tmp_path, pair):
    again = fail(tmp_path / "again", RUN, "its critic is not finite")
    assert str(verify(pair[0], again).difference) == "state: done there, failed: its critic is not finite here"


def test_samples():
    runs = runs_of("smoke")
    assert sample(runs, 9, seed=0) == runs
    chosen = [sample(runs, 2, seed) for seed in range(20)]
    assert sample(runs, 2, seed=3) == chosen[3]
    assert all(len(set(pair)) == 2 and pair == sorted(pair, key=runs.index) for pair in chosen)
    assert {run for pair in chosen for run in pair} == set(runs)


def test_nothing_is_written(pair):
    def contents():
        return {file: file.read_bytes() for folder in pair for file in folder.path.rglob("*") if file.is_file()}

    before = contents()
    verify(RunFolder(pair[0].path), RunFolder(pair[1].path))
    assert contents() == before
