"""Compare a finished run with its repetition: byte for byte, or within tolerances on another type of machine."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.data.files import dataset_id
from harness.errors import UserError
from harness.files import read_bytes
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
    # The provenance, and the attempts that record a machine and package versions, with those of its prefix.
    records: Sequence[Mapping[str, Any]]
    # Hashes of the dataset and of the final parameters; None if not recorded.
    dataset: str | None
    parameters_hash: str | None
    # The run folder, or the folder of the published frames.
    source: Path


def original_in(folder: RunFolder) -> Original:
    """The original in the folder of a finished run."""
    provenance = folder.provenance()
    prefix = folder.prefix_record() or {}
    return Original(
        run=folder.run(),
        rows=folder.metrics(),
        metrics=read_bytes(folder.metrics_file),
        records=[
            provenance,
            *(attempt for attempt in provenance.get("attempts", []) if "machine" in attempt),
            *prefix.get("records", []),
        ],
        dataset=provenance.get("dataset"),
        parameters_hash=(folder.summary() or {}).get("parameters_hash"),
        source=folder.path,
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
    indices = random.Random(seed).sample(range(len(runs)), min(count, len(runs)))
    return [runs[index] for index in sorted(indices)]


def check_data(original: Original) -> None:
    """Raise a UserError if this machine's dataset differs from the one the run was trained on.

    Collected datasets may differ in the last bits between types of machines.
    """
    content_hash = present_hash(original.run.task)
    if content_hash is None or original.dataset in (None, content_hash):
        return
    this_machine = {"machine": machine(), "packages": package_versions()}
    if isinstance(original.run.task.data, HostedData) or _machine_difference(original, this_machine) is None:
        raise UserError(
            f"{original.source}: run {original.run.id} was trained on data with content hash {original.dataset}, but "
            f"dataset {dataset_id(original.run.task)} now has {content_hash}; restore the original data"
        )


def verify(original: Original, repetition: RunFolder) -> Verification:
    """Compare a finished run with its repetition on this machine; writes nothing.

    `metrics.jsonl` must be byte-identical (if only numbers are known: every number bit-identical) and the final
    parameters must have the same hash. On another type of machine or on a GPU, where this is not guaranteed, a weaker
    comparison also counts: bit-identical numbers from training with exact values that agree closely, or else every
    column within its tolerance.
    """
    exact = Comparison("bytes" if original.metrics is not None else "numbers", _machines(original, repetition))
    status = repetition.status()
    if status["state"] != RunState.DONE:
        ending = ": ".join(filter(None, [status["state"], status.get("reason")]))
        return Verification(original.run, exact, Difference(None, "state", "done", ending))
    difference = _difference(original, repetition)
    excuse = _excuse(original, repetition)
    parameters = original.parameters_hash, (repetition.summary() or {}).get("parameters_hash")
    remark = "final parameters not compared: no hash recorded" if None in parameters else ""
    parameters_differ = not remark and parameters[0] != parameters[1]
    if difference is None and parameters_differ:
        difference = Difference(None, "parameters_hash", *parameters)
    if difference is None or excuse is None:
        return Verification(original.run, exact, difference, remark)
    if not parameters_differ and difference_of_numbers(original.rows, repetition.metrics(), TRUTH_TOLERANCE) is None:
        return Verification(original.run, Comparison("training", excuse), None, remark)
    difference = difference_beyond_tolerances(original.rows, repetition.metrics())
    return Verification(original.run, Comparison("tolerances", excuse), difference)


def _difference(original: Original, repetition: RunFolder) -> Difference | None:
    """The first difference in the metrics."""
    if original.metrics is None:
        return difference_of_numbers(original.rows, repetition.metrics())
    return difference_of_bytes(original.metrics, read_bytes(repetition.metrics_file))


def _machines(original: Original, repetition: RunFolder) -> str:
    """The type of machine that computed both, or how the two machines differ."""
    current = _machine_type(repetition.provenance())
    kind = f"{current.get('processor')}, torch {current.get('torch')}"
    return _excuse(original, repetition) or f"the same type of machine ({kind}, equal package versions)"


def _excuse(original: Original, repetition: RunFolder) -> str | None:
    """Why bits may differ; None if every attempt ran on the CPU with the processor and packages of the repetition."""
    if original.run.algorithm.on_gpu:
        return "computed on a GPU, where the last digits may depend on the pack"
    provenance = repetition.provenance()
    excuse = _machine_difference(original, provenance)
    if excuse and original.dataset is not None and provenance.get("dataset") != original.dataset:
        return f"{excuse} with different data"
    return excuse


def _machine_difference(original: Original, record: Mapping[str, Any]) -> str | None:
    """How the type of machine of an attempt differs from that of a record; None if all are the same."""
    current = _machine_type(record)
    for former in map(_machine_type, original.records):
        differing = [name for name in {**former, **current} if former.get(name) != current.get(name)]
        if differing:
            details = "; ".join(
                f"{name}: {former.get(name) or 'unknown'} before, {current.get(name) or 'unknown'} now"
                for name in differing
            )
            return f"another type of machine ({details})"
    return None


def _machine_type(record: Mapping[str, Any]) -> dict[str, str | None]:
    """What determines the bits of a run besides its settings: processor and package versions."""
    return {"processor": record.get("machine", {}).get("processor"), **record.get("packages", {})}
