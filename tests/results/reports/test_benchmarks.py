"""What benchmarks measured, from a file that pytest-benchmark wrote to tables and figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from harness.errors import UserError
from results.figures.speed import share_of_peak, update_parts
from results.reports.benchmarks import newest, read, speed, write_speed_report


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The benchmarks of one small pack, measured as briefly as can be."""
    out = tmp_path_factory.mktemp("bench") / "measured.json"
    chosen = ["-m", "benchmark", "tests/benchmarks/test_kernels.py", "-k", "64x2-8-fused", "-p", "no:cacheprovider"]
    options = ["-q", "-n", "0", "--benchmark-only", "--benchmark-max-time=0.001", f"--benchmark-json={out}"]
    # Without what tells pytest that it is one of several workers, in which nothing is timed.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", *chosen, *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3], env=alone)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_every_part_is_a_row_with_what_was_measured(file):
    frame = read(file).set_index("part")
    assert set(frame.index) == {
        "critic loss", "critic values", "policy samples", "policy gradient", "optimizer and target", "update",
    }  # fmt: skip
    assert (frame["shape"] == "64x2").all()
    assert (frame["runs"] == 8).all()
    assert (frame["kernel"] == "fused").all()
    raw = {benchmark["name"]: benchmark for benchmark in json.loads(file.read_text())["benchmarks"]}
    assert frame.loc["update", "seconds"] == raw["test_update[64x2-8-fused]"]["stats"]["median"]
    loss = frame.loc["critic loss"]
    # Two critics of widths 2-64-64-1, 8 runs, 64 states, 13 actions; forward and twice as much backward.
    operations = 3 * 2 * 2 * 8 * 64 * 13 * (2 * 64 + 64 * 64 + 64)
    assert loss["gflops"] == pytest.approx(operations / loss["seconds"] / 1e9)
    assert loss["share_of_peak"] == pytest.approx(loss["gflops"] / loss["peak_gflops"])
    assert pd.isna(frame.loc["optimizer and target", "gflops"])


def test_what_was_varied_beside_the_pack_is_named(file, tmp_path):
    written = json.loads(file.read_text())
    first = written["benchmarks"][0]
    first["params"] = {"name": "64x2", "runs": 8, "online": 1000, "task": "winding-road"}
    (tmp_path / "some.json").write_text(json.dumps(written))
    frame = read(tmp_path / "some.json")
    assert frame["case"].tolist() == ["online 1,000, task winding-road"] + [""] * (len(frame) - 1)
    assert speed(frame).text["Part"][0] == f"{frame['part'][0]} [online 1,000, task winding-road]"


def test_parts_and_rest_are_the_update(file):
    frame = read(file)
    parts = update_parts(frame).numbers.set_index("part")["microseconds"]
    update = frame.set_index("part").loc["update", "seconds"]
    assert parts.sum() == pytest.approx(1e6 * update / 8, rel=1e-6) or parts["rest"] == 0.0
    assert share_of_peak(frame).numbers["share_of_peak"].item() == frame["share_of_peak"].iloc[0]
    assert share_of_peak(frame[frame["part"] == "update"]) is None


def test_the_table_has_times_per_run(file):
    frame = read(file)
    row = speed(frame).text.set_index("Part").loc["critic loss"]
    assert row["Per run [us]"] == f"{1e6 * frame['seconds'].iloc[0] / 8:,.1f}"


def test_the_report_is_there_and_the_same_twice(file, tmp_path):
    first = write_speed_report(read(file), tmp_path / "a")
    second = write_speed_report(read(file), tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert first[0] == tmp_path / "a" / "report.html"
    assert first[0].read_text().count('<img src="figures/') == 2


def test_the_newest_file_is_the_last_written(tmp_path):
    with pytest.raises(UserError, match="contains no benchmarks; run `make bench`"):
        newest(tmp_path)
    (tmp_path / "machine").mkdir()
    (tmp_path / "machine" / "0001_one.json").write_text("{}")
    assert newest(tmp_path).name == "0001_one.json"


@pytest.mark.parametrize(
    ("text", "problem"),
    [("{", "is not a file of pytest-benchmark"), ("{}", "is not a file of pytest-benchmark"), (None, "cannot be read")],
)
def test_other_files_are_refused(tmp_path, text, problem):
    file = tmp_path / "measured.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=f"{file}: {problem}"):
        read(file)
