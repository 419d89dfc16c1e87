"""Drafts of submissions without SLURM, and submissions to the test cluster."""

import os
import re
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ablations.grids import runs_of
from harness.errors import UserError
from harness.launching.cost import Costs
from harness.launching.defaults import PROCESS
from harness.launching.planner import commit, plan
from harness.settings import prefix_of, with_settings
from slurm import submissions
from slurm.expectation import expectation
from slurm.profile import Profile
from slurm.queue import Limits, QueuedTask, queue
from slurm.submission import (
    Chunk,
    array_tasks,
    check_profile,
    chunks,
    draft,
    job_script,
    locked,
    only_options_of,
    short_name,
)
from tests.slurm.test_submissions import write
from tests.support.run_folder_factory import fail, spend, write_done
from tests.support.slurm import grids
from tests.support.slurm.jobs import job

RUNS = runs_of("smoke")
PLAIN = Profile(time_minutes=5, runs_per_pack=1, array_limit=3)


def drafted(root, profile=PLAIN, limits=Limits(), queue=(), retry_failed=False):  # noqa: B008 (it is frozen)
    return draft(plan(RUNS, root), profile, limits, queue, retry_failed)


def test_packs_form_tasks_and_tasks_form_arrays(tmp_path):
    submission = drafted(tmp_path, limits=Limits(max_array_size=3))
    ids = [run.id for run in RUNS]
    assert submission.runs == tuple(RUNS)
    assert submission.tasks == tuple(((id,),) for id in ids)
    assert [(array.tasks, array.limit, array.job_id) for array in submission.arrays] == [
        (submission.tasks[:2], 1, None),
        (submission.tasks[2:], 2, None),
    ]
    assert len({array.job_name for array in submission.arrays}) == 2
    assert list(tmp_path.iterdir()) == []


def test_array_tasks_have_equally_many_packs():
    packs = [(str(number),) for number in range(7)]
    assert [len(task) for task in array_tasks(packs, 3)] == [2, 2, 3]
    assert [pack for task in array_tasks(packs, 3) for pack in task] == packs
    assert array_tasks([], 3) == ()


def test_done_failed_and_queued_runs_are_skipped(tmp_path):
    write_done(tmp_path, RUNS[:1])
    fail(tmp_path, RUNS[1], "of something")
    first = drafted(tmp_path)
    assert first.runs == tuple(RUNS[2:])
    arrays = (submissions.Array("name", (((RUNS[2].id,),),), 1, job_id="7"),)
    write(tmp_path, submissions.Submission("s", "smoke", "me", "login", 1.0, {}, "0" * 16, arrays))
    waiting = QueuedTask("7", "7", "PENDING", "Resources", "", "name")
    second = drafted(tmp_path, queue=[waiting], retry_failed=True)
    assert (second.runs, second.queued) == ((RUNS[1], RUNS[3]), {RUNS[2].id})


def test_runs_beyond_the_queue_limit_are_left(tmp_path):
    others = [QueuedTask(str(number), str(number), "RUNNING", "None", "n1", "other") for number in range(5)]
    submission = drafted(tmp_path, limits=Limits(max_submitted=8), queue=others)
    assert (submission.runs, submission.left) == (tuple(RUNS[:3]), 1)
    full = drafted(tmp_path, limits=Limits(max_submitted=5), queue=others)
    assert (full.runs, full.arrays, full.left) == ((), (), 4)


