"""Whatever happens to its tasks on a cluster, a grid ends with the bytes that the local pool makes of it.

The stories that disturb nobody else are begun together; those that break the cluster follow one by one.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from harness.data.dataset import ensure_dataset
from harness.folders.provenance import attempt_details
from harness.folders.run_folder import RunFolder
from harness.launching.planner import plan
from harness.settings import Run, with_settings
from harness.training.training import CHECKPOINT_VARIABLE
from slurm.queue import QueuedTask
from slurm.testcluster import processes
from slurm.testcluster.cluster import Cluster
from tests.slurm import grids
from tests.slurm.grids import attempts, smoke, submit, tasks_in_queue, wait_for_checkpoint, wait_for_end
from tests.slurm.jobs import job, wait_until_saved
from tests.waiting import wait_until

pytestmark = pytest.mark.slurm

Story = Callable[[Cluster, Path], None]

# A line of the job script by which every step is saved: a run of a second then takes many.
SLOWLY = f"export {CHECKPOINT_VARIABLE}=0"


@pytest.fixture(scope="module")
def reference(minari_folder, tmp_path_factory) -> dict[str, bytes]:
    """The metrics of the grid as the local pool makes them."""
    ensure_dataset(smoke()[0].task)
    return grids.compute_here(smoke(), tmp_path_factory.mktemp("reference"))


@pytest.fixture(scope="module")
def at_this_cluster(cluster, reference) -> Iterator[None]:
    """SLURM's commands speak to the cluster; checkpoints are frequent."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**cluster.variables, CHECKPOINT_VARIABLE: "0.1"}.items():
            patch.setenv(name, value)
        yield


def kill(cluster: Cluster, raw_id: str) -> None:
    """Kill every process of a task at once."""
    found = [process for process in processes.of_cluster(cluster.folder) if process.program.startswith("python")]
    assert processes.kill([process for process in found if process.environment.get("SLURM_JOB_ID") == raw_id])


# What disturbs nobody else ------------------------------------------------------------------------------------------


def clean(cluster: Cluster, root: Path) -> None:
    """Nothing happens, but that it is submitted again while it runs, and afterwards."""
    first = submit(root, smoke(), runs_per_pack=2, packs_per_task=2, workers=2, cpus_per_task=2)
    assert [len(array.tasks) for array in first.arrays] == [1]
    assert submit(root, smoke()) == first
    wait_for_end(root)
    assert [attempts(root, run) for run in smoke()] == [[(first.arrays[0].job_id, 0, "done")]] * 4
    assert submit(root, smoke()) == first


def two_at_once(cluster: Cluster, root: Path) -> None:
    """Four tasks, of which two may run at once."""
    submission = submit(root, smoke(), runs_per_pack=1, array_limit=2)
    most = 0
    while waiting := tasks_in_queue(submission):
        most = max(most, sum(task.state == "RUNNING" for task in waiting))
        time.sleep(0.2)
    assert most == 2
    job_id = submission.arrays[0].job_id
    assert [attempts(root, run) for run in smoke()] == [[(f"{job_id}_{task}", 0, "done")] for task in range(4)]


def told_to_end(cluster: Cluster, root: Path) -> None:
    """SLURM announces the end, as submitit's `_interrupt` does it; the task puts itself back into the queue."""
    job_id = submit(root, smoke()).arrays[0].job_id
    wait_for_checkpoint(root, smoke())
    cluster.run("scancel", job_id, "--signal=SIGTERM")
    cluster.run("scancel", job_id, "--signal=USR2")
    wait_for_end(root)
    assert [attempts(root, run) for run in smoke()] == [[(job_id, 0, "interrupted"), (job_id, 1, "done")]] * 4


def requeued(cluster: Cluster, root: Path) -> None:
    """An administrator puts the task back into the queue."""
    job_id = submit(root, smoke()).arrays[0].job_id
    wait_for_checkpoint(root, smoke())
    cluster.run("scontrol", "requeue", job_id)
    wait_for_end(root)
    assert [attempts(root, run) for run in smoke()] == [[(job_id, 0, "interrupted"), (job_id, 1, "done")]] * 4


