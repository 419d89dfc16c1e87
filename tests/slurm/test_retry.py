"""Cancel a running run on the cluster while its pack continues, then retry it there."""

import pytest

from ablations.commands.control import cancel_runs, retry_runs
from ablations.commands.status import show_status
from harness.data.dataset import ensure_dataset
from harness.folders.run_folder import RunFolder
from harness.folders.usage import known_usage
from slurm.accounting import update_accounting
from tests.support.slurm.grids import (
    FIELDS,
    SLOW,
    attempts,
    compute_here,
    metrics,
    report,
    smoke,
    submit,
    wait_for_checkpoint,
    wait_for_end,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slurm


def test_cancel_and_retry_one_run_of_a_pack(cluster, tmp_path, monkeypatch, capfd):
    for name, value in cluster.variables.items():
        monkeypatch.setenv(name, value)
    runs = smoke()[:2]
    ensure_dataset(runs[0].task)
    reference, root = compute_here(runs, tmp_path / "reference"), tmp_path / "root"
    first = submit(root, runs, setup=(SLOW,)).arrays[0].job_id
    wait_for_checkpoint(root, runs)
    cancel_runs(runs[:1], root, yes=True)
    folder = RunFolder.of(root, runs[0])
    wait_until(lambda: folder.status()["state"] == "cancelled", 60.0)
    assert RunFolder.of(root, runs[1]).status()["state"] == "running", report(runs, root)
    show_status(None, root)
    shown = capfd.readouterr().out
    assert "2 runs: 1 running, 1 cancelled; " in shown
    profile = tmp_path / "profile.toml"
    profile.write_text("".join(f"{name} = {value!r}\n" for name, value in FIELDS.items()))
    assert retry_runs(runs, root, workers=1, pack_limit=1, cluster=str(profile), words="retry") == 0
    wait_for_end(root)
    assert metrics(runs, root) == reference
    (job, _, reason), (again, _, end) = attempts(root, runs[0].id)
    assert (job, reason, end) == (first, "interrupted", "done")
    assert attempts(root, runs[1].id) == [(first, 0, "done")]

    monkeypatch.setattr("slurm.accounting.INTERVAL", 0.0)

    def is_accounted() -> bool:
        update_accounting(root, set())
        return {first, again} <= set(known_usage(root)[runs[0].id].tasks)

    wait_until(is_accounted)
    used = known_usage(root)[runs[0].id].usage
    assert used.core_hours == used.gpu_hours > 0.0
