"""The tasks of the papers: hosted data, repairs and published settings.

Data and environments are those of the Minari server and of the scripts that generated its datasets
(github.com/Farama-Foundation/minari-dataset-generation-scripts). Settings are those of reference runs:
the official Cal-QL scripts for AntMaze and Adroit (github.com/nakamotoo/Cal-QL), WSRL for the kitchen
(github.com/zhouzypaul/wsrl). There are no public reference settings for PointMaze or for locomotion with Cal-QL.

Evaluation protocol of all tasks: 20 deterministic episodes, every 2,000 environment steps of the online phase. The
score is the share of successful episodes, in the kitchen the share of completed subtasks, and in locomotion the return
normalised by two reference returns.
"""

from dataclasses import replace

from algorithms.settings import AlgorithmSettings, BehaviourValueSettings
from harness.settings import HostedData, RepairName, Schedule, Task
from harness.tasks.recipes import Recipe

PROTOCOL = Schedule(evaluation_episodes=20, online_interval=2_000, dense_interval=2_000)

LEARNED_FLOOR = BehaviourValueSettings(hidden=(256, 256))

# AntMaze: start and goal of the evaluation, with the walls of the data. The evaluation maps of the hosted
# datasets have the same starts and goals, but the U-shaped one is rotated by 180 degrees relative to its data, whose
# trajectories then pass through walls.
U_MAZE = (
    "#####",
    "#g..#",
    "###.#",
    "#r..#",
    "#####",
)
MEDIUM_MAZE = (
    "########",
    "#r.##..#",
    "#..#...#",
    "##...###",
    "#..#...#",
    "#.#..#.#",
    "#...#.g#",
    "########",
)
LARGE_MAZE = (
    "############",
    "#r...#.....#",
    "#.##.#.#.#.#",
    "#......#...#",
    "#.####.###.#",
    "#..#.#.....#",
    "##.#.#.#.###",
    "#..#...#.g.#",
    "############",
)

# By dataset name: environment, horizon, maze. Observations are the 27 numbers of the v4 environments (v5: 105).
ANTMAZE = {
    "umaze": ("AntMaze_UMaze-v4", 700, U_MAZE),
    "umaze-diverse": ("AntMaze_UMaze-v4", 700, U_MAZE),
    "medium-play": ("AntMaze_Medium-v4", 1000, MEDIUM_MAZE),
    "medium-diverse": ("AntMaze_Medium-v4", 1000, MEDIUM_MAZE),
    "large-play": ("AntMaze_Large-v4", 1000, LARGE_MAZE),
    "large-diverse": ("AntMaze_Large-v4", 1000, LARGE_MAZE),
}

# Episodes of the hosted datasets continue at the goal with a reward of 1 per step.
ANTMAZE_REPAIRS: tuple[RepairName, ...] = ("without_contact_forces", "cut_at_success", "terminal_at_success")

ANTMAZE_ALGORITHM = AlgorithmSettings(
    policy_hidden=(256, 256), critic_hidden=(256, 256, 256, 256), alpha=5.0, lagrange=True, target_action_gap=0.8
)

# Environment, horizon, online steps. The data are demonstrations and episodes of behaviour-cloned policies; like the
# official code, runs train on the successful ones. Other mixtures: --set 'task.data.ids=["D4RL/pen/expert-v2"]'.
ADROIT = {
    "pen": ("AdroitHandPen-v1", 100, 200_000),
    "door": ("AdroitHandDoor-v1", 200, 1_000_000),
    "relocate": ("AdroitHandRelocate-v1", 200, 1_000_000),
}

ADROIT_REPAIRS: tuple[RepairName, ...] = ("successes_only", "cut_at_success", "terminal_at_success")

ADROIT_ALGORITHM = AlgorithmSettings(policy_hidden=(512, 512), critic_hidden=(512, 512, 512), alpha=1.0)

# The subtasks counted in the rewards of the hosted datasets.
KITCHEN = {
    "complete": ("microwave", "kettle", "light switch", "slide cabinet"),
    "partial": ("microwave", "kettle", "light switch", "slide cabinet"),
    "mixed": ("microwave", "kettle", "bottom burner", "light switch"),
}

KITCHEN_ALGORITHM = AlgorithmSettings(
    policy_hidden=(512, 512, 512), critic_hidden=(512, 512, 512), alpha=5.0, importance_sampling=False
)

POINTMAZE = {"open": ("Open", 300), "umaze": ("UMaze", 300), "medium": ("Medium", 600), "large": ("Large", 800)}

# Episodes of the hosted datasets are truncated at their goal, and their first observation has the previous goal.
POINTMAZE_REPAIRS: tuple[RepairName, ...] = ("goal_of_first_observation", "terminal_at_success")

QUALITIES = ("simple", "medium", "expert")