def out_of_time(cluster: Cluster, root: Path) -> None:
    """The limit is one minute: SLURM, which looks twice a minute, tells the task in time, and it goes on later.

    One of its runs is in the hands of this process until then, so that there is something left to do.
    """
    job_id = submit(root, smoke(), time_minutes=1, signal_seconds=5).arrays[0].job_id
    held = RunFolder.of(root, smoke()[3])
    assert held.begin_attempt(attempt_details())
    held.write_status("running")
    wait_until(lambda: int(job(cluster, job_id)["Restarts"]) > 0, grids.PATIENCE)
    held.write_status("interrupted")
    held.end_attempt("interrupted: by the test")
    wait_for_end(root)
    for run in smoke():
        *before, last = RunFolder.of(root, run).provenance()["attempts"]
        assert (last["slurm"]["job"], last["reason"]) == (job_id, "done")
        assert {attempt["reason"].split(":")[0] for attempt in before} <= {"interrupted"}


def killed(cluster: Cluster, root: Path) -> None:
    """Every process of a task is killed; its runs are lost until they are submitted again."""
    first = submit(root, smoke()).arrays[0].job_id
    wait_for_checkpoint(root, smoke())
    kill(cluster, first)
    wait_for_end(root)
    wait_until(lambda: plan(smoke(), root).counts() == {"lost": 4})
    second = submit(root, smoke()).arrays[0].job_id
    wait_for_end(root)
    assert [attempts(root, run) for run in smoke()] == [[(first, 0, "lost"), (second, 0, "done")]] * 4


def cancelled(cluster: Cluster, root: Path) -> None:
    """One of two tasks is cancelled and submitted again; the other one goes on."""
    first = submit(root, smoke(), runs_per_pack=2).arrays[0]
    victims, others = smoke()[:2], smoke()[2:]
    wait_for_checkpoint(root, victims)
    cluster.run("scancel", f"{first.job_id}_0")
    wait_until(lambda: f"{first.job_id}_0" not in [task.id for task in grids.queue()], 60)
    second = submit(root, smoke(), runs_per_pack=2).arrays[0]
    assert second.tasks == first.tasks[:1]
    wait_for_end(root)
    assert [attempts(root, run) for run in others] == [[(f"{first.job_id}_1", 0, "done")]] * 2
    expected = [(f"{first.job_id}_0", 0, "interrupted"), (second.job_id, 0, "done")]
    assert [attempts(root, run) for run in victims] == [expected] * 2


# Code by which a submitter kills itself: before SLURM hears of the array, when sbatch has answered and the files that
# tell the tasks what to do do not lie there yet, and before the id is written down.
CUTS = (
    "import os, slurm.submission as s; s.submit_array = lambda *_: os.kill(os.getpid(), 9)",
    "import os; from submitit.slurm.slurm import SlurmExecutor as e; own = e._submit_command\n"
    "def submit_and_die(*given): own(*given); os.kill(os.getpid(), 9)\n"
    "e._submit_command = submit_and_die",
    "import os, slurm.submission as s; s.with_array = lambda *_, **__: os.kill(os.getpid(), 9)",
)


def cut_off(cluster: Cluster, root: Path) -> None:
    """Three submitters are killed half-way, and the fourth finds out what became of their arrays."""
    for code, runs in zip(CUTS, ("smoke()", "smoke()[:2]", "smoke()"), strict=True):
        ended = grids.submit_elsewhere(root, {}, runs, code, runs_per_pack=1)
        assert ended.startswith("-9 "), ended
    last = submit(root, smoke(), runs_per_pack=1)
    wait_for_end(root)
    first, second, third = (submission.arrays[0] for submission in grids.submissions.submissions(root))
    assert last.arrays[0] == third
    assert first.dropped == "its submission was cut off before SLURM had it"
    jobs = [f"{array.job_id}_{task}" for array in (second, third) for task in range(2)]
    assert [attempts(root, run) for run in smoke()] == [[(job_id, 0, "done")] for job_id in jobs]


