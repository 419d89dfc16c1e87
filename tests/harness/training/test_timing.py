"""The clock of a pack."""

import time

from harness.folders.usage import Effort
from harness.training.timing import Clock


def test_processor_time_of_other_processes_counts_for_the_part_in_which_it_was_spent():
    before = Effort({"update": 5.0}, elsewhere=1.0)
    clock = Clock(before)
    clock.used = used = [2.0, 3.0]
    began = time.process_time()
    with clock.part("environment"):
        used[:] = [4.0, 3.5]
    with clock.part("update"):
        pass
    this_process = time.process_time() - began
    assert clock.effort.elsewhere == 3.5
    assert 2.5 <= clock.effort.seconds["environment"] <= 2.5 + this_process
    assert 5.0 <= clock.effort.seconds["update"] <= 5.0 + this_process
    assert before == Effort({"update": 5.0}, elsewhere=1.0), "an earlier pack keeps its own sums"


def test_a_part_within_another_counts_once(monkeypatch):
    """Of 7 seconds in an evaluation 4 are an update's, and 1 of these is a checkpoint's."""
    seconds = iter([0.0, 1.0, 2.0, 3.0, 5.0, 7.0])
    monkeypatch.setattr(time, "process_time", lambda: next(seconds))
    clock = Clock(Effort())
    with clock.part("evaluation"), clock.part("update"), clock.part("checkpoint"):
        pass
    assert clock.effort.seconds == {"checkpoint": 1.0, "update": 3.0, "evaluation": 3.0}
