"""Cluster profiles: the SLURM options of a site as a TOML file. Examples are in `slurm/profiles/`."""

import dataclasses
import difflib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from algorithms.kernels.gpu_models import compute_share
from algorithms.settings import CONFIG, Count, Positive
from harness.errors import UserError
from harness.files import read_toml
from harness.launching.pool import FAILURE_LIMIT
from harness.plain_values import first_problem, quoted_if_odd, shown
from harness.settings import Run
from harness.training.kernels import uses_gpu

# Runs of a pack by default: small networks do not fill a core when they train alone, and far less a GPU.
CORE_PACK, GPU_PACK = 4, 64

# Options of sbatch that request GPUs; an array task has one node and one task.
GPU_OPTIONS = ("gpus", "gpus-per-node", "gpus-per-task")

# What in a feature of a node looks like a model of GPUs: "a100", "h100_80gb", "rtx-a6000", but not "intel" or "ib".
MODEL = re.compile(r"(?<![a-z0-9])(a|b|gb|gh|h|l|p|t|v|mi|k|rtx|gtx)[-_]?a?(\d\d+|4)[a-z]*(?![a-z0-9])([-_]\d+gb)?")

EXAMPLES = Path(__file__).parent / "profiles"

Text = Annotated[str, Field(min_length=1)]
# Options of sbatch that floorbench sets, and those that are set by a field of the profile.
RESERVED_OPTIONS = (
    "array", "job-name", "output", "error", "open-mode", "signal", "dependency", "chdir", "test-only", "parsable",
    "wrap", "nodes", "ntasks", "ntasks-per-node",
)  # fmt: skip
FIELD_OF_OPTION = {
    "partition": "partition", "account": "account", "qos": "qos", "gres": "gres", "constraint": "constraint",
    "cpus-per-task": "cpus_per_task", "time": "time_minutes", "requeue": "requeue", "no-requeue": "requeue",
}  # fmt: skip


@dataclass(frozen=True, config=CONFIG)
class Profile:
    """Resources of array tasks at one site and partition.

    Attributes:
        time_minutes: time limit of an array task; unfinished runs resume in the next start.
        partition, account, qos, constraint: as for sbatch.
        gres: generic resources of an array task, e.g. "gpu:1".
        cpus_per_task: cores of an array task.
        memory_gb: its memory; None: the site's default.
        array_limit: how many array tasks run at once, over all arrays of a submission.
        requeue: whether an array task may be requeued, by SLURM or by itself at its time limit.
        signal_seconds: seconds before the time limit at which SLURM signals the array task.
        setup: lines of the job script that precede Python; a failing one ends the job only after a line `set -e`.
        sbatch: other options of sbatch by long name; true for an option without a value, false for none.
        runs_per_pack: maximum number of runs that train together in a process; None: 4 on a core, 64 on a GPU.
        workers: number of processes at once in an array task.
        packs_per_task: maximum number of packs of an array task.
        root: directory of the run folders, on a file system that all nodes share.
        python: the interpreter of the job; None: the one that submits.
        max_failures: number of runs of an array that may end for one reason, before any is done, until its array tasks
            start no more; 0: any.
    """

    time_minutes: Count
    partition: Text | None = None
    account: Text | None = None
    qos: Text | None = None
    gres: Text | None = None
    constraint: Text | None = None
    cpus_per_task: Count = 1
    memory_gb: Positive | None = None
    array_limit: Count = 16
    requeue: bool = True
    signal_seconds: Annotated[int, Field(ge=1, le=65535)] = 120
    setup: tuple[Text, ...] = ()
    sbatch: dict[Text, Any] = dataclasses.field(default_factory=dict)
    runs_per_pack: Count | None = None
    workers: Count = 1
    packs_per_task: Count = 1
    root: Text | None = None
    python: Text | None = None
    max_failures: Annotated[int, Field(ge=0)] = FAILURE_LIMIT

    @model_validator(mode="after")
    def _agrees(self) -> "Profile":
        if self.workers > self.cpus_per_task:
            raise ValueError(f"workers = {self.workers} must be at most cpus_per_task = {self.cpus_per_task}")
        if self.signal_seconds >= 60 * self.time_minutes:
            raise ValueError(
                f"signal_seconds = {self.signal_seconds} must be shorter than time_minutes = {self.time_minutes}"
            )
        for name, value in self.sbatch.items():
            if not isinstance(value, str | int | float):
                raise ValueError(f"sbatch.{name} = {shown(value)} must be text, a number, true or false")
            if name in FIELD_OF_OPTION:
                raise ValueError(f"sbatch.{name} is set by the field {FIELD_OF_OPTION[name]}")
            if name in RESERVED_OPTIONS:
                raise ValueError(f"sbatch.{name} is set by floorbench; remove it")
        return self

    @property
    def gpus(self) -> float:
        """GPUs of an array task, by `gres` and options of sbatch that request some; a MIG slice is a part of one."""
        return sum(_gpus_of(request) for request in self._gpu_requests)

    @property
    def gpu_models(self) -> tuple[str, ...]:
        """Models of the GPUs of an array task as the site names them: of its requests, or else features of nodes.

        Empty if the profile names none. Features that do not look like a model are left out.
        """
        kinds = [_kind_of(request) for request in self._gpu_requests]
        features = [feature[0] for feature in MODEL.finditer((self.constraint or "").lower())]
        return tuple(dict.fromkeys(filter(None, kinds if any(kinds) else features)))

    @property
    def _gpu_requests(self) -> list[str]:
        """Requests of GPUs such as "gpu:a100:2", by `gres` and options of sbatch."""
        requests = [request for request in (self.gres or "").split(",") if request.split(":")[0] == "gpu"]
        options = [self.sbatch[name] for name in GPU_OPTIONS if name in self.sbatch]
        return requests + [f"gpu:{request}" for option in options for request in str(option).split(",")]

    def pack_limit(self, runs: Sequence[Run]) -> int:
        """Maximum number of these runs in a pack."""
        if self.runs_per_pack is not None:
            return self.runs_per_pack
        return GPU_PACK if uses_gpu(runs) else CORE_PACK