CALM = (clean, two_at_once, told_to_end, requeued, out_of_time, killed, cancelled, cut_off)


@pytest.fixture(scope="module")
def stories(cluster, at_this_cluster, tmp_path_factory) -> Iterator[dict[Story, tuple[Path, Future[None]]]]:
    """The stories that disturb nobody else, begun together; each in a root of its own."""
    roots = {story: tmp_path_factory.mktemp(story.__name__) for story in CALM}
    with ThreadPoolExecutor(len(CALM)) as pool:
        yield {story: (root, pool.submit(story, cluster, root)) for story, root in roots.items()}


@pytest.mark.parametrize("story", CALM)
def test_nothing_is_lost_and_nothing_doubled(story, stories, reference):
    root, told = stories[story]
    try:
        told.result()
    finally:
        print(grids.report(smoke(), root))
    assert grids.metrics(smoke(), root) == reference


# What breaks the cluster --------------------------------------------------------------------------------------------


def test_accounting_is_off(cluster_without_accounting, reference, tmp_path, monkeypatch):
    for name, value in cluster_without_accounting.variables.items():
        monkeypatch.setenv(name, value)
    submission = submit(tmp_path, smoke(), account=None, runs_per_pack=1, array_limit=3)
    wait_for_end(tmp_path)
    assert len(submission.arrays[0].tasks) == 4
    assert grids.metrics(smoke(), tmp_path) == reference


def test_accounting_is_away(at_this_cluster, cluster, reference, tmp_path):
    cluster.kill("slurmdbd")
    try:
        submit(tmp_path, smoke())
        wait_for_end(tmp_path)
    finally:
        cluster.start("slurmdbd")
    assert grids.metrics(smoke(), tmp_path) == reference


def test_the_controller_is_restarted(at_this_cluster, cluster, reference, tmp_path):
    job_id = submit(tmp_path, smoke()).arrays[0].job_id
    wait_for_checkpoint(tmp_path, smoke())
    wait_until_saved(cluster, job_id)
    cluster.restart("slurmctld")
    wait_for_end(tmp_path)
    assert [attempts(tmp_path, run) for run in smoke()] == [[(job_id, 0, "done")]] * 4
    assert grids.metrics(smoke(), tmp_path) == reference
    grids.wait_for_nodes()


def test_a_node_is_set_down_and_resumed(at_this_cluster, cluster, reference, tmp_path):
    job_id = submit(tmp_path, smoke()).arrays[0].job_id
    wait_for_checkpoint(tmp_path, smoke())
    node = job(cluster, job_id)["NodeList"]
    cluster.set_down(node)
    wait_for_end(tmp_path)
    cluster.resume(node)
    cluster.wait_until_idle()
    assert [attempts(tmp_path, run) for run in smoke()] == [[(job_id, 0, "interrupted"), (job_id, 1, "done")]] * 4
    assert grids.metrics(smoke(), tmp_path) == reference


@pytest.mark.slow
def test_a_nodes_daemon_is_killed_and_the_task_lives_on_beside_its_second_copy(
    at_this_cluster, cluster, reference, tmp_path
):
    job_id = submit(tmp_path, smoke(), setup=(SLOWLY,)).arrays[0].job_id
    wait_for_checkpoint(tmp_path, smoke())
    node = job(cluster, job_id)["NodeList"]
    cluster.kill(f"slurmd.{node}")
    # The second copy waits for the first one, which nobody has told that it is given up.
    wait_until(lambda: job(cluster, job_id)["Restarts"] == "1" and job(cluster, job_id)["JobState"] == "RUNNING", 120)
    print(plan(smoke(), tmp_path).counts())
    wait_for_end(tmp_path)
    cluster.start(f"slurmd.{node}")
    cluster.wait_until_idle()
    assert [attempts(tmp_path, run) for run in smoke()] == [[(job_id, 0, "done")]] * 4
    assert grids.metrics(smoke(), tmp_path) == reference


