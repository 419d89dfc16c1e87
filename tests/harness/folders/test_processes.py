"""Processes are identified uniquely, even if a process id is reused."""

import json
import os
import signal
import subprocess
import sys

import pytest

from harness.folders.processes import has_ended, this_process
from tests.support.waiting import wait_until

TELL = (
    "import json, time; from harness.folders.processes import this_process;"
    "print(json.dumps(this_process()), flush=True)"
)


@pytest.fixture
def other():
    """Another running process and its description."""
    code = f"{TELL}; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        yield process, json.loads(process.stdout.readline())
        process.kill()


def test_this_process_has_not_ended():
    assert this_process() == this_process()
    assert this_process()["process"] == os.getpid()
    assert not has_ended(this_process())


def test_another_process_of_this_machine(other):
    process, description = other
    assert description["process"] == process.pid
    assert {name for name, value in description.items() if value != this_process()[name]} >= {"process"}
    assert not has_ended(description)
    process.send_signal(signal.SIGSTOP)
    assert not has_ended(description)
    process.kill()
    # Its exit code has not been read yet: a zombie.
    wait_until(lambda: has_ended(description))
    process.wait()
    assert has_ended(description)


def test_a_reused_process_id_has_ended(other):
    _, description = other
    assert has_ended({**description, "process_started": description["process_started"] - 1})


def test_the_start_of_a_process_matches_its_age(other):
    _, description = other
    with open("/proc/uptime") as file:
        uptime = float(file.read().split()[0])
    age = uptime - description["process_started"] / os.sysconf("SC_CLK_TCK")
    assert 0.0 <= age < 30.0


@pytest.mark.parametrize("name", ["host", "boot", "namespace"])
def test_processes_on_other_machines_are_unknown(name):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone = {**this_process(), "process": ended.pid}
    assert has_ended(gone)
    assert not has_ended({**gone, name: "another"})


@pytest.mark.parametrize("description", [{}, {**this_process(), "process": 0}, {**this_process(), "process": "12"}])
def test_invalid_descriptions_are_unknown(description):
    assert not has_ended(description)
