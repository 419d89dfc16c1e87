"""A process is told from every other, also from one that got its number later."""

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
    """Another living process and what it says of itself."""
    code = f"{TELL}; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        yield process, json.loads(process.stdout.readline())
        process.kill()


def test_this_process_lives():
    assert this_process() == this_process()
    assert this_process()["process"] == os.getpid()
    assert not has_ended(this_process())


def test_another_process_of_this_machine(other):
    process, told = other
    assert told["process"] == process.pid
    assert {name for name, value in told.items() if value != this_process()[name]} >= {"process"}
    assert not has_ended(told)
    process.send_signal(signal.SIGSTOP)
    assert not has_ended(told)
    process.kill()
    # Nobody has asked for its exit code yet: a zombie.
    wait_until(lambda: has_ended(told))
    process.wait()
    assert has_ended(told)


def test_a_number_that_was_given_out_again(other):
    _, told = other
    assert has_ended({**told, "process_started": told["process_started"] - 1})


def test_a_process_is_as_old_as_it_says(other):
    _, told = other
    with open("/proc/uptime") as file:
        uptime = float(file.read().split()[0])
    age = uptime - told["process_started"] / os.sysconf("SC_CLK_TCK")
    assert 0.0 <= age < 30.0


@pytest.mark.parametrize("name", ["host", "boot", "namespace"])
def test_nothing_is_known_of_processes_elsewhere(name):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone = {**this_process(), "process": ended.pid}
    assert has_ended(gone)
    assert not has_ended({**gone, name: "another"})


@pytest.mark.parametrize("told", [{}, {**this_process(), "process": 0}, {**this_process(), "process": "12"}])
def test_nothing_is_known_of_nonsense(told):
    assert not has_ended(told)
