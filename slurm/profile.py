"""A profile: what a site's SLURM is asked for, in a TOML file; some stand in `slurm/profiles/`."""

import dataclasses
import difflib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from algorithms.settings import CONFIG, Count, Positive
from harness.errors import UserError
from harness.plain_values import quoted_if_odd, shown
from harness.settings import first_problem

EXAMPLES = Path(__file__).parent / "profiles"

Text = Annotated[str, Field(min_length=1)]
# Options of sbatch that floorbench sets itself, or that have a field of their own, here after an arrow.
OWN_OPTIONS = (
    "array", "job-name", "output", "error", "open-mode", "signal", "dependency", "chdir", "test-only", "parsable",
    "wrap", "nodes", "ntasks", "ntasks-per-node",
)  # fmt: skip
FIELD_OF_OPTION = {
    "partition": "partition", "account": "account", "qos": "qos", "gres": "gres", "constraint": "constraint",
    "cpus-per-task": "cpus_per_task", "time": "time_minutes", "requeue": "requeue", "no-requeue": "requeue",
}  # fmt: skip


@dataclass(frozen=True, config=CONFIG)
class Profile:
    """One site, partition and size of task."""

    # Limit of a task's time. What is not done then goes on in the next start.
    time_minutes: Count
    partition: Text | None = None
    account: Text | None = None
    qos: Text | None = None
    # Generic resources of a task, for example "gpu:1".
    gres: Text | None = None
    constraint: Text | None = None
    # Cores and memory of a task; the site decides about memory that is not given.
    cpus_per_task: Count = 1
    memory_gb: Positive | None = None
    # Tasks that run at once, over all arrays of a submission.
    array_limit: Count = 16
    # Whether a task may be put back into the queue: by SLURM, and by itself when it is told that its time is up.
    requeue: bool = True
    # Seconds before its end at which SLURM tells a task.
    signal_seconds: Annotated[int, Field(ge=1, le=65535)] = 120
    # Lines of the job script before Python.
    setup: tuple[Text, ...] = ()
    # Any other options of sbatch, by long name; true for one without a value, false for none.
    sbatch: dict[Text, Any] = dataclasses.field(default_factory=dict)
    # Runs that train together in a process, at most.
    runs_per_pack: Count = 4
    # Processes at once in a task.
    workers: Count = 1
    # Packs of a task, at most.
    packs_per_task: Count = 1
    # Folder of run folders, on a file system that all nodes share.
    root: Text | None = None
    # The interpreter of a task; None: the one that submits.
    python: Text | None = None

    @model_validator(mode="after")
    def _agrees(self) -> "Profile":
        if self.workers > self.cpus_per_task:
            raise ValueError(f"workers = {self.workers} should be at most cpus_per_task = {self.cpus_per_task}")
        if self.signal_seconds >= 60 * self.time_minutes:
            raise ValueError(
                f"signal_seconds = {self.signal_seconds} should be less than time_minutes = {self.time_minutes} has"
            )
        for name, value in self.sbatch.items():
            if not isinstance(value, str | int | float):
                raise ValueError(f"sbatch.{name} = {shown(value)} should be text, a number, true or false")
            if name in FIELD_OF_OPTION:
                raise ValueError(f"sbatch.{name} is given by the field {FIELD_OF_OPTION[name]}")
            if name in OWN_OPTIONS:
                raise ValueError(f"sbatch.{name} is set by floorbench itself")
        return self

    @property
    def gpus(self) -> int:
        """GPUs of a task, as far as `gres` tells."""
        parts = (self.gres or "").split(",")
        counts = [part.split("(")[0].split(":") for part in parts if part.split(":")[0] == "gpu"]
        return sum(int(words[-1]) if words[-1].isdigit() else 1 for words in counts)


_PROFILE = TypeAdapter(Profile)


def examples() -> list[str]:
    """Names of the profiles that come with floorbench."""
    return sorted(file.stem for file in EXAMPLES.glob("*.toml"))


def load(name: str) -> Profile:
    """The profile in a TOML file, or the one of this name that comes with floorbench.

    Raises UserError, one line with the file and the field.
    """
    file = Path(name).expanduser()
    if file.suffix != ".toml" and file.name == name:
        file = EXAMPLES / f"{name}.toml"
        if not file.exists():
            raise UserError(
                f"--cluster {quoted_if_odd(name)}: there is no such profile; one of {', '.join(examples())}, or a file "
                "of your own, FILE.toml"
            )
    try:
        values = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no text"
        raise UserError(f"--cluster {file}: cannot be read ({(reason or '').lower()})") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file}: is no TOML: {error}") from None
    return profile_from_dict(values, str(file))


def profile_from_dict(values: dict[str, Any], source: str) -> Profile:
    """The profile of a dictionary as `profile_to_dict` makes it; errors name `source` and the field."""
    names = [field.name for field in dataclasses.fields(Profile)]
    for name in values:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
            nearest = f"; did you mean {close[0]}?" if close else f"; one of {', '.join(names)}"
            raise UserError(f"{source}: field {quoted_if_odd(name)}: there is no such field{nearest}")
    try:
        # TOML's dates become text, which no field takes for more than that.
        return _PROFILE.validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        raise UserError(f"{source}: {_complaint(error)}") from None


def profile_to_dict(profile: Profile) -> dict[str, Any]:
    """The profile as plain JSON values, every field resolved."""
    return _PROFILE.dump_python(profile, mode="json")


def _complaint(error: ValidationError) -> str:
    problem = error.errors()[0]
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    return first_problem(error, noun="field")