# Environment; mean return of uniform random actions (100 episodes, seeds 0 to 99, mujoco 3.3.7); return at which
# Gymnasium considers the environment solved (`reward_threshold`; Walker2d has none, so the return of D4RL's expert in
# an older physics version serves as a reference); available datasets.
LOCOMOTION = {
    "halfcheetah": ("HalfCheetah-v5", -273.0, 4_800.0, QUALITIES),
    "hopper": ("Hopper-v5", 17.0, 3_800.0, QUALITIES),
    "walker2d": ("Walker2d-v5", 1.9, 4_592.3, QUALITIES),
    "swimmer": ("Swimmer-v5", 3.2, 360.0, QUALITIES[1:]),
    "ant": ("Ant-v5", -65.0, 6_000.0, QUALITIES),
}

LOCOMOTION_ALGORITHM = AlgorithmSettings(
    policy_hidden=(256, 256, 256), critic_hidden=(256, 256, 256), alpha=5.0, max_backup="off"
)


def antmaze(name: str) -> Recipe:
    """An ant walks to a fixed goal; rewards are -5 per step and 5 at the goal."""
    environment, horizon, maze = ANTMAZE[name]
    return Recipe(
        Task(
            name=f"antmaze-{name}",
            environment=environment,
            horizon=horizon,
            maze=maze,
            success_reward=1.0,
            reward_scale=10.0,
            reward_bias=-5.0,
            failure_reward=-5.0,
            data=HostedData((f"D4RL/antmaze/{name}-v1",), ANTMAZE_REPAIRS),
        ),
        ANTMAZE_ALGORITHM,
        PROTOCOL,
        LEARNED_FLOOR,
    )


def adroit(name: str) -> Recipe:
    """A dexterous hand with at least 24 joints; rewards are -5 per step and 5 on success."""
    environment, horizon, online_steps = ADROIT[name]
    return Recipe(
        Task(
            name=f"{name}-binary",
            environment=environment,
            horizon=horizon,
            reward="binary",
            success_reward=0.0,
            reward_scale=10.0,
            reward_bias=5.0,
            failure_reward=-5.0,
            data=HostedData((f"D4RL/{name}/human-v2", f"D4RL/{name}/cloned-v2"), ADROIT_REPAIRS),
        ),
        ADROIT_ALGORITHM,
        replace(PROTOCOL, offline_steps=20_000, offline_interval=2_000, online_steps=online_steps),
        LEARNED_FLOOR,
    )


def kitchen(name: str) -> Recipe:
    """A robot arm completes four subtasks; rewards are -4 plus the number of completed subtasks; no failure reward."""
    subtasks = KITCHEN[name]
    return Recipe(
        Task(
            name=f"kitchen-{name}",
            environment="FrankaKitchen-v1",
            horizon=280,
            subtasks=subtasks,
            success_reward=float(len(subtasks)),
            reward_bias=-4.0,
            data=HostedData((f"D4RL/kitchen/{name}-v2",), ("cut_at_success", "terminal_at_success")),
        ),
        KITCHEN_ALGORITHM,
        replace(PROTOCOL, offline_steps=250_000, offline_interval=10_000, online_steps=500_000),
        LEARNED_FLOOR,
    )


def pointmaze(name: str) -> Recipe:
    """A ball rolls to changing goals; rewards are those of AntMaze."""
    size, horizon = POINTMAZE[name]
    return Recipe(
        Task(
            name=f"pointmaze-{name}-hosted",
            environment=f"PointMaze_{size}-v3",
            horizon=horizon,
            success_reward=1.0,
            reward_scale=10.0,
            reward_bias=-5.0,
            failure_reward=-5.0,
            data=HostedData((f"D4RL/pointmaze/{name}-v2",), POINTMAZE_REPAIRS),
        ),
        ANTMAZE_ALGORITHM,
        PROTOCOL,
        LEARNED_FLOOR,
    )


def locomotion(name: str, quality: str) -> Recipe:
    """Locomotion with the dense rewards of the environment."""
    environment, random_return, solved_return, _ = LOCOMOTION[name]
    return Recipe(
        Task(
            name=f"{name}-{quality}",
            environment=environment,
            horizon=1_000,
            reference_returns=(random_return, solved_return),
            data=HostedData((f"mujoco/{name}/{quality}-v0",)),
        ),
        LOCOMOTION_ALGORITHM,
        PROTOCOL,
        LEARNED_FLOOR,
    )


_RECIPES = (
    *map(antmaze, ANTMAZE),
    *map(kitchen, KITCHEN),
    *map(adroit, ADROIT),
    *map(pointmaze, POINTMAZE),
    *(locomotion(name, quality) for name, (*_, qualities) in LOCOMOTION.items() for quality in qualities),
)

# The tasks compared in the Cal-QL paper.
COMPARED = tuple(recipe.task.name for recipe in (*map(antmaze, ANTMAZE), *map(kitchen, KITCHEN), *map(adroit, ADROIT)))

# Recipes by task name.
HOSTED = {recipe.task.name: recipe for recipe in _RECIPES}
