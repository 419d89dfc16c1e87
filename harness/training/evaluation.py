"""Looking at a pack: deterministic episodes of each run's policy, and its values against floors and returns."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms.learner import Learner
from algorithms.returns import return_to_go
from harness.environments.environment import Environment
from harness.environments.exact_values import exact_values
from harness.settings import Run
from harness.training.streams import generator, reset_seed
from harness.training.transitions import Transitions

# Uniform actions per probe state.
UNIFORM_ACTIONS = 4

# What a row says of values against the truth.
TRUTH = ("calibration_exact", "overestimation_exact", "policy_gap_exact", "floor_error", "floor_rmse")


class Evaluator:
    """Evaluates every run of a pack on the same episodes (by seed) and probe transitions at every call."""

    def __init__(self, runs: Sequence[Run], transitions: Transitions):
        self.runs = list(runs)
        self.task, schedule = runs[0].task, runs[0].schedule
        episodes = range(schedule.evaluation_episodes)
        self._environments = [Environment(self.task) for _ in episodes]
        self._seeds = [[reset_seed(run.seed, "evaluation", episode) for episode in episodes] for run in runs]
        generators = [generator(run.seed, "probe") for run in runs]
        rows = torch.stack([
            torch.from_numpy(each.integers(transitions.offline, size=schedule.probe_states)) for each in generators
        ])  # fmt: skip
        self._transitions = transitions
        self._rows = rows
        self._states = transitions.dataset_states[rows]
        self._actions = transitions.dataset_actions[rows].unsqueeze(2)
        shape = (schedule.probe_states, UNIFORM_ACTIONS, self._actions.shape[-1])
        uniform = [each.uniform(-1.0, 1.0, size=shape) for each in generators]
        self._uniform = torch.from_numpy(np.stack(uniform)).to(self._actions.dtype)
        self._exact = exact_values(self.task)
        if self._exact is not None:
            probes = [states.double().numpy() for states in self._states]
            self._behaviour = [self._exact.behaviour(states) for states in probes]
            self._optimal = [self._exact.optimal(states) for states in probes]

    def evaluate(
        self, learner: Learner, live: Sequence[int], check: Callable[[], None] = lambda: None
    ) -> list[dict[str, Any] | Exception]:
        """One dictionary of metrics per run; runs that are not `live` get an empty one.

        A run whose environment breaks gives its error in place of metrics. `check` is called at every step of the
        episodes; if it raises, nothing has changed.
        """
        roll_outs = {number: self._guarded_roll_out(learner, number, check) for number in live}
        logged = learner.take_logged()
        probes = self._probe(learner)
        rows: list[dict[str, Any] | Exception] = [{} for _ in self.runs]
        for number, episodes in roll_outs.items():
            if isinstance(episodes, Exception):
                rows[number] = episodes
                continue
            rows[number] = {
                **episodes,
                **{name: _number(values[number]) for name, values in logged.items()},
                **{name: _number(values[number]) for name, values in probes.items()},
                **self._against_truth(learner, number, float(probes["q_policy"][number])),
            }
        return rows

    def _probe(self, learner: Learner) -> dict[str, Tensor]:
        """Values on the probe transitions of the dataset, each [R]; Q is the mean of the two critics.

        q_data, q_policy, q_uniform: of the dataset's action, of pi(s) and of uniform actions, most of them out of the
        data's distribution.
        """
        floor = self._transitions.floor.gather(1, self._rows)
        returns = self._transitions.return_to_go.gather(1, self._rows)
        data = learner.values(self._states, self._actions).squeeze(-1).mean(1)
        policy = learner.values(self._states, learner.act(self._states).unsqueeze(2)).squeeze(-1).mean(1)
        return {
            "q_data": data.mean(-1),
            "q_policy": policy.mean(-1),
            "q_uniform": learner.values(self._states, self._uniform).mean(1).flatten(1).mean(-1),
            "floor_mean": floor.mean(-1),
            "below_floor": (policy < floor).float().mean(-1),
            "return_to_go": returns.mean(-1),
            "calibration_data": (policy - returns).mean(-1),
        }

    def _against_truth(self, learner: Learner, number: int, q_policy: float) -> dict[str, float | None]:
        """Means over the probe states of one run, None where the task's values are not known.

        calibration_exact: Q(s, pi(s)) - V_mu(s), below 0 where the critic's scale lies under the behaviour's.
        overestimation_exact: Q(s, pi(s)) - V_pi(s) of the deterministic policy; above 0 the critic is not conservative.
        policy_gap_exact: V*(s) - V_pi(s). Less the over-estimation it is V* - Q, the miscalibration part of regret.
        floor_error, floor_rmse: floor - V_mu(s), its mean and the root of its mean square.
        """
        if self._exact is None:
            return dict.fromkeys(TRUTH)

        def act(states: np.ndarray) -> np.ndarray:
            return learner.act(torch.from_numpy(states).float()[None], run=number)[0].double().numpy()

        behaviour = self._behaviour[number]
        policy = self._exact.of_policy(act, self._states[number].double().numpy()).mean()
        error = self._transitions.floor[number, self._rows[number]].double() - torch.from_numpy(behaviour)
        values = (
            q_policy - behaviour.mean(),
            q_policy - policy,
            self._optimal[number].mean() - policy,
            error.mean(),
            error.square().mean().sqrt(),
        )
        return {name: _number(value) for name, value in zip(TRUTH, values, strict=True)}

    def _guarded_roll_out(self, learner: Learner, number: int, check: Callable[[], None]) -> dict[str, Any] | Exception:
        try:
            return self._roll_out(learner, number, check)
        except Exception as error:
            return error

    def _roll_out(self, learner: Learner, number: int, check: Callable[[], None]) -> dict[str, Any]:
        """Episodes of the deterministic policy of one run, side by side."""
        environments = self._environments
        observations = np.stack(
            [environment.reset(seed) for environment, seed in zip(environments, self._seeds[number], strict=True)]
        )
        start = torch.from_numpy(observations.copy())[None]
        rewards: list[list[float]] = [[] for _ in environments]
        terminated = [False] * len(environments)
        going = list(range(len(environments)))
        while going:
            check()
            actions = learner.act(torch.from_numpy(observations[going])[None], run=number)[0].nan_to_num().numpy()
            still = []
            for action, episode in zip(actions, going, strict=True):
                environment = environments[episode]
                observations[episode], reward, terminated[episode], truncated = environment.step(action)
                rewards[episode].append(reward)
                if not (terminated[episode] or truncated):
                    still.append(episode)
            going = still
        returns = [self._discounted(*episode) for episode in zip(rewards, terminated, strict=True)]
        q_start = learner.values(start, learner.act(start, run=number).unsqueeze(2), run=number).mean(1).squeeze()
        return {
            "score": float(np.mean([environment.score for environment in environments])),
            "episode_return": float(np.mean([np.sum(own) for own in rewards])),
            "episode_length": float(np.mean([len(own) for own in rewards])),
            "calibration_policy": _number(q_start.double().mean() - float(np.mean(returns))),
        }

    def _discounted(self, rewards: list[float], terminated: bool) -> float:
        """Discounted return of an episode from its first step, failures taken to last for ever."""
        ends = torch.zeros(len(rewards), dtype=torch.bool)
        ends[-1] = terminated
        values = return_to_go(torch.tensor(rewards), ends, self.task.discount, failure_reward=self.task.failure_reward)
        return float(values[0])


def _number(value: Tensor | float) -> float | None:
    """A finite number, or None: what does not apply (the floor of CQL) has no number."""
    number = float(value)
    return number if np.isfinite(number) else None
