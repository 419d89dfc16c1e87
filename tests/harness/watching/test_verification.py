"""A finished run is compared with its repetition."""

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
    return [write_done(tmp_path / name, [RUN])[0] for name in ("original", "repetition")]


def verify(original, repetition):
    """Compare the folders of a run and of its repetition."""
    return verification.verify(original_in(original), repetition)


def verify_numbers(original, repetition):
    """Compare the published frames of a run with the folder of its repetition."""
    root = original.path.parent
    published = originals(gather(root), [original.run()], root)
    return verification.verify(published[original.id], repetition)


def rewrite(folder, **values):
    """Change the last row of metrics, and the summary accordingly."""
    *rows, last = folder.metrics()
    rows.append({**last, **values})
    folder.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = folder.summary()
    del summary["metrics"]
    folder.finish(summary)


def on_another_machine(folder):
    file = folder.path / "provenance.json"
    write_json(file, {**read_json(file), "machine": {"processor": "another processor", "cores": 2}})


def test_identical_bytes_agree(pair):
    result = verify(*pair)
    assert result.run == RUN
    assert result.comparison.kind == "bytes"
    assert result.difference is None
    assert "final parameters not compared" in result.remark


def test_a_changed_number_is_reported(pair):
    rewrite(pair[1], q_data=1.25)
    difference = verify(*pair).difference
    assert (difference.column, difference.repetition) == ("q_data", "1.25")
    assert difference.row == len(pair[0].metrics())


def test_runs_on_gpus_agree_within_tolerances(tmp_path):
    run = with_settings(RUN, {"algorithm.kernel": "cuda"})
    original, repetition = (write_done(tmp_path / name, [run])[0] for name in ("original", "repetition"))
    rewrite(repetition, q_data=repetition.metrics()[-1]["q_data"] + 1e-9)
    result = verify(original, repetition)
    assert result.comparison.kind == "tolerances"
    assert "GPU" in result.comparison.why
    assert result.difference is None


def test_different_parameters_are_reported(pair):
    for folder, parameters in zip(pair, ("aa", "bb"), strict=True):
        folder.finish({**folder.summary(), "parameters_hash": parameters})
    result = verify(*pair)
    assert str(result.difference) == "parameters_hash: originally aa, now bb"
    assert result.remark == ""


def test_another_machine_is_compared_within_tolerances(pair):
    on_another_machine(pair[0])
    last = pair[0].metrics()[-1]
    rewrite(pair[1], q_data=last["q_data"] * (1 + 1e-6))
    result = verify(*pair)
    assert result.comparison.kind == "tolerances"
    assert "processor: another processor before, a processor now" in result.comparison.why
    assert result.difference is None
    rewrite(pair[1], updates=last["updates"] + 1)
    assert verify(*pair).difference.column == "updates"


def test_identical_bytes_from_another_machine_are_compared_as_bytes(pair):
    on_another_machine(pair[0])
    result = verify(*pair)
    assert result.comparison.kind == "bytes"
    assert "processor: another processor before, a processor now" in result.comparison.why
    assert result.difference is None


def test_published_numbers_must_be_bit_identical(pair):
    result = verify_numbers(*pair)
    assert (result.comparison.kind, result.difference) == ("numbers", None)
    assert "the same type of machine" in result.comparison.why
    assert "final parameters not compared" in result.remark
    last = pair[0].metrics()[-1]
    rewrite(pair[1], q_data=math.nextafter(last["q_data"], math.inf))
    assert verify_numbers(*pair).difference.column == "q_data"
    rewrite(pair[1], q_data=last["q_data"], calibration_exact=0.0)
    assert verify_numbers(*pair).difference.column == "calibration_exact"
    rewrite(pair[1], calibration_exact=None)
    assert verify_numbers(*pair).difference is None
    pair[1].metrics_file.write_text(json.dumps(last) + "\n")
    pair[1].finish({name: value for name, value in pair[1].summary().items() if name != "metrics"})
    assert str(verify_numbers(*pair).difference) == f"number of rows: originally {len(pair[0].metrics())}, now 1"


