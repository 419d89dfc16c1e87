"""Compare a finished run with its repetition: byte-identical, or on another type of machine within tolerances."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.data.files import dataset_id
from harness.errors import UserError
from harness.folders.provenance import machine, package_versions
from harness.folders.reader import present_hash
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.settings import HostedData, Run
from harness.watching.row_differences import (
    TRUTH_TOLERANCE,
    Difference,
    Rows,
    difference_beyond_tolerances,
    difference_of_bytes,
    difference_of_numbers,
)


@dataclass(frozen=True)
class Original:
    """A finished run, from its folder or from published frames."""

    run: Run
    # The rows of `metrics.jsonl`, and its bytes, None if only the numbers are known.
    rows: Rows
    metrics: bytes | None
    # Packages and machine, from the provenance and each attempt that records them.
    records: Sequence[Mapping[str, Any]]
    # The content hash of the dataset and the hash of the final parameters, None if not recorded.
    dataset: str | None
    parameters_hash: str | None
    # The folder that holds all this.
    place: Path


def original_in(folder: RunFolder) -> Original:
    """The original in the folder of a finished run."""
    written = folder.provenance()
    return Original(
        run=folder.run(),
        rows=folder.metrics(),
        metrics=folder.metrics_file.read_bytes(),
        records=[written, *(attempt for attempt in written.get("attempts", []) if "machine" in attempt)],
        dataset=written.get("dataset"),
        parameters_hash=(folder.summary() or {}).get("parameters_hash"),
        place=folder.path,
    )


@dataclass(frozen=True)
class Comparison:
    """How a run and its repetition are compared, and why."""

    kind: Literal["bytes", "numbers", "training", "tolerances"]
    why: str


@dataclass(frozen=True)
class Verification:
    """The result of repeating a run. `remark`: what was not compared and why, or empty."""

    run: Run
    comparison: Comparison
    difference: Difference | None
    remark: str = ""


def sample(runs: Sequence[Run], count: int, seed: int) -> list[Run]:
    """A random sample of at most `count` runs, in order."""
    chosen = random.Random(seed).sample(range(len(runs)), min(count, len(runs)))
    return [runs[place] for place in sorted(chosen)]


def check_data(original: Original) -> None:
    """Raise a UserError if this machine's dataset is not the one on which the run was trained.

    Collected datasets may differ on another type of machine, in their last bits.
    """
    content_hash = present_hash(original.run.task)
    if content_hash is None or original.dataset in (None, content_hash):
        return
    here = {"machine": machine(), "packages": package_versions()}
    if isinstance(original.run.task.data, HostedData) or _other_machine(original, here) is None:
        raise UserError(
            f"{original.place}: run {original.run.id} was computed on data with content hash {original.dataset}, but "
            f"that of dataset {dataset_id(original.run.task)} is {content_hash} here; bring the data back"
        )


def verify(original: Original, again: RunFolder) -> Verification:
    """Compare a finished run with its repetition on this machine. Reads only.

    `metrics.jsonl` must have the same bytes (where these are not known: every number the same bits) and the final
    parameters the same hash. Where that is not promised, on another type of machine or on cards, and not so, every
    number of the training must have the same bits and those against the truth nearly so, or else each column of each
    row must agree within its tolerance.
    """
    exact = Comparison("bytes" if original.metrics is not None else "numbers", _likeness(original, again))
    status = again.status()
    if status["state"] != RunState.DONE:
        ending = ": ".join(filter(None, [status["state"], status.get("reason")]))
        return Verification(original.run, exact, Difference(None, "state", "done", ending))
    difference, excuse = _difference(original, again), _excuse(original, again)
    parameters = original.parameters_hash, (again.summary() or {}).get("parameters_hash")
    remark = "final parameters not compared: there is no hash of them" if None in parameters else ""
    parameters_differ = not remark and parameters[0] != parameters[1]
    if difference is None and parameters_differ:
        difference = Difference(None, "parameters_hash", *parameters)
    if difference is None or excuse is None:
        return Verification(original.run, exact, difference, remark)
    if not parameters_differ and difference_of_numbers(original.rows, again.metrics(), TRUTH_TOLERANCE) is None:
        return Verification(original.run, Comparison("training", excuse), None, remark)
    difference = difference_beyond_tolerances(original.rows, again.metrics())
    return Verification(original.run, Comparison("tolerances", excuse), difference)


def _difference(original: Original, again: RunFolder) -> Difference | None:
    """The first difference in the metrics."""
    if original.metrics is None:
        return difference_of_numbers(original.rows, again.metrics())
    return difference_of_bytes(original.metrics, again.metrics_file.read_bytes())


def _likeness(original: Original, again: RunFolder) -> str:
    """The type of machine on which both were computed, or the difference between the two."""
    here = _machine_type(again.provenance())
    kind = f"{here.get('processor')}, torch {here.get('torch')}"
    return _excuse(original, again) or f"the same type of machine ({kind}, equal package versions)"


def _excuse(original: Original, again: RunFolder) -> str | None:
    """Why bits may differ. None if every attempt had the processor and the packages of the repetition, and no card."""
    if original.run.algorithm.on_gpu:
        return "computed on cards, where a run's company may show in its last digits"
    here = again.provenance()
    excuse = _other_machine(original, here)
    if excuse and original.dataset is not None and here.get("dataset") != original.dataset:
        return f"{excuse}, whose data differ"
    return excuse


def _other_machine(original: Original, here: Mapping[str, Any]) -> str | None:
    """What is another type of machine at any attempt than in a record from here; None if all is the same."""
    own = _machine_type(here)
    for there in map(_machine_type, original.records):
        parts = [name for name in {**there, **own} if there.get(name) != own.get(name)]
        if parts:
            told = "; ".join(
                f"{name}: {there.get(name) or 'unknown'} there, {own.get(name) or 'unknown'} here" for name in parts
            )
            return f"another type of machine ({told})"
    return None


def _machine_type(record: Mapping[str, Any]) -> dict[str, str | None]:
    """What determines the bits of a run besides its settings: the processor and the package versions."""
    return {"processor": record.get("machine", {}).get("processor"), **record.get("packages", {})}
