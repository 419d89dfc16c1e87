"""The online phase of a pack: its environments, which yield transitions when episodes end, and its schedule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from algorithms.learner import Learner
from harness.data.trajectories import Trajectory
from harness.environments.environment import Environment
from harness.environments.stepping import Environments, Place
from harness.errors import is_of_place
from harness.settings import Run
from harness.training.streams import StepStreams, reset_seed


@dataclass
class Actor:
    """The environment of one run, with the episode in progress."""

    environment: Environment | Place
    seed: int
    episodes: int = 0
    successes: int = 0
    observations: list[np.ndarray] = field(default_factory=list)
    actions: list[np.ndarray] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)

    def reset(self) -> None:
        """Start the next episode; its seed follows from the seed of the run and the number of the episode."""
        first = self.environment.reset(reset_seed(self.seed, "environment", self.episodes))
        self.observations, self.actions, self.rewards = [first], [], []

    def resume(self, episodes: int, successes: int, actions: np.ndarray, observation: np.ndarray) -> None:
        """Resume an episode: reset with its seed and replay its first `actions` [T, A].

        Raises RuntimeError if the replay does not end at `observation` [S].
        """
        self.episodes, self.successes = episodes, successes
        self.reset()
        for action in actions:
            self.step(action)
        if self.episodes != episodes or not np.array_equal(self.observations[-1], observation):
            raise RuntimeError(f"episode {episodes}: replay diverged: the environment is not deterministic")

    def step(self, action: np.ndarray) -> Trajectory | None:
        """Take an action. Returns the episode if it ended, after which the next one starts."""
        return self.record(action, *self.environment.step(action))

    def record(
        self, action: np.ndarray, observation: np.ndarray, reward: float, terminated: bool, truncated: bool
    ) -> Trajectory | None:
        """Record what the environment returned for an action, see `step`."""
        self.observations.append(observation)
        self.actions.append(action)
        self.rewards.append(reward)
        if not (terminated or truncated):
            return None
        ends = np.zeros(len(self.actions), dtype=bool)
        ends[-1] = True
        episode = Trajectory(
            observations=np.stack(self.observations),
            actions=np.stack(self.actions),
            rewards=np.array(self.rewards, dtype=np.float32),
            terminated=ends & terminated,
            truncated=ends & truncated,
        )
        self.successes += self.environment.success
        self.episodes += 1
        self.reset()
        return episode


class Actors:
    """The actors of a pack, stepped together."""

    def __init__(self, runs: Sequence[Run], environments: Environments | None = None, first: int = 0):
        """The environment of run i is the one at place `first` + i; without `environments` they are made."""
        self._environments = environments or Environments(runs[0].task, len(runs))
        self.actors = [Actor(self._environments.at(first + number), run.seed) for number, run in enumerate(runs)]
        self._places = [first + number for number in range(len(runs))]
        self._noise = StepStreams([run.seed for run in runs], "exploration", self._environments.action_dim)
        self._broken: set[int] = set()
        for actor in self.actors:
            actor.reset()

    def step(self, learner: Learner, step: int) -> list[tuple[int, Trajectory | Exception]]:
        """Step every environment with an action sampled from its policy; returns the episodes that ended, by run.

        If the environment of a run raises, the error stands in place of an episode and the run is not stepped again.
        """
        states = torch.from_numpy(np.stack([actor.observations[-1] for actor in self.actors])).unsqueeze(1)
        noise = self._noise.at(step).unsqueeze(1)
        # NaN actions of a diverged run would make the simulator raise; the run fails at the next check instead.
        actions = learner.act(states, noise).squeeze(1).nan_to_num().numpy()
        stepped = [number for number in range(len(self.actors)) if number not in self._broken]
        errors = self._environments.step([self._places[number] for number in stepped], actions[stepped])
        ended: list[tuple[int, Trajectory | Exception]] = []
        for number in stepped:
            episode: Trajectory | Exception | None = errors.get(self._places[number])
            if episode is None:
                actor = self.actors[number]
                try:
                    episode = actor.record(actions[number], *self._environments.at(self._places[number]).last())
                except Exception as error:
                    episode = error
            if isinstance(episode, Exception):
                if is_of_place(episode):
                    raise episode
                self._broken.add(number)
            if episode is not None:
                ended.append((number, episode))
        return ended


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
