"""The tasks, and for each scale the settings that are known to work on them."""

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
    """A goal-terminated maze: -1 per step until the goal, 0 on reaching it."""
    return Task(
        name=f"pointmaze-{size.lower()}",
        environment=f"PointMaze_{size}-v3",
        horizon=horizon,
        reward_bias=-1.0,
        failure_reward=-1.0,
        data=data,
    )


DEMO_ALGORITHM = AlgorithmSettings(
    policy_hidden=(64, 64),
    critic_hidden=(64, 64),
    batch_size=64,
    n_actions=4,
    # The reference runs use rewards of +-5; with -1 per step their alpha of 5 would be five times the pressure.
    alpha=1.0,
    max_backup="off",
    policy_learning_rate=3e-4,
    critic_learning_rate=1e-3,
    # A temperature that starts at 1 with the policy's rate hardly moves within a demo's steps.
    entropy_temperature_initial=0.135,
    entropy_learning_rate=3e-3,
)

DEMO_SCHEDULE = Schedule(
    offline_steps=6_000,
    online_steps=6_000,
    updates_per_step=1,
    evaluation_episodes=10,
    offline_interval=2_000,
    online_interval=2_000,
    dense_interval=500,
    dense_steps=2_000,
)

DEMO = {
    "pointmaze-umaze": Recipe(
        pointmaze("UMaze", 300, DataSettings(transitions=5_000, action_noise=0.3)), DEMO_ALGORITHM, DEMO_SCHEDULE
    ),
    "pointmaze-medium": Recipe(
        pointmaze("Medium", 600, DataSettings(transitions=20_000, action_noise=0.5)), DEMO_ALGORITHM, DEMO_SCHEDULE
    ),
    "pointmaze-large": Recipe(
        pointmaze("Large", 800, DataSettings(transitions=40_000, action_noise=0.5)), DEMO_ALGORITHM, DEMO_SCHEDULE
    ),
}

# No public reference settings exist for PointMaze: these are the official ones for AntMaze, on data of the hosted size.
PAPER = {
    name: Recipe(
        replace(recipe.task, data=DataSettings(transitions=1_000_000, action_noise=0.5)),
        AlgorithmSettings(),
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
