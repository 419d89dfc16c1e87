"""A worker records what happened to its runs, however it ends.

`work` takes its training function as an argument: the scenarios here need trainings that break in a chosen way. The
real training runs in test_pool.py and test_cli.py.
"""

import errno
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ablations.grids import runs_of
from harness.data.dataset import ensure_dataset
from harness.folders import attempts
from harness.folders.attempts import HEARTBEAT_LIMIT, history, latest_attempt
from harness.folders.run_folder import RunFolder
from harness.launching.planner import commit
from harness.launching.worker import work
from harness.settings import with_settings
from harness.training.timing import Stop, Stopped
from tests.support.waiting import wait_until


@pytest.fixture
def folders(tmp_path):
    return commit(runs_of("smoke"), tmp_path)


@pytest.fixture
def long_folders(tmp_path):
    """Real runs that would train for hours."""
    runs = [with_settings(run, {"schedule.offline_steps": 10_000_000}) for run in runs_of("smoke")]
    ensure_dataset(runs[0].task)
    return commit(runs, tmp_path)


def states(folders):
    return [folder.status()["state"] for folder in folders]


def endings(folders):
    """The outcomes of the attempts, by run."""
    return [[attempt.get("reason") for attempt in history(folder.path)] for folder in folders]


def finish_all(folders):
    for folder in folders:
        folder.finish({})


def test_runs_are_trained_and_marked_done(folders):
    seen = []

    def train(pack, stop):
        seen.append((states(pack), [folder.status()["phase"] for folder in pack]))
        finish_all(pack)

    assert work(folders, train, Stop())
    assert seen == [(["running"] * 4, ["starting"] * 4)]
    assert states(folders) == ["done"] * 4
    assert endings(folders) == [["done"]] * 4
    assert history(folders[0].path)[0]["launcher"] == "by hand"


def test_finished_runs_and_runs_of_another_process_are_skipped(folders):
    folders[0].finish({"final_score": 1.0})
    other = RunFolder(folders[1].path)
    other.begin_attempt({})
    trained = []

    def train(pack, stop):
        trained.extend(pack)
        finish_all(pack)

    assert work(folders, train, Stop())
    assert trained == folders[2:]
    assert states(folders) == ["done", "planned", "done", "done"]
    assert endings(folders) == [[], [None], ["done"], ["done"]]
    other.end_attempt("interrupted: stopped by SIGTERM")
    assert work(folders[1:2], train, Stop())
    assert endings(folders[1:2]) == [["interrupted: stopped by SIGTERM", "done"]]


def test_an_error_of_the_pack_marks_unfinished_runs_failed(folders):
    def train(pack, stop):
        pack[0].finish({})
        pack[1].write_status("failed", reason="diverged at update 3")
        pack[2].write_status("running", phase="online", step=40, progress=0.5)
        raise ValueError("shapes differ\nin a second line")

    assert not work(folders, train, Stop())
    assert states(folders) == ["done", "failed", "failed", "failed"]
    assert folders[1].status()["reason"] == "diverged at update 3"
    assert folders[2].status()["reason"] == "ValueError: shapes differ"
    assert (folders[2].status()["phase"], folders[2].status()["step"]) == ("online", 40)
    assert "Traceback" in folders[2].log.read_text()
    assert 'raise ValueError("shapes differ' in folders[3].log.read_text()
    assert not folders[0].log.exists()
    broke = "failed: ValueError: shapes differ"
    assert endings(folders) == [["done"], ["failed: diverged at update 3"], [broke], [broke]]


def test_a_failed_run_does_not_affect_its_pack_mates(folders):
    def train(pack, stop):
        pack[0].write_status("failed", reason="diverged")
        finish_all(pack[1:])

    assert not work(folders, train, Stop())
    assert states(folders) == ["failed", "done", "done", "done"]


def test_stopped_runs_are_interrupted_not_failed(folders):
    def train(pack, stop):
        pack[0].finish({})
        pack[1].write_status("running", phase="offline", step=7, progress=0.1)
        stop.request("SIGTERM")
        stop.request("SIGINT")
        stop.check()

    with pytest.raises(Stopped):
        work(folders, train, Stop())
    assert states(folders) == ["done", "interrupted", "interrupted", "interrupted"]
    assert folders[1].status()["step"] == 7
    assert folders[1].status()["reason"] == "stopped by SIGTERM"
    assert endings(folders) == [["done"], *[["interrupted: stopped by SIGTERM"]] * 3]
    assert folders[1].begin_attempt({})


