"""The local pool with real workers: bounded, isolated failures, nothing left behind."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ablations.commands.run import conclude
from ablations.grids import runs_of
from harness.data.dataset import ensure_dataset
from harness.folders.attempts import history
from harness.folders.run_folder import RunFolder
from harness.launching import pool
from harness.launching.fork_server import ForkServer
from harness.launching.planner import commit, packs, plan
from harness.launching.pool import Failures, cause, run_packs
from harness.settings import with_settings
from harness.training.timing import CHECKPOINT_VARIABLE
from tests.support.waiting import wait_until


def with_long(runs):
    """Runs that would train for hours."""
    return [with_settings(run, {"schedule.offline_steps": 10_000_000}) for run in runs]


def tiny(runs):
    """Runs that train for a second."""
    changes = {"schedule.offline_steps": 20, "schedule.online_steps": 20, "schedule.evaluation_episodes": 1}
    return [with_settings(run, changes) for run in runs]


def folders_of(runs, root, limit):
    commit(runs, root)
    return [commit(pack, root) for pack in packs(runs, limit, workers=1)]


# A shell starts background jobs with SIGINT ignored, which child processes inherit.
POOL = """
import signal
import sys
import threading
from pathlib import Path
from harness.launching.pool import run_packs
from harness.folders.run_folder import RunFolder
signal.signal(signal.SIGINT, signal.default_int_handler)
run_packs([[RunFolder(Path(path)) for path in pack.split(",")] for pack in sys.argv[1:]], 1)
"""


def start_pool(packs, **options):
    """A process whose pool has one worker."""
    named = [",".join(str(folder.path) for folder in pack) for pack in packs]
    return subprocess.Popen([sys.executable, "-c", POOL, *named], **options)


def endings(packs):
    """The outcomes of the attempts, by run."""
    return [[[attempt.get("reason") for attempt in history(folder.path)] for folder in pack] for pack in packs]


def states(packs):
    return [[folder.status()["state"] for folder in pack] for pack in packs]


def place_of(process):
    """The slot of a worker, which is in its name."""
    return Path(f"/proc/{process}/comm").read_text().split()[-1]


@pytest.fixture(scope="module", autouse=True)
def dataset(minari_folder):
    ensure_dataset(runs_of("smoke")[0].task)


def test_the_number_of_workers_is_bounded_and_each_has_one_thread(tmp_path):
    # Long enough that the pool, which looks five times a second, sees two at a time on a fast machine.
    long = [with_settings(run, {"schedule.offline_steps": 10_000}) for run in tiny(runs_of("smoke"))]
    packs = folders_of(long, tmp_path, limit=1)
    seen, places = [], []

    def look():
        running = [pack[0] for pack in packs if states([pack]) == [["running"]]]
        seen.append(len(running))
        with contextlib.suppress(OSError):
            places.append([place_of(folder.status()["process"]) for folder in running])

    run_packs(packs, workers=2, watch=look)
    assert states(packs) == [["done"]] * 4
    assert max(seen) == 2
    # Each worker has its slot, which on a machine with several GPUs is its GPU.
    assert {place for gpus in places for place in gpus} == {"0", "1"}
    assert all(len(set(gpus)) == len(gpus) for gpus in places)
    folders = [folder for pack in packs for folder in pack]
    assert [folder.provenance()["threads"] for folder in folders] == [1] * 4
    assert [folder.provenance()["attempts"][0]["launcher"] for folder in folders] == ["local pool"] * 4
    assert len({folder.provenance()["attempts"][0]["process"] for folder in folders}) == 4


def test_two_pools_share_the_runs(tmp_path):
    packs = folders_of(tiny(runs_of("smoke")[:2]), tmp_path, limit=1)
    pools = [start_pool(packs) for _ in range(2)]
    assert [pool.wait(300) for pool in pools] == [0, 0]
    assert states(packs) == [["done"]] * 2
    assert endings(packs) == [[["done"]]] * 2


def test_a_failed_pack_does_not_affect_others(tmp_path):
    good = tiny(runs_of("smoke")[:2])
    no_data = [with_settings(run, {"task.data.seed": 99}) for run in good]
    packs = folders_of([*no_data, *good], tmp_path, limit=2)
    run_packs(packs, workers=1)
    assert states(packs) == [["failed"] * 2, ["done"] * 2]
    assert "create it with" in packs[0][1].status()["reason"]
    assert packs[0][1].log_tail().startswith("harness.errors.UserError: dataset")


def test_the_same_error_again_and_again_stops_the_launch(tmp_path, capsys):
    """As with an environment that a node lacks: six runs in packs of one; two may fail for the same reason."""
    runs = tiny([with_settings(runs_of("smoke")[0], {"seed": seed}) for seed in range(6)])
    commit(runs, tmp_path)
    for run in runs:
        (RunFolder.of(tmp_path, run).path / "metrics.jsonl").mkdir()
    folders = [[RunFolder.of(tmp_path, run)] for run in runs]
    repeated = run_packs(folders, 1, failures=Failures(2))
    assert repeated is not None
    assert [folder.state for (folder,) in folders] == ["failed"] * 2 + ["planned"] * 4
    assert conclude(plan(runs, tmp_path)) == 1
    assert capsys.readouterr().err.count("failed: ") == 2


def test_failures_are_counted_by_reason_until_a_run_is_done(tmp_path):
    runs = [with_settings(runs_of("smoke")[0], {"seed": seed}) for seed in range(30)]
    commit(runs, tmp_path)
    folders = [RunFolder.of(tmp_path, run) for run in runs]
    failures, unlimited = Failures(3), Failures(0)
    for number, folder in enumerate(folders):
        folder.write_status("failed", reason=f"{folder.id}: not finite at update {number}")
    for folder in folders[:2]:
        failures.add([folder])
    folders[2].write_status("failed", reason="another")
    failures.add([folders[2]])
    assert failures.repeated is None
    failures.add([folders[3]])
    assert failures.repeated == "*: not finite at update *"
    folders[4].write_status("done")
    failures.add([folders[4]])
    assert failures.repeated is None
    unlimited.add(folders)
    assert unlimited.repeated is None


def test_many_failures_are_summed_up(tmp_path, capsys):
    runs = [with_settings(runs_of("smoke")[0], {"seed": seed}) for seed in range(30)]
    commit(runs, tmp_path)
    for number, run in enumerate(runs):
        RunFolder.of(tmp_path, run).write_status("failed", reason="another" if number == 7 else f"broken at {number}")
    assert conclude(plan(runs, tmp_path)) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"30 runs in {tmp_path}: 30 failed"
    assert [line.split(": ")[0] for line in lines[1:]] == ["failed"] * 7
    assert lines[6] == "failed: 24 more runs for the same reason"


def test_a_killed_worker_is_reported_and_does_not_affect_others(tmp_path):
    runs = runs_of("smoke")
    packs = folders_of([*with_long(runs[:2]), *tiny(runs[2:])], tmp_path, limit=2)

    def kill_first():
        of_runs = [folder.status() for folder in packs[0]]
        if all((status.get("phase"), status["state"]) == ("offline", "running") for status in of_runs):
            os.kill(of_runs[0]["process"], signal.SIGKILL)

    run_packs(packs, workers=2, watch=kill_first)
    assert states(packs) == [["failed"] * 2, ["done"] * 2]
    reason = "worker was killed by SIGKILL (out of memory?)"
    assert packs[0][1].status()["reason"] == reason
    assert packs[0][1].status()["phase"] == "offline"
    assert endings(packs) == [[[f"failed: {reason}"]] * 2, [["done"]] * 2]


def test_a_killed_worker_with_progress_leaves_its_run_interrupted(tmp_path, monkeypatch):
    """It resumes from its checkpoint when it is started again, which the pool does not do."""
    packs = folders_of(with_long(runs_of("smoke")[:1]), tmp_path, limit=1)
    folder = packs[0][0]

    def kill_when(is_reached):
        status = folder.status()
        if status["state"] == "running" and status.get("phase") == "offline" and is_reached():
            os.kill(status["process"], signal.SIGKILL)

    monkeypatch.setenv(CHECKPOINT_VARIABLE, "0.1")
    run_packs(packs, workers=1, watch=lambda: kill_when(lambda: folder.newest_checkpoint))
    assert states(packs) == [["interrupted"]]
    reason = "worker was killed by SIGKILL (out of memory?)"
    assert folder.status()["reason"] == reason
    monkeypatch.setenv(CHECKPOINT_VARIABLE, "1000")
    run_packs(packs, workers=1, watch=lambda: kill_when(lambda: True))
    assert states(packs) == [["failed"]]
    assert endings(packs) == [[[f"interrupted: {reason}", f"failed: {reason}"]]]


def test_a_worker_stopped_during_start_up_has_not_failed(tmp_path, monkeypatch):
    packs = folders_of(tiny(runs_of("smoke")[:1]), tmp_path, limit=1)
    (tmp_path / "sitecustomize.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run_packs(packs, workers=1)
    assert states(packs) == [["interrupted"]]
    assert packs[0][0].status()["reason"] == "worker was killed by SIGTERM"
    assert endings(packs) == [[[]]]


def test_runs_owned_by_another_process_are_skipped(tmp_path):
    """Their owner releases one while the worker, which could not acquire it, fails with another."""
    first, second = tiny(runs_of("smoke")[:2])
    folders = commit([with_settings(run, {"task.data.seed": 99}) for run in (first, second)], tmp_path)
    other = RunFolder(folders[0].path)
    assert other.begin_attempt({})
    other.write_status("running", phase="online", step=3)

    def give_back():
        wait_until(lambda: folders[1].status()["state"] != "planned")
        other.write_status("interrupted", reason="stopped by SIGINT")
        other.end_attempt("interrupted: stopped by SIGINT")

    owner = threading.Thread(target=give_back)
    owner.start()
    run_packs([folders], workers=1)
    owner.join()
    assert states([folders]) == [["interrupted", "failed"]]
    assert other.status()["reason"] == "stopped by SIGINT"
    assert endings([folders])[0][0] == ["interrupted: stopped by SIGINT"]


def limited(folder, blocks):
    """The pool with a limit on file sizes, in blocks of 1,024 bytes, which acts as a full disk."""
    command = shlex.join([sys.executable, "-c", POOL, str(folder.path)])
    environment = {**os.environ, CHECKPOINT_VARIABLE: "0.2"}
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f {blocks}; {command}"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_disk_error_interrupts_a_run_without_losing_work(tmp_path):
    """Checkpoints do not fit any more, then not even the smallest file; with room again the run ends as if nothing
    had happened."""
    sound, broken = (folders_of(tiny(runs_of("smoke")[:1]), tmp_path / name, limit=1)[0][0] for name in ("a", "b"))
    run_packs([[sound]], workers=1)
    assert limited(broken, blocks=16) == ""
    assert broken.status()["state"] == "interrupted"
    assert broken.status()["reason"].endswith(".ckpt: file too large")
    assert str(broken.checkpoints) in broken.status()["reason"]
    assert broken.log_tail() == f"error: {broken.status()['reason']}"
    before = {file: file.read_bytes() for file in broken.path.rglob("*") if file.is_file()}
    errors = limited(broken, blocks=0)
    assert errors.startswith(f"error: {broken.path / 'attempts'}")
    assert all(line.endswith(": file too large") for line in errors.splitlines())
    assert {file: file.read_bytes() for file in broken.path.rglob("*") if file.is_file()} == before
    run_packs([[broken]], workers=1)
    assert broken.metrics_file.read_bytes() == sound.metrics_file.read_bytes()
    assert broken.summary() == sound.summary()


def test_output_of_a_worker_is_in_the_logs_of_its_runs(tmp_path):
    """A process that dies before it writes a status, as with a broken installation."""
    packs = folders_of(tiny(runs_of("smoke")[:2]), tmp_path, limit=2)
    broken = tmp_path / "torch.py"
    broken.write_text("import sys, os; print('no such symbol', file=sys.stderr, flush=True); os._exit(7)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        run_packs(packs, workers=1)
    assert states(packs) == [["failed"] * 2]
    assert packs[0][0].status()["reason"] == "worker exited with code 7 without reporting an error"
    assert [folder.log_tail() for folder in packs[0]] == ["no such symbol"] * 2


def test_an_exception_stops_the_workers_gracefully(tmp_path):
    packs = folders_of(with_long(runs_of("smoke")), tmp_path, limit=2)
    seen = {}

    def stop_when_training():
        statuses = [pack[0].status() for pack in packs]
        if [status.get("phase") for status in statuses] == ["offline"] * 2:
            seen.update(processes=[status["process"] for status in statuses])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_packs(packs, workers=2, watch=stop_when_training)
    assert states(packs) == [["interrupted"] * 2] * 2
    for process in seen["processes"]:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


@pytest.fixture
def interruptible():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("forked", [True, False])
def test_an_interrupt_while_a_worker_starts_stops_that_worker(tmp_path, monkeypatch, interruptible, forked):
    """When the worker exists and the pool does not know it yet, as while the fork server answers."""
    packs = folders_of(with_long(runs_of("smoke")[:1]), tmp_path, limit=1)
    fork, started = ForkServer.fork, []

    def interrupted_fork(*arguments):
        started.append(fork(*arguments))
        os.kill(os.getpid(), signal.SIGINT)
        return started[-1]

    class InterruptedPopen(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(pool, "is_forkable", lambda pack: forked)
    if forked:
        monkeypatch.setattr(ForkServer, "fork", interrupted_fork)
    else:
        monkeypatch.setattr(subprocess, "Popen", InterruptedPopen)
    with pytest.raises(KeyboardInterrupt):
        run_packs(packs, workers=1)
    assert [worker.returncode is not None for worker in started] == [True]
    assert states(packs) == [["interrupted"]]


def test_workers_do_not_outlive_a_killed_pool(tmp_path):
    packs = folders_of(with_long(runs_of("smoke")[:2]), tmp_path, limit=2)
    pool = start_pool(packs)
    wait_until(lambda: packs[0][0].status().get("phase") in ("floor", "offline"))
    pool.kill()
    pool.wait()
    wait_until(lambda: states(packs) == [["interrupted"] * 2])


def test_a_second_signal_does_not_disturb_the_shutdown(tmp_path):
    """The worker is stopped while the user keeps pressing Ctrl-C."""
    folder = folders_of(with_long(runs_of("smoke")[:1]), tmp_path, limit=1)[0][0]
    pool = start_pool([[folder]], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: folder.status().get("phase") == "offline")
    worker = folder.status()["process"]
    os.kill(worker, signal.SIGSTOP)
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
        pool.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            pool.wait(0.3)
    os.kill(worker, signal.SIGCONT)
    _, errors = pool.communicate(timeout=300)
    assert errors.endswith("KeyboardInterrupt\n")
    assert endings([[folder]]) == [[["interrupted: stopped by SIGTERM"]]]


def test_cause():
    assert cause(-signal.SIGSEGV) == "worker was killed by SIGSEGV"
    assert cause(3) == "worker exited with code 3 without reporting an error"
