"""The tasks, and for each scale the settings they are run with; those with hosted data are in hosted.py."""

from collections.abc import Iterable
from dataclasses import replace

from algorithms.settings import AlgorithmSettings, BehaviourValueSettings
from harness.environments.winding_road import WINDING_ROAD
from harness.errors import UserError
from harness.settings import DataSettings, Run, Schedule, Task
from harness.tasks.hosted import HOSTED
from harness.tasks.ogbench import OGBENCH
from harness.tasks.recipes import DEMO_ALGORITHM, DEMO_SCHEDULE, FOUND, ROAD_ALGORITHM, ROAD_SCHEDULE, Recipe

# Environment and data. Without noise the scripted arm reaches its goal in each of 200 episodes (seeds 0 to 199) of
# every task, with this noise in 200, 140 and 81 of them: data of mixed quality. Few data do for reaching: 4 steps long.
FETCH = {
    "reach": ("FetchReach-v4", DataSettings(transitions=5_000, action_noise=0.5)),
    "push": ("FetchPush-v4", DataSettings(transitions=50_000, action_noise=0.4)),
    "pick-and-place": ("FetchPickAndPlace-v4", DataSettings(transitions=50_000, action_noise=0.4)),
}


def pointmaze(size: str, horizon: int, data: DataSettings, kind: str = "") -> Task:
    """A goal-terminated maze: -2 per step until the goal, 0 on reaching it; `kind` says what is special in its data."""
    return Task(
        name=f"pointmaze-{size.lower()}{kind}",
        environment=f"PointMaze_{size}-v3",
        horizon=horizon,
        reward_scale=2.0,
        reward_bias=-2.0,
        failure_reward=-2.0,
        data=data,
    )


def winding_road(data: DataSettings, name: str = "winding-road", horizon: int = 120) -> Task:
    """The road whose values are known: -1 per step until the goal, 0 on reaching it.

    The collecting traveller arrives within 120 steps; a shorter horizon cuts him off on the way.
    """
    return Task(
        name=name,
        environment=WINDING_ROAD,
        horizon=horizon,
        reward_bias=-1.0,
        failure_reward=-1.0,
        data=data,
    )


def fetch(name: str, times: int = 1) -> Task:
    """An arm that brings its gripper or a block to a goal: -2 per step, 0 on reaching it; so many times its data."""
    environment, data = FETCH[name]
    return Task(
        name=f"fetch-{name}",
        environment=environment,
        horizon=50,
        reward_scale=2.0,
        failure_reward=-2.0,
        data=replace(data, transitions=times * data.transitions),
    )


def published(task: Task, data: DataSettings, schedule: Schedule) -> Recipe:
    """A sparse task with the official settings for AntMaze and its rewards: failure and success become -5 and +5."""
    assert task.failure_reward is not None
    failure = (task.failure_reward - task.reward_bias) / task.reward_scale
    return Recipe(
        replace(task, reward_scale=10.0, reward_bias=-5.0 - 10.0 * failure, failure_reward=-5.0, data=data),
        AlgorithmSettings(lagrange=True),
        schedule,
        BehaviourValueSettings(hidden=(256, 256)),
    )


# Standard deviation of the controller's noise: how widely the actions of the data spread around its own.
SPREADS = {"narrow": 0.2, "wide": 0.5}

# Horizon of the mazes, transitions of their demo's data, and its noise where the name says nothing of it.
MAZES = {"UMaze": (300, 5_000, 0.3), "Medium": (600, 100_000, 0.5), "Large": (800, 100_000, 0.5)}


def demo_mazes() -> list[Task]:
    """Every maze with its own noise, and with narrow and with wide data."""
    return [
        pointmaze(size, horizon, DataSettings(transitions=transitions, action_noise=noise), kind)
        for size, (horizon, transitions, own) in MAZES.items()
        for kind, noise in {"": own, **{f"-{spread}": noise for spread, noise in SPREADS.items()}}.items()
    ]


ROAD_DATA = DataSettings(transitions=20_000, action_noise=0.4)

# Steps of the road that cuts off more than half of its trajectories; the best policy needs 10 to 20.
SHORT_HORIZON = 30

ROADS = (winding_road(ROAD_DATA), winding_road(ROAD_DATA, "winding-road-short", SHORT_HORIZON))


def of_family(tasks: Iterable[Task], algorithm: AlgorithmSettings, schedule: Schedule) -> dict[str, Recipe]:
    """Tasks with the settings of their family and with what was found for each."""
    return {task.name: Recipe(task, algorithm, schedule, found=FOUND.get(task.name, {})) for task in tasks}


DEMO = {
    **of_family(demo_mazes(), DEMO_ALGORITHM, DEMO_SCHEDULE),
    **of_family(ROADS, ROAD_ALGORITHM, ROAD_SCHEDULE),
    **of_family(map(fetch, FETCH), DEMO_ALGORITHM, DEMO_SCHEDULE),
}

ROAD_PAPER_SCHEDULE = Schedule(
    offline_steps=100_000,
    online_steps=100_000,
    offline_interval=5_000,
    online_interval=2_000,
    dense_interval=500,
    dense_steps=10_000,
)

FETCH_PAPER = {name: fetch(name, times=10) for name in FETCH}

FETCH_PAPER_SCHEDULE = Schedule(offline_steps=250_000, online_steps=250_000, offline_interval=10_000)

# No public reference settings exist for the collected tasks. The mazes have data of the hosted size and noise; the arms
# have at most half of the data and a quarter of the steps, the roads a tenth of both.
PAPER = {
    **{
        name: published(DEMO[name].task, DataSettings(transitions=1_000_000, action_noise=0.5), Schedule())
        for name in ("pointmaze-umaze", "pointmaze-medium", "pointmaze-large")
    },
    **{
        name: published(DEMO[name].task, replace(ROAD_DATA, transitions=100_000), ROAD_PAPER_SCHEDULE)
        for name in ("winding-road", "winding-road-short")
    },
    **{f"fetch-{name}": published(task, task.collected, FETCH_PAPER_SCHEDULE) for name, task in FETCH_PAPER.items()},
    **HOSTED,
    **OGBENCH,
}

SCALES = {"demo": DEMO, "paper": PAPER}


def scaled_task(name: str, scale: str) -> Task:
    """The task at a scale, or where it has no settings for that one, as the papers have it."""
    alone = scale in SCALES and name not in SCALES[scale] and name in PAPER
    return base_run(name, "paper" if alone else scale, seed=0).task


def base_run(task: str, scale: str, seed: int, found: bool = True) -> Run:
    """The run of `task` before any arm changes it (floor: Monte Carlo); `found`: with what a search found for it."""
    if scale not in SCALES:
        raise UserError(f"scale {scale!r}: there is no such scale; one of {', '.join(SCALES)}")
    recipes = SCALES[scale]
    if task not in recipes and task in PAPER:
        raise UserError(f"task {task!r}: has the published settings alone; name --scale paper")
    if task not in recipes:
        raise UserError(f"task {task!r}: there is no such task; floorbench data --list shows all")
    recipe = recipes[task]
    return Run(
        task=recipe.task,
        arm="monte_carlo",
        seed=seed,
        behaviour_value=recipe.behaviour_value,
        algorithm=replace(recipe.algorithm, **recipe.found) if found else recipe.algorithm,
        schedule=recipe.schedule,
    )
