"""Collect the offline data of a task with the scripted controller of its environment, recorded by Minari."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any, ClassVar, Protocol

import gymnasium
import minari
import numpy as np

from harness.environments.ants import AntController, WanderingAnt
from harness.environments.environment import gymnasium_environment
from harness.environments.families import ANTMAZE, POINTMAZE, family
from harness.environments.fetch import AIMS, Aim, MisdirectedArm, Observation, ScriptedArm
from harness.environments.mazes import Wanderer, WayPointController
from harness.environments.winding_road import Traveller
from harness.errors import UserError
from harness.settings import DataSettings, Task


class Controller(Protocol):
    """A controller that collects data in one family of environments."""

    # Its name in the description of the dataset.
    name: ClassVar[str]
    # Packages that affect the collected data; the dataset lists their versions as requirements.
    packages: ClassVar[tuple[str, ...]]

    def begin(self, observation: Any) -> None:
        """Prepare for an episode that begins with an observation."""

    def action(self, observation: Any) -> np.ndarray:
        """The noisy action [A] for an observation, float32."""


def _scripted_arm(
    aim: Callable[[Observation], Aim], environment: gymnasium.Env, noise: float, generator: np.random.Generator
) -> ScriptedArm:
    return ScriptedArm(aim, noise, generator)


# By family of environments: a controller from the environment, the standard deviation of the action noise and a
# generator.
CONTROLLERS: dict[str, Callable[[gymnasium.Env, float, np.random.Generator], Controller]] = {
    POINTMAZE: WayPointController,
    ANTMAZE: AntController,
    "floorbench/WindingRoad": Traveller,
    **{arm: partial(_scripted_arm, aim) for arm, aim in AIMS.items()},
}

# The same for data that wander.
WANDERERS: dict[str, Callable[[gymnasium.Env, float, np.random.Generator], Wanderer]] = {
    POINTMAZE: Wanderer,
    ANTMAZE: WanderingAnt,
}


def check_controller(task: Task) -> None:
    """Raise a UserError if no controller can collect the data of the task."""
    if family(task) not in CONTROLLERS:
        raise UserError(
            f"task {task.name}: no controller for {task.environment}; "
            f"data can be collected in {' and '.join(CONTROLLERS)}"
        )
    if task.collected.wander_steps is not None and family(task) not in WANDERERS:
        raise UserError(f"task.data.wander_steps: {task.environment} has no cells to wander in; remove the setting")
    if task.collected.misdirected and family(task) not in AIMS:
        raise UserError(
            f"task.data.misdirected: only episodes of {', '.join(AIMS)} can head for another goal; remove the setting"
        )


def collect(task: Task, dataset_id: str, progress: Callable[[int, int], None] | None = None) -> None:
    """Collect `task.data.transitions` transitions in whole episodes into a new local Minari dataset.

    Rewards are stored as the environment gives them and observations in full. The same task gives the same arrays.
    `progress` is called after every episode with the transitions collected and required.
    """
    data = task.collected
    environment = gymnasium_environment(replace(task, horizon=data.wander_steps or task.horizon))
    generator = np.random.default_rng(data.seed)
    controller = _controller(task, environment, generator)
    collector = minari.DataCollector(environment)
    try:
        done = 0
        while done < data.transitions:
            done += _collect_episode(collector, controller, seed=int(generator.integers(2**31)))
            if progress is not None:
                progress(min(done, data.transitions), data.transitions)
        with warnings.catch_warnings():
            # Minari asks for an e-mail address and a link, which a local dataset does not have.
            warnings.simplefilter("ignore", UserWarning)
            collector.create_dataset(dataset_id, **_description(task, data, controller))
    finally:
        collector.close()


def _controller(task: Task, environment: gymnasium.Env, generator: np.random.Generator) -> Controller:
    data = task.collected
    if data.wander_steps is not None:
        return WANDERERS[family(task)](environment, data.action_noise, generator)
    if data.misdirected:
        return MisdirectedArm(AIMS[family(task)], data.action_noise, generator, data.misdirected)
    return CONTROLLERS[family(task)](environment, data.action_noise, generator)


def _collect_episode(collector: minari.DataCollector, controller: Controller, seed: int) -> int:
    options = controller.start() if isinstance(controller, Wanderer) else None
    observation, _ = collector.reset(seed=seed, options=options)
    controller.begin(observation)
    steps, over = 0, False
    while not over:
        observation, _, terminated, truncated, _ = collector.step(controller.action(observation))
        over = terminated or truncated
        steps += 1
    return steps


def _description(task: Task, data: DataSettings, controller: Controller) -> dict:
    length = f"horizon {task.horizon}" if data.wander_steps is None else f"episodes of {data.wander_steps} steps"
    return {
        "description": (
            f"{task.environment}, goal-terminated, {length}: {data.transitions} transitions "
            f"of a {controller.name} with action noise {data.action_noise}, seed {data.seed}."
        ),
        "algorithm_name": controller.name,
        "author": "floorbench",
        "requirements": [f"{package}=={version(package)}" for package in controller.packages],
    }
