"""Repairs of hosted data: named functions from an episode to the repaired episode.

They use observations, actions, rewards (not yet mapped) and the two flags; infos are not available. An episode without
the fault is returned as the same object; None drops the episode.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from minari import EpisodeData

from harness.environments.families import family
from harness.settings import HostedData, RepairName, Task

# Width of the v4 ants' observations; those of the v5 ants have 78 contact forces behind them.
ANT_WIDTH = 27

Repair = Callable[[EpisodeData, Task], EpisodeData | None]


def without_contact_forces(episode: EpisodeData, task: Task) -> EpisodeData:
    """Reduce observations of an ant recorded in a v5 environment to those of v4."""
    observation = episode.observations["observation"]
    if observation.shape[1] <= ANT_WIDTH or family(task) != "AntMaze":
        return episode
    return replace(episode, observations={**episode.observations, "observation": observation[:, :ANT_WIDTH]})


def goal_of_first_observation(episode: EpisodeData, task: Task) -> EpisodeData:
    """Replace the goal of the first observation, which is still that of the previous episode, by that of the second."""
    goals = episode.observations["desired_goal"]
    if len(goals) < 2 or np.array_equal(goals[0], goals[1]):
        return episode
    return replace(
        episode, observations={**episode.observations, "desired_goal": np.concatenate((goals[1:2], goals[1:]))}
    )


def successes_only(episode: EpisodeData, task: Task) -> EpisodeData | None:
    """Drop episodes that never succeed, as the official code does for Adroit."""
    return episode if _successes(episode, task).any() else None


def cut_at_success(episode: EpisodeData, task: Task) -> EpisodeData:
    """Cut the episode after its first success."""
    steps = int(_successes(episode, task).argmax()) + 1
    if not _successes(episode, task)[steps - 1] or steps == len(episode.rewards):
        return episode
    return replace(
        episode,
        observations=_first_rows(episode.observations, steps + 1),
        actions=episode.actions[:steps],
        rewards=episode.rewards[:steps],
        terminations=episode.terminations[:steps],
        truncations=episode.truncations[:steps],
    )


def terminal_at_success(episode: EpisodeData, task: Task) -> EpisodeData:
    """Mark an episode that ends with a success as terminated, not truncated."""
    if not _successes(episode, task)[-1] or (episode.terminations[-1] and not episode.truncations[-1]):
        return episode
    terminations, truncations = episode.terminations.copy(), episode.truncations.copy()
    terminations[-1], truncations[-1] = True, False
    return replace(episode, terminations=terminations, truncations=truncations)


REPAIRS: dict[RepairName, Repair] = {
    "without_contact_forces": without_contact_forces,
    "goal_of_first_observation": goal_of_first_observation,
    "successes_only": successes_only,
    "cut_at_success": cut_at_success,
    "terminal_at_success": terminal_at_success,
}


class RepairRecord:
    """Repairs the episodes of a task's sets and counts the changes."""

    def __init__(self, task: Task):
        self._task = task
        self._repairs = task.data.repairs if isinstance(task.data, HostedData) else ()
        self._episodes = 0
        self._changed = dict.fromkeys(self._repairs, 0)
        self._dropped = dict.fromkeys(self._repairs, 0)

    def repair(self, episode: EpisodeData) -> EpisodeData | None:
        """The episode after all repairs of the task, in order; None if it is dropped."""
        self._episodes += 1
        for name in self._repairs:
            repaired = REPAIRS[name](episode, self._task)
            self._changed[name] += repaired is not episode
            self._dropped[name] += len(episode.rewards) - (0 if repaired is None else len(repaired.rewards))
            if repaired is None:
                return None
            episode = repaired
        return episode

    def notes(self) -> list[str]:
        """One line per repair: what it changed, or that it was not needed."""
        return [f"{name}: {self._note(name)}" for name in self._repairs]

    def _note(self, name: RepairName) -> str:
        if not self._changed[name]:
            return "not needed"
        dropped = f", {self._dropped[name]:,} transitions dropped" if self._dropped[name] else ""
        return f"{self._changed[name]:,} of {self._episodes:,} episodes{dropped}"


def _successes(episode: EpisodeData, task: Task) -> np.ndarray:
    """Which steps [T] succeed."""
    return episode.rewards >= (np.inf if task.success_reward is None else task.success_reward)


def _first_rows(observations: Any, count: int) -> Any:
    if isinstance(observations, Mapping):
        return {name: part[:count] for name, part in observations.items() if isinstance(part, np.ndarray)}
    return observations[:count]
