"""The job script of an array: what SLURM is asked for, and how Python is started there."""

import shlex
import sys
from pathlib import Path
from typing import Any

from submitit.slurm.slurm import SlurmExecutor, _make_sbatch_string

from harness.data.files import minari_folder
from slurm.profile import Profile

# Until Python has its own handlers, a signal that announces the end must not kill it; the task then ends by itself.
DEAF = """trap "" USR1 USR2; exec "$0" "$@\""""


def parameters(
    profile: Profile, job_name: str, at_once: int, after: str | None, root: Path, code: Path
) -> dict[str, Any]:
    """The parameters of submitit's executor for an array; `after` is the id of the job that must have ended before."""
    wanted = {
        "job_name": job_name,
        "time": profile.time_minutes,
        "partition": profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "gres": profile.gres,
        "constraint": profile.constraint,
        "cpus_per_task": profile.cpus_per_task,
        "mem": None if profile.memory_gb is None else f"{round(1024 * profile.memory_gb)}M",
        "nodes": 1,
        "ntasks_per_node": 1,
        "signal_delay_s": profile.signal_seconds,
        "array_parallelism": at_once,
        "dependency": None if after is None else f"afterany:{after}",
        "setup": [*profile.setup, *exports(code)],
        "stderr_to_stdout": True,
    }
    more = {name: value for name, value in profile.sbatch.items() if value is not False}
    more |= {"requeue" if profile.requeue else "no-requeue": True, "chdir": str(root)}
    return {**{name: value for name, value in wanted.items() if value is not None},
            "wckey": None, "additional_parameters": more}  # fmt: skip


def exports(code: Path) -> list[str]:
    """Lines of the script that tell Python where code and data are, whatever the site passes on."""
    return [
        f'export PYTHONPATH={shlex.quote(str(code))}"${{PYTHONPATH:+:$PYTHONPATH}}"',
        f"export MINARI_DATASETS_PATH={shlex.quote(str(minari_folder().resolve()))}",
        # From SLURM 22.05 to 23.02 srun does not take this over from sbatch by itself.
        "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK",
        # The task computes nothing itself; its workers see to their own threads.
        "export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1",
    ]


def interpreter(profile: Profile) -> str:
    """The shell command that stands for Python: it imports nothing from the folder it is started in."""
    return shlex.join(["bash", "-c", DEAF, profile.python or sys.executable, "-P"])


def executor(profile: Profile, folder: Path, wanted: dict[str, Any]) -> SlurmExecutor:
    """submitit's executor for one array, whose files lie in `folder`."""
    made = SlurmExecutor(folder, python=interpreter(profile))
    made.update_parameters(**wanted)
    return made


def text(profile: Profile, folder: Path, wanted: dict[str, Any], tasks: int) -> str:
    """The script that submitit gives to sbatch for an array of so many tasks."""
    command = f"{interpreter(profile)} -u -m submitit.core._submit {shlex.quote(str(folder))}"
    return _make_sbatch_string(command=command, folder=folder, map_count=tasks if tasks > 1 else None, **wanted)
