"""The online phase of a pack: its environments, which yield transitions when episodes end, and its schedule."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import torch

from algorithms.learner import Learner
from harness.data.trajectories import Trajectory
from harness.environments.stepping import Environments
from harness.errors import is_of_place
from harness.settings import Run
from harness.training.streams import ResetSeeds, StepStreams


class Actors:
    """The environments of a pack in the online phase, stepped together, with the episodes in progress.

    Attributes:
        episodes, successes: of every run, finished so far.
    """

    def __init__(self, runs: Sequence[Run], environments: Environments | None = None, first: int = 0):
        """The environment of run i is the one at place `first` + i; without `environments` they are made."""
        self._environments = environments or Environments(runs[0].task, len(runs))
        seeds = [run.seed for run in runs]
        self._first, self._places = first, slice(first, first + len(runs))
        # The runs that are stepped, and their places.
        self._stepped, self._stepped_places = list(range(len(runs))), list(range(first, first + len(runs)))
        self._noise = StepStreams(seeds, "exploration", self._environments.action_dim)
        self._reset_seeds = ResetSeeds(seeds, "environment")
        self.episodes, self.successes = [0] * len(runs), [0] * len(runs)
        # The last steps of all runs, of which an episode has at most as many: a ring.
        self._size, self._end = runs[0].task.horizon, 0
        states = torch.empty(len(runs), 1, self._environments.observation_dim)
        self._states, self._observed = states, states.squeeze(1).numpy()
        self._observations = np.empty((self._size, *self._observed.shape), np.float32)
        self._actions = np.empty((self._size, len(runs), self._environments.action_dim), np.float32)
        self._rewards = np.empty((self._size, len(runs)), np.float32)
        # Numbers of steps of the episodes in progress.
        self._lengths = np.zeros(len(runs), np.int64)
        for error in self._reset(range(len(runs))).values():
            raise error

    def step(self, learner: Learner, step: int) -> list[tuple[int, Trajectory | Exception]]:
        """Step every environment with an action sampled from its policy; returns the episodes that ended, by run.

        If the environment of a run raises, the error stands in place of an episode and the run is not stepped again.
        """
        records, places, row = self._environments.records, self._places, self._end % self._size
        self._observed[...] = records.observations[places]
        # NaN actions of a diverged run would make the simulator raise; the run fails at the next check instead.
        actions = learner.act(self._states, self._noise.at(step).unsqueeze(1)).nan_to_num().numpy()[:, 0]
        self._observations[row], self._actions[row] = self._observed, actions
        intact = len(self._stepped) == len(actions)
        errors = self._environments.step(self._stepped_places, actions if intact else actions[self._stepped])
        self._rewards[row] = records.rewards[places]
        self._lengths += 1
        self._end += 1
        over = records.terminated[places] | records.truncated[places]
        if not errors and not over.any():
            return []
        ended: dict[int, Trajectory | Exception] = {place - self._first: error for place, error in errors.items()}
        finished = [number for number in self._stepped if over[number] and number not in ended]
        ended |= {number: self._finish(number) for number in finished}
        ended |= self._reset(finished)
        for number, episode in ended.items():
            if isinstance(episode, Exception):
                if is_of_place(episode):
                    raise episode
                self._stepped.remove(number)
                self._stepped_places.remove(self._first + number)
        return sorted(ended.items(), key=itemgetter(0))

    def in_progress(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The actions [T, A] of the episode in progress of a run, and what it observes now, [S]."""
        return self._actions[self._rows(number), number], self._observation(number).copy()

    def resume(self, number: int, episodes: int, successes: int, actions: np.ndarray, observation: np.ndarray) -> None:
        """Resume an episode of a run: reset with its seed and replay its first `actions` [T, A].

        Raises RuntimeError if the replay does not end at `observation` [S].
        """
        self.episodes[number], self.successes[number] = episodes, successes
        records, place = self._environments.records, self._first + number
        errors, over = self._reset([number]), False
        self._lengths[number] = len(actions)
        for row, action in zip(self._rows(number), actions, strict=True):
            self._observations[row, number], self._actions[row, number] = self._observation(number), action
            errors |= self._environments.step([place], action[None])
            over |= bool(records.terminated[place] | records.truncated[place])
            self._rewards[row, number] = records.rewards[place]
        for error in errors.values():
            raise error
        if over or not np.array_equal(self._observation(number), observation):
            raise RuntimeError(f"episode {episodes}: replay diverged: the environment is not deterministic")

    def _reset(self, numbers: Sequence[int]) -> dict[int, Exception]:
        """Start the next episodes of some runs; returns what their environments have raised, by run.

        The seed of an episode follows from the seed of its run and its number.
        """
        seeds = [self._reset_seeds.at(number, self.episodes[number]) for number in numbers]
        self._lengths[numbers] = 0
        errors = self._environments.reset([self._first + number for number in numbers], seeds)
        return {place - self._first: error for place, error in errors.items()}

    def _finish(self, number: int) -> Trajectory:
        """The episode of a run that has ended; it is counted."""
        records, place, rows = self._environments.records, self._first + number, self._rows(number)
        ends = np.zeros(len(rows), dtype=bool)
        ends[-1] = True
        self.successes[number] += bool(records.success[place])
        self.episodes[number] += 1
        return Trajectory(
            observations=np.concatenate((self._observations[rows, number], self._observation(number)[None])),
            actions=self._actions[rows, number],
            rewards=self._rewards[rows, number],
            terminated=ends & records.terminated[place],
            truncated=ends & records.truncated[place],
        )

    def _rows(self, number: int) -> np.ndarray:
        """The rows of the ring with the episode in progress of a run."""
        return np.arange(self._end - self._lengths[number], self._end) % self._size

    def _observation(self, number: int) -> np.ndarray:
        return self._environments.records.observations[self._first + number]


