"""Checks before training starts; each raises a UserError that names the setting or the folder."""

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path

from algorithms.settings import FLOOR_BASES, BehaviourValueSettings, FloorSettings
from harness import extensions
from harness.environments.families import WINDING_ROAD, has_exact_values
from harness.errors import UserError
from harness.settings import HostedData, OnlineSettings, Run, Task, pack_key, total_updates

# Bytes of a run folder besides metrics: settings, provenance, status, summary and log.
FOLDER_BYTES = 100_000
# Bytes of a row of metrics.
ROW_BYTES = 2_000
# Bytes that must stay free.
RESERVE_BYTES = 100_000_000


def tasks_of(runs: Iterable[Run]) -> list[Task]:
    """The distinct tasks of some runs, in order."""
    return list(dict.fromkeys(run.task for run in runs))


def data_of(runs: Sequence[Run]) -> list[Task]:
    """The distinct tasks whose data some runs need: their own, and those to which stale floors are fitted."""
    others = [run.floor_task for run in runs if run.floor.base == "learned"]
    return list(dict.fromkeys([*tasks_of(runs), *others]))


def check_settings(runs: Sequence[Run]) -> None:
    """Check that settings are consistent, beyond what their types guarantee."""
    check_floors(runs)
    check_critics(runs)
    check_online(runs)


def check_floors(runs: Sequence[Run]) -> None:
    """Check that every run's floor is available on its task; only learned floors without noise can keep learning."""
    for run in runs:
        check_base(run.floor.base)
        needed = {"floor.base": ("exact", "optimal"), "floor.inflation_kind": ("value_gap",)}
        for setting, kinds in needed.items():
            value = getattr(run.floor, setting.partition(".")[2])
            if value in kinds and not has_exact_values(run.task):
                raise UserError(f"setting {setting} = {value!r}: the exact values of {run.task.environment} are "
                                f"unknown; choose another, or a task in {WINDING_ROAD}")  # fmt: skip
        check_stale_floor(run)
        if run.floor.keeps_learning and (run.floor.base != "learned" or run.floor.noise):
            raise UserError("setting floor.keeps_learning = true: only a floor.base of 'learned' without floor.noise "
                            f"can keep learning, not {run.floor.base!r} with {run.floor.noise:g}")  # fmt: skip
        check_inflation(run.floor)
        check_estimator(run)


def check_base(name: str) -> None:
    """Check that a floor is one of floorbench or of an extension."""
    names = (*FLOOR_BASES, *(floor for _, floor in extensions.entries("floor")))
    if name not in names:
        raise UserError(f"setting floor.base = {name!r}: unknown floor; must be one of {', '.join(names)}")


def check_stale_floor(run: Run) -> None:
    """Check that the value of the policy of a stale floor can be known or estimated."""
    floor, name = run.floor, f"setting floor.action_noise = {run.floor.action_noise}"
    if floor.action_noise is None:
        return
    if floor.base not in ("exact", "learned"):
        raise UserError(f"{name}: the returns of another policy from the dataset's states are unknown, only its value; "
                        f"needs a floor.base of 'learned' or 'exact', not {floor.base!r}")  # fmt: skip
    if isinstance(run.task.data, HostedData):
        raise UserError(f"{name}: the data of {run.task.name} are hosted, so no other policy can collect data; "
                        "choose a task whose data are collected here")  # fmt: skip
    if floor.keeps_learning:
        raise UserError(f"{name}: a floor that keeps learning online does not stay that of another policy; "
                        "set floor.keeps_learning = false")  # fmt: skip
    if floor.action_noise == run.task.data.action_noise:
        raise UserError(f"{name}: is that of the task's data, so the floor is not stale; choose another value")


# Estimators that can keep learning online, where every network takes a step on the returns-to-go of each batch: not
# "td", whose targets are other; not "out_of_fold", as online episodes belong to no fold; not "success_only", as batches
# hold failures.
ONLINE_ESTIMATORS = ("regression", "expectile", "quantile", "ensemble")

