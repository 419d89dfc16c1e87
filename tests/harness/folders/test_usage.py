"""Costs of runs, computed by hand."""

import pytest

from harness.folders.usage import Usage, usage

NOON = 1_700_000_000.0


def account(start, end, **details):
    ended = {} if end is None else {"ended": NOON + 3600 * end}
    return {"started": NOON + 3600 * start, **ended, **details}


def test_a_run_pays_its_share_of_the_pack():
    found = usage([account(0, 2, pack_size=4, cores=2, gpus=0.5, peak_memory=10.0)], NOON)
    assert found == Usage(attempts=1, wall_hours=2.0, core_hours=1.0, gpu_hours=0.25, peak_memory=10.0)


def test_attempts_add_up_and_a_running_one_counts_until_now():
    accounts = [account(0, 1, peak_memory=3.0), account(1, 1.5, peak_memory=5.0), account(2, None)]
    found = usage(accounts, NOON + 3 * 3600)
    assert found == Usage(attempts=3, wall_hours=2.5, core_hours=2.5, gpu_hours=0.0, peak_memory=5.0)


def test_attempts_of_older_versions_and_odd_clocks():
    assert usage([{}], NOON) == Usage(attempts=1)
    assert usage([account(1, 0)], NOON) == Usage(attempts=1)
    assert usage([], NOON) == Usage()
    assert usage([account(0, 1)], NOON).core_hours == pytest.approx(1.0)
