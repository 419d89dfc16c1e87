"""Settings of a run, their canonical JSON, and the run id, which is the hash of it."""

import hashlib
import json
from dataclasses import is_dataclass, replace
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import to_json

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
from harness.extensions import used
from harness.plain_values import canonical_json, dotted, first_problem, nearest_setting, plain_values

# Increased when the meaning of a setting or metric changes, so that old runs are never mixed with new ones.
SCHEMA_VERSION = 3

ID_LENGTH = 12

Steps = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(min_length=1, max_length=100)]


@dataclass(frozen=True, config=CONFIG)
class DataSettings:
    """How the scripted controller collects the dataset of a task."""

    # Minimum number of transitions; the last episode is completed.
    transitions: Count = 20_000
    # Standard deviation of the Gaussian noise added to the controller's actions (hosted sets: 0.5).
    action_noise: NonNegative = 0.5
    # Seed of the resets and of the noise.
    seed: Steps = 0
    # Length of episodes that wander in a maze from a random free cell to others; None: from the start to the goal.
    wander_steps: Count | None = None
    # Fraction of the episodes of a Fetch arm that head for the goal of the episode before instead of their own.
    misdirected: Share = 0.0


# Names of functions in data/repairs.py, where they are described.
RepairName = Literal[
    "without_contact_forces", "goal_of_first_observation", "successes_only", "cut_at_success", "terminal_at_success",
]  # fmt: skip


@dataclass(frozen=True, config=CONFIG)
class HostedData:
    """The hosted Minari sets that make up the dataset of a task, and their repairs."""

    # Minari ids with versions, in the order in which the sets are concatenated.
    ids: Annotated[tuple[Annotated[str, Field(pattern=r"^([\w-]+/)*[\w-]+-v\d+$")], ...], Field(min_length=1)]
    # Repairs applied to every episode, in this order; episodes without the fault are unchanged.
    repairs: tuple[RepairName, ...] = ()


def _data_tag(data: Any) -> str:
    hosted = {"ids", "repairs"} & set(data) if isinstance(data, dict) else isinstance(data, HostedData)
    return "hosted" if hosted else "collected"


Data = Annotated[
    Annotated[DataSettings, Tag("collected")] | Annotated[HostedData, Tag("hosted")], Discriminator(_data_tag)
]


@dataclass(frozen=True, config=CONFIG)
class Task:
    """An environment, its offline data and its reward mapping."""

    # Name in the task registry; part of the name of a collected dataset.
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    # Gymnasium id of the environment.
    environment: Name
    # Environment steps after which an episode is truncated.
    horizon: Count
    # Rows of the maze, one character per cell: # wall, . free, r start, g goal; None: the environment's default maze.
    maze: tuple[Annotated[str, Field(pattern=r"^[#.rg]+$")], ...] | None = None
    # Subtasks of the Franka kitchen; empty for other environments.
    subtasks: tuple[Name, ...] = ()
    # Reward before mapping: the environment's, or "binary": 0 at a success and -1 at every other step.
    reward: Literal["environment", "binary"] = "environment"
    # Reward before mapping from which on a step is a success and terminates the episode; None: only the environment
    # terminates episodes.
    success_reward: float | None = None
    # Every reward is mapped to reward * scale + bias, in the dataset and in the environment.
    reward_scale: Positive = 1.0
    reward_bias: float = 0.0
    # Mapped reward of a step without success; None for dense rewards, for which the failure rule does not apply.
    failure_reward: float | None = None
    # Undiscounted returns before mapping that score 0 and 1 (D4RL's reference returns); None: the score is the success.
    reference_returns: tuple[float, float] | None = None
    # Discount per environment step.
    discount: Annotated[float, Field(ge=0, lt=1)] = 0.99
    # Whether the goal of a maze is part of the observations.
    observes_goal: bool = True
    # Collected by the scripted controller, or hosted.
    data: Data = DataSettings()

    @property
    def data_seed(self) -> int:
        """The seed of collected data; 0 for hosted data, of which there is one version."""
        return 0 if isinstance(self.data, HostedData) else self.data.seed

    @property
    def collected(self) -> DataSettings:
        """How the data are collected; raises a UserError if they are hosted."""
        if isinstance(self.data, HostedData):
            raise UserError(
                f"task.data of {self.name}: hosted; data collected by the scripted controller are needed here"
            )
        return self.data


