"""The registry of tasks: for each scale, tasks with their settings. Tasks with hosted data are in hosted.py."""

from collections.abc import Iterable
from dataclasses import replace

from algorithms.settings import AlgorithmSettings, BehaviourValueSettings
from harness.environments.families import WINDING_ROAD
from harness.errors import UserError
from harness.extensions import used
from harness.settings import DataSettings, HostedData, Run, Schedule, Task
from harness.tasks.hosted import HOSTED, antmaze
from harness.tasks.ogbench import OGBENCH
from harness.tasks.recipes import (
    ANT_ALGORITHM,
    DEMO_ALGORITHM,
    DEMO_SCHEDULE,
    LONG_SCHEDULE,
    ROAD_ALGORITHM,
    ROAD_SCHEDULE,
    STITCHING_ALGORITHM,
    TUNED,
    Recipe,
)

# Environment and data. Without noise the scripted controller succeeds in all of 200 episodes (seeds 0 to 199) of every
# task, with this noise in 200, 140 and 81 of them, which gives data of mixed quality. Reaching takes about 4 steps, so
# that little data suffices.
FETCH = {
    "reach": ("FetchReach-v4", DataSettings(transitions=5_000, action_noise=0.5)),
    "push": ("FetchPush-v4", DataSettings(transitions=50_000, action_noise=0.4)),
    "pick-and-place": ("FetchPickAndPlace-v4", DataSettings(transitions=50_000, action_noise=0.4)),
    "pick-and-place-mixed": (
        "FetchPickAndPlace-v4",
        DataSettings(transitions=50_000, action_noise=0.4, misdirected=0.3),
    ),
}


def pointmaze(size: str, horizon: int, data: DataSettings, kind: str = "") -> Task:
    """A maze that terminates at the goal, with reward -2 per step and 0 at the goal; `kind` is a suffix of its name."""
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
    """The winding road, whose values can be computed, with reward -1 per step and 0 at the goal.

    The traveller that collects the data arrives within 120 steps; shorter horizons truncate its episodes.
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
    """Fetch, with reward -2 per step and 0 at the goal; `times` multiplies the number of transitions."""
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
    """A sparse task with the official Cal-QL settings and rewards for AntMaze: -5 per step and +5 at a success."""
    assert task.failure_reward is not None
    failure = (task.failure_reward - task.reward_bias) / task.reward_scale
    return Recipe(
        replace(task, reward_scale=10.0, reward_bias=-5.0 - 10.0 * failure, failure_reward=-5.0, data=data),
        AlgorithmSettings(lagrange=True),
        schedule,
        BehaviourValueSettings(hidden=(256, 256)),
    )


# Standard deviation of the controller's action noise.
SPREADS = {"narrow": 0.2, "wide": 0.5}

# Horizon, transitions of the demo's data, and default action noise of each maze.
MAZES = {"UMaze": (300, 5_000, 0.3), "Medium": (600, 100_000, 0.5), "Large": (800, 100_000, 0.5)}


def demo_mazes() -> list[Task]:
    """Every maze with default, narrow and wide action noise."""
    return [
        pointmaze(size, horizon, DataSettings(transitions=transitions, action_noise=noise), kind)
        for size, (horizon, transitions, default) in MAZES.items()
        for kind, noise in {"": default, **{f"-{spread}": noise for spread, noise in SPREADS.items()}}.items()
    ]


# Mazes whose data must be stitched together: short episodes wander anywhere, few reach the goal, which is far from the
# start and not observed. Rewards are those of AntMaze in Cal-QL's paper. The walls are those of gymnasium-robotics.
STITCHING_MAZES = {
    "Medium": (
        300,
        ("########", "#r.##..#", "#..#...#", "##...###", "#..#...#", "#.#..#.#", "#...#.g#", "########"),
    ),
    "Large": (
        600,
        (
            "############", "#r...#.....#", "#.##.#.#.#.#", "#......#...#", "#.####.###.#", "#..#.#.....#",
            "##.#.#.#.###", "#..#...#.g.#", "############",
        ),
    ),
}  # fmt: skip


def stitching_mazes() -> list[Task]:
    """The mazes with data of short episodes, with reward -5 per step and 5 at the goal."""
    return [
        replace(
            pointmaze(
                size, horizon, DataSettings(transitions=100_000, action_noise=0.5, wander_steps=60), "-stitching"
            ),
            maze=rows,
            reward_scale=10.0,
            reward_bias=-5.0,
            failure_reward=-5.0,
            observes_goal=False,
        )
        for size, (horizon, rows) in STITCHING_MAZES.items()
    ]


def collected_antmaze(name: str, data: DataSettings) -> Task:
    """The papers' AntMaze with data of a walking ant and a fifth of the rewards: -1 per step, 1 at the goal."""
    return replace(
        antmaze(name).task,
        name=f"antmaze-{name}-collected",
        reward_scale=2.0,
        reward_bias=-1.0,
        failure_reward=-1.0,
        data=data,
    )


