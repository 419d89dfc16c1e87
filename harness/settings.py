"""A run is a value: every resolved setting, its canonical JSON and the id that is the hash of it."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from algorithms.settings import (
    CONFIG,
    AlgorithmSettings,
    BehaviourValueSettings,
    Count,
    FloorSettings,
    NonNegative,
    Positive,
    Share,
)
from harness.errors import UserError
from harness.plain_values import SHOWN, dotted, plain_values, shown

# Raised whenever the meaning of a setting or of a metric changes, so that old folders are never mixed with new ones.
SCHEMA_VERSION = 3

ID_LENGTH = 12

Steps = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(min_length=1, max_length=100)]


@dataclass(frozen=True, config=CONFIG)
class DataSettings:
    """How a task's dataset is collected by the scripted controller."""

    # Transitions collected; the episode in progress is finished, so a few more come out.
    transitions: Count = 20_000
    # Standard deviation of the Gaussian noise added to the controller's action (hosted sets: 0.5).
    action_noise: NonNegative = 0.5
    # Seed of resets and noise.
    seed: Steps = 0


# Names of the functions in repairs.py, which say what they do.
RepairName = Literal[
    "without_contact_forces", "goal_of_first_observation", "successes_only", "cut_at_success", "terminal_at_success",
]  # fmt: skip


@dataclass(frozen=True, config=CONFIG)
class HostedData:
    """Which hosted Minari sets are a task's dataset, and what is repaired in them."""

    # Minari ids with their versions; the sets are read one after the other.
    ids: Annotated[tuple[Annotated[str, Field(pattern=r"^([\w-]+/)*[\w-]+-v\d+$")], ...], Field(min_length=1)]
    # Repairs of every episode, in this order; an episode without the fault is left as it is.
    repairs: tuple[RepairName, ...] = ()


def _kind_of_data(data: Any) -> str:
    hosted = {"ids", "repairs"} & set(data) if isinstance(data, dict) else isinstance(data, HostedData)
    return "hosted" if hosted else "collected"


Data = Annotated[
    Annotated[DataSettings, Tag("collected")] | Annotated[HostedData, Tag("hosted")], Discriminator(_kind_of_data)
]


@dataclass(frozen=True, config=CONFIG)
class Task:
    """An environment, its offline data and how rewards are read."""

    # Name in the registry of tasks; a part of its dataset's name.
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    # Gymnasium id.
    environment: Name
    # Steps after which an episode is truncated.
    horizon: Count
    # Rows of the maze, one character a cell: # wall, . free, r start, g goal; none: the environment's own maze.
    maze: tuple[Annotated[str, Field(pattern=r"^[#.rg]+$")], ...] | None = None
    # What is to be done in the kitchen; none elsewhere.
    subtasks: tuple[Name, ...] = ()
    # Which rewards: the environment's, or 0 at a success and -1 at every other step ("binary").
    reward: Literal["environment", "binary"] = "environment"
    # A step with this reward (before it is mapped) or a larger one succeeds and ends the episode; none: the
    # environment alone says when an episode ends.
    success_reward: float | None = None
    # Rewards are mapped to reward * scale + bias before anything else sees them.
    reward_scale: Positive = 1.0
    reward_bias: float = 0.0
    # Mapped reward of every step without success; none for a dense task (then no failure rule applies).
    failure_reward: float | None = None
    # Returns (sums of rewards before they are mapped) that score 0 and 1; none: the score is the success.
    reference_returns: tuple[float, float] | None = None
    # Discount per environment step.
    discount: Annotated[float, Field(ge=0, lt=1)] = 0.99
    # Collected by the scripted controller, or hosted.
    data: Data = DataSettings()

    @property
    def collected(self) -> DataSettings:
        """How the data are collected; a UserError where they are hosted."""
        if isinstance(self.data, HostedData):
            raise UserError(f"task.data of {self.name}: are hosted; data of the scripted controller are needed here")
        return self.data


@dataclass(frozen=True, config=CONFIG)
class Schedule:
    """How long a run trains and how often it is looked at."""

    # Gradient steps on the dataset before the switch.
    offline_steps: Steps = 1_000_000
    # Environment steps after the switch.
    online_steps: Steps = 1_000_000
    # Gradient steps per environment step.
    updates_per_step: Steps = 1
    # Environment steps whose updates are made together, d3rlpy: 1000; none: those of an episode when it has ended
    # (official). What is left at the end of the phase is made there.
    update_block: Count | None = 1
    # Share of every online batch that comes from the dataset, for every arm; none: batches are drawn from dataset and
    # online transitions as from one (CORL's CQL).
    mixing_ratio: Share | None = 0.5
    # Deterministic episodes per evaluation, on the same reset seeds for every arm.
    evaluation_episodes: Count = 20
    # Gradient steps between two evaluations offline.
    offline_interval: Count = 50_000
    # Environment steps between two evaluations online, once the dense part is over.
    online_interval: Count = 20_000
    # Environment steps between two evaluations right after the switch, and for how many steps that lasts;
    # the dip is measured over the dense part.
    dense_interval: Count = 2_000
    dense_steps: Steps = 20_000
    # Dataset transitions on which values are compared with floors and returns at each evaluation.
    probe_states: Count = 1024


