"""Identification of the processes of a cluster."""

import os
import subprocess
import sys

import pytest

from tests.support.testcluster import processes
from tests.support.waiting import wait_until


@pytest.fixture
def start():
    """A function that starts a process with additional environment variables; all are killed at the end."""
    started = []

    def start(*command, **variables):
        started.append(subprocess.Popen(command, env=os.environ | variables))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def children(number):
    return [process.number for process in processes.running() if process.parent == number]


def test_daemons_by_their_variables_and_descendants_by_their_parents(start, tmp_path):
    marks = {processes.FOLDER_VARIABLE: str(tmp_path), processes.DAEMON_VARIABLE: "slurmd.vm"}
    daemon = start("sh", "-c", "env -i sleep 60; true", **marks)
    wait_until(
        lambda: [process.program for process in processes.running() if process.parent == daemon.pid] == ["sleep"]
    )
    assert {process.number: process.daemon for process in processes.of_cluster(tmp_path)} == {
        daemon.pid: "slurmd.vm",
        children(daemon.pid)[0]: "",
    }
    assert tmp_path in processes.folders_of_clusters()
    assert processes.of_cluster(tmp_path / "other") == []
    assert processes.kill(processes.of_cluster(tmp_path))
    wait_until(lambda: not processes.of_cluster(tmp_path))
    assert not processes.kill(processes.of_cluster(tmp_path))


def test_a_job_belongs_to_the_cluster_and_a_shell_that_uses_it_does_not(start, tmp_path):
    configuration = str(tmp_path / "etc" / "slurm.conf")
    start("sleep", "60", SLURM_CONF=configuration)
    job = start("sleep", "60", SLURM_CONF=configuration, SLURM_JOB_ID="1")
    wait_until(lambda: [process.number for process in processes.of_cluster(tmp_path)] == [job.pid])


def test_a_step_that_overwrote_its_environment_by_its_directory(tmp_path):
    (tmp_path / "run").mkdir()
    program = tmp_path / "slurmstepd"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"], cwd=tmp_path / "run", env={}) as step:
        wait_until(lambda: [process.number for process in processes.of_cluster(tmp_path)] == [step.pid])
        (tmp_path / "run").rmdir()
        assert [process.number for process in processes.of_cluster(tmp_path)] == [step.pid]
        step.kill()


def test_end_waits_for_slow_processes(start):
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), sys.exit()))\n"
        "print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as slow:
        slow.stdout.readline()
        (remaining,) = [process for process in processes.running() if process.number == slow.pid]
        processes.end([remaining], timeout=10)
        # It is a zombie until its exit code is read.
        assert not processes.is_alive(slow.pid)
        assert slow.wait() == 0
