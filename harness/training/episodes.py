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
        self._environments, self._learner, self._runs = environments, learner, np.array(runs)
        self._episodes = len(seeds[0])
        # The places whose episodes run, ascending.
        self._running = places = np.arange(len(runs) * self._episodes)
        # By step and place; the first `lengths` of each place are those of its episode.
        self._rewards: list[np.ndarray] = []
        self._lengths = np.zeros(len(places), np.int64)
        self._terminated, self._scores = np.zeros(len(places), np.bool_), np.zeros(len(places))
        self._errors: dict[int, Exception] = {}
        self._fail(environments.reset(places.tolist(), [seed for of_run in seeds for seed in of_run]))
        self._starts = environments.records.observations[places]

    def finish(self, check: Callable[[], None]) -> list[Episodes | Exception]:
        """Step all episodes to their ends, calling `check` at every step; returns those of every run.

        If an environment raises, the error stands in place of the episodes of its run.
        """
        records, places = self._environments.records, slice(len(self._lengths))
        self._arrange()
        while len(self._running):
            check()
            errors = self._environments.step(self._running.tolist(), self._actions().nan_to_num().numpy())
            if errors:
                self._fail(errors)
            self._rewards.append(records.rewards[places].copy())
            over = records.terminated[self._running] | records.truncated[self._running]
            if over.any():
                ended, self._running = self._running[over], self._running[~over]
                self._lengths[ended] = len(self._rewards)
                self._terminated[ended], self._scores[ended] = records.terminated[ended], records.scores[ended]
            if errors or over.any():
                self._arrange()
        rewards = np.array(self._rewards)
        return [self._errors.get(number) or self._of_run(number, rewards) for number in range(len(self._runs))]

    def _arrange(self) -> None:
        """Arrange the states of the running episodes in a block [R', B, S] of consecutive runs of the pack."""
        if not len(self._running):
            return
        runs = self._runs[self._running // self._episodes]
        self._first, self._last = int(runs[0]), int(runs[-1])
        self._rows = runs - self._first
        counts = np.bincount(self._rows)
        self._counts = {self._first + row: int(count) for row, count in enumerate(counts) if count}
        self._columns = np.arange(len(runs)) - np.repeat(np.cumsum(counts) - counts, counts)
        width = self._episodes if self._learner.shape.on_gpu else int(counts.max())
        self._states = np.zeros((len(counts), width, self._starts.shape[1]), np.float32)

    def _actions(self) -> Tensor:
        """Actions [K, A] for the episodes that run, in order of their places."""
        observations, learner = self._environments.records.observations[self._running], self._learner
        if not learner.acts_by_row:
            # The action for a state depends in its last bits on how many states it is computed with.
            by_run = torch.from_numpy(observations).split(list(self._counts.values()))
            return torch.cat([learner.act(of_run[None], run=number)[0]
                              for number, of_run in zip(self._counts, by_run, strict=True)])  # fmt: skip
        self._states[self._rows, self._columns] = observations
        actions = learner.act(torch.from_numpy(self._states), run=slice(self._first, self._last + 1))
        return actions[self._rows, self._columns]

    def _fail(self, errors: dict[int, Exception]) -> None:
        for place, error in errors.items():
            if is_of_place(error):
                raise error
            number = place // self._episodes
            self._errors.setdefault(number, error)
            self._running = self._running[self._running // self._episodes != number]

    def _of_run(self, number: int, rewards: np.ndarray) -> Episodes:
        part = slice(number * self._episodes, (number + 1) * self._episodes)
        by_episode = zip(rewards.T[part], self._lengths[part].tolist(), strict=True)
        return Episodes(
            self._starts[part],
            [of_episode[:length].tolist() for of_episode, length in by_episode],
            self._terminated[part].tolist(),
            self._scores[part].tolist(),
        )
