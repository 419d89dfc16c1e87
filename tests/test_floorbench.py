"""The command line end to end: grid `smoke` from data to report, also interrupted, damaged and changed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from ablations.grids import runs_of
from harness.data.dataset import ensure_dataset
from harness.folders.run_folder import RunFolder, run_folders
from harness.tasks.hosted import HOSTED
from harness.tasks.registry import DEMO, PAPER
from tests.support.command_line import FLOORBENCH, SHORT, call, metrics, only_line, states
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """A root with grid smoke, run with two workers and packs of up to four."""
    root = tmp_path_factory.mktemp("A")
    return root, call("run", "smoke", "--root", root, "--workers", 2, "--pack", 4)


def test_smoke(smoke):
    root, done = smoke
    assert sorted(metrics(root)) == sorted(run.id for run in runs_of("smoke"))
    assert states(root) == ["done"] * 4
    assert done.stdout == ""
    assert f"4 runs in {root}: 4 new" in done.stderr
    assert f"4 runs in {root}: 4 done" in done.stderr
    assert "collecting pointmaze-umaze" in done.stderr or "updates/s" in done.stderr
    for folder in run_folders(root):
        assert folder.metrics()[-1]["online_step"] == 600
        assert folder.provenance()["dataset"] == next(run_folders(root)).provenance()["dataset"]


def test_an_interrupted_grid_resumes_byte_identically(smoke, tmp_path):
    """One worker and packs of one run, interrupted by Ctrl-C, then the same command again."""
    command = ["run", "smoke", "--root", tmp_path, "--workers", 1, "--pack", 1]
    process = subprocess.Popen([*FLOORBENCH, *map(str, command)], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: any(metrics_begun(tmp_path)))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert "resume with the same command" in errors
    assert "Traceback" not in errors
    assert sorted(states(tmp_path)) == ["interrupted", "planned", "planned", "planned"]
    call(*command)
    assert metrics(tmp_path) == metrics(smoke[0])
    assert all(metrics(tmp_path).values())


def metrics_begun(root):
    return [folder.metrics() for folder in run_folders(root)]


def test_finished_runs_are_skipped(smoke):
    root = smoke[0]
    before = {file: file.stat().st_mtime_ns for file in root.rglob("*")}
    call("run", "smoke", "--root", root)
    assert {file: file.stat().st_mtime_ns for file in root.rglob("*")} == before


def test_plan_shows_states_and_writes_nothing(smoke, tmp_path):
    output = json.loads(call("plan", "smoke", "--root", smoke[0], "--json").stdout)
    assert output["counts"] == {"done": 4}
    assert [row["run"] for row in output["runs"]] == [run.id for run in runs_of("smoke")]
    changed = call("plan", "smoke", "--root", tmp_path / "new", "--set", "algorithm.alpha=2").stdout
    assert "4 new" in changed
    assert runs_of("smoke")[0].id not in changed
    assert not (tmp_path / "new").exists()


def test_status(smoke, tmp_path):
    output = json.loads(call("status", "--root", smoke[0], "--json").stdout)
    rows = output["runs"]
    assert [(row["arm"], row["seed"]) for row in rows] == [
        ("cql", 0), ("cql", 1), ("monte_carlo", 0), ("monte_carlo", 1),
    ]  # fmt: skip
    assert {(row["state"], row["progress"]) for row in rows} == {("done", 1.0)}
    assert output["total"]["counts"] == {"done": 4}
    assert output["total"]["usage"]["core_hours"] > 0.0
    rows = json.loads(call("status", "smoke", "--root", tmp_path, "--json").stdout)["runs"]
    assert [row["state"] for row in rows] == ["new"] * 4
    assert "4 runs: 4 done" in call("status", "--root", smoke[0], "--watch").stdout


def test_watch_refreshes_until_interrupted(tmp_path):
    run = runs_of("smoke")[0]
    folder = RunFolder.of(tmp_path, run)
    folder.create(run)
    folder.begin_attempt({})
    folder.write_status("running", phase="online", step=12, progress=0.25)
    with subprocess.Popen(
        [*FLOORBENCH, "status", "--root", str(tmp_path), "--watch"], stdout=subprocess.PIPE, text=True
    ) as process:
        lines = [process.stdout.readline() for _ in range(3)]
        assert re.search(r"running +online +12 +25%", lines[1])
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=300) != 0


def test_runs_are_named_by_prefixes_of_ids(smoke):
    run = runs_of("smoke")[0]
    done = call("cancel", run.id[:8], "--root", smoke[0], "--yes")
    assert (done.stdout, "nothing to cancel" in done.stderr) == ("", True)
    assert "not the beginning of a run id" in only_line(call("logs", "zz", "--root", smoke[0], code=2))


def test_report_inside_the_root(smoke, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(smoke[0], root)
    done = call("report", "smoke", "--root", root, "--out", root / "summary")
    page = root / "summary" / "report.html"
    assert page.stat().st_size > 10_000
    assert done.stderr == f"report: {page}\n"
    assert "pointmaze-umaze" in done.stdout
    assert "regret" in done.stdout
    assert len(done.stdout.splitlines()) == 4
    assert json.loads(call("status", "--root", root, "--json").stdout)["total"]["runs"] == 4


def test_report_of_a_grid_without_runs(smoke):
    done = call("report", "floors", "--root", smoke[0], code=2)
    assert "none of the named runs found" in only_line(done)


def test_report_from_exported_numbers(smoke, tmp_path):
    frames = tmp_path / "frames"
    files = call("report", "--root", smoke[0], "--export", frames).stdout.splitlines()
    assert files == [str(frames / f"{name}.parquet") for name in ("runs", "evaluations", "provenance")]
    done = call("report", "smoke", "--from", frames)
    assert len(done.stdout.splitlines()) == 4
    assert (frames / "report" / "tables" / "scores.csv").exists()
    both = call("report", "--from", frames, "--root", smoke[0], code=2)
    assert "leave out one" in only_line(both)


def test_data(smoke):
    cards = json.loads(call("data", "pointmaze-umaze", "--json").stdout)
    assert len(cards) == 1
    listed = {row["task"]: row["made"] for row in json.loads(call("data", "--list", "--json").stdout)}
    assert set(listed) == set(DEMO) | set(PAPER)
    # Other test files may have made some, but none needs the hosted sets.
    assert listed["pointmaze-umaze"]
    assert not any(listed[task] for task in HOSTED)


def test_doctor_with_an_unwritable_root(tmp_path):
    (tmp_path / "file").write_text("")
    output = json.loads(call("doctor", "--root", tmp_path / "file" / "runs", "--json", code=1).stdout)
    assert not output["ready"]
    verdicts = {finding["name"]: finding["verdict"] for finding in output["findings"]}
    assert [name for name, verdict in verdicts.items() if verdict == "problem"] == ["runs"]


def test_a_failed_run_gives_exit_code_1_and_is_retried_on_request(tmp_path):
    command = ["run", "smoke", "--root", tmp_path, "--workers", 2, "--pack", 2, *SHORT]
    process = subprocess.Popen([*FLOORBENCH, *map(str, command)], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: "running" in states(tmp_path))
    victim = next(folder for folder in run_folders(tmp_path) if folder.status()["state"] == "running")
    os.kill(victim.status()["process"], signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1, errors
    assert sorted(states(tmp_path)) == ["done", "done", "failed", "failed"]
    assert f"failed: {victim.id}" in errors
    assert "worker was killed by SIGKILL" in errors

    again = call(*command, code=1)
    assert "run them again with --retry-failed" in again.stderr
    assert victim.status()["state"] == "failed"

    call(*command, "--retry-failed")
    assert states(tmp_path) == ["done"] * 4


def test_a_terminated_command_stops_its_workers(tmp_path):
    command = ["run", "smoke", "--root", tmp_path, "--workers", 1, "--set", "schedule.offline_steps=10000000"]
    process = subprocess.Popen([*FLOORBENCH, *map(str, command)], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: "running" in states(tmp_path))
    worker = next(folder.status()["process"] for folder in run_folders(tmp_path) if "process" in folder.status())
    process.terminate()
    process.communicate(timeout=300)
    assert process.returncode == 130
    assert set(states(tmp_path)) == {"interrupted"}
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_a_damaged_run_folder_is_named_and_not_modified(smoke, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(smoke[0], root)
    first, second = (root / run.id for run in runs_of("smoke")[:2])
    (first / "config.json").write_text("{")
    (second / "metrics.jsonl").write_text("")
    before = {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}
    for command in ("plan", "run", "verify"):
        line = only_line(call(command, "smoke", "--root", root, code=2))
        assert f"{first / 'config.json'}: is damaged (not JSON) (and 1 more)" in line
    # The report looks at the folders in the order of their names.
    named = first / "config.json" if first.name < second.name else second / "metrics.jsonl"
    line = only_line(call("report", "smoke", "--root", root, code=2))
    assert f"{named}: is damaged" in line
    assert "(and 1 more)" in line
    rows = json.loads(call("status", "--root", root, "--json").stdout)["runs"]
    assert sorted(row["state"] for row in rows) == ["damaged", "damaged", "done", "done"]
    assert "2 damaged" in call("status", "smoke", "--root", root).stdout
    output = json.loads(call("doctor", "--root", root, "--json", code=1).stdout)
    problems = [finding["text"] for finding in output["findings"] if finding["verdict"] == "problem"]
    assert sorted(problem.split(": is damaged")[0] for problem in problems) == sorted(
        [str(first / "config.json"), str(second / "metrics.jsonl")]
    )
    assert {file: file.read_bytes() for file in root.rglob("*") if file.is_file()} == before


def test_verify_finds_a_changed_number(smoke, tmp_path):
    """A copy with one changed score and consistent checksums; the other runs agree."""
    root = tmp_path / "root"
    shutil.copytree(smoke[0], root)
    folder = RunFolder.of(root, runs_of("smoke")[1])
    *rows, last = folder.metrics()
    folder.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**last, "score": 1.5}]))
    folder.finish({name: value for name, value in folder.summary().items() if name != "metrics"})
    before = {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}
    done = call("verify", "smoke", "--root", root, "--sample", 4, code=1)
    assert "3 of 4 agree" in done.stdout
    differs = next(line for line in done.stdout.splitlines() if "differs" in line)
    assert differs.startswith(folder.id)
    assert f"row {len(rows) + 1}, score: originally 1.5" in differs
    assert "compared byte for byte: the same type of machine" in done.stdout
    assert {file: file.read_bytes() for file in root.rglob("*") if file.is_file()} == before
    place = Path(re.search(r"the repetition is kept in (\S+)", done.stderr)[1])
    assert states(place) == ["done"] * 4
    shutil.rmtree(place)
    assert "1 of 1 agree" in call("verify", "smoke", "--root", smoke[0], "--sample", 1, "--sample-seed", 2).stdout


def test_exported_numbers_are_verified_without_the_run_folders(smoke, tmp_path):
    call("report", "smoke", "--root", smoke[0], "--export", tmp_path)
    done = call("verify", "smoke", "--from", tmp_path, "--sample", 1, "--sample-seed", 1)
    assert "1 of 1 agree" in done.stdout
    assert "compared bit by bit, all numbers of all evaluations: the same type of machine" in done.stdout
    assert f"repeating 1 of 4 finished runs in {tmp_path}" in done.stderr


def test_changed_data_are_named_and_refused(smoke, tmp_path, monkeypatch):
    """The dataset of the runs is replaced by one with a changed reward."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    ensure_dataset(runs_of("smoke")[0].task)
    assert "4 done" in call("plan", "smoke", "--root", smoke[0]).stdout
    with h5py.File(next(tmp_path.rglob("main_data.hdf5")), "r+") as stored:
        stored["episode_0"]["rewards"][0] += 0.5
    for command in ("plan", "run", "verify"):
        line = only_line(call(command, "smoke", "--root", smoke[0], code=2))
        assert "provenance.json: the run was computed on data with content hash" in line
        assert "(and 3 more)" in line
    rows = json.loads(call("status", "--root", smoke[0], "--json").stdout)["runs"]
    assert {row["state"] for row in rows} == {"damaged"}
    # What the runs found is as true as it was.
    assert "report.html" in call("report", "smoke", "--root", smoke[0], "--out", tmp_path / "report").stderr


def test_help_names_the_commands():
    done = call("--help")
    for command in ("data", "plan", "run", "status", "verify", "report", "tune", "doctor"):
        assert re.search(rf"^\W*{command} ", done.stdout, re.MULTILINE)


INTERRUPTED_IMPORT = """
import sys
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "harness.settings":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
import floorbench
"""

INTERRUPTED_DESTRUCTOR = """
import os, signal, sys, time
import floorbench
class Closed:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
def command(**_):
    Closed()
    time.sleep(30)
floorbench.app = command
floorbench.main()
"""

INTERRUPTED_EXIT = """
import atexit, os, signal
import floorbench
atexit.register(lambda: (os.kill(os.getpid(), signal.SIGTERM), [None for _ in range(1000)]))
floorbench.app = lambda **_: None
floorbench.main()
"""


@pytest.mark.parametrize(
    ("code", "ends"),
    [(INTERRUPTED_IMPORT, 130), (INTERRUPTED_DESTRUCTOR, 130), (INTERRUPTED_EXIT, -signal.SIGTERM)],
    ids=["in an import", "in a destructor", "after the command"],
)
def test_no_interruption_prints_a_traceback_or_is_lost(code, ends):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (ends, "", "")
