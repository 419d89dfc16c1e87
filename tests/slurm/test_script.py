"""The job script: what `submit --dry-run` shows is what submitit gives to sbatch."""

import subprocess
import sys

import pytest

from harness.errors import UserError
from slurm import script
from slurm.profile import Profile
from slurm.script import check_root
from tests.support.slurm import grids

FULL = Profile(
    time_minutes=90, partition="gpu", account="me", qos="high", gres="gpu:2", constraint="a100|h100", cpus_per_task=3,
    memory_gb=1.5, requeue=False, signal_seconds=33, setup=("module load x", "echo 'a b'"), python="/opt/py thon",
    sbatch={"mail-type": "END", "exclusive": True, "contiguous": False, "comment": "two words", "nice": 5},
)  # fmt: skip


@pytest.fixture
def submitted(tmp_path, monkeypatch):
    """A function that submits with submitit to an sbatch that only prints a job id; returns the script."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sbatch", "srun"):
        (programs / name).write_text("#!/bin/sh\necho Submitted batch job 7\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")

    def submit(profile, folder, values, tasks):
        executor = script.executor(profile, folder, values)
        executor.map_array(print, range(tasks))
        (text,) = {file.read_text() for file in folder.glob("*.sh")}
        return text

    return submit


@pytest.mark.parametrize("tasks", [1, 2, 7])
@pytest.mark.parametrize("profile", [FULL, Profile(time_minutes=5)], ids=["full", "plain"])
def test_the_text_is_what_submitit_writes(submitted, tmp_path, profile, tasks):
    folder = tmp_path / "jobs here"
    folder.mkdir()
    values = script.parameters(profile, "name-0", 3, "6" if tasks == 2 else None, tmp_path, tmp_path / "co de")
    assert script.text(profile, folder, values, tasks) == submitted(profile, folder, values, tasks)


def test_python_ignores_signals_until_it_handles_them():
    command = script.interpreter(Profile(time_minutes=5, python=sys.executable))
    code = "import os, signal; os.kill(os.getpid(), signal.SIGUSR2); print('alive')"
    done = subprocess.run(["bash", "-c", f'{command} -c "{code}"'], capture_output=True, text=True)
    assert done.stdout == "alive\n"


@pytest.mark.parametrize("name", ["a%b", "a%ub", "a\\b", "a:b", "a\nb", "a\tb"])
def test_a_root_that_a_job_script_cannot_name_is_refused(tmp_path, name):
    with pytest.raises(UserError, match=r"^--root .*: the character .*; choose another folder$") as error:
        check_root(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a b", "a'b", 'a"b', "a$HOME", "ü", "a#b", "a,b", "a;b", "a&b", "a`b", "~a", "-a"])
def test_other_roots_are_quoted(tmp_path, name):
    check_root(tmp_path / name)


@pytest.mark.slurm
def test_a_job_runs_in_a_root_with_every_other_character(at_cluster, cluster, tmp_path):
    root = tmp_path / "a b'c\"d$HOMEü#,=*;&()`~!["
    grids.submit(root, grids.SMOKE.runs[:1], array_limit=1)
    grids.wait_for_end(root)
    assert grids.metrics(grids.SMOKE.runs[:1], root)