# The estimators with which settings of the fit have an effect.
ESTIMATOR_SETTINGS = {
    "folds": ("out_of_fold",), "td_lambda": ("td",), "level": ("expectile", "quantile"), "members": ("ensemble",),
    "deviations": ("ensemble",),
}  # fmt: skip


def check_estimator(run: Run) -> None:
    """Check that the settings of a learned floor belong to its estimator, and that the estimator suits the task."""
    settings, default = run.behaviour_value, BehaviourValueSettings()
    estimator, name = settings.estimator, f"setting behaviour_value.estimator = {settings.estimator!r}"
    for setting, estimators in ESTIMATOR_SETTINGS.items():
        value = getattr(settings, setting)
        if value != getattr(default, setting) and estimator not in estimators:
            raise UserError(f"setting behaviour_value.{setting} = {value:g}: has no effect on the estimator "
                            f"{estimator!r}, only on {' and '.join(map(repr, estimators))}")  # fmt: skip
    if run.floor.keeps_learning and estimator not in ONLINE_ESTIMATORS:
        raise UserError(f"{name}: cannot keep learning online by regression on returns-to-go; "
                        f"set floor.keeps_learning = false, or choose from {', '.join(ONLINE_ESTIMATORS)}")  # fmt: skip
    if estimator == "success_only" and run.task.failure_reward is None:
        raise UserError(f"{name}: {run.task.name} has no task.failure_reward, by which failures are recognised")


def check_inflation(floor: FloorSettings) -> None:
    """Check that the kind of inflation has an effect on the floor, and that its settings belong to it."""
    kind, name = floor.inflation_kind, f"setting floor.inflation_kind = {floor.inflation_kind!r}"
    default = FloorSettings()
    if floor.inflation_share != default.inflation_share and kind not in ("rare_states", "near_goal"):
        raise UserError(f"setting floor.inflation_share = {floor.inflation_share:g}: has no effect on the "
                        f"floor.inflation_kind {kind!r}, only on 'rare_states' and 'near_goal'")  # fmt: skip
    if floor.error_correlation != default.error_correlation and kind != "correlated_error":
        raise UserError(f"setting floor.error_correlation = {floor.error_correlation:g}: has no effect on the "
                        f"floor.inflation_kind {kind!r}, only on 'correlated_error'")  # fmt: skip
    if kind == "additive":
        return
    if not floor.inflation:
        raise UserError(f"{name}: has no effect with floor.inflation = 0; set a dose")
    if floor.keeps_learning:
        raise UserError(f"{name}: a floor that keeps learning supports only 'additive'")
    if kind == "correlated_error" and (floor.base in ("none", "constant", "mean_return") or floor.inflation < 0):
        raise UserError(f"{name}: needs a floor.base that differs between states, not {floor.base!r}, and a "
                        f"positive floor.inflation, not {floor.inflation:g}")  # fmt: skip
    if floor.base == "none":
        raise UserError(f"{name}: has no effect on floor.base = 'none'")


def check_critics(runs: Sequence[Run]) -> None:
    """Check that the settings of the critics as an ensemble have an effect and agree with each other."""
    for settings in {run.algorithm for run in runs}:
        critics, chosen = settings.critics, settings.target_critics
        if settings.target_replacement and chosen is None:
            raise UserError("setting algorithm.target_replacement = true: needs algorithm.target_critics, the number "
                            "of critics that are drawn")  # fmt: skip
        if chosen is not None and chosen > critics and not settings.target_replacement:
            raise UserError(f"setting algorithm.target_critics = {chosen}: more than algorithm.critics = {critics}, of "
                            "which distinct ones are drawn; set fewer, or target_replacement = true")  # fmt: skip
        if chosen == critics and not settings.target_replacement:
            raise UserError(f"setting algorithm.target_critics = {chosen}: has no effect: these are all critics; "
                            "set none, or fewer than algorithm.critics")  # fmt: skip
        if settings.policy_value != "minimum" and settings.policy_objective == "cloning":
            raise UserError(f"setting algorithm.policy_value = {settings.policy_value!r}: has no effect on the "
                            "algorithm.policy_objective 'cloning', which uses no critic")  # fmt: skip