class OnlineSchedule:
    """The settings of a pack that change at the switch or during the online phase (`OnlineSettings`)."""

    def __init__(self, runs: Sequence[Run], offline: int = 0):
        """`offline` is the number of transitions in the dataset."""
        self.runs, self._offline = list(runs), offline
        self._changes_alpha = any(run.online.alpha is not None for run in runs)

    def alpha(self, step: int) -> torch.Tensor | None:
        """The weights of the regulariser at an online step (1 for the first), [R]; None if no run changes it."""
        if not self._changes_alpha:
            return None
        weights = []
        for run in self.runs:
            start, end = run.algorithm.alpha, run.online.alpha
            progress = self._progress(run, run.online.alpha_decay, step)
            weights.append(start if end is None else start + progress * (end - start))
        return torch.tensor(weights)

    def mixing_ratio(self, step: int) -> float | None:
        """The fraction of a batch drawn from the dataset at an online step; None: from all transitions together."""
        start, end = self.runs[0].schedule.mixing_ratio, self.runs[0].online.mixing_ratio
        if start is None or end is None:
            return start
        return start + self._progress(self.runs[0], self.runs[0].online.mixing_decay, step) * (end - start)

    def from_dataset(self, step: int) -> int | None:
        """The number of transitions of a batch drawn from the dataset; None: from all transitions together."""
        batch_size = self.runs[0].algorithm.batch_size
        if self.runs[0].online.mixing_by_size:
            return batch_size * self._offline // (self._offline + step)
        ratio = self.mixing_ratio(step)
        return None if ratio is None else round(ratio * batch_size)

    def updates_policy(self, update: int) -> bool:
        """Whether an update of the online phase includes the policy; `update` counts from 0, offline updates too."""
        run = self.runs[0]
        done = update - run.schedule.offline_steps
        return done >= run.online.critic_updates and (done + 1) % run.online.policy_interval == 0

    def are_alike(self, update: int) -> bool:
        """Whether the policy is part of every update from this one on."""
        return self.runs[0].online.policy_interval == 1 and self.updates_policy(update)

    def critic_shifts(self, return_ranges: Sequence[float], rows: Sequence[Mapping[str, Any]]) -> torch.Tensor | None:
        """What is added to the critics of every run at the switch, [R]; None if there is nothing to add.

        `rows` are the last rows of metrics before the switch. Their `calibration_policy` is the mean of Q(s, pi(s)) at
        the first states of the evaluation episodes minus the mean discounted return of these episodes.
        """
        shifts = [
            run.online.critic_shift * return_range
            - (row.get("calibration_policy") or 0.0 if run.online.recalibrate else 0.0)
            for run, return_range, row in zip(self.runs, return_ranges, rows, strict=True)
        ]
        return torch.tensor(shifts) if any(shifts) else None

    @staticmethod
    def _progress(run: Run, fraction: float, step: int) -> float:
        """How far a linear schedule over a fraction of the online phase has come, from 0 to 1."""
        length = fraction * run.schedule.online_steps
        return min(1.0, step / length) if length else 1.0
