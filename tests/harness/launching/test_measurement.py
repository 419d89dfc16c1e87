"""Short measurements of actions."""

import time

from harness.launching.measurement import repeated


def test_the_warm_up_is_not_timed():
    calls = []

    def action(number):
        calls.append(number)
        time.sleep(0.01)

    assert repeated(action, 0.05) >= 0.01
    assert calls == list(range(len(calls)))
    assert len(calls) >= 2
