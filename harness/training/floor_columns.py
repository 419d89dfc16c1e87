"""The return-to-go and floor columns of a pack, for the dataset and for every finished online episode."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from algorithms.batch import Batch
from algorithms.behaviour_value import FitReport
from algorithms.floors import FloorInputs, floor_base, floor_column, return_to_go
from algorithms.inflation import DatasetStatistics, NeighbourDistances, uncorrelated
from harness.data.dataset import Dataset, load_dataset
from harness.data.trajectories import Trajectory
from harness.environments.families import exact_values
from harness.settings import Run
from harness.training.floor_fits import FitStore
from harness.training.learned_floors import FloorState, LearnedFloors
from harness.training.streams import generator, normal_source
from harness.training.transitions import Transitions


class FloorColumns:
    """Computes the floors of a pack; holds the learned values of the runs that have one."""

    def __init__(
        self,
        runs: Sequence[Run],
        dataset: Dataset,
        transitions: Transitions,
        states: Sequence[FloorState | None] = (),
        store: FitStore | None = None,
    ):
        """Fit the learned floors, then fill both columns of the dataset's transitions.

        With the `states` of all learned floors, they are restored instead of fitted; before the online phase both give
        the same floors. `store` shares fits with other packs.
        """
        self.runs = list(runs)
        self.transitions = transitions
        self._noise = [normal_source(generator(run.seed, "floor")) for run in runs]
        self._errors = [normal_source(generator(run.seed, "floor_error")) for run in runs]
        self._distances: NeighbourDistances | None = None
        if any(run.floor.inflation_kind == "rare_states" for run in runs):
            self._distances = NeighbourDistances(transitions.dataset_states)
        for number, run in enumerate(runs):
            transitions.return_to_go[number, : transitions.offline] = dataset_returns(run, dataset)
        returns_to_go = transitions.return_to_go[:, : transitions.offline]
        self.return_range = [float(returns.max() - returns.min()) for returns in returns_to_go]
        self._mean = [float(returns.double().mean()) for returns in returns_to_go]
        inflation = torch.tensor([run.floor.inflation for run in runs])
        self._shift = (inflation * torch.tensor(self.return_range))[:, None]
        self._active = torch.tensor([run.floor.active_online for run in runs])[:, None]
        learned = {number: run for number, run in enumerate(runs) if run.floor.base == "learned"}
        self._learned: LearnedFloors | None = None
        # Stale floors are fitted to the data of another policy.
        self._stale = runs[0].floor_task != runs[0].task
        if learned and self._stale:
            self._learned = self._of_other_policy(learned)
        elif learned:
            self._learned = LearnedFloors(learned, dataset, transitions, returns_to_go[list(learned)])
        known = [state for state in states if state is not None]
        # A run that begins at the switch has no state, but may share a pack with runs that have one.
        known = known if len(known) == len(learned) else []
        if self._learned and known:
            self._learned.restore_fit(known)
        elif self._learned:
            self._learned.fit(store)
        self._statistics: list[DatasetStatistics] = []
        for number, returns in enumerate(returns_to_go):
            transitions.floor[number, : transitions.offline] = self._dataset_column(number, returns)
        if self._learned and known:
            # The dataset's column stays that of the fit; learning continues from the restored state.
            self._learned.restore_learning(known)

    @property
    def fit_reports(self) -> dict[int, FitReport]:
        """How well the learned floors predict, by number of the run."""
        return self._learned.reports if self._learned else {}

    def state(self, number: int) -> FloorState | None:
        """The state of the learned floor of a run; None for any other floor."""
        if self._learned is None or number not in self._learned.runs:
            return None
        return self._learned.state(number)

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
        returns = run_return_to_go(run, torch.from_numpy(episode.rewards), torch.from_numpy(episode.terminated))
        column = self._column(number, torch.from_numpy(episode.observations[:-1]), returns)
        if not run.floor.active_online:
            column = torch.full_like(column, -torch.inf)
        self.transitions.append(number, episode, returns, column)

    def learn_online(self, batch: Batch) -> Batch:
        """If the learned floors keep learning: one step on the batch, whose floors are replaced."""
        if self._learned is None or not self.runs[0].floor.keeps_learning:
            return batch
        assert len(self._learned.runs) == len(self.runs), "floors that keep learning are packed separately"
        floor = self._learned.learn(batch) + self._shift
        batch.floor.copy_(torch.where(self._active, floor, batch.floor))
        return batch

    def _of_other_policy(self, learned: Mapping[int, Run]) -> LearnedFloors:
        """The learned floors of these runs, for the policy that collected the data of their `floor_task`."""
        others = {number: replace(run, task=run.floor_task) for number, run in learned.items()}
        dataset = load_dataset(self.runs[0].floor_task)
        transitions = Transitions(dataset, len(others), capacity=0)
        returns = torch.stack([dataset_returns(run, dataset) for run in others.values()])
        return LearnedFloors(others, dataset, transitions, returns)

    def _dataset_column(self, number: int, returns: Tensor) -> Tensor:
        """The floor of the dataset; stores the statistics of the dataset, which online columns use."""
        learned, stale = self._learned, self._stale
        values = None if learned is None else lambda states: learned.dataset_values(number, states if stale else None)
        inputs = self._inputs(number, self.transitions.dataset_states, returns, values)
        settings = self.runs[number].floor
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
        learned, kind = self._learned, self.runs[number].floor.inflation_kind
        values = None if learned is None else lambda states: learned.values(number, states)
        inputs = self._inputs(number, states, returns, values)
        distances = self._distances(states) if self._distances is not None and kind == "rare_states" else None
        error = self._errors[number](len(returns)) if kind == "correlated_error" else None
        return floor_column(inputs, self._statistics[number], self._noise[number], distances, error)

    def _inputs(
        self, number: int, states: Tensor, returns: Tensor, learned: Callable[[Tensor], Tensor] | None
    ) -> FloorInputs:
        return FloorInputs(
            self.runs[number].floor,
            states,
            returns,
            self._mean[number],
            learned,
            lambda states: self._exact("behaviour", states),
            lambda states: self._exact("optimal", states),
        )

    def _exact(self, policy: Literal["behaviour", "optimal"], states: Tensor) -> Tensor:
        exact = exact_values(self.runs[0].floor_task)
        assert exact is not None, "preflight rejects exact floors for tasks without exact values"
        return torch.from_numpy(getattr(exact, policy)(states.double().numpy())).to(states.dtype)


def dataset_returns(run: Run, dataset: Dataset) -> Tensor:
    """The return-to-go [N] of every transition of a dataset, by the rules of a run."""
    columns = torch.from_numpy(dataset.rows.rewards), torch.from_numpy(dataset.rows.terminated)
    parts = zip(*(column.split(dataset.rows.lengths.tolist()) for column in columns), strict=True)
    return torch.cat([run_return_to_go(run, *part) for part in parts])


def run_return_to_go(run: Run, rewards: Tensor, terminated: Tensor) -> Tensor:
    """The return-to-go [T] of one trajectory by the rules of a run, from mapped rewards [T] and terminal steps [T]."""
    return return_to_go(
        rewards,
        terminated,
        run.task.discount,
        run.floor.truncation,
        run.task.failure_reward,
        run.floor.bootstrap_value,
    )
