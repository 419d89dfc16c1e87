"""A finished run and its repetition: the same bytes, or on another type of machine the same within tolerances."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.folders.run_folder import RunFolder
from harness.settings import Run
from harness.watching.row_differences import Difference, difference_beyond_tolerances, difference_of_bytes


@dataclass(frozen=True)
class Comparison:
    """How a run and its repetition are compared, and why so."""

    kind: Literal["bytes", "tolerances"]
    why: str


@dataclass(frozen=True)
class Verification:
    """What came out of repeating a run. `remark`: what was not compared, and why; empty if nothing was left out."""

    run: Run
    comparison: Comparison
    difference: Difference | None
    remark: str = ""


def sample(runs: Sequence[Run], count: int, seed: int) -> list[Run]:
    """At most `count` of the runs, chosen at random by the seed, in their order."""
    chosen = random.Random(seed).sample(range(len(runs)), min(count, len(runs)))
    return [runs[place] for place in sorted(chosen)]


def verify(original: RunFolder, again: RunFolder) -> Verification:
    """Compare a finished run with its repetition on this machine. Reads only.

    On the same type of machine `metrics.jsonl` must have the same bytes and the final parameters the same hash;
    otherwise each column of each row must agree within its tolerance.
    """
    run, how = original.run(), comparison(original, again)
    status = again.status()
    if status["state"] != "done":
        ending = ": ".join(filter(None, [status["state"], status.get("reason")]))
        return Verification(run, how, Difference(None, "state", "done", ending))
    if how.kind == "tolerances":
        return Verification(run, how, difference_beyond_tolerances(original.metrics(), again.metrics()))
    difference = difference_of_bytes(original.metrics_file.read_bytes(), again.metrics_file.read_bytes())
    there, here = ((folder.summary() or {}).get("parameters_hash") for folder in (original, again))
    if there is None or here is None:
        return Verification(run, how, difference, "final parameters not compared: an older version wrote no hash")
    if difference is None and there != here:
        difference = Difference(None, "parameters_hash", there, here)
    return Verification(run, how, difference)


def comparison(original: RunFolder, again: RunFolder) -> Comparison:
    """By bytes if every attempt at the original had the processor and the packages of the repetition, and no card."""
    if original.run().algorithm.on_card:
        return Comparison("tolerances", "computed on cards, where a run's company may show in its last digits")
    written, repeated = original.provenance(), again.provenance()
    here = _machine_type(repeated)
    records = [written, *(attempt for attempt in written.get("attempts", []) if "machine" in attempt)]
    for there in map(_machine_type, records):
        parts = [name for name in {**there, **here} if there.get(name) != here.get(name)]
        if parts:
            told = "; ".join(
                f"{name}: {there.get(name) or 'unknown'} there, {here.get(name) or 'unknown'} here" for name in parts
            )
            return Comparison("tolerances", f"another type of machine ({told})")
    processor, torch = here.get("processor"), here.get("torch")
    return Comparison("bytes", f"the same type of machine ({processor}, torch {torch}, equal package versions)")


def _machine_type(record: Mapping[str, Any]) -> dict[str, str | None]:
    """What decides a run's bits besides the run: the processor, and packages with their versions."""
    return {"processor": record.get("machine", {}).get("processor"), **record.get("packages", {})}