def check_online(runs: Sequence[Run]) -> None:
    """Check that settings of the online phase have an effect and agree with each other."""
    for run in runs:
        online, schedule = run.online, run.schedule
        warmup = online.warmup_horizons * run.task.horizon
        if online != OnlineSettings() and not schedule.online_steps:
            raise UserError("settings online.*: schedule.online_steps = 0, so there is no online phase to change")
        if online.alpha_decay and online.alpha is None:
            raise UserError(
                f"setting online.alpha_decay = {online.alpha_decay:g}: needs online.alpha, the final weight"
            )
        if online.mixing_decay and online.mixing_ratio is None:
            raise UserError(f"setting online.mixing_decay = {online.mixing_decay:g}: needs online.mixing_ratio, "
                            "the final ratio")  # fmt: skip
        if online.mixing_ratio is not None and schedule.mixing_ratio is None:
            raise UserError(f"setting online.mixing_ratio = {online.mixing_ratio:g}: needs a number as "
                            "schedule.mixing_ratio, from which the schedule starts")  # fmt: skip
        if online.mixing_by_size and (online.mixing_ratio is not None or schedule.mixing_ratio is None):
            raise UserError("setting online.mixing_by_size = true: the ratio follows from the number of transitions; "
                            "set neither online.mixing_ratio nor schedule.mixing_ratio = none")  # fmt: skip
        if warmup and warmup >= schedule.online_steps:
            raise UserError(f"setting online.warmup_horizons = {online.warmup_horizons}: {warmup:,} steps without "
                            f"updates leave none of the {schedule.online_steps:,} online steps")  # fmt: skip
        updates = total_updates(run) - schedule.offline_steps
        if online.policy_interval > max(updates, 1):
            raise UserError(f"setting online.policy_interval = {online.policy_interval}: the online phase has only "
                            f"{updates:,} updates, so the policy would never change; set a smaller one")  # fmt: skip
        if online.critic_updates and online.critic_updates >= updates:
            raise UserError(f"setting online.critic_updates = {online.critic_updates:,}: the online phase has only "
                            f"{updates:,} updates, so the policy would never change; set a smaller one")  # fmt: skip
        if online.new_critics and (online.recalibrate or online.critic_shift):
            raise UserError("setting online.new_critics = true: online.recalibrate and online.critic_shift correct the "
                            "critics of the offline phase; set one or the other")  # fmt: skip


def check_environments(tasks: Iterable[Task]) -> None:
    """Check that every task's environment starts and has spaces that the networks support."""
    from harness.environments.environment import Environment

    for task in tasks:
        Environment(task).reset(seed=0)


def check_root(root: Path, runs: Sequence[Run] = ()) -> None:
    """Check that the root is writable and has space for the runs; creates it."""
    try:
        Path(root).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root) as file:
            file.write(b"floorbench")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"--root {root}: cannot be written ({reason}); choose another folder") from None
    sizes = {pack_key(run): run for run in runs}
    checkpoints = {key: checkpoint_bytes(run) for key, run in sizes.items()}
    check_space(root, sum(folder_bytes(run) + checkpoints[pack_key(run)] for run in runs))


def checkpoint_bytes(run: Run) -> int:
    """The size in bytes of the last checkpoint of a run, which stays in its folder."""
    from harness.training.starts import learner_shapes

    return 4 * sum(prod(shape) for shape in learner_shapes(run).values())


def folder_bytes(run: Run) -> int:
    """Upper bound of the size of a run folder without checkpoints in bytes."""
    schedule = run.schedule
    rows = (
        schedule.offline_steps // schedule.offline_interval
        + schedule.dense_steps // schedule.dense_interval
        + schedule.online_steps // schedule.online_interval
        + schedule.log_spaced_evaluations
    )
    return FOLDER_BYTES + ROW_BYTES * rows


def check_space(folder: Path, needed: int) -> None:
    """Check that the file system of `folder` has `needed` free bytes and a reserve."""
    free = shutil.disk_usage(folder).free
    if free < needed + RESERVE_BYTES:
        raise UserError(f"{folder}: {free / 1e6:,.0f} MB free; "
                        f"{(needed + RESERVE_BYTES) / 1e6:,.0f} MB needed; choose another folder")  # fmt: skip
