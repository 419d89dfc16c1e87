"""Jobs of shell commands, for tests that watch a cluster."""

import re
import secrets
from pathlib import Path

from tests.support.testcluster import processes
from tests.support.testcluster.cluster import Cluster
from tests.support.waiting import wait_until


def submit(cluster: Cluster, folder: Path, commands: str, *options: str) -> str:
    """Submit shell commands that run in `folder` and print into `<job id>.txt` there; returns the job's id."""
    place = (f"--chdir={folder}", f"--output={folder}/%j.txt", "--open-mode=append")
    return cluster.run("sbatch", "--parsable", *place, *options, f"--wrap={commands}").strip()


def job(cluster: Cluster, number: str) -> dict[str, str]:
    """What SLURM's controller says of a job: JobState, NodeList, Restarts and so on."""
    return dict(re.findall(r"(\S+?)=(\S*)", cluster.run("scontrol", "show", "job", "--oneliner", number)))


def wait_for_state(cluster: Cluster, number: str, state: str, seconds: float = 40.0) -> dict[str, str]:
    """Wait until a job is in a state, and return what SLURM says of it then."""
    wait_until(lambda: job(cluster, number)["JobState"] == state, seconds)
    return job(cluster, number)


def wait_until_saved(cluster: Cluster, number: str) -> None:
    """Wait until the controller's files hold what it knows of a job now: a crash forgets what is not in them."""
    remark = f"remark-{secrets.token_hex(8)}"
    cluster.run("scontrol", "update", f"jobid={number}", f"comment={remark}")
    wait_until(lambda: remark.encode() in (cluster.folder / "state" / "job_state").read_bytes())


def kill(cluster: Cluster, number: str) -> None:
    """Kill every Python process of a job at once; `number` is SLURM's own of a task, not that of its array."""
    found = [process for process in processes.of_cluster(cluster.folder) if process.program.startswith("python")]
    assert processes.kill([process for process in found if process.environment.get("SLURM_JOB_ID") == number])


def lines(file: Path) -> list[str]:
    """The lines of a file that a job writes; none while there is no such file."""
    return file.read_text().splitlines() if file.exists() else []