def test_the_job_script_has_the_options_of_the_profile(tmp_path):
    profile = Profile(
        time_minutes=90, partition="gpu", account="me", qos="high", gres="gpu:2", constraint="a100", cpus_per_task=3,
        memory_gb=1.5, requeue=False, signal_seconds=33, setup=("module load x",), python="/opt/py thon",
        sbatch={"mail-type": "END", "exclusive": True, "contiguous": False}, packs_per_task=2, array_limit=2,
    )  # fmt: skip
    script = job_script(drafted(tmp_path, profile), profile, 0)
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", script, re.MULTILINE))
    del options["job-name"], options["output"]
    assert options == {
        "time": "90", "partition": "gpu", "account": "me", "qos": "high", "gres": "gpu:2", "constraint": "a100",
        "cpus-per-task": "3", "mem": "1536M", "no-requeue": "", "signal": "USR2@33", "mail-type": "END",
        "exclusive": "", "nodes": "1", "ntasks-per-node": "1", "open-mode": "append", "chdir": str(tmp_path),
    }  # fmt: skip
    assert script.index("module load x") < script.index("export PYTHONPATH=") < script.index("srun ")
    assert "'/opt/py thon' -P -u -m submitit.core._submit" in script


def test_range_limit_and_dependency_of_arrays(tmp_path):
    profile = Profile(time_minutes=5, runs_per_pack=1, array_limit=1)
    submission = drafted(tmp_path, profile, Limits(max_array_size=2))
    scripts = [job_script(submission, profile, number) for number in range(2)]
    assert "#SBATCH --array=0-1%1" in scripts[0]
    assert "--dependency" not in scripts[0]
    assert f"#SBATCH --dependency='afterany:<{submission.arrays[0].job_name}>'" in scripts[1]


def arms_of_the_switch(count=2):
    """Arms that differ only online, with two seeds each, and a run that shares nothing."""
    arms = [with_settings(RUNS[seed], {"arm": f"arm{number}", "online.critic_shift": 0.1 * number})
            for number in range(count) for seed in (0, 1)]  # fmt: skip
    return [RUNS[2], *arms]


def test_runs_that_start_from_a_prefix_wait_for_the_other_arrays(tmp_path):
    runs = arms_of_the_switch()
    prefixes = [prefix_of(run).id for run in runs[1:3]]
    submission = draft(plan(runs, tmp_path), PLAIN, Limits(), (), retry_failed=False)
    first, then = submission.arrays
    assert first.tasks == tuple(((id,),) for id in (*prefixes, runs[0].id))
    assert then.tasks == tuple(((run.id,),) for run in runs[1:])
    assert (first.waits_for, then.waits_for) == ((), (0,))
    assert [run.id for run in submission.runs] == [*prefixes, *(run.id for run in runs)]
    assert f"#SBATCH --dependency='afterany:<{first.job_name}>'" in job_script(submission, PLAIN, 1)
    alone = draft(plan(runs, tmp_path), PLAIN, Limits(), (), retry_failed=False, shared_prefix=False)
    assert ([run.id for run in alone.runs], len(alone.arrays)) == ([run.id for run in runs], 1)
    # Prefixes have priority where the queue is limited.
    limited = draft(plan(runs, tmp_path), PLAIN, Limits(max_submitted=2), (), retry_failed=False)
    assert ([run.id for run in limited.runs], limited.left) == (prefixes, 5)
    assert list(tmp_path.iterdir()) == []


def test_runs_wait_for_prefixes_of_earlier_submissions(tmp_path):
    runs = arms_of_the_switch()[1:]
    prefixes = [prefix_of(run).id for run in runs[:2]]
    commit([prefix_of(run) for run in runs[:2]], tmp_path)
    arrays = (submissions.Array("name", tuple(((id,),) for id in prefixes), 2, job_id="7"),)
    write(tmp_path, submissions.Submission("s", "smoke", "me", "login", 1.0, {}, "0" * 16, arrays))
    waiting = [QueuedTask(f"7_{index}", "7", "PENDING", "Resources", "", "name") for index in range(2)]
    submission = draft(plan(runs, tmp_path), PLAIN, Limits(), waiting, retry_failed=False)
    (array,) = submission.arrays
    assert (array.waits_for, array.prefix_jobs) == ((), ("7_0", "7_1"))
    assert "#SBATCH --dependency=afterany:7_0:7_1" in job_script(submission, PLAIN, 0)
    # Once they are done, there is nothing to wait for.
    write_done(tmp_path, [prefix_of(run) for run in runs[:2]])
    (array,) = draft(plan(runs, tmp_path), PLAIN, Limits(), (), retry_failed=False).arrays
    assert (array.waits_for, array.prefix_jobs) == ((), ())