def test_published_numbers_of_another_machine_agree_within_tolerances(pair):
    on_another_machine(pair[0])
    rewrite(pair[1], q_data=pair[0].metrics()[-1]["q_data"] * (1 + 1e-6))
    result = verify_numbers(*pair)
    assert (result.comparison.kind, result.difference) == ("tolerances", None)


def test_exact_values_may_differ_slightly_on_another_machine(pair):
    for folder in pair:
        rewrite(folder, policy_gap_exact=26.0)
    rewrite(pair[1], policy_gap_exact=26.0 + 1e-13)
    assert verify(*pair).difference.column == "policy_gap_exact", "not on the same type of machine"
    on_another_machine(pair[0])
    result = verify(*pair)
    assert (result.comparison.kind, result.difference) == ("training", None)
    rewrite(pair[1], policy_gap_exact=26.0 + 1e-6)
    assert verify(*pair).comparison.kind == "tolerances"
    rewrite(pair[1], policy_gap_exact=26.0 + 1e-13)
    for folder, parameters in zip(pair, ("aa", "bb"), strict=True):
        folder.finish({**folder.summary(), "parameters_hash": parameters})
    assert verify(*pair).comparison.kind == "tolerances", "training differs, too"


def test_different_data_are_refused(pair, monkeypatch):
    """Missing data are accepted, because they are collected again."""
    record = original_in(pair[0]).records[0]
    monkeypatch.setattr(verification, "machine", lambda: record["machine"])
    monkeypatch.setattr(verification, "package_versions", lambda: record["packages"])
    original = original_in(pair[0])
    for content_hash in (None, original.dataset):
        monkeypatch.setattr(verification, "present_hash", lambda task, present=content_hash: present)
        check_data(original)
    monkeypatch.setattr(verification, "present_hash", lambda task: "f" * 64)
    with pytest.raises(UserError, match=rf"run {RUN.id} was trained on data with content hash .* now has ffff"):
        check_data(original)
    on_another_machine(pair[0])
    check_data(original_in(pair[0]))
    hosted = replace(original_in(pair[0]), run=runs_of("paper")[0])
    with pytest.raises(UserError, match="restore the original data"):
        check_data(hosted)


def test_collected_data_may_differ_on_another_machine(pair):
    on_another_machine(pair[0])
    file = pair[1].path / "provenance.json"
    write_json(file, {**read_json(file), "dataset": "f" * 64})
    rewrite(pair[1], q_data=pair[0].metrics()[-1]["q_data"] * (1 + 1e-6))
    result = verify(*pair)
    assert (result.comparison.kind, result.difference) == ("tolerances", None)
    assert result.comparison.why.endswith("now) with different data")


def test_an_earlier_attempt_on_another_machine_allows_tolerances(tmp_path, pair):
    attempt = next((pair[0].path / "attempts").glob("*.json"))
    write_json(attempt, {**read_json(attempt), "packages": {"torch": "2.12.0", "mujoco": "3.3.7"}})
    rewrite(pair[1], q_data=pair[0].metrics()[-1]["q_data"] * (1 + 1e-6))
    result = verify(*pair)
    assert result.comparison.kind == "tolerances"
    assert "torch: 2.12.0 before, 2.13.0 now" in result.comparison.why


def test_a_failed_repetition_differs(tmp_path, pair):
    repetition = fail(tmp_path / "failed", RUN, "its critic is not finite")
    difference = verify(pair[0], repetition).difference
    assert str(difference) == "state: originally done, now failed: its critic is not finite"


def test_samples_are_reproducible_and_in_order():
    runs = runs_of("smoke")
    assert sample(runs, 9, seed=0) == runs
    chosen = [sample(runs, 2, seed) for seed in range(20)]
    assert sample(runs, 2, seed=3) == chosen[3]
    assert all(len(set(pair)) == 2 and pair == sorted(pair, key=runs.index) for pair in chosen)
    assert {run for pair in chosen for run in pair} == set(runs)


def test_verification_writes_nothing(pair):
    def contents():
        return {file: file.read_bytes() for folder in pair for file in folder.path.rglob("*") if file.is_file()}

    before = contents()
    verify(RunFolder(pair[0].path), RunFolder(pair[1].path))
    assert contents() == before
