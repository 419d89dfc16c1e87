"""What floorbench doctor says of SLURM."""

import shutil

from harness.errors import UserError
from harness.watching.doctor import Finding
from slurm.command import ask

# Seconds to wait for an answer.
PATIENCE = 10.0


def slurm() -> Finding:
    """Which of SLURM's programs are there, whether its controller answers, and whether it keeps accounts."""
    missing = [name for name in ("sbatch", "squeue", "scancel", "sacct") if shutil.which(name) is None]
    if "sbatch" in missing:
        return Finding("slurm", "note", "not found; floorbench submit needs it, floorbench run does not")
    if missing:
        return Finding("slurm", "note", f"{', '.join(missing)} not found; status will know less")
    try:
        version = ask("squeue", "--version", patience=PATIENCE).strip()
        ask("squeue", "--noheader", "--me", patience=PATIENCE)
    except UserError as error:
        return Finding("slurm", "note", f"its controller does not answer: {error}")
    try:
        ask("sacct", "--noheader", "--allocations", "--starttime=now", patience=PATIENCE)
    except UserError as error:
        return Finding(
            "slurm", "note", f"{version}, no accounting ({error}): costs are those that runs tell themselves"
        )
    return Finding("slurm", "ok", f"{version}, with accounting")
