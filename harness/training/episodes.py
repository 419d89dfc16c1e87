"""Episodes of deterministic policies: of one policy, and of all runs of a pack together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from algorithms.learner import Learner
from harness.environments.environment import Environment
from harness.environments.families import is_quick
from harness.environments.stepping import Environments
from harness.errors import is_of_place
from harness.settings import Run

# Environments in which a pack on a GPU is evaluated at once, if a step takes longer than asking for its action.
PLACES_ON_GPU = 64


@dataclass(frozen=True)
class Episodes:
    """E finished episodes: their first states [E, S], mapped rewards, whether each terminated, and scores."""

    starts: np.ndarray
    rewards: list[list[float]]
    terminated: list[bool]
    scores: list[float]

    @property
    def returns(self) -> list[float]:
        """Undiscounted sums of the mapped rewards."""
        return [float(np.sum(rewards)) for rewards in self.rewards]

    @property
    def lengths(self) -> list[int]:
        """Numbers of steps."""
        return [len(rewards) for rewards in self.rewards]


def roll_out(environments: Sequence[Environment], seeds: Sequence[int], act: Callable[[Tensor], Tensor]) -> Episodes:
    """One episode in each environment, stepped together; `act` maps the states [B, S] of those that run to actions."""
    observations = np.stack([environment.reset(seed) for environment, seed in zip(environments, seeds, strict=True)])
    starts = observations.copy()
    rewards: list[list[float]] = [[] for _ in environments]
    terminated = [False] * len(environments)
    running = list(range(len(environments)))
    while running:
        actions = act(torch.from_numpy(observations[running])).nan_to_num().numpy()
        unfinished = []
        for action, episode in zip(actions, running, strict=True):
            environment = environments[episode]
            observations[episode], reward, terminated[episode], truncated = environment.step(action)
            rewards[episode].append(reward)
            if not (terminated[episode] or truncated):
                unfinished.append(episode)
        running = unfinished
    return Episodes(starts, rewards, terminated, [environment.score for environment in environments])


def runs_at_once(runs: Sequence[Run], processes: int) -> int:
    """How many runs of a pack are evaluated at once.

    All, if environments are made and stepped in microseconds. Others take memory and time to make, so that there are
    just enough for two in each process, or for a GPU, where asking for actions is what takes time.
    """
    if is_quick(runs[0].task):
        return len(runs)
    places = max(PLACES_ON_GPU if runs[0].algorithm.on_gpu else 1, 2 * processes if processes > 1 else 1)
    return min(len(runs), -(-places // runs[0].schedule.evaluation_episodes))


class PackEpisodes:
    """Episodes of the deterministic policies of some runs, stepped together in E environments per run.

    The environments of the n-th of these runs have the places n * E to (n + 1) * E - 1.
    """

    def __init__(
        self, environments: Environments, learner: Learner, runs: Sequence[int], seeds: Sequence[Sequence[int]]
    ):
        """`runs`: their numbers in the pack, ascending; `seeds` [R'][E] of their episodes."""
        self._environments, self._learner, self._runs = environments, learner, list(runs)
        self._episodes = len(seeds[0])
        places = np.arange(len(runs) * self._episodes)
        self._running = [of_run.tolist() for of_run in places.reshape(len(runs), -1)]
        self._rewards: list[list[float]] = [[] for _ in places]
        self._terminated = [False] * len(places)
        self._scores = [0.0] * len(places)
        self._errors: dict[int, Exception] = {}
        self._fail(environments.reset(places.tolist(), [seed for of_run in seeds for seed in of_run]))
        self._starts = environments.records.observations[places]

    def finish(self, check: Callable[[], None]) -> list[Episodes | Exception]:
        """Step all episodes to their ends, calling `check` at every step; returns those of every run.

        If an environment raises, the error stands in place of the episodes of its run.
        """
        records = self._environments.records
        while places := [place for running in self._running for place in running]:
            check()
            self._fail(self._environments.step(places, self._actions().nan_to_num().numpy()))
            for number, running in enumerate(self._running):
                rewards, over = (
                    records.rewards[running].tolist(),
                    records.terminated[running] | records.truncated[running],
                )
                for place, reward in zip(running, rewards, strict=True):
                    self._rewards[place].append(reward)
                if over.any():
                    for place in np.array(running)[over].tolist():
                        self._terminated[place] = bool(records.terminated[place])
                        self._scores[place] = float(records.scores[place])
                    self._running[number] = np.array(running)[~over].tolist()
        return [self._errors.get(number) or self._of_run(number) for number in range(len(self._runs))]

    def _actions(self) -> Tensor:
        """Actions [K, A] for the episodes that run, in order of their places."""
        observations, learner = self._environments.records.observations, self._learner
        numbers = [number for number, running in enumerate(self._running) if running]
        if not learner.acts_by_row:
            # The action for a state depends in its last bits on how many states it is computed with.
            by_run = [torch.from_numpy(observations[self._running[number]]) for number in numbers]
            return torch.cat([learner.act(of_run[None], run=self._runs[number])[0]
                              for number, of_run in zip(numbers, by_run, strict=True)])  # fmt: skip
        first, last = self._runs[numbers[0]], self._runs[numbers[-1]]
        width = self._episodes if learner.shape.on_gpu else max(map(len, self._running))
        states = np.zeros((last + 1 - first, width, observations.shape[1]), np.float32)
        for number in numbers:
            running = self._running[number]
            states[self._runs[number] - first, : len(running)] = observations[running]
        actions = learner.act(torch.from_numpy(states), run=slice(first, last + 1))
        return torch.cat([actions[self._runs[number] - first, : len(self._running[number])] for number in numbers])

    def _fail(self, errors: dict[int, Exception]) -> None:
        for place, error in errors.items():
            if is_of_place(error):
                raise error
            number = place // self._episodes
            self._errors.setdefault(number, error)
            self._running[number] = []

    def _of_run(self, number: int) -> Episodes:
        part = slice(number * self._episodes, (number + 1) * self._episodes)
        return Episodes(self._starts[part], self._rewards[part], self._terminated[part], self._scores[part])
