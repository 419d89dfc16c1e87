"""The return-to-go and floor columns of a pack, for the dataset and for every finished online episode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from algorithms.batch import Batch
from algorithms.behaviour_value import BehaviourValue, FitReport
from algorithms.floors import FloorInputs, floor_base, floor_column
from algorithms.inflation import DatasetStatistics, NeighbourDistances, uncorrelated
from algorithms.returns import return_to_go
from harness.data.dataset import Dataset
from harness.data.trajectories import Trajectory
from harness.environments.exact_values import exact_values
from harness.settings import Run
from harness.training.streams import generator, normal_source, uniform_source
from harness.training.transitions import Transitions, trajectory_numbers


@dataclass(frozen=True)
class FloorState:
    """The state of a learned floor of one run, as checkpoints hold it."""

    fitted: Tensor  # [P] parameters after the fit on the dataset, from which the dataset's column is computed
    learning: Mapping[str, Tensor]  # current parameters and moments (`BehaviourValue.state`)
    steps: int  # of the optimiser since the fit
    report: FitReport


class FloorColumns:
    """Computes the floors of a pack; holds the learned values of the runs that have one."""

    def __init__(
        self,
        runs: Sequence[Run],
        dataset: Dataset,
        transitions: Transitions,
        states: Sequence[FloorState | None] = (),
    ):
        """Fit the learned floors, then fill both columns of the dataset's transitions.

        With `states`, one per run, learned floors are restored instead of fitted.
        """
        self.runs = list(runs)
        self.transitions = transitions
        self.fit_reports: dict[int, FitReport] = {}
        self._noise = [normal_source(generator(run.seed, "floor")) for run in runs]
        self._errors = [normal_source(generator(run.seed, "floor_error")) for run in runs]
        self._distances: NeighbourDistances | None = None
        if any(run.floor.inflation_kind == "rare_states" for run in runs):
            self._distances = NeighbourDistances(transitions.dataset_states)
        rows = dataset.rows
        rewards, terminated = torch.from_numpy(rows.rewards), torch.from_numpy(rows.terminated)
        lengths = rows.lengths.tolist()
        for number, run in enumerate(runs):
            parts = zip(*(column.split(lengths) for column in (rewards, terminated)), strict=True)
            returns = torch.cat([self._return_to_go(run, *part) for part in parts])
            transitions.return_to_go[number, : transitions.offline] = returns
        dataset_returns = transitions.return_to_go[:, : transitions.offline]
        self.return_range = [float(returns.max() - returns.min()) for returns in dataset_returns]
        self._mean = [float(returns.double().mean()) for returns in dataset_returns]
        inflation = torch.tensor([run.floor.inflation for run in runs])
        self._shift = (inflation * torch.tensor(self.return_range))[:, None]
        self._active = torch.tensor([run.floor.active_online for run in runs])[:, None]
        self._learned = [number for number, run in enumerate(runs) if run.floor.base == "learned"]
        self._value = self._new_value(dataset_returns) if self._learned else None
        known = [state for state in states if state is not None]
        if self._value and known:
            for place, (number, state) in enumerate(zip(self._learned, known, strict=True)):
                self._value.parameters.flat[place] = state.fitted
                self.fit_reports[number] = state.report
        elif self._value:
            self._fit(self._value, dataset, dataset_returns)
        self._fitted = self._value.parameters.flat.clone() if self._value else None
        self._statistics: list[DatasetStatistics] = []
        for number, returns in enumerate(dataset_returns):
            transitions.floor[number, : transitions.offline] = self._dataset_column(number, returns)
        if self._value and known:
            # The dataset's column stays that of the fit; learning continues from the restored state.
            for place, state in enumerate(known):
                self._value.restore(place, state.learning)
                self._value.adam.count.steps = state.steps

    def state(self, number: int) -> FloorState | None:
        """The state of the learned floor of a run; None for any other floor."""
        if number not in self._learned:
            return None
        assert self._value is not None
        assert self._fitted is not None
        place = self._learned.index(number)
        learning = self._value.state(place)
        return FloorState(self._fitted[place], learning, self._value.adam.count.steps, self.fit_reports[number])

    def skip_online(self, number: int, transitions: int) -> None:
        """Skip the noise of restored online transitions."""
        if self.runs[number].floor.noise:
            self._noise[number](transitions)
        if self.runs[number].floor.inflation_kind == "correlated_error":
            self._errors[number](transitions)

    def begin_online(self) -> None:
        """Remove the floor of runs that do not keep it in the online phase."""
        for number, run in enumerate(self.runs):
            if not run.floor.active_online:
                self.transitions.floor[number] = -torch.inf

    def append(self, number: int, episode: Trajectory) -> None:
        """Append a finished online episode of run `number` to its transitions, with both columns."""
        run = self.runs[number]
        returns = self._return_to_go(run, torch.from_numpy(episode.rewards), torch.from_numpy(episode.terminated))
        column = self._column(number, torch.from_numpy(episode.observations[:-1]), returns)
        if not run.floor.active_online:
            column = torch.full_like(column, -torch.inf)
        self.transitions.append(number, episode, returns, column)

    def learn_online(self, batch: Batch) -> Batch:
        """If the learned floors keep learning: one step on the batch, whose floors are replaced."""
        if self._value is None or not self.runs[0].floor.keeps_learning:
            return batch
        assert len(self._learned) == len(self.runs), "floors that keep learning are packed separately"
        self._value.step(batch.states, batch.return_to_go)
        floor = self._value.values(batch.states) + self._shift
        batch.floor.copy_(torch.where(self._active, floor, batch.floor))
        return batch

    def _return_to_go(self, run: Run, rewards: Tensor, terminated: Tensor) -> Tensor:
        return return_to_go(
            rewards,
            terminated,
            run.task.discount,
            run.floor.truncation,
            run.task.failure_reward,
            run.floor.bootstrap_value,
        )

    def _dataset_column(self, number: int, returns: Tensor) -> Tensor:
        """The floor of the dataset; stores the statistics of the dataset, which online columns use."""
        inputs, settings = self._inputs(number, self.transitions.dataset_states, returns), self.runs[number].floor
        distances = base = error = None
        if settings.inflation_kind == "rare_states":
            assert self._distances is not None
            distances = self._distances.of_dataset
        if settings.inflation_kind == "correlated_error":
            base = floor_base(inputs)
            error = uncorrelated(self._errors[number](len(returns)), base)
        self._statistics.append(DatasetStatistics.of(settings, returns, base, distances))
        return floor_column(inputs, self._statistics[number], self._noise[number], distances, error)

    def _column(self, number: int, states: Tensor, returns: Tensor) -> Tensor:
        """The floor of an online episode."""
        inputs, kind = self._inputs(number, states, returns), self.runs[number].floor.inflation_kind
        distances = self._distances(states) if self._distances is not None and kind == "rare_states" else None
        error = self._errors[number](len(returns)) if kind == "correlated_error" else None
        return floor_column(inputs, self._statistics[number], self._noise[number], distances, error)

    def _inputs(self, number: int, states: Tensor, returns: Tensor) -> FloorInputs:
        return FloorInputs(
            self.runs[number].floor,
            states,
            returns,
            self._mean[number],
            lambda states: self._value_of(number, states),
            self._exact_value,
        )

    def _value_of(self, number: int, states: Tensor) -> Tensor:
        assert self._value is not None
        return self._value.values(states[None], run=self._learned.index(number))[0]

    def _exact_value(self, states: Tensor) -> Tensor:
        exact = exact_values(self.runs[0].task)
        assert exact is not None, "preflight rejects exact floors for tasks without exact values"
        return torch.from_numpy(exact.behaviour(states.double().numpy())).to(states.dtype)

    def _new_value(self, dataset_returns: Tensor) -> BehaviourValue:
        runs = [self.runs[number] for number in self._learned]
        normals = [normal_source(generator(run.seed, "floor_init")) for run in runs]
        states = self.transitions.dataset_states
        return BehaviourValue(runs[0].behaviour_value, states, dataset_returns[self._learned], normals)

    def _fit(self, value: BehaviourValue, dataset: Dataset, dataset_returns: Tensor) -> None:
        runs = [self.runs[number] for number in self._learned]
        settings = runs[0].behaviour_value
        states, returns = self.transitions.dataset_states, dataset_returns[self._learned]
        lengths = dataset.rows.lengths
        numbers = trajectory_numbers(lengths)
        held_out = np.stack([
            _held_out(generator(run.seed, "floor_split"), len(lengths), settings.held_out)[numbers]
            for run in runs
        ])  # fmt: skip
        batches = [uniform_source(generator(run.seed, "floor_batch")) for run in runs]
        reports = value.fit(states, returns, torch.from_numpy(held_out), batches)
        self.fit_reports = dict(zip(self._learned, reports, strict=True))


def _held_out(rng: np.random.Generator, trajectories: int, share: float) -> np.ndarray:
    """Mask [E] of the trajectories held out of the fit: the given fraction, at least one and never all."""
    count = min(max(1, round(share * trajectories)), trajectories - 1)
    mask = np.zeros(trajectories, dtype=bool)
    mask[rng.permutation(trajectories)[:count]] = True
    return mask
