"""The sbatch script of an array: the options passed to SLURM, and how Python is started."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from submitit import SlurmExecutor

from harness.data.files import minari_folder
from harness.errors import UserError
from harness.files import absolute
from harness.plain_values import quoted_if_odd
from slurm.profile import Profile

# Until Python has installed its handlers, the warning signal must not kill it; it then ends by itself.
IGNORE_SIGNALS = """trap "" USR1 USR2; exec "$0" "$@\""""


def parameters(
    profile: Profile, job_name: str, at_once: int, after: Sequence[str], root: Path, code: Path
) -> dict[str, Any]:
    """The parameters of submitit's executor for an array; `after`: ids of the jobs that must end before it starts.

    They may end in any way (afterany): a run whose prefix has failed is to fail with the reason, which afterok would
    leave in the queue for ever.
    """
    values = {
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
        "dependency": ":".join(["afterany", *after]) if after else None,
        "setup": [*profile.setup, *exports(code)],
        "stderr_to_stdout": True,
    }
    additional = {name: value for name, value in profile.sbatch.items() if value is not False}
    additional |= {"requeue" if profile.requeue else "no-requeue": True, "chdir": str(root)}
    return {**{name: value for name, value in values.items() if value is not None},
            "wckey": None, "additional_parameters": additional}  # fmt: skip


def exports(code: Path) -> list[str]:
    """Lines of the script that set the locations of code and data, whatever environment the site passes on."""
    return [
        f'export PYTHONPATH={shlex.quote(str(code))}"${{PYTHONPATH:+:$PYTHONPATH}}"',
        f"export MINARI_DATASETS_PATH={shlex.quote(str(absolute(minari_folder())))}",
        # srun of SLURM 22.05 to 23.02 does not inherit this from sbatch.
        "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK",
        # The array task does no computation; its workers set their number of threads.
        "export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1",
    ]


def interpreter(profile: Profile) -> str:
    """The shell command for Python, which imports nothing from the working directory (-P)."""
    return shlex.join(["bash", "-c", IGNORE_SIGNALS, profile.python or sys.executable, "-P"])


# Characters that a path in a job script cannot have: SLURM expands or drops the first two in the names of logs, the
# third separates the folders of PYTHONPATH.
REFUSED = {"%": "is a pattern in the names of SLURM's logs", "\\": "is dropped from the names of SLURM's logs",
           ":": "separates the folders of PYTHONPATH"}  # fmt: skip


def check_root(root: Path) -> None:
    """Raise UserError if a root cannot stand in a job script; tried for every printable character with SLURM 22.05."""
    path = str(absolute(root))
    for letter in path:
        if letter in REFUSED or not letter.isprintable():
            why = REFUSED.get(letter, "ends a line of the job script or cannot be seen")
            raise UserError(f"--root {quoted_if_odd(path)}: the character {letter!r} {why}; choose another folder")


def executor(profile: Profile, folder: Path, values: dict[str, Any]) -> SlurmExecutor:
    """submitit's executor for one array, with its files in `folder`."""
    result = SlurmExecutor(folder, python=interpreter(profile))
    result.update_parameters(**values)
    return result


def text(profile: Profile, folder: Path, values: dict[str, Any], tasks: int) -> str:
    """The script that submitit passes to sbatch for an array of `tasks` tasks.

    submitit offers no public function for this; a test compares the text with the file that submitit writes.
    """
    job = "%A_%a" if tasks > 1 else "%j"
    options = {
        name: value
        for name, value in values.items()
        if name not in ("setup", "signal_delay_s", "array_parallelism", "stderr_to_stdout", "additional_parameters")
        and value is not None
    }
    options |= {
        "signal": f"USR2@{values['signal_delay_s']}",
        "output": f"{folder}/{job}_0_log.out",
        "open-mode": "append",
    }
    if tasks > 1:
        options["array"] = f"0-{tasks - 1}%{min(tasks, values['array_parallelism'])}"
    options |= values["additional_parameters"]
    command = ["srun", "--unbuffered", "--output", f"{folder}/{job}_%t_log.out"]
    return "\n".join([
        "#!/bin/bash",
        "",
        "# Parameters",
        *(_flag(name, options[name]) for name in sorted(options)),
        "",
        "# setup",
        *values["setup"],
        "",
        "# command",
        "export SUBMITIT_EXECUTOR=slurm",
        f"{shlex.join(command)} {interpreter(profile)} -u -m submitit.core._submit {shlex.quote(str(folder))}",
        "",
    ])  # fmt: skip


def _flag(name: str, value: Any) -> str:
    option = f"#SBATCH --{name.replace('_', '-')}"
    return option if value is True else f"{option}={shlex.quote(str(value))}"
