"""The report about a GPU, from a file that gpu-check wrote to a table, a figure and a page."""

import json

import pytest

from harness.errors import UserError
from results.figures.speed import gpu_speeds
from results.reports.gpu_checks import is_check, read, speeds, write_gpu_report
from tests.benchmarks import gpu_check
from tests.support.command_line import call_here


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A check of the CPU at tiny sizes, in this process."""
    folder = tmp_path_factory.mktemp("checks")
    phases = {}
    for name in ("demo", "compiled demo"):
        for part in gpu_check.PHASES[name]("cpu", True):
            phases[name] = part
    phases["reference"] = {"error": "not done after 45 s"}
    (folder / "CPU.json").write_text(json.dumps({"name": "CPU", "date": "2026-01-02", "phases": phases}))
    return folder / "CPU.json"


def test_every_speed_is_a_row_relative_to_plain(file):
    frame = read(file)
    written = json.loads(file.read_text())["phases"]["demo"]["updates"]
    assert list(zip(frame["side"], frame["runs"], strict=True)) == [(row["side"], row["runs"]) for row in written]
    assert (frame["size"] == "demo").all()
    plain, last = written[0]["updates_per_second"], written[-1]["updates_per_second"]
    assert frame["times_plain"].tolist()[::6] == [1.0, last / plain]
    assert speeds(frame).text["Run-updates/s"][0] == f"{plain:,.0f}"


def test_the_figure_and_the_notes_say_what_was_measured(file):
    """A panel per size with its units; the phase that was ended is named."""
    frame = read(file)
    (axes,) = gpu_speeds(frame).figure.axes
    assert axes.get_title() == "demo, 8 x 2 units"
    assert [line.get_label() for line in axes.lines if not line.get_label().startswith("_")] == [
        "plain", "eager", "captured", "drawn",
    ]  # fmt: skip
    assert speeds(frame).notes[1:] == ("Not complete: the phase reference (not done after 45 s).",)


def test_rows_of_a_size_are_together(tmp_path):
    row = {"runs": 1, "updates_per_second": 2.0, "peak_bytes": 0}
    plain = {**row, "side": "plain", "updates_per_second": 1.0}
    phases = {name: {"updates": [plain, {**row, "side": side}]}
              for name, side in (("demo", "eager"), ("deep", "drawn"), ("compiled demo", "compiled"))}  # fmt: skip
    (tmp_path / "made.json").write_text(json.dumps({"name": "made", "phases": phases}))
    frame = read(tmp_path / "made.json")
    assert frame["size"].tolist() == ["demo"] * 3 + ["deep"] * 2
    assert frame["side"].tolist() == ["plain", "eager", "compiled", "plain", "drawn"]
    assert [axes.get_title() for axes in gpu_speeds(frame).figure.axes] == ["demo", "deep"]


def test_the_command_writes_the_same_report(file, tmp_path, capsys):
    files = write_gpu_report(read(file), tmp_path / "a")
    assert "Measured on CPU, 2026-01-02." in files[0].read_text()
    call_here(capsys, "report", "bench", "--from", file, "--out", tmp_path / "b")
    assert (tmp_path / "b" / "report.html").read_bytes() == files[0].read_bytes()


@pytest.mark.parametrize(("text", "problem"), [
    ('{"phases": 1}', "is not a file of gpu-check"), ('{"name": "CPU", "phases": {}}', "contains no speeds"),
])  # fmt: skip
def test_other_files_are_refused(tmp_path, text, problem):
    file = tmp_path / "some.json"
    file.write_text(text)
    assert is_check(file)
    with pytest.raises(UserError, match=f"{file}: {problem}"):
        read(file)
