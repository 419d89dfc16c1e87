"""OGBench's single tasks: data, rewards and settings.

Names, environments, horizons, data and rewards are OGBench's (github.com/seohongpark/ogbench, version 1.2). Discounts,
batch sizes, offline and online steps, and episodes per evaluation are those of its authors' offline and
offline-to-online runs (FQL, github.com/seohongpark/fql). They publish no settings for CQL or Cal-QL; the only public
ones are in a fork of WSRL (github.com/andypeng05/wsrl, `ogbench_cql`): network widths, a fixed weight of 5 without the
Lagrange form, rewards of -5 and 5 in the mazes, and OGBench's rewards for the robot arm. All other settings are from
the official Cal-QL scripts. The networks have no layer normalisation, unlike FQL's critics. The intervals between
online evaluations are chosen by this project.

Rewards: a step from a state that solves the task has the reward 0 and ends the episode; every other step has minus the
number of unsolved subtasks. With one subtask all steps without success have the same reward, and a truncated
trajectory counts as failing for ever. With several subtasks the return of a truncated trajectory is the sum of its
rewards.
"""

from typing import NamedTuple

from algorithms.settings import AlgorithmSettings, BehaviourValueSettings
from harness.environments.families import NAMESPACE, single_task
from harness.settings import HostedData, Schedule, Task
from harness.tasks.recipes import Recipe


class Family(NamedTuple):
    """Properties shared by the five tasks of a dataset."""

    # Steps after which the environment truncates an episode.
    horizon: int
    # Number of OGBench's default task.
    default: int
    # Number of subtasks: cubes, buttons, drawer and window that must reach their goal states.
    subtasks: int = 1
    discount: float = 0.99


FAMILIES = {
    "pointmaze-medium-navigate": Family(1000, default=1),
    "pointmaze-large-navigate": Family(1000, default=1),
    "antmaze-large-navigate": Family(1000, default=1),
    "antmaze-giant-navigate": Family(1000, default=1, discount=0.995),
    "humanoidmaze-medium-navigate": Family(2000, default=1, discount=0.995),
    "humanoidmaze-large-navigate": Family(2000, default=1, discount=0.995),
    "antsoccer-arena-navigate": Family(1000, default=4, discount=0.995),
    "cube-single-play": Family(200, default=2),
    "cube-double-play": Family(500, default=2, subtasks=2),
    "scene-play": Family(750, default=2, subtasks=5),
    "puzzle-3x3-play": Family(500, default=4, subtasks=9),
    "puzzle-4x4-play": Family(500, default=4, subtasks=16),
}

ALGORITHM = AlgorithmSettings(policy_hidden=(512,) * 4, critic_hidden=(512,) * 4)

SCHEDULE = Schedule(evaluation_episodes=50, offline_interval=100_000)

LEARNED_FLOOR = BehaviourValueSettings(hidden=(256, 256))


def task_name(dataset: str, number: int) -> str:
    """OGBench's name of a task, from the dataset and the task's number (1 to 5)."""
    return f"{dataset}-singletask-task{number}-v0"


def ogbench_task(dataset: str, number: int) -> Recipe:
    """A task: -5 per step and 5 at the goal in a maze; minus the number of unsolved subtasks for the robot arm."""
    family, name = FAMILIES[dataset], task_name(dataset, number)
    names = single_task(name)
    assert names is not None
    scale, bias = (10.0, 5.0) if dataset.endswith("navigate") else (1.0, 0.0)
    return Recipe(
        Task(
            name=name,
            environment=names.environment,
            horizon=family.horizon,
            reward_scale=scale,
            reward_bias=bias,
            failure_reward=bias - scale if family.subtasks == 1 else None,
            discount=family.discount,
            data=HostedData((f"{NAMESPACE}{name}",)),
        ),
        ALGORITHM,
        SCHEDULE,
        LEARNED_FLOOR,
    )


# Recipes by task name.
OGBENCH = {task_name(dataset, number): ogbench_task(dataset, number) for dataset in FAMILIES for number in range(1, 6)}

# The default task of each dataset.
DEFAULTS = tuple(task_name(dataset, family.default) for dataset, family in FAMILIES.items())