@dataclass(frozen=True, config=CONFIG)
class Schedule:
    """How long a run trains and how often it is evaluated."""

    # Gradient steps of the offline phase.
    offline_steps: Steps = 1_000_000
    # Environment steps of the online phase.
    online_steps: Steps = 1_000_000
    # Gradient steps per environment step of the online phase.
    updates_per_step: Steps = 1
    # Environment steps after which their updates are made together (d3rlpy: 1000); None: at the end of every episode
    # (official Cal-QL). The end of the phase makes all updates that are due.
    update_block: Count | None = 1
    # Fraction of every online batch from the dataset; None: uniform over dataset and online transitions (CORL's CQL).
    mixing_ratio: Share | None = 0.5
    # Deterministic episodes per evaluation; their reset seeds are the same for every arm.
    evaluation_episodes: Count = 20
    # Gradient steps between evaluations in the offline phase.
    offline_interval: Count = 50_000
    # Environment steps between evaluations in the online phase, after the dense window.
    online_interval: Count = 20_000
    # Environment steps between evaluations in the dense window, right after the switch.
    dense_interval: Count = 2_000
    # Length of the dense window in environment steps; the dip is measured in it.
    dense_steps: Steps = 20_000
    # Evaluations of the online phase at steps evenly spaced on a logarithmic axis, from dense_interval to online_steps;
    # 0: at every dense_interval in the dense window and every online_interval after it.
    log_spaced_evaluations: Steps = 0
    # Estimator of the behaviour policy's value V_mu. With it, every evaluation counts the first states of its episodes
    # where V_mu <= Q <= V_pi. "td" bootstraps where trajectories are cut, "success_only" sees only successful ones. All
    # runs on the same data use the same estimate, or the exact value where it is known. "none": no counts.
    calibration_value: Literal["none", "td", "success_only"] = "none"
    # Dataset transitions on which every evaluation compares values with floors and returns.
    probe_states: Count = 1024


@dataclass(frozen=True, config=CONFIG)
class OnlineSettings:
    """What changes at the switch. With the defaults, training continues with the settings of the offline phase."""

    # Weight of the regulariser in the online phase; None: algorithm.alpha. 0 is SAC, without push-down and push-up
    # (official: cql_min_q_weight_online, online_use_cql = False). Per run.
    alpha: NonNegative | None = None
    # Fraction of the online phase over which the weight moves linearly from algorithm.alpha to online.alpha. Per run.
    alpha_decay: Share = 0.0
    # Fraction of online batches drawn from the dataset at the end of a linear schedule that starts at
    # schedule.mixing_ratio; None: constant.
    mixing_ratio: Share | None = None
    # Fraction of the online phase over which that schedule runs; 0: the final value from the start.
    mixing_decay: Share = 0.0
    # Whether the fraction is instead that of the dataset among all transitions so far, N / (N + environment steps), as
    # a number of transitions rounded down (official: mixing_ratio < 0). schedule.mixing_ratio is then unused.
    mixing_by_size: bool = False
    # Environment steps without updates after the switch, in units of the task's horizon: a number of full episodes of
    # the offline policy (WSRL on AntMaze: 5,000 steps, 5 horizons).
    warmup_horizons: Steps = 0
    # Updates of the critics per update of the policy and the entropy temperature, which comes with the last of them, on
    # the same batch (REDQ and RLPD: 20, WSRL: 4, each equal to its schedule.updates_per_step).
    policy_interval: Count = 1
    # Added to the values of critics and target critics at the switch, in units of the dataset's return range. Per run.
    critic_shift: float = 0.0
    # Whether the critics are shifted at the switch such that their mean value at the first states of the evaluation
    # episodes equals the mean discounted return of these episodes: calibration after training. Per run.
    recalibrate: bool = False
    # Whether critics, target critics and their optimizer start anew at the switch, with weights from a stream of their
    # own (after 2507.08387, which adds a new value function). Adam's step count goes on: its moments start at zero
    # without bias correction. Per run.
    new_critics: bool = False
    # Updates at the start of the online phase that change the critics alone, not the policy or the entropy temperature.
    critic_updates: Steps = 0
    # The networks, optimisers and learned scalars with which the online phase starts instead of an offline phase: the
    # id of a finished run in the same root, or the SHA-256 of a checkpoint in ROOT/starts. Their number of updates must
    # be schedule.offline_steps. Per run.
    start: Annotated[str, Field(pattern=r"^([0-9a-f]{12}|[0-9a-f]{64})$")] | None = None


