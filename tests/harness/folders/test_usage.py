"""Costs of runs, computed by hand."""

import pytest

from harness.folders.usage import Usage, parts, usage

NOON = 1_700_000_000.0


def account(start, end, **details):
    ended = {} if end is None else {"ended": NOON + 3600 * end}
    return {"started": NOON + 3600 * start, **ended, **details}


def test_a_run_pays_its_share_of_the_pack():
    total = usage([account(0, 2, pack_size=4, cores=2, gpus=0.5, peak_memory=10.0)], NOON)
    assert total == Usage(attempts=1, wall_hours=2.0, core_hours=1.0, gpu_hours=0.25, peak_memory=10.0)


def test_attempts_add_up_and_a_running_one_counts_until_now():
    accounts = [account(0, 1, peak_memory=3.0), account(1, 1.5, peak_memory=5.0), account(2, None)]
    total = usage(accounts, NOON + 3 * 3600)
    assert total == Usage(attempts=3, wall_hours=2.5, core_hours=2.5, gpu_hours=0.0, peak_memory=5.0)


def test_attempts_of_older_versions_and_odd_clocks():
    assert usage([{}], NOON) == Usage(attempts=1)
    assert usage([account(1, 0)], NOON) == Usage(attempts=1)
    assert usage([], NOON) == Usage()
    assert usage([account(0, 1)], NOON).core_hours == pytest.approx(1.0)


def test_parts_of_the_time_by_hand():
    """7,200 s of a pack of 4, of which 600 s without processor time and 6,000 s in measured parts: 600 s of start."""
    measured = {"update": 5000.0, "evaluation": 1000.0}
    first = account(0, 2, pack_size=4, seconds=measured, processor_seconds=6600.0)
    assert parts([first]) == {"update": 1250.0, "evaluation": 250.0, "start": 150.0, "idle": 150.0}
    second = account(2, 3, seconds={"update": 3600.0}, processor_seconds=3600.0)
    assert parts([first, second])["update"] == 4850.0
    # On two cores for an hour, one of which waits for half of it.
    stepped = account(0, 1, cores=2, seconds={"environment": 5400.0}, processor_seconds=5400.0)
    assert parts([stepped]) == {"environment": 5400.0, "start": 0.0, "idle": 1800.0}
    assert parts([account(0, 1), account(1, None)]) == {}, "attempts of older versions, and one that goes on"
