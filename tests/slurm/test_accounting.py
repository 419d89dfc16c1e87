"""Recorded output of sacct, parsed and divided among runs; and a real cluster."""

import getpass
import json
import time
from pathlib import Path

import pytest

from ablations.grids import runs_of
from harness.errors import UserError
from harness.files import DamagedFileError
from harness.folders.run_folder import RunFolder
from harness.folders.usage import ACCOUNTING, Known, Usage, known_usage
from harness.watching.overview import overview
from slurm import accounting
from slurm.accounting import Start, account, ask_accounting, parse_accounting, shared, update_accounting
from slurm.submissions import Array, Submission, folder_of
from tests.slurm.test_submissions import write
from tests.support.slurm.jobs import submit, wait_for_state
from tests.support.waiting import wait_until

# Output of sacct of SLURM 22.05.8: a requeued job (its starts are not adjacent), two array tasks of which the second
# still runs, and tasks that never started.
PRINTED = """\
32875001|REQUEUED|11|billing=1,cpu=1,node=1||2026-11-23T13:47:54|localhost|0:0|single
32875001.batch|COMPLETED|9|cpu=1,mem=0,node=1|10860K|2026-11-23T13:47:54|localhost|0:0|batch
32875001.0|COMPLETED|9|cpu=1,mem=0,node=1|215612K|2026-11-23T13:47:54|localhost|0:0|python3
32875000_0|COMPLETED|8|billing=1,cpu=1,gres/gpu=1,node=1||2026-11-23T13:47:54|localhost|0:0|arr
32875000_0.batch|COMPLETED|8|cpu=1,gres/gpu=1,mem=0,node=1|10848K|2026-11-23T13:47:54|localhost|0:0|batch
32875000_0.0|COMPLETED|8|cpu=1,gres/gpu=1,mem=0,node=1|1640K|2026-11-23T13:47:54|localhost|0:0|sleep
32875000_2|RUNNING|5|billing=1,cpu=1,gres/gpu=1,node=1||2026-11-23T13:48:02|localhost|0:0|arr
32875000_2.batch|RUNNING|5|cpu=1,gres/gpu=1,mem=0,node=1||2026-11-23T13:48:02|localhost|0:0|batch
32875002_[3-4,6%2]|PENDING|0|||Unknown|None assigned|0:0|held
32875001|CANCELLED by 0|10|billing=4,cpu=4,gres/gpu:a100=2,gres/gpu=2,node=1||2026-11-23T13:48:16|n[1-2]|0:15|single
32875001.0|CANCELLED|10|cpu=4,mem=0,node=1|1.50G|2026-11-23T13:48:16|n[1-2]|0:0|python3
"""


def start(task, seconds, cores=1, gpus=0, name="n-0", **values):
    return Start(task, **{"state": "COMPLETED", "peak_memory": None, "started": "", "node": "n1", **values},
                 seconds=seconds, cores=cores, gpus=gpus, job_name=name)  # fmt: skip


def test_parse_all_starts():
    starts = parse_accounting(PRINTED)
    assert [(item.task, item.state, item.seconds, item.cores, item.gpus) for item in starts] == [
        ("32875001", "REQUEUED", 11, 1, 0),
        ("32875000_0", "COMPLETED", 8, 1, 1),
        ("32875000_2", "RUNNING", 5, 1, 1),
        ("32875001", "CANCELLED", 10, 4, 2),
    ]
    assert [item.peak_memory for item in starts] == [215612 * 1024, 10848 * 1024, None, round(1.5 * 2**30)]
    assert {item.job_name for item in starts} == {"single", "arr"}
    assert [item.outcome for item in starts[2:]] == ["RUNNING", "CANCELLED, exit code 0:15"]
    assert parse_accounting("") == []


@pytest.mark.parametrize(
    ("tres", "gpus"),
    [
        ("cpu=1,gres/gpu=2", 2), ("cpu=1,gres/gpu:a100=1,gres/gpu=1", 1), ("gres/gpu:h100=2", 2), ("cpu=3", 0),
        ("cpu=1,gres/gpu:1g.10gb=1,gres/gpu=1", 1 / 7),
        ("gres/gpu=3,gres/gpu:a100_3g.20gb=2,gres/gpu:a100=1", 1 + 6 / 7),
    ],
)  # fmt: skip
def test_a_mig_slice_is_a_part_of_a_gpu(tres, gpus):
    (single,) = parse_accounting(f"7|COMPLETED|60|{tres}||2026-01-01T00:00:00|n1|0:0|n-0")
    assert single.gpus == pytest.approx(gpus)


def test_cost_is_shared_by_weight_or_equally():
    starts = [start("7", 3600, cores=4, gpus=1), start("7", 1800, cores=4, gpus=1, peak_memory=5)]
    assert shared(starts, {"a": 3.0, "b": 1.0}) == {
        "a": Usage(core_hours=4.5, gpu_hours=1.125, peak_memory=5),
        "b": Usage(core_hours=1.5, gpu_hours=0.375, peak_memory=5),
    }
    assert shared(starts, {"a": 0.0, "b": 0.0})["a"].core_hours == 3.0
    assert shared(starts, {}) == {}


