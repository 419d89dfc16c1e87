"""The test cluster starts, behaves like a cluster, survives faults, and leaves no processes."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness.errors import UserError
from tests.support.slurm.jobs import job, lines, submit, wait_for_state, wait_until_saved
from tests.support.slurm.ordinary_user import as_ordinary_user, ordinary_user
from tests.support.slurm.sockets import listeners, listening_ports
from tests.support.testcluster import configuration, processes
from tests.support.testcluster.cluster import Cluster, take_down_abandoned
from tests.support.testcluster.configuration import Settings
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slurm

PLAIN = Settings(accounting=False)
ROOT = Path(__file__).parents[3]

# Appends its restart number to `starts`, and ends once the file `enough` exists.
STARTS = "echo ${SLURM_RESTART_COUNT:-0} $SLURMD_NODENAME >> starts; while [ ! -e enough ]; do sleep 0.2; done"


def numbers(cluster):
    return [process.number for process in processes.of_cluster(cluster.folder)]


def test_a_job_and_its_gpus(cluster, tmp_path):
    number = submit(
        cluster,
        tmp_path,
        "echo $CUDA_VISIBLE_DEVICES; srun --gpus=1 hostname; sleep 2",
        "--gres=gpu:2",
        "--job-name=seen",
    )
    wait_for_state(cluster, number, "RUNNING")
    assert cluster.run("squeue", "--noheader", "--format=%i %j %T %P").split() == [number, "seen", "RUNNING", "gpu"]
    assert set(cluster.run("sinfo", "--noheader", "--format=%R %D %G").splitlines()) == {
        f"{partition} 2 gpu:4" for partition in ("gpu", "cpu", "spare", "urgent")
    }
    wait_for_state(cluster, number, "COMPLETED")
    assert lines(tmp_path / f"{number}.txt") == ["0,1", configuration.host_name()]
    query = (
        "sacct",
        "--noheader",
        "--parsable2",
        "--allocations",
        "--format=JobID,State,Account,AllocTRES",
        f"-j{number}",
    )
    wait_until(lambda: "COMPLETED" in cluster.run(*query))
    assert cluster.run(*query).strip() == f"{number}|COMPLETED|research|billing=1,cpu=1,gres/gpu=2,node=1"


def test_cluster_without_accounting(cluster_without_accounting, tmp_path):
    cluster = cluster_without_accounting
    number = submit(cluster, tmp_path, "echo $CUDA_VISIBLE_DEVICES", "--gres=gpu:1")
    wait_for_state(cluster, number, "COMPLETED")
    assert lines(tmp_path / f"{number}.txt") == ["0"]
    with pytest.raises(UserError, match="accounting storage is disabled"):
        cluster.run("sacct")


def test_two_clusters_side_by_side_share_neither_ports_nor_job_ids(cluster, cluster_without_accounting, tmp_path):
    both = (cluster, cluster_without_accounting)
    ports = [{port for _, port in listeners(numbers(item))} for item in both]
    assert [len(numbers) for numbers in ports] == [4, 3]
    assert not ports[0] & ports[1]
    first, second = (int(submit(item, tmp_path, "true")) for item in both)
    assert abs(first - second) > 100


def test_every_listener_is_on_the_loopback_address(cluster, tmp_path):
    number = submit(cluster, tmp_path, "srun sleep 3", "--gres=gpu:1")

    def ports_of(program):
        return listeners(
            [process.number for process in processes.of_cluster(cluster.folder) if process.program == program]
        )

    wait_until(lambda: bool(ports_of("srun")))
    assert all(ports_of(program) for program in ("slurmctld", "slurmd", "slurmdbd"))
    assert {address for address, _ in listeners(numbers(cluster))} == {"127.0.0.1"}
    wait_for_state(cluster, number, "COMPLETED")


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--partition=wrong", "invalid partition specified: wrong"),
        ("--gres=gpu:5", "Requested node configuration is not available"),
        ("--gres=tpu:1", "Invalid generic resource"),
        ("--account=wrong", "Invalid account"),
        ("--qos=wrong", "Invalid qos"),
    ],
)
def test_wrong_requests_are_refused_with_a_reason(cluster, tmp_path, option, reason):
    with pytest.raises(UserError, match=reason):
        submit(cluster, tmp_path, "true", option)


def test_the_largest_array_is_a_setting(cluster_without_accounting, tmp_path):
    cluster = cluster_without_accounting
    with pytest.raises(UserError, match="Invalid job array specification"):
        submit(cluster, tmp_path, "true", "--array=0-10")
    number = submit(cluster, tmp_path, "true", "--array=0-9")
    query = ("squeue", "--noheader", "--array", "--states=all", "--format=%T", f"--jobs={number}")
    wait_until(lambda: cluster.run(*query).split() == ["COMPLETED"] * 10)


def test_a_job_of_a_node_set_down_moves_to_the_other_node(cluster, tmp_path):
    number = submit(cluster, tmp_path, STARTS, "--gres=gpu:1")
    first = wait_for_state(cluster, number, "RUNNING")["NodeList"]
    wait_until(lambda: len(lines(tmp_path / "starts")) == 1)
    cluster.set_down(first)
    assert cluster.node_state(first).startswith("DOWN")
    wait_until(lambda: len(lines(tmp_path / "starts")) == 2, 40.0)
    (second,) = set(cluster.nodes) - {first}
    assert lines(tmp_path / "starts") == [f"0 {first}", f"1 {second}"]
    (tmp_path / "enough").touch()
    assert wait_for_state(cluster, number, "COMPLETED")["Restarts"] == "1"
    cluster.resume(first)
    cluster.wait_until_idle()


def test_a_job_survives_daemon_restarts(cluster, tmp_path):
    number = submit(cluster, tmp_path, STARTS, "--gres=gpu:1")
    node = wait_for_state(cluster, number, "RUNNING")["NodeList"]
    wait_until(lambda: len(lines(tmp_path / "starts")) == 1)
    cluster.kill(f"slurmd.{node}")
    assert f"slurmd.{node}" not in {process.daemon for process in processes.of_cluster(cluster.folder)}
    assert "slurmstepd" in {process.program for process in processes.of_cluster(cluster.folder)}
    cluster.start(f"slurmd.{node}")
    wait_until_saved(cluster, number)
    cluster.restart("slurmctld")
    assert job(cluster, number)["JobState"] == "RUNNING"
    (tmp_path / "enough").touch()
    wait_for_state(cluster, number, "COMPLETED")
    assert lines(tmp_path / "starts") == [f"0 {node}"]
    cluster.wait_until_idle()


def test_accounting_catches_up_after_an_outage(cluster, tmp_path):
    query = ("sacct", "--noheader", "--allocations", "--format=State")
    cluster.kill("slurmdbd")
    with pytest.raises(UserError, match="sacct"):
        cluster.run(*query)
    number = submit(cluster, tmp_path, "true")
    wait_for_state(cluster, number, "COMPLETED")
    cluster.start("slurmdbd")
    wait_until(lambda: cluster.run(*query, f"-j{number}").strip() == "COMPLETED")


def test_preemption_signals_and_requeues(cluster, tmp_path):
    victim = f"trap 'echo signalled >> starts' USR1; {STARTS}"
    spare = submit(cluster, tmp_path, victim, "--partition=spare", "--nodes=2", "--gres=gpu:4", "--signal=B:USR1@30")
    wait_until(lambda: len(lines(tmp_path / "starts")) == 1)
    urgent = submit(cluster, tmp_path, "sleep 1", "--partition=urgent", "--gres=gpu:4")
    wait_for_state(cluster, urgent, "COMPLETED")
    wait_until(lambda: len(lines(tmp_path / "starts")) == 3)
    assert lines(tmp_path / "starts") == ["0 localhost", "signalled", "1 localhost"]
    (tmp_path / "enough").touch()
    wait_for_state(cluster, spare, "COMPLETED")
    assert "PREEMPTED" in cluster.run("sacct", "--duplicates", "--allocations", "--format=State", f"-j{spare}")
    cluster.wait_until_idle()


def test_down_leaves_no_process_and_no_listener(folder, tmp_path):
    cluster = Cluster(folder, PLAIN)
    cluster.up()
    number = submit(cluster, tmp_path, "trap '' TERM; env -i sleep 100 & srun sleep 100", "--gres=gpu:1")
    wait_until(
        lambda: {"sleep", "srun", "slurmstepd"} <= {process.program for process in processes.of_cluster(cluster.folder)}
    )
    # A crashed slurmd leaves the processes of the job running.
    cluster.kill(f"slurmd.{job(cluster, number)['NodeList']}")
    members = numbers(cluster)
    ports = {port for _, port in listeners(members)}
    assert ports <= listening_ports()
    cluster.down()
    assert not any(processes.is_alive(member) for member in members)
    assert not ports & listening_ports()
    cluster.down()


def test_a_cluster_whose_owner_was_killed_is_found_and_taken_down(cluster, folder):
    code = (
        "import sys, time; from pathlib import Path; from tests.support.testcluster.cluster import Cluster, Settings\n"
        "Cluster(Path(sys.argv[1]), Settings(accounting=False)).up(); print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, folder], stdout=subprocess.PIPE, text=True, cwd=ROOT) as owner:
        assert owner.stdout.readline() == "up\n"
        assert folder not in take_down_abandoned()
        assert numbers(Cluster(folder))
        owner.send_signal(signal.SIGKILL)
    assert take_down_abandoned() == [folder]
    assert not numbers(Cluster(folder))
    assert cluster.run("sinfo")


def test_a_cluster_of_the_command_line_runs_until_it_is_stopped(folder):
    def command(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "tests.support.testcluster", *arguments], cwd=ROOT, capture_output=True, text=True
        )

    assert command("up", folder, "--no-accounting", "--nodes=1", "--cpus=3", "--gpus=1").returncode == 0
    assert take_down_abandoned() == []
    again = command("up", folder)
    assert (again.returncode, again.stderr) == (2, f"error: {folder}: a cluster is running in it; stop it first\n")
    variables = command("env", folder).stdout
    shell = subprocess.run(["sh", "-c", f"{variables} sinfo -hNo '%N %c %G' -p cpu"], capture_output=True, text=True)
    assert shell.stdout == f"{configuration.host_name()} 3 gpu:1\n"
    assert command("down", folder).returncode == 0
    assert not numbers(Cluster(folder))
    assert command("up", folder, "--no-accounting").returncode == 0
    assert command("down", folder).returncode == 0


def test_a_daemon_that_fails_gives_its_reason(folder, monkeypatch):
    monkeypatch.setattr(configuration, "user_name", lambda: "nobody-has-this-name")
    cluster = Cluster(folder, PLAIN)
    with pytest.raises(UserError, match=r"^slurmctld: exited at start: .*nobody-has-this-name"):
        cluster.up()
    assert not numbers(cluster)


def _job_on_a_cluster(folder):
    with Cluster(folder / "cluster") as cluster:
        number = submit(cluster, folder, "id -u; echo $CUDA_VISIBLE_DEVICES", "--gres=gpu:2")
        wait_for_state(cluster, number, "COMPLETED")
        wait_until(lambda: "COMPLETED" in cluster.run("sacct", "--allocations", f"-j{number}"))
        members = numbers(cluster)
    assert not any(processes.is_alive(member) for member in members)
    return lines(folder / f"{number}.txt")


def test_a_cluster_of_an_ordinary_user(cluster):
    # Other users cannot read pytest's directories.
    with tempfile.TemporaryDirectory(prefix="floorbench-") as name:
        folder = Path(name).resolve()
        os.chown(folder, ordinary_user(), -1)
        assert as_ordinary_user(_job_on_a_cluster, folder) == [str(ordinary_user()), "0,1"]


def test_a_directory_that_cannot_be_created(folder):
    (folder / "file").touch()
    with pytest.raises(UserError, match=re.escape(f"{folder}/file/below: cannot be created (Not a directory)")):
        Cluster(folder / "file" / "below", PLAIN).up()


def test_a_directory_with_other_files_is_refused(folder):
    (folder / "thesis.tex").write_text("dear")
    with pytest.raises(UserError, match=re.escape(f"{folder}: contains other files")):
        Cluster(folder, PLAIN).up()
    assert [file.name for file in folder.iterdir()] == ["thesis.tex"]
