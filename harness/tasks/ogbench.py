"""OGBench's single tasks: data, rewards and settings.

The tasks have OGBench's names. Environments, horizons, data and rewards are OGBench's (github.com/seohongpark/ogbench,
version 1.2). Discounts, transitions per update, steps before and after the switch, and episodes per evaluation are
those of the offline and offline-to-online runs of its authors (FQL, github.com/seohongpark/fql). They publish no
settings of CQL or Cal-QL; the only public ones are in a fork of WSRL (github.com/andypeng05/wsrl, `ogbench_cql`):
widths of the networks, the weight 5 without Lagrange form, rewards of -5 and 5 in the mazes and OGBench's own for the
arm. All else is from the official Cal-QL scripts. The networks have no layer normalisation, unlike FQL's critics.
Intervals between evaluations online are those of this project.

Rewards: a step from a state that solves the task has the reward 0 and ends the episode. Every other step has minus the
number of subtasks still open. With one subtask every step without success has the same reward and a trajectory that
is cut off counts as failing for ever; with several it does not, and its rewards are summed as if nothing followed.
"""

from typing import NamedTuple

from algorithms.settings import AlgorithmSettings, BehaviourValueSettings
from harness.environments.ogbench import NAMESPACE, single_task
from harness.settings import HostedData, Schedule, Task
from harness.tasks.recipes import Recipe


class Family(NamedTuple):
    """What the five tasks of a dataset share."""

    # Steps after which the environment truncates an episode.
    horizon: int
    # Which of the five OGBench calls the default.
    default: int
    # Subtasks: cubes, buttons, drawer and window that must be as the task wants them.
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
    """Return OGBench's name of one of the five tasks of a dataset."""
    return f"{dataset}-singletask-task{number}-v0"


def ogbench_task(dataset: str, number: int) -> Recipe:
    """One task: in a maze -5 a step and 5 at the goal, for the arm minus the number of open subtasks."""
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


# By name of the task.
OGBENCH = {task_name(dataset, number): ogbench_task(dataset, number) for dataset in FAMILIES for number in range(1, 6)}

# The default task of each dataset.
DEFAULTS = tuple(task_name(dataset, family.default) for dataset, family in FAMILIES.items())
