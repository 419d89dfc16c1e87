"""Jobs of shell commands on a test cluster."""

import re
import secrets
from pathlib import Path

from tests.support.testcluster import processes
from tests.support.testcluster.cluster import Cluster
from tests.support.waiting import wait_until


def submit(cluster: Cluster, folder: Path, commands: str, *options: str) -> str:
    """Submit shell commands that run in `folder` with the output `<job id>.txt`; returns the job id."""
    place = (f"--chdir={folder}", f"--output={folder}/%j.txt", "--open-mode=append")
    return cluster.run("sbatch", "--parsable", *place, *options, f"--wrap={commands}").strip()


def job(cluster: Cluster, number: str) -> dict[str, str]:
    """The controller's record of a job: JobState, NodeList, Restarts, ..."""
    return dict(re.findall(r"(\S+?)=(\S*)", cluster.run("scontrol", "show", "job", "--oneliner", number)))


def wait_for_state(cluster: Cluster, number: str, state: str, seconds: float = 40.0) -> dict[str, str]:
    """Wait until a job is in a state; returns its record."""
    wait_until(lambda: job(cluster, number)["JobState"] == state, seconds)
    return job(cluster, number)


def wait_until_saved(cluster: Cluster, number: str) -> None:
    """Wait until the controller has saved the current state of a job, so that it survives a crash."""
    remark = f"remark-{secrets.token_hex(8)}"
    cluster.run("scontrol", "update", f"jobid={number}", f"comment={remark}")
    wait_until(lambda: remark.encode() in (cluster.folder / "state" / "job_state").read_bytes())


def kill(cluster: Cluster, number: str) -> None:
    """Kill all Python processes of a job, forked workers too; for an array task, `number` is its raw job id."""
    of_job = [p for p in processes.of_cluster(cluster.folder) if p.environment.get("SLURM_JOB_ID") == number]
    assert processes.kill([process for process in of_job if process.program.startswith(("python", "worker"))])


def lines(file: Path) -> list[str]:
    """The lines of a job's output file; empty if it does not exist."""
    return file.read_text().splitlines() if file.exists() else []