# Of 40 episodes, the walking ant succeeds in 0.98, 0.83 and 0.53 with action noise of 0.2, 0.3 and 0.5.
ANT_MAZES = (collected_antmaze("umaze", DataSettings(transitions=100_000, action_noise=0.3)),)

ROAD_DATA = DataSettings(transitions=20_000, action_noise=0.4)

# Horizon that truncates more than half of the road's trajectories; the optimal policy needs 10 to 20 steps.
SHORT_HORIZON = 30

ROADS = (winding_road(ROAD_DATA), winding_road(ROAD_DATA, "winding-road-short", SHORT_HORIZON))


def of_family(tasks: Iterable[Task], algorithm: AlgorithmSettings, schedule: Schedule) -> dict[str, Recipe]:
    """Recipes of a family: its settings, with the tuned settings of each task."""
    return {task.name: Recipe(task, algorithm, schedule, tuned=TUNED.get(task.name, {})) for task in tasks}


DEMO = {
    **of_family(demo_mazes(), DEMO_ALGORITHM, DEMO_SCHEDULE),
    **of_family(stitching_mazes(), STITCHING_ALGORITHM, LONG_SCHEDULE),
    **of_family(ANT_MAZES, ANT_ALGORITHM, LONG_SCHEDULE),
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

# No reference settings are published for these tasks. The mazes have data of the size and noise of the hosted sets, the
# Fetch tasks at most half of that and a quarter of the steps, the roads a tenth of both.
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
    """The task at a scale; at scale paper if it has no settings for this scale."""
    paper_only = scale in SCALES and name not in SCALES[scale] and name in PAPER
    return base_run(name, "paper" if paper_only else scale, seed=0).task


def with_data_seed(task: Task, data_seed: int) -> Task:
    """The task with data that are collected with another seed.

    Raises UserError for hosted data, of which there is one version, unless the seed is 0.
    """
    if task.data_seed == data_seed:
        return task
    if isinstance(task.data, HostedData):
        raise UserError(f"data seed {data_seed}: the data of {task.name} are hosted, not collected; use data seed 0")
    return replace(task, data=replace(task.data, seed=data_seed))


def base_run(task: str, scale: str, seed: int, tuned: bool = True) -> Run:
    """The run of `task` before any arm changes it (floor: Monte Carlo), with or without tuned settings."""
    if scale not in SCALES:
        raise UserError(f"scale {scale!r}: unknown scale; choose one of {', '.join(SCALES)}")
    recipes = SCALES[scale]
    if task not in recipes and task in PAPER:
        raise UserError(f"task {task!r}: has published settings only; add --scale paper")
    if task not in recipes:
        raise UserError(f"task {task!r}: unknown task; list all with: floorbench data --list")
    recipe = recipes[task]
    return Run(
        task=recipe.task,
        arm="monte_carlo",
        seed=seed,
        behaviour_value=recipe.behaviour_value,
        algorithm=replace(recipe.algorithm, **recipe.tuned) if tuned else recipe.algorithm,
        schedule=recipe.schedule,
        extensions=used(task, "monte_carlo", "monte_carlo"),
    )