@dataclass(frozen=True, config=CONFIG)
class Run:
    """Every setting that decides a run's numbers. Equal runs have equal ids and give equal bytes."""

    task: Task
    # Name of the arm: for the reader; the settings below say what it is.
    arm: Name
    # Seed of every named random stream of the run.
    seed: Steps
    floor: FloorSettings = FloorSettings()
    behaviour_value: BehaviourValueSettings = BehaviourValueSettings()
    algorithm: AlgorithmSettings = AlgorithmSettings()
    schedule: Schedule = Schedule()
    schema_version: int = SCHEMA_VERSION

    @property
    def id(self) -> str:
        """Hash of the canonical JSON of its configuration."""
        return hashlib.sha256(canonical_json(configuration(self)).encode()).hexdigest()[:ID_LENGTH]


# Settings that came after the first runs of this schema version. Where they have their default they are left out of
# ids and files, so that earlier runs keep theirs.
YOUNGER = {"algorithm": ("policy_objective",)}

# Settings that may differ between the runs of one pack: they are [R] tensors or columns, not shapes.
PER_RUN = {
    "arm": None,
    "seed": None,
    "floor": {
        "base", "constant", "inflation", "noise", "truncation", "bootstrap_value", "active_online",
    },
    "algorithm": {
        "output_gain", "alpha", "temperature", "difference_min", "difference_max", "target_action_gap",
        "lagrange_initial_log", "policy_learning_rate", "critic_learning_rate", "entropy_temperature_initial",
        "entropy_learning_rate", "target_entropy", "tau",
    },
}  # fmt: skip

_RUN = TypeAdapter(Run)

# What pydantic puts into the path of a setting of data, which has no such part.
_KINDS_OF_DATA = ("collected", "hosted")


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces; refuses NaN and infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def run_to_dict(run: Run) -> dict[str, Any]:
    """Every setting of the run as plain JSON values."""
    return _RUN.dump_python(run, mode="json")


def configuration(run: Run) -> dict[str, Any]:
    """What is written of a run and makes its id: its settings, `YOUNGER` ones only where they are not the default."""
    values = run_to_dict(run)
    for group, names in YOUNGER.items():
        defaults = getattr(run, group).__dataclass_fields__
        for name in names:
            if values[group][name] == defaults[name].default:
                del values[group][name]
    return values


def run_from_dict(values: dict[str, Any], source: str = "run") -> Run:
    """The run of a dictionary as `configuration` writes it, or `run_to_dict`.

    Errors are one line that names the setting and `source`.
    Values are taken as JSON has them: no truth value stands for a number, no text for what it spells.
    """
    try:
        run = _RUN.validate_json(json.dumps(plain_values(values)), strict=True)
    except ValidationError as error:
        raise UserError(f"{source}: {first_problem(error)}") from None
    except ValueError as error:
        raise UserError(f"{source}: {error}") from None
    if run.schema_version != SCHEMA_VERSION:
        raise UserError(f"{source}: schema version {run.schema_version} cannot be read by this version, "
                        f"which writes {SCHEMA_VERSION}")  # fmt: skip
    return run


def first_problem(error: ValidationError, noun: str = "setting") -> str:
    """One line of a pydantic error: the path of the setting (or other `noun`), the value and what is wrong with it."""
    problem = error.errors()[0]
    path = dotted(tuple(part for part in problem["loc"] if part not in _KINDS_OF_DATA))
    if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{noun} {path}: there is no such {noun}"
    if problem["type"] == "missing":
        return f"{noun} {path}: is missing"
    message = problem["msg"][0].lower() + problem["msg"][1:]
    name = f"{noun} {path}" if path else f"{noun}s"
    return f"{name} = {shown(problem['input'])}: {message}"


def with_settings(run: Run, changes: dict[str, Any], source: str = "run") -> Run:
    """A copy of the run with settings changed by dotted path, for example {"algorithm.alpha": 1.0}."""
    values = run_to_dict(run)
    for path, value in changes.items():
        *parents, name = path.split(".")
        inner: Any = values
        for parent in parents:
            inner = inner.get(parent) if isinstance(inner, dict) else None
        if not isinstance(inner, dict) or name not in inner:
            raise UserError(f"{source}: setting {dotted(tuple(path.split('.')))}: there is no such setting"
                            f"{_nearest_setting(path, values)}")  # fmt: skip
        inner[name] = value
    return run_from_dict(values, source)


def total_updates(schedule: Schedule) -> int:
    """Gradient steps of a run from beginning to end."""
    return schedule.offline_steps + schedule.online_steps * schedule.updates_per_step


def trains_alone(run: Run) -> bool:
    """Whether no other run can share its pack: when its updates are made depends on its own episodes."""
    return run.schedule.update_block is None


def pack_key(run: Run) -> str:
    """Runs with equal keys have equal shapes and may train in one pack, unless they train alone."""
    values = run_to_dict(run)
    for name, fields in PER_RUN.items():
        if fields is None:
            del values[name]
        else:
            for field in fields:
                del values[name][field]
    return canonical_json(values)


def _paths(values: dict[str, Any], prefix: str = "") -> list[str]:
    paths = []
    for name, value in values.items():
        paths += _paths(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
    return paths


def _nearest_setting(path: str, values: dict[str, Any]) -> str:
    import difflib

    close = difflib.get_close_matches(path[:SHOWN], _paths(values), n=1, cutoff=0.4)
    return f"; did you mean {dotted(tuple(close[0].split('.')))}?" if close else ""
