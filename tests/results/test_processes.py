"""Work in several processes: same results, errors passed on, one-line error for a killed process."""

import gc
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import UserError
from results.processes import COLLECTION, mapped, processes
from tests.support.waiting import wait_until

COUNTS = pytest.mark.parametrize("workers", [1, 2])


def kill_this_process(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


@COUNTS
def test_results_are_in_the_order_of_the_items(workers):
    assert mapped(math.factorial, [5, 0, 3], workers) == [120, 1, 6]
    assert mapped(math.factorial, [], workers) == []


@COUNTS
def test_exceptions_of_the_work_are_passed_on(workers, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing here"), processes(workers) as submit:
        submit(Path.read_text, tmp_path / "nothing here").result()


@COUNTS
def test_a_single_worker_runs_in_this_process(workers):
    with processes(workers) as submit:
        assert (submit(os.getpid).result() == os.getpid()) == (workers == 1)


def test_a_killed_process_gives_a_one_line_error():
    with pytest.raises(UserError, match=r"^report: a worker process was killed"), processes(2) as submit:
        submit(kill_this_process, 1).result()


PARENT = """
import os, time
from results.processes import processes
with processes(2) as submit:
    print(*{future.result() for future in [submit(os.getpid) for _ in range(2)]}, flush=True)
    submit(time.sleep, 1000)
    time.sleep(1000)
"""


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_processes_do_not_outlive_a_killed_parent():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        started = [int(process) for process in parent.stdout.readline().split()]
        assert started
        assert all(map(is_alive, started))
        parent.kill()
    wait_until(lambda: not any(map(is_alive, started)))


def mask(_):
    return signal.pthread_sigmask(signal.SIG_BLOCK, ()), signal.getsignal(signal.SIGINT)


def test_ctrl_c_at_a_terminal_reaches_only_the_parent():
    """Also while a process starts, when its own handler is not installed yet."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert mapped(mask, [1, 2], 2) == [({signal.SIGINT}, signal.SIG_IGN)] * 2
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def collection(_):
    return gc.get_threshold()


@COUNTS
def test_garbage_is_collected_less_often_only_meanwhile(workers):
    before = gc.get_threshold()
    with processes(workers) as submit:
        assert submit(collection, 1).result() == gc.get_threshold() == COLLECTION
    assert gc.get_threshold() == before


def test_what_draws_imports_neither_torch_nor_environments():
    """Every process would spend a second and 200 MB on them."""
    code = "import sys, results.reports.contents; print({'torch', 'gymnasium', 'mujoco'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
