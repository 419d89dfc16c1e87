"""Synthetic runs of all arms on two road tasks with six seeds; one run has failed."""

import pytest

from ablations.grids import runs_of
from harness.settings import with_settings
from results.frame import evaluations, runs
from results.frame.per_run import per_run
from tests.support.run_folder_factory import fail, write_done

TINY = {"schedule.offline_steps": 400, "schedule.offline_interval": 200, "schedule.online_steps": 600,
        "schedule.online_interval": 300, "schedule.dense_interval": 150, "schedule.dense_steps": 300}  # fmt: skip


@pytest.fixture(scope="package")
def frames(tmp_path_factory):
    """Runs, evaluations and per-run numbers of three grids; seed 5 of noisy_0.25 has failed."""
    root = tmp_path_factory.mktemp("runs")
    named = {run.id: run for grid in ("truth", "doses", "truncation") for run in runs_of(grid)}
    tiny = [with_settings(run, TINY) for run in named.values()]
    failed = [run for run in tiny if (run.arm, run.seed) == ("noisy_0.25", 5)]
    write_done(root, [run for run in tiny if run not in failed])
    fail(root, failed[0], "parameters not finite")
    tables = runs([root]), evaluations([root])
    return *tables, per_run(*tables)
