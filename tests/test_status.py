"""Status goes on past what is damaged, and says what is wrong with it."""

import io
import json

import pytest
from rich.console import Console

from ablations.grids import runs_of
from harness.commands.status import _table, rows_of
from harness.errors import UserError
from harness.run_folder import RunFolder
from tests.run_folder_factory import fail, write_done


@pytest.fixture(autouse=True)
def folder_without_data(tmp_path_factory, monkeypatch):
    """The factory's runs name data that nobody has; what other tests collected must not be compared with them."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("no_data")))


@pytest.fixture
def runs():
    return runs_of("smoke")


def shown(rows):
    stream = io.StringIO()
    Console(file=stream, width=300, highlight=False).print(_table(rows))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_damaged_folder_is_named_and_the_others_are_shown(tmp_path, runs):
    folders = write_done(tmp_path, runs)
    (folders[1].path / "status.json").write_text('{"state": "dreaming"}')
    (folders[1].path / "metrics.jsonl").write_text("")
    (folders[2].path / "config.json").write_text("{")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    rows = {row["run"]: row for row in rows_of(None, tmp_path)}
    assert [rows[run.id]["state"] for run in runs] == ["done", "damaged", "damaged", "done"]
    assert rows[runs[1].id]["arm"] == "cql"
    assert rows[runs[1].id]["reason"].startswith("metrics.jsonl: is damaged: its 0 rows in 0 bytes")
    assert rows[runs[2].id]["arm"] is None
    assert rows[runs[2].id]["faults"] == [f"{folders[2].path / 'config.json'}: is damaged (not JSON)"]
    assert rows[runs[0].id]["faults"] == []
    assert json.loads(json.dumps(list(rows.values()), allow_nan=False))
    lines = shown(list(rows.values()))
    assert lines[-1] in ("4 runs: 2 done, 2 damaged", "4 runs: 2 damaged, 2 done")
    assert any(line.startswith(runs[2].id) and line.endswith("config.json: is damaged (not JSON)") for line in lines)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_several_faults_of_one_folder_are_counted(tmp_path, runs):
    folder = write_done(tmp_path, runs[:1])[0]
    for name in ("config.json", "metrics.jsonl"):
        (folder.path / name).write_text("x")
    assert shown(rows_of(None, tmp_path))[1].endswith("config.json: is damaged (not JSON) (and 1 more)")


def test_a_folder_that_lost_its_settings_is_not_passed_over(tmp_path, runs):
    folder = write_done(tmp_path, runs[:1])[0]
    (folder.path / "config.json").unlink()
    row = rows_of(None, tmp_path)[0]
    assert (row["run"], row["state"]) == (runs[0].id, "damaged")
    assert row["reason"] == "config.json: is missing; this is not a run folder"


def test_rows_of_a_grid_know_the_run_whatever_its_folder_holds(tmp_path, runs):
    write_done(tmp_path, runs[:1])
    fail(tmp_path, runs[1], "it broke")
    RunFolder.of(tmp_path, runs[2]).path.mkdir()
    (tmp_path / runs[2].id / "config.json").write_text("")
    rows = rows_of(runs, tmp_path)
    assert [row["state"] for row in rows] == ["done", "failed", "damaged", "new"]
    assert [(row["arm"], row["seed"]) for row in rows] == [(run.arm, run.seed) for run in runs]
    assert shown(rows)[-1] == "4 runs: 1 done, 1 failed, 1 damaged, 1 new"
    with pytest.raises(UserError, match="holds some runs more than once"):
        rows_of([runs[0], runs[0]], tmp_path)
