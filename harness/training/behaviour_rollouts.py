"""The behaviour policy run again: returns from repeated starts, and the error of a learned floor against their mean."""

from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
import torch

from harness.data.collection import CONTROLLERS, check_controller
from harness.data.dataset import load_dataset
from harness.environments.environment import gymnasium_environment
from harness.environments.families import family, view_of
from harness.errors import UserError
from harness.folders.run_folder import RunFolder
from harness.settings import Run
from harness.training.floor_columns import dataset_returns, run_return_to_go
from harness.training.floor_fits import FitStore
from harness.training.learned_floors import LearnedFloors
from harness.training.streams import reset_seed
from harness.training.transitions import Transitions


@dataclass(frozen=True)
class FloorError:
    """The error of a learned floor against V_mu at the starts of episodes, in mapped return."""

    bias: float
    # Standard error of the bias, over starts.
    standard_error: float
    # Root mean squared error over starts, without the variance of the mean returns; 0 if that explains everything.
    rmse: float
    starts: int
    repeats: int


def behaviour_returns(run: Run, starts: int, repeats: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """States [K, S] in which episodes start, and returns [K, n] of n episodes of the behaviour policy from each.

    The controller that collected the data of the run's task acts, with new noise in every episode; returns follow the
    run's rule for episodes that are cut off. Raises a UserError if the data were not collected by a controller here.
    """
    task, data = run.task, run.task.collected
    check_controller(task)
    if data.wander_steps is not None:
        raise UserError(f"task.data.wander_steps = {data.wander_steps}: the policy that wanders cannot be run again "
                        "from the same start; choose a task without it")  # fmt: skip
    if data.misdirected:
        raise UserError(f"task.data.misdirected = {data.misdirected}: episodes that head for another episode's goal "
                        "cannot be run again from the same start; choose a task without it")  # fmt: skip
    environment, view = gymnasium_environment(task), view_of(task)
    states, returns = [], np.empty((starts, repeats))
    for start, repeat in np.ndindex(starts, repeats):
        noise = np.random.default_rng((seed, start, repeat))
        controller = CONTROLLERS[family(task)](environment, data.action_noise, noise)
        observation, _ = environment.reset(seed=reset_seed(seed, "behaviour", start))
        # The start is that of the seed; whatever the environment draws afterwards differs.
        environment.unwrapped.np_random = np.random.default_rng((seed, start, repeat, 1))
        if repeat == 0:
            states.append(view.flat(observation))
        controller.begin(observation)
        rewards, terminated, over = [], False, False
        while not over:
            observation, reward, terminated, truncated, _ = environment.step(controller.action(observation))
            rewards.append(float(reward) * task.reward_scale + task.reward_bias)
            over = terminated or truncated
        ends = torch.zeros(len(rewards), dtype=torch.bool)
        ends[-1] = bool(terminated)
        returns[start, repeat] = float(run_return_to_go(run, torch.tensor(rewards), ends)[0])
    environment.close()
    return np.stack(states), returns


def floor_error(run: RunFolder | Path | str, starts: int = 20, repeats: int = 20, seed: int = 0) -> FloorError:
    """The error of a run's learned floor, by running the behaviour policy again from `starts` starts.

    The floor is that of the offline phase, from the fits of the root, or fitted again. Nothing in the run folder
    changes. Raises a UserError if the run has no floor learned from its own dataset, or as `behaviour_returns`.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(Path(run))
    settings = folder.run()
    if settings.floor.base != "learned" or settings.floor.action_noise is not None:
        raise UserError(f"run {folder.id}: has no floor learned from its dataset; choose a run with floor.base = "
                        "learned and without floor.action_noise")  # fmt: skip
    if starts < 2 or repeats < 2:
        raise UserError(f"starts = {starts}, repeats = {repeats}: must be at least 2")
    states, returns = behaviour_returns(settings, starts, repeats, seed)
    dataset = load_dataset(settings.task)
    columns = dataset_returns(settings, dataset)[None]
    floors = LearnedFloors({0: settings}, dataset, Transitions(dataset, 1, capacity=0), columns)
    floors.fit(FitStore(folder.path.parent))
    errors = floors.values(0, torch.from_numpy(states)).double().numpy() - returns.mean(1)
    spread = returns.var(1, ddof=1) / repeats
    return FloorError(
        bias=float(errors.mean()),
        standard_error=float(errors.std(ddof=1) / sqrt(starts)),
        rmse=sqrt(max(0.0, float((errors**2 - spread).mean()))),
        starts=starts,
        repeats=repeats,
    )