def test_a_stop_request_is_honoured_before_training(folders):
    stop = Stop()
    stop.request("SIGINT")
    with pytest.raises(Stopped):
        work(folders, lambda pack, stop: pytest.fail("trained"), stop)
    assert states(folders) == ["interrupted"] * 4


def test_a_run_taken_over_is_dropped_and_the_others_continue(folders):
    packs = []

    def train(pack, stop):
        packs.append(list(pack))
        if len(packs) == 1:
            file = latest_attempt(folders[1].path).file
            os.utime(file, (file.stat().st_mtime - HEARTBEAT_LIMIT - 5,) * 2)
            assert other.begin_attempt({"launcher": "another"})
            other.write_status("running", phase="online", step=40)
        for folder in pack:
            folder.write_status("running", phase="offline", step=1)
        finish_all(pack)

    other = RunFolder(folders[1].path)
    assert work(folders, train, Stop())
    assert packs == [folders, [folders[0], *folders[2:]]]
    assert states(folders) == ["done", "running", "done", "done"]
    assert folders[1].status()["phase"] == "online"
    assert endings(folders) == [["done"], ["lost: no end recorded", None], ["done"], ["done"]]


def test_heartbeats_are_written_during_training(folders, monkeypatch):
    monkeypatch.setattr(attempts, "HEARTBEAT_INTERVAL", 0.01)

    def train(pack, stop):
        files = [latest_attempt(folder.path).file for folder in pack]
        for file in files:
            os.utime(file, (0, 0))
        wait_until(lambda: all(file.stat().st_mtime > 0 for file in files))
        finish_all(pack)

    assert work(folders, train, Stop())


@pytest.mark.parametrize("error", [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("CUDA error: uncorrectable ECC error encountered\nCUDA kernel errors might be reported later"),
])  # fmt: skip
def test_an_error_of_the_gpu_leaves_the_runs_interrupted(folders, capfd, error):
    def train(pack, stop):
        raise error

    assert not work(folders, train, Stop())
    assert states(folders) == ["interrupted"] * 4
    line = capfd.readouterr().err.splitlines()
    assert len(line) == 1
    assert str(error).partition("\n")[0] in line[0]


def test_a_disk_error_leaves_the_runs_interrupted(folders, capfd):
    def train(pack, stop):
        pack[0].finish({})
        pack[1].write_status("running", phase="offline", step=7, progress=0.1)
        raise OSError(errno.ENOSPC, "No space left on device", "runs/a/checkpoint/b")

    assert not work(folders, train, Stop())
    assert states(folders) == ["done", "interrupted", "interrupted", "interrupted"]
    reason = "runs/a/checkpoint/b: no space left on device"
    assert (folders[1].status()["reason"], folders[1].status()["step"]) == (reason, 7)
    assert endings(folders[1:2]) == [[f"interrupted: {reason}"]]
    assert capfd.readouterr().err == f"error: {reason}\n"


def test_other_system_errors_are_failures(folders):
    def train(pack, stop):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "floor.bin")

    assert not work(folders[:1], train, Stop())
    assert folders[0].status()["reason"] == "floor.bin: no such file or directory"
    assert states(folders[:1]) == ["failed"]


def test_a_damaged_folder_is_reported_and_skipped(folders, capfd):
    (folders[0].path / "status.json").write_text("{")
    folders[1].begin_attempt({})
    folders[1].end_attempt("interrupted: stopped by SIGTERM")
    latest_attempt(folders[1].path).file.write_text("{")
    before = files_of(folders[0]) | files_of(folders[1])
    assert not work(folders, lambda pack, stop: finish_all(pack), Stop())
    assert states(folders[2:]) == ["done"] * 2
    assert files_of(folders[0]) | files_of(folders[1]) == before
    first, second = capfd.readouterr().err.splitlines()
    assert first == f"error: {folders[0].path / 'status.json'}: is damaged (not JSON)"
    assert second == f"error: {folders[1].path / 'attempts' / '000001.json'}: is damaged (not JSON)"


def files_of(folder):
    return {file: file.read_bytes() for file in folder.path.rglob("*") if file.is_file()}


