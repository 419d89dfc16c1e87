"""A worker marks what happened to its runs, whatever happens to it.

`work` takes its training function as an argument: the stories here need trainings that break in a chosen way. The
real training runs in test_pool.py and test_cli.py.
"""

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ablations.grids import runs_of
from harness.dataset import ensure_dataset
from harness.planner import commit
from harness.settings import with_settings
from harness.worker import Stopped, work
from tests.waiting import wait_until


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


def finish_all(folders):
    for folder in folders:
        folder.finish({})


def test_all_well(folders):
    seen = []

    def train(pack):
        seen.append((states(pack), [folder.status()["phase"] for folder in pack]))
        finish_all(pack)

    assert work(folders, train)
    assert seen == [(["running"] * 4, ["starting"] * 4)]
    assert states(folders) == ["done"] * 4


def test_finished_runs_and_those_of_another_process_are_left_alone(folders):
    folders[0].finish({"final_score": 1.0})
    taken = folders[1].lock()
    trained = []

    def train(pack):
        trained.extend(pack)
        finish_all(pack)

    assert work(folders, train)
    assert trained == folders[2:]
    assert states(folders) == ["done", "planned", "done", "done"]
    taken.close()
    assert work(folders[1:2], train)


def test_what_breaks_the_pack_marks_the_unfinished_runs(folders):
    def train(pack):
        pack[0].finish({})
        pack[1].write_status("failed", reason="diverged at update 3")
        pack[2].write_status("running", phase="online", step=40, share=0.5)
        raise ValueError("shapes differ\nin a second line")

    assert not work(folders, train)
    assert states(folders) == ["done", "failed", "failed", "failed"]
    assert folders[1].status()["reason"] == "diverged at update 3"
    assert folders[2].status()["reason"] == "ValueError: shapes differ"
    assert (folders[2].status()["phase"], folders[2].status()["step"]) == ("online", 40)
    assert "Traceback" in folders[2].log.read_text()
    assert 'raise ValueError("shapes differ' in folders[3].log.read_text()
    assert not folders[0].log.exists()


def test_a_run_that_failed_alone_does_not_fail_its_neighbours(folders):
    def train(pack):
        pack[0].write_status("failed", reason="diverged")
        finish_all(pack[1:])

    assert not work(folders, train)
    assert states(folders) == ["failed", "done", "done", "done"]


def test_stopped_runs_are_interrupted_not_failed(folders):
    def train(pack):
        pack[0].finish({})
        pack[1].write_status("running", phase="offline", step=7, share=0.1)
        raise Stopped

    with pytest.raises(Stopped):
        work(folders, train)
    assert states(folders) == ["done", "interrupted", "interrupted", "interrupted"]
    assert folders[1].status()["step"] == 7
    with folders[1].lock() as lock:
        assert lock


def start(folders, **variables):
    command = [sys.executable, "-m", "harness.worker", str(folders[0].path.parent), *(folder.id for folder in folders)]
    return subprocess.Popen(command, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_a_missing_dataset_fails_in_one_line(folders):
    """The real training in the real process; nobody made the data here."""
    worker = start(folders[:2], MINARI_DATASETS_PATH=str(folders[0].path.parent / "empty"))
    output, _ = worker.communicate(timeout=60)
    assert worker.returncode == 1, output
    assert states(folders) == ["failed", "failed", "planned", "planned"]
    assert "make it with: floorbench data pointmaze-umaze" in folders[0].status()["reason"]
    assert "Traceback" in folders[1].log.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_it_quietly(long_folders, number):
    worker = start(long_folders)
    wait_until(lambda: all(folder.status().get("step", 0) > 0 for folder in long_folders))
    worker.send_signal(number)
    output, _ = worker.communicate(timeout=30)
    assert (worker.returncode, output) == (130, b"")
    assert states(long_folders) == ["interrupted"] * 4
    assert all(folder.status()["step"] > 0 for folder in long_folders)


def test_it_ends_with_its_parent(long_folders, tmp_path):
    """A parent that is killed cannot stop its workers, so they look after themselves."""
    code = (
        "import os, subprocess, sys, time;"
        "subprocess.Popen(sys.argv[1:], env={**os.environ, 'FLOORBENCH_PARENT': str(os.getpid())}); time.sleep(60)"
    )
    folder = long_folders[0]
    command = [sys.executable, "-m", "harness.worker", str(tmp_path), folder.id]
    parent = subprocess.Popen([sys.executable, "-c", code, *command])
    wait_until(lambda: folder.status().get("phase") == "floor")
    parent.kill()
    parent.wait()
    wait_until(lambda: folder.status()["state"] == "interrupted")
    wait_until(lambda: not is_process(folder.status()["process"]))


def is_process(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_usage():
    worker = subprocess.run([sys.executable, "-m", "harness.worker"], capture_output=True, text=True)
    assert worker.returncode == 2
    assert worker.stderr == "usage: python -m harness.worker ROOT RUN_ID...\n"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back like this")
def test_freed_memory_is_kept_for_the_next_update():
    """Page faults of 50 updates of a pack of 4 at the demo's size: hardly any, or more than a thousand an update."""
    script = """
import resource, sys, torch
from harness.tasks import base_run
from harness.worker import keep_freed_memory
from tests.packs import make_batch, make_learner, make_noise

torch.set_num_threads(1)
if sys.argv[1] == "keep":
    keep_freed_memory()
settings, seeds = base_run("pointmaze-medium", "demo", 0).algorithm, [0, 1, 2, 3]
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
    root = Path(__file__).parent.parent

    def faults(mode):
        done = subprocess.run([sys.executable, "-c", script, mode], cwd=root, capture_output=True, text=True)
        return int(done.stdout)

    assert faults("keep") < 1000 < faults("default")