@dataclass(frozen=True, config=CONFIG)
class Run:
    """Every setting that affects the results of a run. Equal runs have equal ids and byte-identical metrics."""

    task: Task
    # Name of the arm, a label; the settings define it.
    arm: Name
    # Seed of all random streams of the run.
    seed: Steps
    floor: FloorSettings = FloorSettings()
    behaviour_value: BehaviourValueSettings = BehaviourValueSettings()
    algorithm: AlgorithmSettings = AlgorithmSettings()
    schedule: Schedule = Schedule()
    online: OnlineSettings = OnlineSettings()
    schema_version: int = SCHEMA_VERSION
    # Extensions of which the run uses a floor, an arm or a task: names with a hash of their content.
    extensions: tuple[Annotated[str, Field(pattern=r"^\w+@[0-9a-f]{12}$")], ...] = ()

    @property
    def floor_task(self) -> Task:
        """The task with the data of the policy whose value the floor is: another one's, if the floor is stale."""
        if self.floor.action_noise is None:
            return self.task
        return replace(self.task, data=replace(self.task.collected, action_noise=self.floor.action_noise))

    @cached_property
    def id(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of the canonical JSON of its configuration."""
        text = ",".join(f'"{name}":{text}' for name, (text, _) in sorted(_texts(self).items()))
        return hashlib.sha256(f"{{{text}}}".encode()).hexdigest()[:ID_LENGTH]


# Settings added after the first runs of this schema version. With their default values they are omitted from ids and
# files, so that earlier runs keep theirs.
ADDED_SETTINGS = {
    "task": ("observes_goal",), "task.data": ("wander_steps", "misdirected"),
    "algorithm": ("policy_objective", "critics", "target_critics", "target_replacement", "policy_value", "layer_norm",
                  "precision"),
    "schedule": ("log_spaced_evaluations", "calibration_value"),
    "online": tuple(OnlineSettings.__dataclass_fields__),
    "floor": ("inflation_kind", "inflation_share", "error_correlation", "action_noise"),
    "behaviour_value": ("estimator", "trajectories", "folds", "td_lambda", "level", "members", "deviations"),
}  # fmt: skip

# Settings that may differ between the runs of a pack, because they are [R] tensors or columns.
PER_RUN = {
    "arm": None,
    "seed": None,
    "floor": {
        "base", "constant", "inflation", "inflation_kind", "inflation_share", "error_correlation", "noise",
        "truncation", "bootstrap_value", "active_online",
    },
    "algorithm": {
        "output_gain", "alpha", "temperature", "difference_min", "difference_max", "target_action_gap",
        "lagrange_initial_log", "policy_learning_rate", "critic_learning_rate", "entropy_temperature_initial",
        "entropy_learning_rate", "target_entropy", "tau",
    },
    "online": {"alpha", "alpha_decay", "critic_shift", "recalibrate", "new_critics", "start"},
}  # fmt: skip

# Settings that act only from the switch on: runs that differ in nothing else have the same prefix.
ONLINE_ONLY = {
    "floor": ("keeps_learning", "active_online"),
    "schedule": (
        "updates_per_step", "update_block", "mixing_ratio", "online_interval", "dense_interval", "dense_steps",
        "log_spaced_evaluations",
    ),
}  # fmt: skip

# The arm of a prefix.
PREFIX_ARM = "prefix"

_RUN = TypeAdapter(Run)


def run_to_dict(run: Run) -> dict[str, Any]:
    """All settings of a run as plain JSON values."""
    return _RUN.dump_python(run, mode="json")


def configuration(run: Run) -> dict[str, Any]:
    """The settings that are written to files and hashed to the id: all but `ADDED_SETTINGS` with default values."""
    return {name: _written(name, getattr(run, name)) for name in _texts(run)}


def settings_text(run: Run) -> bytes:
    """The text of a run's `configuration` in a file, as `json_bytes` writes it, but many times as fast in a grid."""
    return ("{\n" + ",\n".join(f' "{name}": {text}' for name, (_, text) in _texts(run).items()) + "\n}\n").encode()


def _texts(run: Run) -> dict[str, tuple[str, str]]:
    """The canonical JSON of the written groups of settings, and their text in a file."""
    texts = {name: _text(name, getattr(run, name)) for name in Run.__dataclass_fields__}
    return {name: both for name, both in texts.items() if both[0] not in ("{}", "[]")}


@lru_cache(maxsize=10_000)
def _text(name: str, group: Any) -> tuple[str, str]:
    """Canonical JSON of a group of settings, and its text in a file; the runs of a grid have most groups in common."""
    written = _written(name, group)
    return canonical_json(written), json.dumps(written, indent=1).replace("\n", "\n ")


def _written(path: str, value: Any) -> Any:
    if not is_dataclass(value):
        # -0.0 is 0.0, so that equal settings have equal text.
        return list(value) if isinstance(value, tuple) else value + 0.0 if isinstance(value, float) else value
    inner = {name: getattr(value, name) for name in value.__dataclass_fields__}
    for name in ADDED_SETTINGS.get(path, ()):
        if name in inner and inner[name] == value.__dataclass_fields__[name].default:
            del inner[name]
    return {name: _written(f"{path}.{name}", setting) for name, setting in inner.items()}


def run_from_dict(values: dict[str, Any], source: str = "run") -> Run:
    """The run of a dictionary from `configuration` or `run_to_dict`.

    Types are strict: booleans are not numbers, strings are not parsed. Errors are UserErrors of one line that name the
    setting and `source`.
    """
    return _validated(_plain(values, source), source)


def _plain(value: Any, source: str, path: tuple[str, ...] = ()) -> Any:
    try:
        return plain_values(value, path)
    except ValueError as error:
        raise UserError(f"{source}: {error}") from None


def _validated(values: dict[str, Any], source: str) -> Run:
    """The run of plain values."""
    try:
        run = _RUN.validate_json(to_json(values), strict=True)
    except ValidationError as error:
        raise UserError(f"{source}: {first_problem(error)}") from None
    if run.schema_version != SCHEMA_VERSION:
        other = f"schema version {run.schema_version} cannot be read by this version, which writes {SCHEMA_VERSION}"
        raise UserError(f"{source}: {other}")
    return run


def with_settings(run: Run, changes: dict[str, Any], source: str = "run") -> Run:
    """A copy of a run with changed settings by dotted path, for example {"algorithm.alpha": 1.0}."""
    values = run_to_dict(run)
    for path, value in changes.items():
        *parents, name = parts = tuple(path.split("."))
        inner: Any = values
        for parent in parents:
            inner = inner.get(parent) if isinstance(inner, dict) else None
        if not isinstance(inner, dict) or name not in inner:
            raise UserError(f"{source}: setting {dotted(parts)}: unknown setting{nearest_setting(path, values)}")
        inner[name] = _plain(value, source, parts)
    changed = _validated(values, source)
    extensions = used(changed.task.name, changed.arm, changed.floor.base, changed.extensions)
    return changed if extensions == changed.extensions else replace(changed, extensions=extensions)


def prefix_of(run: Run) -> Run | None:
    """The offline phase of a run as a run without an online phase; None if the run has only one of the two phases.

    Everything that a run computes up to the switch is byte-identical in its prefix.
    """
    if not run.schedule.offline_steps or not run.schedule.online_steps or run.online.start is not None:
        return None
    floor, schedule = _offline("floor", run.floor), _offline("schedule", run.schedule, online_steps=0)
    return replace(run, arm=PREFIX_ARM, floor=floor, schedule=schedule, online=OnlineSettings())


@lru_cache(maxsize=10_000)
def _offline(name: str, group: Any, **changes: Any) -> Any:
    defaults = {setting: group.__dataclass_fields__[setting].default for setting in ONLINE_ONLY[name]}
    return replace(group, **defaults, **changes)


def updates_due(run: Run, online_step: int) -> int:
    """Gradient steps of a run that are due after that many environment steps of the online phase."""
    warmup = run.online.warmup_horizons * run.task.horizon
    return run.schedule.offline_steps + max(0, online_step - warmup) * run.schedule.updates_per_step


def total_updates(run: Run) -> int:
    """Gradient steps of a run in both phases."""
    return updates_due(run, run.schedule.online_steps)


def trains_alone(run: Run) -> bool:
    """Whether a run cannot share a pack, because its episodes determine when its updates are made."""
    return run.schedule.update_block is None


def pack_key(run: Run) -> str:
    """Runs with equal keys have equal shapes and may share a pack, unless they train alone."""
    values = run_to_dict(run)
    for name, fields in PER_RUN.items():
        group = values.pop(name)
        if fields:
            values[name] = {field: value for field, value in group.items() if field not in fields}
    return canonical_json(values)