def start(folders, **variables):
    arguments = [str(folders[0].path.parent), *(folder.id for folder in folders)]
    command = [sys.executable, "-m", "harness.launching.worker", *arguments]
    return subprocess.Popen(command, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_a_missing_dataset_is_a_one_line_failure(folders):
    """The real training in the real process, without data."""
    worker = start(folders[:2], MINARI_DATASETS_PATH=str(folders[0].path.parent / "empty"))
    output, _ = worker.communicate(timeout=300)
    assert worker.returncode == 1, output
    assert states(folders) == ["failed", "failed", "planned", "planned"]
    assert "create it with: floorbench data pointmaze-umaze" in folders[0].status()["reason"]
    assert "Traceback" in folders[1].log.read_text()


def test_a_suspended_worker_that_lost_its_run_stops_writing(tmp_path):
    """The real training: another worker resumes from the checkpoint of the first, which then wakes up."""
    run = with_settings(runs_of("smoke")[0], {"schedule.offline_steps": 20_000, "schedule.online_steps": 0})
    ensure_dataset(run.task)
    untouched, folder = (commit([run], tmp_path / name)[0] for name in ("untouched", "taken"))
    assert start([untouched]).wait(300) == 0
    first = start([folder], FLOORBENCH_CHECKPOINT_SECONDS="0.1")
    wait_until(lambda: len(list(folder.checkpoints.glob("*.ckpt"))) == 2)
    first.send_signal(signal.SIGSTOP)
    assert start([folder]).wait(300) == 0
    assert states([folder]) == ["running"]
    file = latest_attempt(folder.path).file
    os.utime(file, (file.stat().st_mtime - HEARTBEAT_LIMIT - 5,) * 2)
    assert start([folder]).wait(300) == 0
    assert states([folder]) == ["done"]
    before = files_of(folder)
    first.send_signal(signal.SIGCONT)
    output, _ = first.communicate(timeout=300)
    assert (first.returncode, output) == (0, b"")
    assert files_of(folder) == before
    assert endings([folder]) == [["lost: no end recorded", "done"]]
    assert (folder.metrics_file.read_bytes(), folder.summary()) == (
        untouched.metrics_file.read_bytes(),
        untouched.summary(),
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_the_worker_without_a_traceback(long_folders, number):
    worker = start(long_folders)
    wait_until(lambda: all(folder.status().get("step", 0) > 0 for folder in long_folders))
    worker.send_signal(number)
    output, _ = worker.communicate(timeout=300)
    assert (worker.returncode, output) == (130, b"")
    assert states(long_folders) == ["interrupted"] * 4
    assert all(folder.status()["step"] > 0 for folder in long_folders)
    assert endings(long_folders) == [[f"interrupted: stopped by {number.name}"]] * 4


def test_the_worker_stops_when_its_parent_ends(long_folders, tmp_path):
    """A killed parent cannot stop its workers, so they stop themselves."""
    code = (
        "import os, subprocess, sys, time;"
        "subprocess.Popen(sys.argv[1:], env={**os.environ, 'FLOORBENCH_PARENT': str(os.getpid())}); time.sleep(60)"
    )
    folder = long_folders[0]
    command = [sys.executable, "-m", "harness.launching.worker", str(tmp_path), folder.id]
    parent = subprocess.Popen([sys.executable, "-c", code, *command])
    wait_until(lambda: folder.status().get("phase") == "floor")
    parent.kill()
    parent.wait()
    wait_until(lambda: folder.status()["state"] == "interrupted")
    assert folder.status()["reason"] == "stopped by the end of its launcher"
    wait_until(lambda: not is_process(folder.status()["process"]))


def is_process(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_usage():
    worker = subprocess.run([sys.executable, "-m", "harness.launching.worker"], capture_output=True, text=True)
    assert worker.returncode == 2
    assert worker.stderr == "usage: python -m harness.launching.worker ROOT RUN_ID...\n"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back like this")
def test_freed_memory_is_reused():
    """Page faults of 50 updates of a pack of 4 at the demo's size: hardly any, or over a thousand an update."""
    script = """
import resource, sys, torch
from dataclasses import replace
from harness.tasks.registry import base_run
from harness.launching.worker import keep_freed_memory
from tests.support.packs import make_batch, make_learner, make_noise

torch.set_num_threads(1)
if sys.argv[1] == "keep":
    keep_freed_memory()
settings, seeds = replace(base_run("pointmaze-medium", "demo", 0).algorithm, kernel="torch"), [0, 1, 2, 3]
learner = make_learner([settings] * 4, seeds)
batch, noise = make_batch(seeds, 0, settings.batch_size), make_noise(settings, seeds, 0)

def faults(updates):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(updates):
        learner.update(batch, noise)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(10)
print(faults(50))
"""
    root = Path(__file__).parents[3]

    def faults(mode):
        done = subprocess.run([sys.executable, "-c", script, mode], cwd=root, capture_output=True, text=True)
        return int(done.stdout)

    assert faults("keep") < 1000 < faults("default")
