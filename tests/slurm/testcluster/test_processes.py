"""A cluster's processes are told from everybody else's."""

import os
import subprocess
import sys

import pytest

from tests.support.testcluster import processes
from tests.support.waiting import wait_until


@pytest.fixture
def start():
    """Starts a process with more in its environment; all are killed in the end."""
    started = []

    def start(*command, **variables):
        started.append(subprocess.Popen(command, env=os.environ | variables))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def children(number):
    return [found.number for found in processes.running() if found.parent == number]


def test_daemons_are_known_by_their_marks_and_what_they_start_by_its_parents(start, tmp_path):
    marks = {processes.FOLDER_VARIABLE: str(tmp_path), processes.DAEMON_VARIABLE: "slurmd.vm"}
    daemon = start("sh", "-c", "env -i sleep 60; true", **marks)
    wait_until(lambda: [found.program for found in processes.running() if found.parent == daemon.pid] == ["sleep"])
    assert {found.number: found.daemon for found in processes.of_cluster(tmp_path)} == {
        daemon.pid: "slurmd.vm",
        children(daemon.pid)[0]: "",
    }
    assert tmp_path in processes.folders_of_clusters()
    assert processes.of_cluster(tmp_path / "other") == []
    assert processes.kill(processes.of_cluster(tmp_path))
    wait_until(lambda: not processes.of_cluster(tmp_path))
    assert not processes.kill(processes.of_cluster(tmp_path))


def test_a_job_belongs_to_the_cluster_and_a_shell_that_talks_to_it_does_not(start, tmp_path):
    configuration = str(tmp_path / "etc" / "slurm.conf")
    start("sleep", "60", SLURM_CONF=configuration)
    job = start("sleep", "60", SLURM_CONF=configuration, SLURM_JOB_ID="1")
    wait_until(lambda: [found.number for found in processes.of_cluster(tmp_path)] == [job.pid])


def test_a_step_that_wrote_over_its_environment_is_known_by_its_folder(tmp_path):
    (tmp_path / "run").mkdir()
    program = tmp_path / "slurmstepd"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"], cwd=tmp_path / "run", env={}) as step:
        wait_until(lambda: [found.number for found in processes.of_cluster(tmp_path)] == [step.pid])
        (tmp_path / "run").rmdir()
        assert [found.number for found in processes.of_cluster(tmp_path)] == [step.pid]
        step.kill()


def test_ending_waits_for_those_who_need_a_moment(start):
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), sys.exit()))\n"
        "print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as slow:
        slow.stdout.readline()
        (found,) = [process for process in processes.running() if process.number == slow.pid]
        processes.end([found], patience=10)
        # A zombie by now: nobody has asked for its exit code.
        assert not processes.is_alive(slow.pid)
        assert slow.wait() == 0
