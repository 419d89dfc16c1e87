"""The rows of one run in the frames."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from algorithms.kernels.speed import Speed
from harness.files import DamagedFileError
from harness.folders.reader import RunContents
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.folders.usage import PARTS, Known, parts, usage
from harness.launching.cost import Costs, work_of
from harness.plain_values import flat
from harness.settings import PREFIX_ARM, Run, run_to_dict
from results.frame.frames import EXPECTED, EXTENSIONS, LEARNED_FLOOR, SECONDS, SUMMARY


@dataclass(frozen=True)
class Record:
    """The rows of a run in `runs` and `provenance`, as JSON values."""

    folder: RunFolder
    run: dict[str, Any]
    # Empty before the first attempt.
    provenance: dict[str, Any]

    @property
    def state(self) -> str:
        return self.run["state"]


def run_record(folder: RunFolder, contents: RunContents) -> Record:
    """The record of a run folder without faults."""
    run, status = contents.run, contents.status
    assert run is not None, "an empty folder has no record"
    state = RunState(status["state"])
    finished = state is RunState.DONE
    summary = (contents.summary or {}) if finished else {}
    learned = summary.get("learned_floor") or {}
    prefix = (folder.prefix_record() or {}).get("prefix", "")
    row = {
        **flat({name: value for name, value in run_to_dict(run).items() if name != EXTENSIONS}),
        **({EXTENSIONS: " ".join(run.extensions)} if run.extensions else {}),
        "run": folder.id,
        "task": run.task.name,
        "arm": run.arm,
        "data_seed": run.task.data_seed,
        "seed": run.seed,
        "state": state.value,
        "reason": "" if finished else status.get("reason") or "",
        "prefix": prefix,
        **{name: summary.get(name) for name in SUMMARY},
        **{f"learned_floor.{name}": learned.get(name) for name in LEARNED_FLOOR},
        **cost_columns(contents.provenance.get("attempts", []), time.time()),
        EXPECTED: expected_seconds(run, contents.provenance.get("attempts", []), bool(prefix)),
    }
    return Record(folder, row, provenance_row(folder, contents.provenance))


def cost_columns(accounts: Sequence[dict[str, Any]], now: float, known: Known | None = None) -> dict[str, Any]:
    """The cost of a run, from its attempts and, where `known`, from a cluster's accounting.

    `cost_source` is "runs", "accounting", or "both" if accounting covers some of the attempts; empty without attempts.
    `seconds.*` are core-seconds by part of the work; None if no attempt has recorded them.
    """
    used, spent = usage(accounts, now, known), parts(accounts)
    covered = [known is not None and (account.get("slurm") or {}).get("job") in known.tasks for account in accounts]
    source = "" if not covered else "accounting" if all(covered) else "both" if any(covered) else "runs"
    return {
        "attempts": used.attempts,
        "wall_hours": used.wall_hours,
        "core_hours": used.core_hours,
        "gpu_hours": used.gpu_hours,
        "peak_memory": used.peak_memory,
        "cost_source": source,
        **{f"seconds.{name}": spent.get(name) if spent else None for name in PARTS},
    }


def expected_seconds(run: Run, accounts: Sequence[dict[str, Any]], has_prefix: bool) -> float | None:
    """The core-seconds that the defaults expect of a run in its last pack, on the machine that computed it.

    None on a GPU, or if no attempt has recorded the machine's speed.
    """
    last = accounts[-1] if accounts else {}
    size, speed = last.get("pack_size"), last.get("speed")
    if not size or not speed or run.algorithm.on_gpu:
        return None
    work = work_of(run, offline=not has_prefix)
    return Costs([run], None, speed=Speed(**speed)).seconds([run] * size, [work]) / size


def with_prefix(record: Record, prefix: Record, users: int) -> Record:
    """A record with its share of the cost of its prefix, from which `users` runs start."""
    row, cost = record.run, prefix.run
    shared = {name: row[name] + cost[name] / users for name in ("wall_hours", "core_hours", "gpu_hours")}
    for name in (*SECONDS, EXPECTED):
        values = [value for value in (row[name], cost[name] and cost[name] / users) if value is not None]
        shared[name] = sum(values) if values else None
    sources = {row["cost_source"], cost["cost_source"]} - {""}
    peak = max((value for value in (row["peak_memory"], cost["peak_memory"]) if value is not None), default=None)
    source = "both" if len(sources) > 1 else "".join(sources)
    return replace(record, run={**row, **shared, "peak_memory": peak, "cost_source": source})


def evaluation_rows(folder: RunFolder, contents: RunContents) -> list[dict[str, Any]]:
    """The evaluations of a finished run: the rows of `metrics.jsonl` with the run's names and the step.

    Unfinished runs have none, so that no mean includes half a run, and prefixes have none, whose rows their runs have.
    Raises `DamagedFileError` for rows without phase or step, and for values that are not numbers.
    """
    run = contents.run
    if run is None or run.arm == PREFIX_ARM or contents.status["state"] != RunState.DONE:
        return []
    kinds = {type(value) for row in contents.rows for name, value in row.items() if name != "phase"}
    if wrong := kinds - {int, float, type(None)}:
        kind = ", ".join(sorted(kind.__name__ for kind in wrong))
        raise DamagedFileError(f"{folder.metrics_file}: is damaged: holds {kind} where numbers should be")
    keys = {
        "run": folder.id,
        "task": run.task.name,
        "arm": run.arm,
        "data_seed": run.task.data_seed,
        "seed": run.seed,
    }
    try:
        return [{**keys, "step": _step(run, row), **row} for row in contents.rows]
    except (KeyError, TypeError) as error:
        raise DamagedFileError(f"{folder.metrics_file}: is damaged: a row has no {error}") from None


def _step(run: Run, row: dict[str, Any]) -> int:
    """Minus the gradient steps left until the switch, or the environment steps since."""
    return row["offline_step"] - run.schedule.offline_steps if row["phase"] == "offline" else row["online_step"]


def provenance_row(folder: RunFolder, values: dict[str, Any]) -> dict[str, Any]:
    """Code, packages, machine and data of a run by dotted path, its launcher and its number of attempts."""
    if not values:
        return {}
    attempts = values.get("attempts", [])
    values = {name: value for name, value in values.items() if name != "attempts"}
    launcher = attempts[-1].get("launcher", "") if attempts else ""
    return {"run": folder.id, **flat(values), "launcher": launcher, "attempts": len(attempts)}
