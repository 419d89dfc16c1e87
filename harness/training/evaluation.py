"""Evaluation of a pack: deterministic episodes, values against floors, returns and exact values; run summaries."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms.floors import return_to_go
from algorithms.learner import Learner
from harness.environments.families import exact_values
from harness.environments.stepping import Environments
from harness.metrics import TRUTH
from harness.settings import Run, Schedule
from harness.training.calibration import Values, calibration_shares
from harness.training.episodes import Episodes, PackEpisodes, runs_at_once
from harness.training.streams import generator, reset_seed
from harness.training.transitions import Transitions

# Uniform actions per probe state.
UNIFORM_ACTIONS = 4


class Evaluator:
    """Evaluates the runs of a pack, at every call on the same episodes (by seed) and probe transitions."""

    def __init__(
        self,
        runs: Sequence[Run],
        transitions: Transitions,
        behaviour_value: Values | None = None,
        environments: Environments | None = None,
    ):
        """`behaviour_value`: V_mu, with which the calibrated first states are counted.

        Uses the first `places` of the `environments`; without them they are made.
        """
        self.runs = list(runs)
        self._behaviour_value = behaviour_value
        self.task, schedule = runs[0].task, runs[0].schedule
        episodes = range(schedule.evaluation_episodes)
        self._environments = environments or Environments(self.task, self.places(runs))
        self._at_once = runs_at_once(runs, self._environments.processes)
        self._seeds = [[reset_seed(run.seed, "evaluation", episode) for episode in episodes] for run in runs]
        generators = [generator(run.seed, "probe") for run in runs]
        rows = torch.stack([
            torch.from_numpy(rng.integers(transitions.offline, size=schedule.probe_states)) for rng in generators
        ])  # fmt: skip
        self._transitions = transitions
        self._rows = rows
        self._states = transitions.dataset_states[rows]
        self._actions = transitions.dataset_actions[rows].unsqueeze(2)
        shape = (schedule.probe_states, UNIFORM_ACTIONS, self._actions.shape[-1])
        uniform = [rng.uniform(-1.0, 1.0, size=shape) for rng in generators]
        self._uniform = torch.from_numpy(np.stack(uniform)).to(self._actions.dtype)
        self._exact = exact_values(self.task)
        if self._exact is not None:
            probes = [states.double().numpy() for states in self._states]
            self._behaviour = [self._exact.behaviour(states) for states in probes]
            self._optimal = [self._exact.optimal(states) for states in probes]

    @staticmethod
    def places(runs: Sequence[Run], processes: int = 1) -> int:
        """Number of environments that the evaluation of a pack needs."""
        return runs_at_once(runs, processes) * runs[0].schedule.evaluation_episodes

    def evaluate(
        self, learner: Learner, live: Sequence[int], check: Callable[[], None] = lambda: None
    ) -> list[dict[str, Any] | Exception]:
        """Metrics of every run; empty for runs that are not `live`.

        If the environment of a run raises, the error stands in place of its metrics. `check` is called at every step of
        the episodes; if it raises, no state has changed.
        """
        rollouts = self._roll_out(learner, live, check)
        logged = learner.take_logged()
        probes = self._probe(learner)
        rows: list[dict[str, Any] | Exception] = [{} for _ in self.runs]
        for number, episodes in rollouts.items():
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
        """Values on the probe transitions of the dataset, each [R]; Q is the mean of the critics.

        q_data, q_policy, q_uniform: of the dataset's actions, of pi(s), and of uniform actions, most of which are out
        of distribution.
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
        """Means over the probe states of one run, None for tasks without exact values.

        calibration_exact: Q(s, pi(s)) - V_mu(s), negative where the critic's scale is below the behaviour's.
        overestimation_exact: Q(s, pi(s)) - V_pi(s) of the deterministic policy; positive if the critic is too high.
        policy_gap_exact: V*(s) - V_pi(s). Minus the overestimation it is V* - Q, the miscalibration part of the regret.
        floor_error, floor_rmse: floor - V_mu(s), its mean and root mean square.
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

    def _roll_out(
        self, learner: Learner, live: Sequence[int], check: Callable[[], None]
    ) -> dict[int, dict[str, Any] | Exception]:
        """Metrics of episodes of the deterministic policies of the `live` runs, several runs at once."""
        episodes: dict[int, Episodes | Exception] = {}
        for start in range(0, len(live), self._at_once):
            numbers = live[start : start + self._at_once]
            together = PackEpisodes(self._environments, learner, numbers, [self._seeds[number] for number in numbers])
            episodes |= zip(numbers, together.finish(check), strict=True)
        return {
            number: of_run if isinstance(of_run, Exception) else self._summary(learner, number, of_run)
            for number, of_run in episodes.items()
        }

    def _summary(self, learner: Learner, number: int, episodes: Episodes) -> dict[str, Any]:
        start = torch.from_numpy(episodes.starts)[None]
        returns = [self._discounted(*episode) for episode in zip(episodes.rewards, episodes.terminated, strict=True)]
        q_start = learner.values(start, learner.act(start, run=number).unsqueeze(2), run=number).mean(1).flatten()
        shares = {}
        if self._behaviour_value is not None:
            shares = calibration_shares(q_start, self._behaviour_value(start[0]), torch.tensor(returns))
        return {
            "score": float(np.mean(episodes.scores)),
            "episode_return": float(np.mean(episodes.returns)),
            "episode_length": float(np.mean(episodes.lengths)),
            "calibration_policy": _number(q_start.double().mean() - float(np.mean(returns))),
            **shares,
        }

    def _discounted(self, rewards: list[float], terminated: bool) -> float:
        """Discounted return of an episode; one without success is continued with the failure reward for ever."""
        ends = torch.zeros(len(rewards), dtype=torch.bool)
        ends[-1] = terminated
        values = return_to_go(torch.tensor(rewards), ends, self.task.discount, failure_reward=self.task.failure_reward)
        return float(values[0])


def _number(value: Tensor | float) -> float | None:
    """A finite number, or None for NaN and infinity, for example the floor of CQL."""
    number = float(value)
    return number if np.isfinite(number) else None


def summarise(rows: Sequence[dict[str, Any]], schedule: Schedule) -> dict[str, Any]:
    """The summary of a run from its metrics; the last offline row is the switch."""
    switch = [row for row in rows if row["phase"] == "offline"][-1]
    online = [row for row in rows if row["phase"] == "online"]
    steps = np.array([0, *(row["online_step"] for row in online)])
    scores = np.array([switch["score"], *(row["score"] for row in online)])
    last = rows[-1]
    recovery = recovery_steps(steps, scores, schedule.dense_steps)
    return {
        "offline_score": switch["score"],
        "final_score": last["score"],
        "regret_eval": regret_eval(steps, scores),
        "regret_train": regret_train(last["train_episodes"], last["train_successes"]),
        "dip": dip(steps, scores, schedule.dense_steps),
        "dip_window": schedule.dense_steps,
        "recovery_steps": recovery,
        "recovered": recovery is not None,
        "offline_q_data": switch["q_data"],
        "offline_q_policy": switch["q_policy"],
        "offline_return_to_go": switch["return_to_go"],
    }


def regret_eval(steps: np.ndarray, scores: np.ndarray) -> float | None:
    """1 - mean score over the online phase, by the trapezoidal rule over evaluations at `steps` [K].

    The first evaluation is the one at the switch. None without an online phase.
    """
    if len(steps) < 2:
        return None
    return float(1.0 - np.trapezoid(scores, steps) / (steps[-1] - steps[0]))


def regret_train(episodes: int, successes: int) -> float | None:
    """1 - mean success over finished online training episodes (CORL's regret); None if no episode was finished."""
    return 1.0 - successes / episodes if episodes else None


def dip(steps: np.ndarray, scores: np.ndarray, window: int) -> float:
    """Score at the switch minus the lowest score in the first `window` online steps, at least 0."""
    return float(max(0.0, scores[0] - scores[steps <= window].min()))


def recovery_steps(steps: np.ndarray, scores: np.ndarray, window: int) -> int | None:
    """Environment steps from the switch until the score recovers from the lowest point of the window.

    0 without a dip, None if the score at the switch is never regained.
    """
    within = steps <= window
    lowest = int(np.argmin(scores[within]))
    if scores[lowest] >= scores[0]:
        return 0
    recovered = np.flatnonzero(scores[lowest:] >= scores[0])
    return int(steps[lowest + recovered[0]]) if len(recovered) else None
