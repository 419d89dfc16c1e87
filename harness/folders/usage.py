"""The cost of runs, from their attempts or from a cluster's accounting."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.files import DamagedFileError, read_json

HOUR = 3600.0

# File in the folder of a submission with the results of the cluster's accounting.
ACCOUNTING = "accounting.json"

# Set by a pool: the number of workers that share its GPUs.
WORKERS_VARIABLE = "FLOORBENCH_WORKERS"


@dataclass(frozen=True)
class Usage:
    """The cost of a run: the cores and GPUs of a pack are divided equally among its runs."""

    attempts: int = 0
    # Hours during which the run was computed.
    wall_hours: float = 0.0
    core_hours: float = 0.0
    # Hours of GPUs reserved for the run.
    gpu_hours: float = 0.0
    # Peak memory in bytes of the processes that computed the run; None if not measured.
    peak_memory: float | None = None

    @classmethod
    def total(cls, parts: Sequence["Usage"]) -> "Usage":
        """The sum of some costs, with the largest peak."""
        return cls(
            sum(part.attempts for part in parts),
            sum((part.wall_hours for part in parts), 0.0),
            sum((part.core_hours for part in parts), 0.0),
            sum((part.gpu_hours for part in parts), 0.0),
            max((part.peak_memory for part in parts if part.peak_memory is not None), default=None),
        )

    def __add__(self, other: "Usage") -> "Usage":
        return Usage.total([self, other])


def resources(pack_size: int) -> dict[str, Any]:
    """What this process reserves for a pack: the number of runs, cores and its share of the visible GPUs."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    gpus = len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    return {"pack_size": pack_size, "cores": 1, "gpus": gpus / int(os.environ.get(WORKERS_VARIABLE, "1"))}


def usage(accounts: Iterable[Mapping[str, Any]], now: float, known: "Known | None" = None) -> Usage:
    """The cost of a run at time `now`, from its attempts (`Attempt.account`) and, where `known`, from accounting.

    Attempts of older versions, without resources, count as one core. Accounting replaces the cores, GPUs and memory of
    the attempts it covers.
    """
    if known is None:
        return Usage.total([cost(account, now) for account in accounts])
    total = known.usage
    for account in accounts:
        covered = (account.get("slurm") or {}).get("job") in known.tasks
        attempt = cost(account, now)
        total += replace(attempt, core_hours=0.0, gpu_hours=0.0) if covered else attempt
    return total


def cost(account: Mapping[str, Any], now: float) -> Usage:
    """The cost of one attempt."""
    hours = max(0.0, account.get("ended", now) - account.get("started", now)) / HOUR
    share = hours / max(account.get("pack_size", 1), 1)
    return Usage(1, hours, share * account.get("cores", 1), share * account.get("gpus", 0), account.get("peak_memory"))


@dataclass
class Effort:
    """The processor time of an attempt so far, in seconds.

    Attributes:
        seconds: by part of the work.
        elsewhere: of all parts together, in the processes that step environments.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    elsewhere: float = 0.0


# Parts of an attempt's time: what training measures, the start (imports, data, kernels, floors) and waiting.
PARTS = ("update", "environment", "evaluation", "checkpoint", "start", "idle")


def parts(accounts: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Core-seconds of a run by part, summed over the attempts that recorded them; empty without any.

    Idle is the time of its cores without processor time, the start what remains of the processor time. A pack's time is
    divided among its runs.
    """
    total: dict[str, float] = {}
    for account in accounts:
        if "seconds" not in account or "ended" not in account:
            continue
        wall, size = account["ended"] - account["started"], max(account.get("pack_size", 1), 1)
        idle = max(0.0, wall * account.get("cores", 1) - account["processor_seconds"])
        start = max(0.0, account["processor_seconds"] - sum(account["seconds"].values()))
        for name, seconds in {**account["seconds"], "start": start, "idle": idle}.items():
            total[name] = total.get(name, 0.0) + seconds / size
    return total


@dataclass(frozen=True)
class Known:
    """The cost of a run in some array tasks, from a cluster's accounting."""

    usage: Usage = field(default_factory=Usage)
    # The final state of each of these tasks, by id.
    tasks: Mapping[str, str] = field(default_factory=dict)


def known_usage(root: Path) -> dict[str, Known]:
    """The recorded results of a cluster's accounting, by run id. Raises UserError for a damaged file."""
    costs: dict[str, Known] = {}
    for file in sorted(Path(root).glob(f"submissions/*/{ACCOUNTING}")):
        kept = read_json(file) or {}
        try:
            tasks = dict(kept["tasks"])
            for run, values in kept["runs"].items():
                before = costs.get(run, Known())
                costs[run] = Known(before.usage + Usage(**values), {**before.tasks, **tasks})
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DamagedFileError(
                f"{file}: is damaged; remove it, and floorbench status will query accounting again"
            ) from None
    return costs
