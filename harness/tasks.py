"""The tasks, and for each scale the settings they are run with."""

from dataclasses import dataclass, field, replace

from algorithms.settings import AlgorithmSettings, BehaviourValueSettings
from harness.errors import UserError
from harness.settings import DataSettings, Run, Schedule, Task


@dataclass(frozen=True)
class Recipe:
    """A task with the settings it is run with at one scale."""

    task: Task
    algorithm: AlgorithmSettings
    schedule: Schedule
    behaviour_value: BehaviourValueSettings = field(default_factory=BehaviourValueSettings)


def pointmaze(size: str, horizon: int, data: DataSettings) -> Task:
    """A goal-terminated maze: -2 per step until the goal, 0 on reaching it."""
    return Task(
        name=f"pointmaze-{size.lower()}",
        environment=f"PointMaze_{size}-v3",
        horizon=horizon,
        reward_scale=2.0,
        reward_bias=-2.0,
        failure_reward=-2.0,
        data=data,
    )


# Found on pointmaze-medium, where 14,000 updates bring Cal-QL to a success of 0.79 (6 seeds) and CQL's values below the
# data's returns in every seed. The same settings reach 1.0 on pointmaze-umaze, 0.4 on pointmaze-large (3 seeds each).
DEMO_ALGORITHM = AlgorithmSettings(
    policy_hidden=(64, 64),
    critic_hidden=(64, 64),
    batch_size=64,
    n_actions=4,
    # With rewards of -1 and an alpha of 1 success stayed at 0.5 to 0.65 after 10,000 updates.
    alpha=20.0,
    # One sampled action: with the max backup values had come down a quarter of the way to the returns after 8,000.
    max_backup="off",
    policy_learning_rate=1e-3,
    critic_learning_rate=1e-3,
    # A temperature that starts at 1 with the policy's official rate hardly moves within a demo's steps.
    entropy_temperature_initial=0.135,
    entropy_learning_rate=3e-3,
    # Six times the official one, with which values had come down half-way to the returns after 8,000 updates.
    tau=0.03,
)

DEMO_SCHEDULE = Schedule(
    offline_steps=14_000,
    online_steps=4_000,
    offline_interval=2_000,
    online_interval=1_000,
    dense_interval=500,
    dense_steps=2_000,
)

DEMO = {
    "pointmaze-umaze": Recipe(
        pointmaze("UMaze", 300, DataSettings(transitions=5_000, action_noise=0.3)), DEMO_ALGORITHM, DEMO_SCHEDULE
    ),
    "pointmaze-medium": Recipe(
        pointmaze("Medium", 600, DataSettings(transitions=100_000, action_noise=0.5)), DEMO_ALGORITHM, DEMO_SCHEDULE
    ),
    "pointmaze-large": Recipe(
        pointmaze("Large", 800, DataSettings(transitions=100_000, action_noise=0.5)), DEMO_ALGORITHM, DEMO_SCHEDULE
    ),
}

# No public reference settings exist for PointMaze: these are the official ones for AntMaze, with its rewards (0 and 1
# become -5 and +5), on data of the hosted size.
PAPER = {
    name: Recipe(
        replace(
            recipe.task,
            reward_scale=10.0,
            reward_bias=-5.0,
            failure_reward=-5.0,
            data=DataSettings(transitions=1_000_000, action_noise=0.5),
        ),
        AlgorithmSettings(lagrange=True),
        Schedule(),
        BehaviourValueSettings(hidden=(256, 256)),
    )
    for name, recipe in DEMO.items()
}

SCALES = {"demo": DEMO, "paper": PAPER}


def base_run(task: str, scale: str, seed: int) -> Run:
    """The run of `task` before any arm changes it (floor: Monte Carlo)."""
    if scale not in SCALES:
        raise UserError(f"scale {scale!r}: there is no such scale; one of {', '.join(SCALES)}")
    recipes = SCALES[scale]
    if task not in recipes:
        raise UserError(f"task {task!r}: there is no such task; one of {', '.join(recipes)}")
    recipe = recipes[task]
    return Run(
        task=recipe.task,
        arm="monte_carlo",
        seed=seed,
        behaviour_value=recipe.behaviour_value,
        algorithm=recipe.algorithm,
        schedule=recipe.schedule,
    )
