"""What runs have cost, by the accounts that their attempts give of themselves."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.files import DamagedFileError, read_json

HOUR = 3600.0

# In the folder of a submission: what its cluster's accounting said.
ACCOUNTING = "accounting.json"

# Set by a pool: how many workers share the GPUs that are reserved for it.
WORKERS_VARIABLE = "FLOORBENCH_WORKERS"


@dataclass(frozen=True)
class Usage:
    """A run's share of what its attempts used: a pack's cores and GPUs are divided equally among its runs."""

    attempts: int = 0
    # Hours during which the run was being computed.
    wall_hours: float = 0.0
    core_hours: float = 0.0
    # Hours of GPUs that were reserved for the run, whether it used them or not.
    gpu_hours: float = 0.0
    # Most memory that a process which computed the run held, in bytes; None where nobody measured it.
    peak_memory: float | None = None

    def __add__(self, other: "Usage") -> "Usage":
        peaks = [peak for peak in (self.peak_memory, other.peak_memory) if peak is not None]
        return Usage(
            self.attempts + other.attempts,
            self.wall_hours + other.wall_hours,
            self.core_hours + other.core_hours,
            self.gpu_hours + other.gpu_hours,
            max(peaks, default=None),
        )


def resources(pack_size: int) -> dict[str, Any]:
    """What this process reserves for a pack, as an attempt says it: runs, cores and its share of the visible GPUs."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    gpus = len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    return {"pack_size": pack_size, "cores": 1, "gpus": gpus / int(os.environ.get(WORKERS_VARIABLE, "1"))}


def usage(accounts: Iterable[Mapping[str, Any]], now: float, known: "Known | None" = None) -> Usage:
    """The cost of a run from the accounts of its attempts (`harness.folders.attempts.Attempt.account`) at time `now`.

    Attempts of older versions do not tell their resources: they count as one core's. What accounting is `known` to say
    of the run takes the place of what the attempts that it covers say.
    """
    if known is None:
        return sum((cost(account, now) for account in accounts), Usage())
    total = known.usage
    for account in accounts:
        covered = (account.get("slurm") or {}).get("job") in known.tasks
        own = cost(account, now)
        total += replace(own, core_hours=0.0, gpu_hours=0.0) if covered else own
    return total


def cost(account: Mapping[str, Any], now: float) -> Usage:
    """What one attempt cost by its own account."""
    hours = max(0.0, account.get("ended", now) - account.get("started", now)) / HOUR
    share = hours / max(account.get("pack_size", 1), 1)
    return Usage(1, hours, share * account.get("cores", 1), share * account.get("gpus", 0), account.get("peak_memory"))


@dataclass(frozen=True)
class Known:
    """What a cluster's accounting says of a run: cores, GPUs and memory of the starts of some tasks."""

    usage: Usage = field(default_factory=Usage)
    # Its word for how each of these tasks ended, by id.
    tasks: Mapping[str, str] = field(default_factory=dict)


def known_usage(root: Path) -> dict[str, Known]:
    """What was written down of a cluster's accounting, by run id; a damaged file raises a UserError."""
    found: dict[str, Known] = {}
    for file in sorted(Path(root).glob(f"submissions/*/{ACCOUNTING}")):
        kept = read_json(file) or {}
        try:
            tasks = dict(kept["tasks"])
            for run, values in kept["runs"].items():
                before = found.get(run, Known())
                found[run] = Known(before.usage + Usage(**values), {**before.tasks, **tasks})
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DamagedFileError(
                f"{file}: is damaged; remove it, and floorbench status asks SLURM's accounting again"
            ) from None
    return found