def test_the_expected_cost_has_an_offline_phase_once(tmp_path):
    runs = arms_of_the_switch()[1:]
    for folder in write_done(tmp_path, [runs[0], prefix_of(runs[0])]):
        spend(folder, wall=500.0, pack=1, seconds={"update": 500.0}, processor=500.0)
    submission = draft(plan(runs, tmp_path), PLAIN, Limits(), (), retry_failed=False)
    # One prefix of 400 updates, and three online phases of 600.
    assert expectation(submission, PLAIN).by_task[0].updates == 400 + 3 * 600


def test_folders_and_groups_are_named_by_grid():
    words = ("study --scale paper", "grids/my.toml", "/a/b/doses.v2.toml --task x", "--task x --arm y")
    assert [short_name(name) for name in words] == ["study", "my", "doses.v2", "runs"]


def test_submissions_are_locked(tmp_path, monkeypatch):
    monkeypatch.setattr("slurm.submission.LOCK_TIMEOUT", 0.05)
    with (
        locked(tmp_path),
        pytest.raises(UserError, match=r"another process has held this lock for .* to submit to this root"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        pass


def test_variables_of_the_surrounding_job_are_hidden(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_GPUS_PER_NODE", "4")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    with only_options_of(Profile(time_minutes=5)):
        assert [name for name in os.environ if name.startswith("SLURM_")] == ["SLURM_CONF"]
    assert (os.environ["SLURM_JOB_ID"], os.environ["SLURM_GPUS_PER_NODE"]) == ("7", "4")


def test_variables_of_sbatch_replace_no_option_of_a_profile(monkeypatch):
    for name in ("ACCOUNT", "PARTITION", "QOS", "RESERVATION", "TIMELIMIT", "OUTPUT", "REQUEUE", "ARRAY_INX"):
        monkeypatch.setenv(f"SBATCH_{name}", "mine")

    def left(**fields):
        with only_options_of(Profile(time_minutes=5, **fields)):
            return {name.removeprefix("SBATCH_") for name in os.environ if name.startswith("SBATCH_")}

    assert left() == {"ACCOUNT", "PARTITION", "QOS", "RESERVATION"}
    assert left(account="a", partition="p", sbatch={"reservation": "r"}) == {"QOS"}
    assert os.environ["SBATCH_OUTPUT"] == "mine"


def test_chunks_by_hand():
    assert chunks(0, 10, 2) == []
    assert chunks(7, 10, 3) == [Chunk(0, 7, 3)]
    assert chunks(2, 10, 3) == [Chunk(0, 2, 2)]
    assert chunks(1200, 1001, 16) == [Chunk(0, 600, 8), Chunk(600, 600, 8)]
    assert chunks(1200, 1001, 1) == [Chunk(0, 600, 1), Chunk(600, 600, 1, after=0)]
    assert chunks(7, 2, 3) == [Chunk(0, 1, 1), Chunk(1, 2, 1), Chunk(3, 2, 1), Chunk(5, 2, 1, after=0)]


def most_at_once(ranges):
    """The number of array tasks that can run at the same time: the sum over lanes of the largest limit."""
    lanes = {}
    for number, chunk in enumerate(ranges):
        lanes[number] = number if chunk.after is None else lanes[chunk.after]
    return sum(
        max(chunk.limit for number, chunk in enumerate(ranges) if lanes[number] == lane) for lane in set(lanes.values())
    )


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(1, 90), st.integers(1, 100))
def test_chunks_cover_every_task_once_within_all_limits(tasks, largest, at_once):
    ranges = chunks(tasks, largest, at_once)
    assert [task for chunk in ranges for task in range(chunk.start, chunk.start + chunk.count)] == list(range(tasks))
    assert all(1 <= chunk.count <= largest and 1 <= chunk.limit <= chunk.count for chunk in ranges)
    assert all(chunk.after is None or chunk.after < number for number, chunk in enumerate(ranges))
    assert most_at_once(ranges) <= at_once
    if ranges:
        sizes = [chunk.count for chunk in ranges]
        assert max(sizes) - min(sizes) <= 1
        assert len(ranges) == -(-tasks // largest)
        # The limit is used up, unless an array has fewer tasks than its part of it.
        assert most_at_once(ranges) >= min(at_once, len(ranges) * min(sizes))


def command(*arguments):
    done = subprocess.run([sys.executable, "-m", "floorbench", "submit", *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_a_dry_run_shows_everything_and_writes_nothing(tmp_path, monkeypatch):
    # The datasets of the fabricated runs do not exist.
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    root = tmp_path / "runs"
    for folder in write_done(root, RUNS[:1]):
        spend(folder, wall=500.0 - PROCESS, pack=1, seconds={"update": 1.0}, processor=1.0)
    before = sorted(root.rglob("*"))
    profile = tmp_path / "mine.toml"
    profile.write_text('time_minutes = 5\nruns_per_pack = 1\ngres = "gpu:2"\nrequeue = false\nsignal_seconds = 30\n')
    code, out, err = command("smoke", "--cluster", str(profile), "--dry-run", "--root", str(root))
    assert code == 0, err
    assert f"4 runs in {root}: 3 new, 1 done; 0 of them queued in SLURM" in out
    assert "to submit: 3 runs in 3 packs and 3 array tasks" in out
    assert "0-2%3" in out
    # Three times 500 s and 4 s for the start: 1,512 s, on one core and two GPUs each.
    assert "expected: 0.42 core-hours and 0.84 GPU-hours; the longest array task takes 8 min of its 5 min" in out
    assert f"(estimated from 1 finished runs in {root}, in packs of 1)" in out
    row = next(line.split() for line in out.splitlines() if line.startswith("pointmaze-umaze"))
    assert row == ["pointmaze-umaze", "3", "3", "3,000", "0.5", "8", "min", "0.42", "0.84"]
    assert "#SBATCH --gres=gpu:2" in out
    assert "warning: an array task is expected to take 8 min, longer than time_minutes = 5, and requeue = false" in err
    assert "warning: the profile requests a GPU, which algorithm.kernel = 'fused' does not use; request none" in err
    assert sorted(root.rglob("*")) == before


def test_a_dry_run_needs_no_gpu(tmp_path):
    arguments = ("smoke", "--cluster", "cpu", "--dry-run", "--root", str(tmp_path), "--set", "algorithm.kernel=cuda")
    code, out, err = command(*arguments)
    assert code == 0, err
    assert "to submit: 4 runs in 4 packs" in out
    assert "warning: algorithm.kernel needs a GPU, but the profile requests none" in err
    if not torch.cuda.is_available():
        assert "(estimated from the data sheet of H100 SXM: estimate, not measured; run make gpu-check" in out
        profile = tmp_path / "mine.toml"
        profile.write_text('time_minutes = 5\ngres = "gpu:rtx0000:2"\n')
        _, out, err = command("smoke", "--cluster", str(profile), *arguments[3:])
        assert "estimate, not measured (no gpu-check of rtx0000 was found); run make gpu-check on the GPU)" in out
        assert "warning: 1 of 2 GPUs of an array task stay idle: a worker uses one; raise workers or request" in err


def test_expected_costs_of_tasks_add_up(tmp_path):
    """Three packs of 500 s each, two of them in one array task, whose cost they share, and the starts of two tasks."""
    for folder in write_done(tmp_path, RUNS[:1]):
        spend(folder, wall=500.0 - PROCESS, pack=1, seconds={"update": 1.0}, processor=1.0)
    profile = Profile(time_minutes=60, runs_per_pack=1, packs_per_task=2, workers=2, cpus_per_task=3, gres="gpu:1")
    expected = expectation(drafted(tmp_path, profile), profile)
    start = Costs([], None).preparation([])
    longest = pytest.approx(start + 500.0)
    assert (expected.longest_task, expected.all_tasks) == (longest, longest)
    hours = 2 * (start + 500.0) / 3600
    assert expected.core_hours == pytest.approx(3 * hours)
    (task,) = expected.by_task
    assert (task.task, task.runs, task.packs, task.updates) == ("pointmaze-umaze", 3, 3, 3000)
    assert (task.update_seconds, task.longest_pack) == (pytest.approx(0.5), pytest.approx(500.0))
    assert (task.core_hours, task.gpu_hours) == (pytest.approx(3 * hours), pytest.approx(hours))


def test_an_unknown_profile_is_a_one_line_error(tmp_path):
    code, out, err = command("smoke", "--cluster", "gpus", "--root", str(tmp_path))
    assert (code, out) == (2, "")
    assert err.startswith("floorbench: error: --cluster gpus: unknown profile")
    assert err.count("\n") == 1


NO_NODE = (
    "sbatch: Requested node configuration is not available: no node has cpus_per_task = 1, gres = gpu:9; "
    "compare with: sinfo --format='%P %D %c %m %G %f'"
)


@pytest.mark.slurm
@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ({"partition": "wrong"}, "sbatch: invalid partition specified: wrong"),
        ({"gres": "gpu:9"}, NO_NODE),
        ({"gres": "tpu:1"}, r"sbatch: Invalid generic resource \(gres\) specification"),
        ({"account": "wrong"}, "sbatch: Invalid account or account/partition combination specified"),
        ({"sbatch": {"colour": "red"}}, "sbatch: unrecognized option '--colour=red'"),
    ],
)
def test_slurm_checks_the_profile(at_cluster, field, reason):
    with pytest.raises(UserError, match=f"^{reason}$"):
        check_profile(Profile(time_minutes=5, **field))
    check_profile(Profile(time_minutes=5))


@pytest.mark.slurm
def test_a_profile_is_checked_while_all_nodes_are_down(at_cluster, cluster):
    for node in cluster.nodes:
        cluster.set_down(node)
    try:
        check_profile(Profile(time_minutes=5))
        with pytest.raises(UserError, match=f"^{NO_NODE}$"):
            check_profile(Profile(time_minutes=5, gres="gpu:9"))
        assert queue() == []
    finally:
        for node in cluster.nodes:
            cluster.resume(node)
        cluster.wait_until_idle()


@pytest.mark.slurm
def test_a_refused_profile_writes_nothing(at_cluster, tmp_path):
    profile = tmp_path / "mine.toml"
    profile.write_text('time_minutes = 5\npartition = "wrong"\n')
    code, out, err = command("smoke", "--cluster", str(profile), "--root", str(tmp_path / "runs"))
    assert (code, out, err) == (2, "", "floorbench: error: sbatch: invalid partition specified: wrong\n")
    assert list(tmp_path.iterdir()) == [profile]


@pytest.mark.slurm
def test_variables_of_the_user_change_no_job(at_cluster, cluster, tmp_path, monkeypatch):
    for name, value in (("TIMELIMIT", "1"), ("OUTPUT", str(tmp_path / "%j")), ("PARTITION", "none"), ("REQUEUE", "1")):
        monkeypatch.setenv(f"SBATCH_{name}", value)
    submission = grids.submit(tmp_path / "runs", RUNS[:1], requeue=False)
    values = job(cluster, submission.arrays[0].job_id)
    assert (values["TimeLimit"], values["Partition"], values["Requeue"]) == ("00:30:00", "gpu", "0")
    assert values["StdOut"].startswith(str(tmp_path / "runs/submissions"))
    cluster.run("scancel", submission.arrays[0].job_id)
    grids.wait_for_end(tmp_path / "runs")
