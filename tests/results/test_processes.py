"""Work is shared out among processes: same results, errors passed on, an ended process told."""

import math
import os
import signal
from pathlib import Path

import pytest

from harness.errors import UserError
from results.processes import mapped, processes

COUNTS = pytest.mark.parametrize("workers", [1, 2])


def end_this_process(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


@COUNTS
def test_results_come_in_the_order_of_the_items(workers):
    assert mapped(math.factorial, [5, 0, 3], workers) == [120, 1, 6]
    assert mapped(math.factorial, [], workers) == []


@COUNTS
def test_what_the_work_raises_is_passed_on(workers, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing here"), processes(workers) as submit:
        submit(Path.read_text, tmp_path / "nothing here").result()


@COUNTS
def test_one_process_is_this_one(workers):
    with processes(workers) as submit:
        assert (submit(os.getpid).result() == os.getpid()) == (workers == 1)


def test_an_ended_process_is_told_in_one_line():
    with pytest.raises(UserError, match=r"^report: one of its processes was ended"), processes(2) as submit:
        submit(end_this_process, 1).result()