def submission(name, *arrays):
    return Submission(name, "smoke", getpass.getuser(), "login", time.time(), {"time_minutes": 5}, "0" * 16, arrays)


def finished(root, run, job, hours):
    """A run folder with an attempt of some hours in a job."""
    folder = RunFolder.of(root, run)
    folder.create(run)
    now = time.time()
    folder.begin_attempt({"slurm": {"job": job}, "started": now - hours * 3600, "pack_size": 2})
    folder.end_attempt("done")
    folder.write_status("interrupted", reason="for the test")


def test_accounting_replaces_the_records_of_its_attempts(tmp_path):
    """The task had 4 cores for 1.5 h; the attempts of runs a and b took 1 h and 0.5 h in a pack of two."""
    runs = runs_of("smoke")[:2]
    for run, hours in zip(runs, (1.0, 0.5), strict=True):
        finished(tmp_path, run, "7", hours)
    local = RunFolder.of(tmp_path, runs[0])
    local.begin_attempt({"started": time.time() - 1800})
    local.end_attempt("interrupted")
    array = Array("n-0", ((tuple(run.id for run in runs),),), 1, job_id="7")
    write(tmp_path, submission("s", array))
    starts = [start("7", 5400, cores=4, gpus=1), start("7", 99, name="somebody else's")]
    kept = account(tmp_path, submission("s", array), accounting.starts_of(submission("s", array), starts), True)
    (folder_of(tmp_path, "s") / ACCOUNTING).write_text(json.dumps(kept))
    rows = overview(tmp_path, runs, {}, known=known_usage(tmp_path))
    assert [row.usage.core_hours for row in rows] == [pytest.approx(4.0 + 0.5, abs=0.01), pytest.approx(2.0, abs=0.01)]
    assert [row.usage.gpu_hours for row in rows] == [pytest.approx(1.0, abs=0.01), pytest.approx(0.5, abs=0.01)]
    assert [row.usage.wall_hours for row in rows] == [pytest.approx(1.5, abs=0.01), pytest.approx(0.5, abs=0.01)]
    assert [row.usage.attempts for row in rows] == [2, 1]


def test_damaged_accounting(tmp_path):
    file = folder_of(tmp_path, "s") / ACCOUNTING
    file.parent.mkdir(parents=True)
    for text in ("{}", '{"tasks": {}, "runs": {"a": {"hours": 1}}}', '{"tasks": 3, "runs": {}}'):
        file.write_text(text)
        with pytest.raises(DamagedFileError, match=r"accounting\.json: is damaged; remove it"):
            known_usage(tmp_path)
    assert known_usage(tmp_path / "elsewhere") == {}


def test_costs_of_submissions_add_up(tmp_path):
    for name, task in (("first", "7"), ("second", "8_0")):
        kept = {"tasks": {task: "COMPLETED"}, "runs": {"a": {"core_hours": 1.0}}}
        folder_of(tmp_path, name).mkdir(parents=True)
        (folder_of(tmp_path, name) / ACCOUNTING).write_text(json.dumps(kept))
    assert known_usage(tmp_path) == {"a": Known(Usage(core_hours=2.0), {"7": "COMPLETED", "8_0": "COMPLETED"})}


@pytest.mark.slurm
def test_accounting_is_requested_until_it_is_complete(cluster, tmp_path, monkeypatch):
    for name, value in cluster.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(accounting, "INTERVAL", 0.0)
    program = "srun python3 -c 'x = bytearray(200 * 2**20); import time; time.sleep(3)'"
    job_id = submit(cluster, tmp_path, program, "--job-name=n-0", "--array=0-1", "--gres=gpu:1", "--requeue")
    write(tmp_path, submission("s", Array("n-0", ((("a",),), (("b",),)), 2, job_id=job_id)))
    for number in (f"{job_id}_0", f"{job_id}_1"):
        wait_for_state(cluster, number, "COMPLETED")
    file = folder_of(tmp_path, "s") / ACCOUNTING

    def is_complete() -> bool:
        update_accounting(tmp_path, set())
        return json.loads(file.read_text())["complete"]

    wait_until(is_complete)
    kept = known_usage(tmp_path)
    assert set(kept) == {"a", "b"}
    assert kept["a"].tasks == {f"{job_id}_0": "COMPLETED", f"{job_id}_1": "COMPLETED"}
    assert kept["a"].usage.gpu_hours == kept["a"].usage.core_hours > 0.0
    assert kept["a"].usage.peak_memory > 200 * 2**20
    # Complete accounting does not need SLURM any more.
    monkeypatch.setenv("PATH", str(Path("/nowhere")))
    update_accounting(tmp_path, set())


@pytest.mark.slurm
def test_missing_accounting_is_a_one_line_error(cluster_without_accounting, monkeypatch):
    for name, value in cluster_without_accounting.variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"^sacct: .*accounting storage is disabled"):
        ask_accounting(["7"])
