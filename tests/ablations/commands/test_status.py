"""Status shows damaged folders with their faults, and groups many runs by task and arm."""

import io
import json

import pytest
from rich.console import Console

from ablations.commands import status
from ablations.commands.status import _table, note, summary_line
from ablations.grids import runs_of
from harness.errors import UserError
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.folders.usage import Usage
from harness.watching.overview import Row, overview
from tests.support.run_folder_factory import fail, lose, write_done

NOON = 1_700_000_000.0


@pytest.fixture(autouse=True)
def folder_without_data(tmp_path_factory, monkeypatch):
    """Hide datasets of other tests, which must not be compared with those of fabricated runs."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("no_data")))


@pytest.fixture
def runs():
    return runs_of("smoke")


def rows_of(runs, root):
    return [json.loads(json.dumps(row.plain(), allow_nan=False)) for row in overview(root, runs, {})]


def shown(rows, every_run=False, width=300):
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False).print(_table(rows, every_run))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_damaged_folders_are_shown_with_the_others(tmp_path, runs):
    folders = write_done(tmp_path, runs)
    (folders[1].path / "status.json").write_text('{"state": "dreaming"}')
    (folders[1].path / "metrics.jsonl").write_text("")
    (folders[2].path / "config.json").write_text("{")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    rows = {row["run"]: row for row in rows_of(None, tmp_path)}
    assert [rows[run.id]["state"] for run in runs] == ["done", "damaged", "damaged", "done"]
    assert rows[runs[1].id]["arm"] == "cql"
    assert rows[runs[1].id]["reason"].startswith("metrics.jsonl: is damaged: has 0 rows in 0 bytes")
    assert rows[runs[2].id]["arm"] is None
    assert rows[runs[2].id]["faults"] == [f"{folders[2].path / 'config.json'}: is damaged (not JSON)"]
    assert rows[runs[0].id]["faults"] == []
    lines = shown(overview(tmp_path, None, {}))
    assert lines[-1].startswith("4 runs: 2 done, 2 damaged; ")
    assert any(line.startswith(runs[2].id) and line.endswith("config.json: is damaged (not JSON)") for line in lines)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_several_faults_of_one_folder(tmp_path, runs):
    folder = write_done(tmp_path, runs[:1])[0]
    for name in ("config.json", "metrics.jsonl"):
        (folder.path / name).write_text("x")
    assert shown(overview(tmp_path, None, {}))[1].endswith("config.json: is damaged (not JSON) (and 1 more)")


def test_a_folder_without_settings_is_damaged(tmp_path, runs):
    folder = write_done(tmp_path, runs[:1])[0]
    (folder.path / "config.json").unlink()
    row = rows_of(None, tmp_path)[0]
    assert (row["run"], row["state"]) == (runs[0].id, "damaged")
    assert row["reason"] == "config.json: is missing; this is not a run folder"


def test_rows_of_a_grid_have_names_even_if_folders_are_damaged(tmp_path, runs):
    write_done(tmp_path, runs[:1])
    fail(tmp_path, runs[1], "it broke")
    RunFolder.of(tmp_path, runs[2]).path.mkdir()
    (tmp_path / runs[2].id / "config.json").write_text("")
    rows = rows_of(runs, tmp_path)
    assert [row["state"] for row in rows] == ["done", "failed", "damaged", "new"]
    assert [(row["arm"], row["seed"]) for row in rows] == [(run.arm, run.seed) for run in runs]
    assert shown(overview(tmp_path, runs, {}))[-1].startswith("4 runs: 1 new, 1 failed, 1 done, 1 damaged; ")
    with pytest.raises(UserError, match="contains runs more than once"):
        overview(tmp_path, [runs[0], runs[0]], {})


def row(number, state="done", **values):
    return Row(f"{number:012x}", "maze", "cql" if number % 2 else "learned", 0, number, RunState(state), **values)


def test_many_runs_are_grouped_by_task_and_arm():
    used = Usage(attempts=1, core_hours=0.5)
    rows = [row(number, progress=1.0, usage=used) for number in range(60)]
    assert len(shown(rows)) == 63
    rows += [row(number, "failed", progress=0.0, reason=f"reason {number}") for number in range(60, 68)]
    assert [line.split() for line in shown(rows)[:4]] == [
        ["task:", "maze"],
        ["arm", "runs", "failed", "done", "progress", "core-hours"],
        ["learned", "34", "4", "30", "88%", "15.00"],
        ["cql", "34", "4", "30", "88%", "15.00"],
    ]
    assert shown(rows)[4:] == [
        *(f"failed: {row.run} (maze {row.arm} seed {row.seed}): {row.reason}" for row in rows[60:65]),
        "failed: 3 more; --runs lists all",
        "68 runs: 8 failed, 60 done; 30.00 core-hours spent",
    ]
    assert len(shown(rows, every_run=True)) == 71


def test_the_summary_has_cost_and_expected_end():
    rows = [row(1, "running", expected_end=NOON + 600, progress=0.5, updates_per_second=10.0, updates=12_000)]
    rows.append(row(2, "queued", updates=24_000, usage=Usage(gpu_hours=1.5, core_hours=2.0)))
    assert summary_line(rows, NOON).startswith(
        "2 runs: 1 queued, 1 running; 2.00 core-hours and 1.50 GPU-hours spent; "
    )
    assert summary_line(rows, NOON).endswith(", in 50 min")
    assert summary_line([], NOON) == "no runs"


def test_notes_without_repetition(tmp_path, runs):
    fail(tmp_path, runs[0], "ValueError: it broke").append_log("Traceback\nValueError: it broke\n")
    lose(tmp_path, runs[1]).append_log("halfway\n")
    fail(tmp_path, runs[2], "it broke").append_log("Bus error\n")
    fail(tmp_path, runs[3], "parameters not finite").append_log("harness.errors.UserError: parameters not finite\n")
    assert [note(row) for row in overview(tmp_path, runs[:4], {})] == [
        "ValueError: it broke", "halfway", "it broke; Bus error", "parameters not finite",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 120])
def test_ids_arms_and_states_are_never_shortened(width):
    arms = ("inflated_0.25", "inflated_1", "learned")
    rows = [
        Row(f"{number:012x}", "pointmaze-medium", arms[number % 3], 0, number, RunState(state), phase="offline",
            step=12_000, progress=0.5, updates_per_second=1234.0, expected_end=NOON, node="node-17", job="123456_7",
            reason="parameters not finite at update 812 of the offline phase")
        for number, state in enumerate(("running", "interrupted", "failed", "done") * 3)
    ]  # fmt: skip
    for lines in (shown(rows, width=width), shown(rows * 10, width=width)):
        assert max(map(len, lines)) <= width
        text = "\n".join(lines)
        assert lines[0] == "task: pointmaze-medium"
        assert all(arm in text for arm in arms)
    text = "\n".join(shown(rows, width=width))
    assert all(row.run in text and row.state in text for row in rows)


def test_states_have_colours_unless_the_user_wants_none(monkeypatch):
    for wanted in (True, False):
        monkeypatch.delenv("NO_COLOR", raising=False)
        if not wanted:
            monkeypatch.setenv("NO_COLOR", "1")
        stream = io.StringIO()
        Console(file=stream, width=80, force_terminal=True, highlight=False).print(_table([row(1), row(2)], False))
        assert ("\x1b[32mdone" in stream.getvalue()) is wanted


def test_watch_waits_for_a_run_that_is_starting(tmp_path, runs, monkeypatch):
    """A root without runs is watched until some run was there and has ended."""
    monkeypatch.setattr(status, "LINE_INTERVAL", 0.02)
    seen = [[], [], [row(1, "running")], [row(1)]]
    stream = io.StringIO()
    status._watch(lambda: seen.pop(0), Console(file=stream, width=200), every_run=False)
    assert seen == []
    assert stream.getvalue().splitlines()[-1].startswith("1 run: 1 done")
    monkeypatch.setattr(status, "START_TIMEOUT", 0.1)
    status._watch(lambda: [], Console(file=stream, width=200), every_run=False)
    assert stream.getvalue().splitlines()[-1] == "no runs"


def test_watch_leaves_a_slow_root_alone_for_most_of_the_time(monkeypatch):
    """A root that takes 3 s to read is read every 15 s: each refresh waits for 12 s."""
    clock, waits = [0.0], []

    def sleep(seconds):
        waits.append(seconds)
        clock[0] += seconds

    def current():
        clock[0] += 3.0
        return [row(1, "running" if len(waits) < 4 else "done")]

    monkeypatch.setattr(status.time, "sleep", sleep)
    monkeypatch.setattr(status.time, "monotonic", lambda: clock[0])
    stream = io.StringIO()
    status._watch(current, Console(file=stream, width=200, height=40, force_terminal=True), every_run=False)
    assert waits == pytest.approx([0.0, 12.0, 12.0, 12.0])
