"""A finished run held against its repetition."""

import json
import math
from dataclasses import replace

import pytest

from ablations.grids import runs_of
from harness.errors import UserError
from harness.files import read_json, write_json
from harness.folders.run_folder import RunFolder
from harness.settings import with_settings
from harness.watching import verification
from harness.watching.verification import check_data, original_in, sample
from results.frame import gather
from results.frame.frames import originals
from tests.support.run_folder_factory import fail, write_done

RUN = runs_of("smoke")[0]


@pytest.fixture
def pair(tmp_path):
    """A run and its repetition, on one machine, with equal bytes."""
    return [write_done(tmp_path / name, [RUN])[0] for name in ("there", "here")]


def verify(there, here):
    """A run's folder against that of its repetition."""
    return verification.verify(original_in(there), here)


def verify_numbers(there, here):
    """What was exported of a run's folder against its repetition."""
    published = originals(gather(there.path.parent), [there.run()], there.path.parent)
    return verification.verify(published[there.id], here)


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


def test_equal_bytes_of_another_machine_are_told_as_such(pair):
    on_another_machine(pair[0])
    found = verify(*pair)
    assert found.comparison.kind == "bytes"
    assert "processor: another processor there, a processor here" in found.comparison.why
    assert found.difference is None


def test_published_numbers_are_compared_to_the_last_bit(pair):
    found = verify_numbers(*pair)
    assert (found.comparison.kind, found.difference) == ("numbers", None)
    assert "the same type of machine" in found.comparison.why
    assert "final parameters not compared" in found.remark
    last = pair[0].metrics()[-1]
    rewrite(pair[1], q_data=math.nextafter(last["q_data"], math.inf))
    assert verify_numbers(*pair).difference.column == "q_data"
    rewrite(pair[1], q_data=last["q_data"], calibration_exact=0.0)
    assert verify_numbers(*pair).difference.column == "calibration_exact"
    rewrite(pair[1], calibration_exact=None)
    assert verify_numbers(*pair).difference is None
    pair[1].metrics_file.write_text(json.dumps(last) + "\n")
    pair[1].finish({name: value for name, value in pair[1].summary().items() if name != "metrics"})
    assert str(verify_numbers(*pair).difference) == f"number of rows: {len(pair[0].metrics())} there, 1 here"


def test_published_numbers_of_another_machine_agree_within_tolerances(pair):
    on_another_machine(pair[0])
    rewrite(pair[1], q_data=pair[0].metrics()[-1]["q_data"] * (1 + 1e-6))
    found = verify_numbers(*pair)
    assert (found.comparison.kind, found.difference) == ("tolerances", None)


def test_on_another_machine_the_truth_may_end_in_other_digits(pair):
    for folder in pair:
        rewrite(folder, policy_gap_exact=26.0)
    rewrite(pair[1], policy_gap_exact=26.0 + 1e-13)
    assert verify(*pair).difference.column == "policy_gap_exact", "not on the same type"
    on_another_machine(pair[0])
    found = verify(*pair)
    assert (found.comparison.kind, found.difference) == ("training", None)
    rewrite(pair[1], policy_gap_exact=26.0 + 1e-6)
    assert verify(*pair).comparison.kind == "tolerances"
    rewrite(pair[1], policy_gap_exact=26.0 + 1e-13)
    for folder, parameters in zip(pair, ("aa", "bb"), strict=True):
        folder.finish({**folder.summary(), "parameters_hash": parameters})
    assert verify(*pair).comparison.kind == "tolerances", "the training was another one"


def test_other_data_are_refused(pair, monkeypatch):
    """A run on other data is no repetition; without any data here there is nothing to hold it against."""
    here = original_in(pair[0]).records[0]
    monkeypatch.setattr(verification, "machine", lambda: here["machine"])
    monkeypatch.setattr(verification, "package_versions", lambda: here["packages"])
    original = original_in(pair[0])
    for content_hash in (None, original.dataset):
        monkeypatch.setattr(verification, "present_hash", lambda task, own=content_hash: own)
        check_data(original)
    monkeypatch.setattr(verification, "present_hash", lambda task: "f" * 64)
    with pytest.raises(UserError, match=rf"run {RUN.id} was computed on data with content hash .* is ffff.* here"):
        check_data(original)
    on_another_machine(pair[0])
    check_data(original_in(pair[0]))
    hosted = replace(original_in(pair[0]), run=runs_of("paper")[0])
    with pytest.raises(UserError, match="bring the data back"):
        check_data(hosted)


def test_collected_data_may_differ_on_another_machine(pair):
    on_another_machine(pair[0])
    again = pair[1].path / "provenance.json"
    write_json(again, {**read_json(again), "dataset": "f" * 64})
    rewrite(pair[1], q_data=pair[0].metrics()[-1]["q_data"] * (1 + 1e-6))
    found = verify(*pair)
    assert (found.comparison.kind, found.difference) == ("tolerances", None)
    assert found.comparison.why.endswith("here), whose data differ")


def test_an_attempt_on_another_machine_counts(tmp_path, pair):
    """The run was begun elsewhere and finished here: its bytes need not be those of one machine."""
    attempt = next((pair[0].path / "attempts").glob("*.json"))
    write_json(attempt, {**read_json(attempt), "packages": {"torch": "2.12.0", "mujoco": "3.3.7"}})
    rewrite(pair[1], q_data=pair[0].metrics()[-1]["q_data"] * (1 + 1e-6))
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