def test_more_tasks_than_an_array_takes(at_this_cluster, cluster, reference, tmp_path):
    """1,200 tasks that are held, of which those at the ends of both arrays are let go."""
    runs = [replace(smoke()[0], seed=seed) for seed in range(2, 1198)]
    first, second, third, fourth = smoke()
    runs = [first, *runs[:598], second, third, *runs[598:], fourth]
    submission = submit(tmp_path, runs, runs_per_pack=1, array_limit=5, sbatch={"hold": True})
    assert [(len(array.tasks), array.limit) for array in submission.arrays] == [(600, 2), (600, 3)]
    jobs = [array.job_id for array in submission.arrays]
    ends = [f"{job_id}_{task}" for job_id in jobs for task in (0, 599)]
    waiting = tasks_in_queue(submission)
    assert len(waiting) == 1200
    assert {task.state for task in waiting} == {"PENDING"}
    for task in ends:
        cluster.run("scontrol", "release", task)
    wait_until(lambda: plan(smoke(), tmp_path).counts() == {"done": 4}, grids.PATIENCE)
    cluster.run("scancel", *jobs)
    wait_for_end(tmp_path)
    assert [attempts(tmp_path, run) for run in smoke()] == [[(task, 0, "done")] for task in ends]
    assert grids.metrics(smoke(), tmp_path) == reference


def forty() -> list[Run]:
    """Forty short runs: four arms with ten seeds each."""
    short = {"schedule.offline_steps": 60, "schedule.online_steps": 60, "schedule.offline_interval": 30}
    arms = ({}, {"algorithm.alpha": 1.0}, {"floor.inflation": 0.5}, {"algorithm.tau": 0.01})
    return [
        with_settings(smoke()[2], {**short, **arm, "seed": seed, "arm": f"arm{number}"})
        for number, arm in enumerate(arms)
        for seed in range(10)
    ]


def restart_the_controller(cluster: Cluster, task: QueuedTask) -> None:
    wait_until_saved(cluster, raw_id(cluster, task))
    cluster.restart("slurmctld")
    grids.wait_for_nodes()


def set_its_node_down(cluster: Cluster, task: QueuedTask) -> None:
    cluster.set_down(task.node)
    time.sleep(10)
    cluster.resume(task.node)


def raw_id(cluster: Cluster, task: QueuedTask) -> str:
    """The id that SLURM counts a task of an array by."""
    return job(cluster, task.id)["JobId"]


MISHAPS: tuple[Callable[[Cluster, QueuedTask], object], ...] = (
    lambda cluster, task: cluster.run("scontrol", "requeue", task.id),
    lambda cluster, task: cluster.run("scancel", "--signal=USR2", task.id),
    lambda cluster, task: cluster.run("scancel", task.id),
    lambda cluster, task: kill(cluster, raw_id(cluster, task)),
    restart_the_controller,
    set_its_node_down,
)


@pytest.mark.slow
def test_forty_runs_and_one_mishap_after_another(at_this_cluster, cluster, tmp_path):
    runs, root = forty(), tmp_path / "cluster"
    expected = grids.compute_here(runs, tmp_path / "here")
    fields = {"runs_per_pack": 4, "packs_per_task": 2, "array_limit": 3, "retry_failed": True}
    submit(root, runs, **fields)
    for mishap in MISHAPS:
        wait_until(lambda: any(task.state == "RUNNING" for task in grids.queue()) or not grids.queue(), grids.PATIENCE)
        if running := [task for task in grids.queue() if task.state == "RUNNING"]:
            # Far enough for the workers to have begun.
            time.sleep(8)
            mishap(cluster, running[0])
        for run in plan(runs, root).in_state("failed"):
            print(RunFolder.of(root, run).status(), attempts(root, run))
        submit(root, runs, **fields)
    for _ in range(3):
        wait_for_end(root)
        submit(root, runs, **fields)
    wait_for_end(root)
    cluster.wait_until_idle()
    assert grids.metrics(runs, root) == expected
    for run in runs:
        print(run.id, attempts(root, run))
        assert [ending for _, _, ending in attempts(root, run)].count("done") == 1
