"""The local pool with real workers: bounded, one death at a time, nothing left behind."""

import os
import signal
import subprocess
import sys

import pytest

from ablations.grids import runs_of
from harness.dataset import ensure_dataset
from harness.planner import commit, packs
from harness.pool import cause, run_packs
from harness.settings import with_settings
from tests.waiting import wait_until


def with_long(runs):
    """Runs that would train for hours."""
    return [with_settings(run, {"schedule.offline_steps": 10_000_000}) for run in runs]


def tiny(runs):
    """Runs that train for a second."""
    changes = {"schedule.offline_steps": 20, "schedule.online_steps": 20, "schedule.evaluation_episodes": 1}
    return [with_settings(run, changes) for run in runs]


def folders_of(runs, root, limit):
    commit(runs, root)
    return [commit(pack, root) for pack in packs(runs, limit, workers=1)]


def states(packs):
    return [[folder.status()["state"] for folder in pack] for pack in packs]


@pytest.fixture(scope="module", autouse=True)
def dataset(minari_folder):
    ensure_dataset(runs_of("smoke")[0].task)


def test_no_more_workers_than_asked_and_one_thread_each(tmp_path):
    packs = folders_of(tiny(runs_of("smoke")), tmp_path, limit=1)
    seen = []
    run_packs(packs, workers=2, watch=lambda: seen.append(states(packs).count(["running"])))
    assert states(packs) == [["done"]] * 4
    assert max(seen) == 2
    folders = [folder for pack in packs for folder in pack]
    assert [folder.provenance()["threads"] for folder in folders] == [1] * 4
    assert [folder.provenance()["attempts"][0]["launcher"] for folder in folders] == ["local pool"] * 4
    assert len({folder.provenance()["attempts"][0]["process"] for folder in folders}) == 4


def test_a_pack_that_fails_takes_no_other_with_it(tmp_path):
    good = tiny(runs_of("smoke")[:2])
    no_data = [with_settings(run, {"task.data.seed": 99}) for run in good]
    packs = folders_of([*no_data, *good], tmp_path, limit=2)
    run_packs(packs, workers=1)
    assert states(packs) == [["failed"] * 2, ["done"] * 2]
    assert "make it with" in packs[0][1].status()["reason"]
    assert packs[0][1].last_words().startswith("harness.errors.UserError: dataset")


def test_a_killed_worker_is_named_and_takes_no_other_with_it(tmp_path):
    runs = runs_of("smoke")
    packs = folders_of([*with_long(runs[:2]), *tiny(runs[2:])], tmp_path, limit=2)

    def kill_first():
        status = packs[0][0].status()
        if status.get("phase") == "offline" and status["state"] == "running":
            os.kill(status["process"], signal.SIGKILL)

    run_packs(packs, workers=2, watch=kill_first)
    assert states(packs) == [["failed"] * 2, ["done"] * 2]
    assert packs[0][1].status()["reason"] == "its worker was ended by SIGKILL (out of memory?)"
    assert packs[0][1].status()["phase"] == "offline"


def test_what_a_worker_says_is_in_the_log_of_each_of_its_runs(tmp_path):
    """A process that dies before it can mark anything, as a broken installation does."""
    packs = folders_of(tiny(runs_of("smoke")[:2]), tmp_path, limit=2)
    broken = tmp_path / "torch.py"
    broken.write_text("import sys, os; print('no such symbol', file=sys.stderr, flush=True); os._exit(7)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        run_packs(packs, workers=1)
    assert states(packs) == [["failed"] * 2]
    assert packs[0][0].status()["reason"] == "its worker ended with exit code 7 and said nothing more"
    assert [folder.last_words() for folder in packs[0]] == ["no such symbol"] * 2


def test_an_exception_stops_the_workers_in_order(tmp_path):
    packs = folders_of(with_long(runs_of("smoke")), tmp_path, limit=2)
    seen = {}

    def stop_when_training():
        statuses = [pack[0].status() for pack in packs]
        if [status.get("phase") for status in statuses] == ["offline"] * 2:
            seen.update(processes=[status["process"] for status in statuses])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_packs(packs, workers=2, watch=stop_when_training)
    assert states(packs) == [["interrupted"] * 2] * 2
    for process in seen["processes"]:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_workers_do_not_outlive_a_killed_pool(tmp_path):
    packs = folders_of(with_long(runs_of("smoke")[:2]), tmp_path, limit=2)
    code = (
        "import sys; from pathlib import Path; from harness.pool import run_packs;"
        "from harness.run_folder import RunFolder; run_packs([[RunFolder(Path(path)) for path in sys.argv[1:]]], 1)"
    )
    pool = subprocess.Popen([sys.executable, "-c", code, *(str(folder.path) for folder in packs[0])])
    wait_until(lambda: packs[0][0].status().get("phase") == "floor")
    pool.kill()
    pool.wait()
    wait_until(lambda: states(packs) == [["interrupted"] * 2])


def test_cause():
    assert cause(-signal.SIGSEGV) == "its worker was ended by SIGSEGV"
    assert cause(3) == "its worker ended with exit code 3 and said nothing more"