def _gpus_of(request: str) -> float:
    """The GPUs of a request such as "gpu", "gpu:a100:2(S:0-1)" or "gpu:1g.10gb:1", a MIG slice: one of seven parts."""
    _, *words = request.split("(")[0].split(":")
    count = int(words[-1]) if words and words[-1].isdigit() else 1
    return count * compute_share(":".join(words))


def _kind_of(request: str) -> str:
    """The kind of GPU that a request names, such as "a100", or an empty string."""
    _, *words = request.split("(")[0].split(":")
    return words[0] if words and not words[0].isdigit() else ""


_PROFILE = TypeAdapter(Profile)


def examples() -> list[str]:
    """Names of the built-in profiles."""
    return sorted(file.stem for file in EXAMPLES.glob("*.toml"))


def load(name: str) -> Profile:
    """Load a TOML file, or the built-in profile of this name; a UserError names the file and the field."""
    file = Path(name).expanduser()
    if file.suffix != ".toml" and file.name == name:
        file = EXAMPLES / f"{name}.toml"
        if not file.exists():
            raise UserError(
                f"--cluster {quoted_if_odd(name)}: unknown profile; use one of {', '.join(examples())}, or the path "
                "of a TOML file"
            )
    try:
        _, values = read_toml(file)
    except FileNotFoundError:
        raise UserError(f"--cluster {file}: no such file; name a profile or the path of a TOML file") from None
    return profile_from_dict(values, str(file))


def profile_from_dict(values: dict[str, Any], source: str) -> Profile:
    """The profile of a dictionary; the inverse of `profile_to_dict`. Errors name `source` and the field."""
    names = [field.name for field in dataclasses.fields(Profile)]
    for name in values:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
            nearest = f"; did you mean {close[0]}?" if close else f"; use one of {', '.join(names)}"
            raise UserError(f"{source}: field {quoted_if_odd(name)}: unknown{nearest}")
    try:
        # TOML dates become strings, which the fields then check.
        return _PROFILE.validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        raise UserError(f"{source}: {_complaint(error)}") from None


def profile_to_dict(profile: Profile) -> dict[str, Any]:
    """All fields of a profile as plain JSON values."""
    return _PROFILE.dump_python(profile, mode="json")


def _complaint(error: ValidationError) -> str:
    problem = error.errors()[0]
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    return first_problem(error, noun="field")
