"""What a run cost, as columns of its row."""

from collections.abc import Sequence
from typing import Any

from harness.folders.usage import Known, usage


def cost_columns(accounts: Sequence[dict[str, Any]], now: float, known: Known | None = None) -> dict[str, Any]:
    """The columns of cost from the accounts of a run's attempts and what a cluster's accounting is known to say.

    `cost_source` is "runs", "accounting", or "both" where accounting covers some of the attempts; empty without any.
    """
    used = usage(accounts, now, known)
    covered = [known is not None and (account.get("slurm") or {}).get("job") in known.tasks for account in accounts]
    source = "" if not covered else "accounting" if all(covered) else "both" if any(covered) else "runs"
    return {
        "attempts": used.attempts,
        "wall_hours": used.wall_hours,
        "core_hours": used.core_hours,
        "gpu_hours": used.gpu_hours,
        "peak_memory": used.peak_memory,
        "cost_source": source,
    }
