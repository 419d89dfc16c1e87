"""Trackers receive every row of every run once, under the names of the schema."""

import json

import pytest

from ablations.grids import runs_of
from harness.metrics import EVALUATION, names
from harness.watching.trackers import Tracking
from tests.support.command_line import SHORT, call, call_here, only_line
from tests.support.run_folder_factory import write_done
from tests.support.waiting import wait_until

RUNS = runs_of("smoke")[:2]


def expected(folder):
    """The rows of a run: steps and metrics."""
    run, rows = folder.run(), folder.metrics()
    steps = [
        row["offline_step"] if row["phase"] == "offline" else run.schedule.offline_steps + row["online_step"]
        for row in rows
    ]
    return [
        (step, {name: value for name, value in row.items() if name in names(EVALUATION) and value is not None})
        for step, row in zip(steps, rows, strict=True)
    ]


@pytest.fixture
def folders(tmp_path):
    return write_done(tmp_path, RUNS)


def cut_off(folder, count):
    """Leave the first rows, as while a run is under way; returns the whole text."""
    text = folder.metrics_file.read_text()
    (folder.path / "done.json").rename(folder.path / ".done.json")
    folder.metrics_file.write_text("".join(text.splitlines(keepends=True)[:count]))
    return text


def restore(folder, text):
    folder.metrics_file.write_text(text)
    (folder.path / ".done.json").rename(folder.path / "done.json")


def track_twice(name, root, folders):
    """Track a run while it is under way, interrupt it, and track it again, twice."""
    text = cut_off(folders[0], 3)
    first = Tracking([name], root, RUNS, "smoke")
    assert first.update() == 3 + len(expected(folders[1]))
    first.close()
    restore(folders[0], text)
    second = Tracking([name], root, RUNS, "smoke")
    assert second.update() == len(expected(folders[0])) - 3
    assert second.update() == 0
    second.close()


def test_tensorboard(folders, tmp_path):
    """Read back by TensorBoard's own reader."""
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    track_twice("tensorboard", tmp_path, folders)
    for folder in folders:
        (place,) = (tmp_path / "tracking" / "tensorboard").glob(f"smoke/*/{folder.run().arm}/{folder.id}")
        events = event_accumulator.EventAccumulator(str(place), size_guidance={"scalars": 0}).Reload()
        rows = expected(folder)
        for name in events.Tags()["scalars"]:
            scalars = [(event.step, event.value) for event in events.Scalars(name)]
            assert scalars == [(step, pytest.approx(row[name], rel=1e-6)) for step, row in rows if name in row]
        assert set(events.Tags()["scalars"]) == {name for _, row in rows for name in row}


def test_json_lines(folders, tmp_path):
    track_twice("jsonl", tmp_path, folders)
    file = tmp_path / "tracking" / "jsonl" / "metrics.jsonl"
    # A crash during a write leaves half a line.
    with open(file, "a") as stream:
        stream.write('{"run": "')
    assert Tracking(["jsonl"], tmp_path, RUNS, "smoke").update() == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for folder in folders:
        rows = [line for line in lines if line["run"] == folder.id]
        assert {(row["group"], row["arm"]) for row in rows} == {("smoke", folder.run().arm)}
        of_schema = [{name: row[name] for name in row if name in names(EVALUATION)} for row in rows]
        assert list(zip([row["step"] for row in rows], of_schema, strict=True)) == expected(folder)


def test_json_lines_of_several_writers_count_each_others_rows(folders, tmp_path):
    parts = [Tracking(["jsonl"], tmp_path, [run], "smoke", f"task{number}") for number, run in enumerate(RUNS)]
    assert [part.update() for part in parts] == [len(expected(folder)) for folder in folders]
    place = tmp_path / "tracking" / "jsonl"
    assert sorted(file.name for file in place.iterdir()) == ["task0.jsonl", "task1.jsonl"]
    # Another writer may be in the middle of a line, which is left alone.
    half = (place / "task1.jsonl").read_text()[:-9]
    (place / "task1.jsonl").write_text(half)
    assert Tracking(["jsonl"], tmp_path, RUNS, "smoke").update() == 1
    assert (place / "task1.jsonl").read_text() == half
    assert json.loads((place / "metrics.jsonl").read_text())["run"] == RUNS[1].id


def test_weights_and_biases_offline(folders, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'floorbench[wandb]'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    track_twice("wandb", tmp_path, folders)
    written = list((tmp_path / "tracking" / "wandb").rglob("*.wandb"))
    assert {file.stem.removeprefix("run-") for file in written} == {folder.id for folder in folders}
    # Its service may write the last rows after `finish` has returned.
    wait_until(lambda: all(file.stat().st_size > 1_000 for file in written), 30.0)


def test_run_and_track_write_the_same(tmp_path):
    call("run", "smoke", "--arm", "cql", "--seed", 0, "--root", tmp_path, "--tracker", "jsonl", *SHORT)
    file = tmp_path / "tracking" / "jsonl" / "metrics.jsonl"
    before = file.read_text()
    assert before
    done = call("track", tmp_path, "--tracker", "jsonl")
    assert "0 rows of 1 runs" in done.stderr
    file.unlink()
    call("track", tmp_path, "--tracker", "jsonl", "--group", "smoke")
    assert file.read_text() == before


def test_an_unknown_tracker(folders, tmp_path, capsys):
    on_cluster = ("submit", "smoke", "--cluster", "cpu", "--root", tmp_path)
    for arguments in (
        ("track", tmp_path),
        ("run", "smoke", "--root", tmp_path),
        on_cluster,
        (*on_cluster, "--dry-run"),
    ):
        line = only_line(call_here(capsys, *arguments, "--tracker", "paper", code=2))
        assert "tracker 'paper': unknown tracker; choose one of jsonl, tensorboard, wandb" in line


def test_a_problem_at_the_end_is_recorded_and_ends_only_the_tracking(folders, tmp_path):
    tracking = Tracking(["jsonl"], tmp_path, RUNS, "smoke")
    (tmp_path / "tracking" / "jsonl").rmdir()
    tracking.finish()
    assert "tracking ended: " in tracking.problem
    assert "metrics.jsonl: no such file or directory" in tracking.problem
