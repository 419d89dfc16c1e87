"""Workers that are forked: they differ from those that are started afresh in nothing but their start."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from ablations.grids import runs_of
from harness.data.dataset import ensure_dataset
from harness.folders.attempts import latest_attempt
from harness.launching.fork_server import Forked, ForkServer
from harness.launching.planner import commit
from harness.launching.pool import environment_of, is_forkable, run_packs, start
from harness.settings import with_settings
from tests.support.waiting import wait_until

SHORT = {"schedule.offline_steps": 20, "schedule.online_steps": 20, "schedule.evaluation_episodes": 1}


@pytest.fixture(scope="module", autouse=True)
def dataset(minari_folder):
    ensure_dataset(runs_of("smoke")[0].task)


@pytest.fixture
def server():
    server = ForkServer(environment_of(1))
    yield server
    server.close()


def folders_of(root, count, **settings):
    runs = runs_of("smoke")[:count]
    return commit([with_settings(run, {**SHORT, **settings}) for run in runs], root)


def parent_of(process):
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def server_of(pool):
    """The process id of a pool's fork server; None if it has none."""
    for child in Path(f"/proc/{pool}/task/{pool}/children").read_text().split():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{child}/comm").read_text() == "fork server\n":
                return int(child)
    return None


def test_a_forked_worker_is_a_child_of_the_pool_and_computes_the_same(tmp_path, server):
    """Its parent, process group, output, exit code, attempt and metrics."""
    (forked,), (fresh,) = folders_of(tmp_path / "forked", 1), folders_of(tmp_path / "fresh", 1)
    wait_until(lambda: not server.is_starting)
    workers = [start([forked], server=server), start([fresh])]
    pids = [worker.process.pid for worker in workers]
    assert [type(worker.process) for worker in workers] == [Forked, subprocess.Popen]
    assert [parent_of(pid) for pid in pids] == [os.getpid()] * 2
    wait_until(lambda: [os.getpgid(pid) for pid in pids] == pids)
    assert [worker.process.wait(300) for worker in workers] == [0, 0]
    assert forked.metrics_file.read_bytes() == fresh.metrics_file.read_bytes()
    assert forked.summary() == fresh.summary()
    ours, theirs = (latest_attempt(folder.path).details for folder in (forked, fresh))
    assert ours.keys() == theirs.keys()
    for name in ("launcher", "commit", "difference", "build", "packages", "machine", "cores", "reason"):
        assert ours[name] == theirs[name]
    assert forked.provenance()["threads"] == 1


def test_forked_workers_end_as_others_do(tmp_path, server):
    """A failure, a request to stop, a kill: exit codes and states."""
    failing, *long = folders_of(tmp_path, 3, **{"schedule.offline_steps": 10_000_000})
    (failing.path / "metrics.jsonl").mkdir()
    wait_until(lambda: not server.is_starting)
    workers = [start([folder], server=server) for folder in (failing, *long)]
    assert all(isinstance(worker.process, Forked) for worker in workers)
    wait_until(lambda: all(folder.status().get("phase") == "offline" for folder in long))
    with pytest.raises(subprocess.TimeoutExpired):
        workers[1].process.wait(0.01)
    workers[1].process.terminate()
    workers[2].process.kill()
    assert [worker.process.wait(300) for worker in workers] == [1, 130, -signal.SIGKILL]
    assert [folder.state for folder in (failing, long[0])] == ["failed", "interrupted"]
    workers[1].process.kill()
    assert workers[1].process.poll() == 130


def test_a_worker_starts_afresh_where_the_server_has_ended(tmp_path):
    """The server is killed while the first of two workers runs, which goes on."""
    folders = folders_of(tmp_path, 2, **{"schedule.offline_steps": 10_000})
    servers = []

    def kill_server():
        server = None if servers else server_of(os.getpid())
        if server and folders[0].state == "running":
            servers.append(server)
            os.kill(server, signal.SIGKILL)

    run_packs([[folder] for folder in folders], 1, watch=kill_server)
    assert len(servers) == 1
    assert [folder.state for folder in folders] == ["done"] * 2


def test_the_server_ends_with_its_last_worker_or_its_pool(tmp_path, server):
    wait_until(lambda: not server.is_starting)
    number = server_of(os.getpid())
    (folder,) = folders_of(tmp_path, 1)
    running = []
    run_packs([[folder]], 1, watch=lambda: running.append(server_of(os.getpid()) not in (None, number)))
    assert running
    assert not running[-1]
    server.close()
    assert server_of(os.getpid()) is None
    assert server.has_ended
    assert server.fork(tmp_path, [folder.id], 0, 1) is None


def test_a_server_that_cannot_import_has_ended(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('no such symbol')")
    server = ForkServer({**environment_of(1), "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"})
    wait_until(lambda: not server.is_starting)
    assert server.has_ended


def test_a_server_with_a_thread_does_not_fork(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import threading, time; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
    )
    server = ForkServer({**environment_of(1), "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"})
    wait_until(lambda: not server.is_starting)
    assert server.has_ended


def test_workers_on_a_gpu_start_afresh(tmp_path):
    on_cpu, on_gpu = folders_of(tmp_path / "cpu", 1), folders_of(tmp_path / "gpu", 1, **{"algorithm.kernel": "cuda"})
    assert is_forkable(on_cpu)
    assert not is_forkable(on_gpu)
    (on_cpu[0].path / "config.json").write_text("{")
    assert not is_forkable([type(on_cpu[0])(on_cpu[0].path)])
