"""The learned floors of a pack: which trajectories their networks may see, the fits, and their estimates."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from algorithms.batch import Batch
from algorithms.behaviour_value import BehaviourValue, FitReport, Successors
from algorithms.floors import return_to_go
from algorithms.kernels import gpu
from harness.data.dataset import Dataset
from harness.environments.families import exact_values
from harness.errors import UserError
from harness.settings import Run
from harness.training.floor_fits import FitStore, FloorFit, fit_key
from harness.training.streams import generator, normal_source, uniform_source
from harness.training.transitions import Transitions, trajectory_numbers


@dataclass(frozen=True)
class FloorState:
    """The state of a learned floor of one run, as checkpoints hold it."""

    fitted: Tensor  # [P] or [M, P] parameters of M networks after the fit, from which the dataset's column is computed
    learning: Mapping[str, Tensor]  # current parameters and moments (`BehaviourValue.state`)
    steps: int  # of the optimiser since the fit
    report: FitReport


@dataclass(frozen=True)
class Split:
    """What the M networks of one run may see, by trajectory: masks [M, E], except the folds and `reported`."""

    excluded: np.ndarray  # neither fitted nor held out
    held_out: np.ndarray  # for early stopping
    reported: np.ndarray  # [E] trajectories of the held-out error in the report: all outside the share to be used, too
    folds: np.ndarray  # [E] index of the only network that has not seen the trajectory; -1: the same for all networks

    @classmethod
    def of(cls, run: Run, successful: np.ndarray) -> "Split":
        """Draw the split of E trajectories, of which some are `successful` [E].

        Raises a UserError if there are too few trajectories.
        """
        settings, count = run.behaviour_value, len(successful)
        available = np.ones(count, dtype=bool)
        if settings.trajectories < 1.0:
            kept = min(max(2, round(settings.trajectories * count)), count)
            available[generator(run.seed, "floor_trajectories").permutation(count)[kept:]] = False
        usable = available & successful if settings.estimator == "success_only" else available
        folds = np.full(count, -1)
        networks = settings.networks
        if settings.estimator == "out_of_fold":
            _require(run, usable.sum() >= networks + 1, f"{usable.sum()} trajectories are too few for {networks} folds")
            order = generator(run.seed, "floor_folds").permutation(np.flatnonzero(usable))
            folds[order] = np.arange(len(order)) % networks
        elif settings.estimator == "success_only":
            _require(run, usable.sum() >= 2, f"only {usable.sum()} of the trajectories succeed; at least 2 must")
        excluded, held_out = [], []
        reported = np.zeros(count, dtype=bool)
        for network in range(networks):
            seen = usable & (folds != network) if settings.estimator == "out_of_fold" else usable
            # The members of an ensemble have the same held-out trajectories.
            rng = generator(run.seed, "floor_split", network if settings.estimator == "out_of_fold" else 0)
            excluded.append(~seen)
            held_out.append(_held_out(rng, seen, settings.held_out))
            if network == 0:
                reported = held_out[0] | _held_out(rng, available & ~usable, settings.held_out)
        if settings.estimator == "out_of_fold":
            reported = folds >= 0
        # A share is judged by the rest of the data: few trajectories held out of few say little.
        reported |= ~available
        return cls(np.stack(excluded), np.stack(held_out), reported, folds)


class LearnedFloors:
    """The learned floors of those runs of a pack that have one; M networks per run."""

    def __init__(self, runs: Mapping[int, Run], dataset: Dataset, transitions: Transitions, returns: Tensor):
        """Initialise the networks of `runs`, by their number in the pack, whose dataset has `returns` [R, N]."""
        self.runs = dict(runs)
        self.reports: dict[int, FitReport] = {}
        self._numbers = list(runs)
        self._settings = next(iter(runs.values())).behaviour_value
        self._networks = self._settings.networks
        self._transitions, self._dataset, self._returns = transitions, dataset, returns
        rows = dataset.rows
        self._trajectories = trajectory_numbers(rows.lengths)
        self._splits = [Split.of(run, self._successful(run)) for run in runs.values()]
        # A run's networks stand one after the other.
        excluded = np.concatenate([split.excluded for split in self._splits])[:, self._trajectories]
        self._excluded = torch.from_numpy(excluded) if excluded.any() else None
        normals = [normal_source(rng) for rng in self._generators("floor_init")]
        self._targets = returns.repeat_interleave(self._networks, dim=0)
        self.value = BehaviourValue(
            self._settings, transitions.dataset_states, self._targets, normals, excluded=self._excluded
        )
        self._fitted = self.value.parameters.flat.clone()

    def fit(self, store: FitStore | None = None) -> None:
        """Fit all networks, and report how well they predict.

        Runs with equal data, settings and seeds share one fit, with `store` also with other packs and workers.
        """
        keys = {number: fit_key(run, self._dataset.content_hash) for number, run in self.runs.items()}
        with store.reserved(keys.values()) if store else nullcontext():
            fits = store.load(keys.values()) if store else {}
            missing = {key: number for number, key in keys.items() if key not in fits}
            fitted = self._fitted_now(list(missing.values()), list(missing))
            if store:
                store.save(fitted)
        for number, key in keys.items():
            fit = fitted[key] if key in fitted else fits[key]
            self.value.parameters.flat[self._slice(number)] = fit.parameters
            self.reports[number] = fit.report
        self._fitted = self.value.parameters.flat.clone()

    def _fitted_now(self, numbers: Sequence[int], keys: Sequence[str]) -> dict[str, FloorFit]:
        """Fit the networks of some runs; returns their fits by key."""
        if not numbers:
            return {}
        places = [self._numbers.index(number) for number in numbers]
        part = self
        if numbers != self._numbers:
            runs = {number: self.runs[number] for number in numbers}
            part = LearnedFloors(runs, self._dataset, self._transitions, self._returns[places])
        part._fit()
        return {
            key: FloorFit(part._fitted[part._slice(number)].clone(), part.reports[number])
            for key, number in zip(keys, numbers, strict=True)
        }

    def _fit(self) -> None:
        held_out = np.concatenate([split.held_out for split in self._splits])[:, self._trajectories]
        batches = [uniform_source(rng) for rng in self._generators("floor_batch")]
        # Where the pack trains; the networks' values are asked for on the CPU.
        device = gpu.DEVICE if next(iter(self.runs.values())).algorithm.on_gpu else "cpu"
        value, successors = self.value.on(device), None
        if self._settings.estimator == "td":
            successors = self._successors().on(device)
        states, targets = self._transitions.dataset_states.to(device), self._targets.to(device)
        reports = value.fit(states, targets, torch.from_numpy(held_out), batches, self._excluded, successors)
        self.value.parameters.flat.copy_(value.parameters.flat)
        self._fitted = self.value.parameters.flat.clone()
        for place, number in enumerate(self._numbers):
            of_run = reports[place * self._networks : (place + 1) * self._networks]
            self.reports[number] = self._report(number, of_run)

    def restore_fit(self, states: Sequence[FloorState]) -> None:
        """Restore the parameters after the fit, one state per run."""
        for number, state in zip(self._numbers, states, strict=True):
            self.value.parameters.flat[self._slice(number)] = state.fitted
            self.reports[number] = state.report
        self._fitted = self.value.parameters.flat.clone()

    def restore_learning(self, states: Sequence[FloorState]) -> None:
        """Restore the parameters and moments from which learning continues."""
        for number, state in zip(self._numbers, states, strict=True):
            self.value.restore(self._slice(number).start, state.learning, self._networks)
            self.value.adam.count.steps = state.steps

    def state(self, number: int) -> FloorState:
        """The state of a run."""
        learning = self.value.state(self._slice(number).start, self._networks)
        fitted = self._fitted[self._slice(number)]
        if self._networks == 1:
            fitted = fitted[0]
        return FloorState(fitted, learning, self.value.adam.count.steps, self.reports[number])

    def values(self, number: int, states: Tensor) -> Tensor:
        """The estimates [T] of a run at states [T, S], combined over its networks."""
        members = range(self._networks)
        return self._combined(torch.stack([self._of_network(number, member, states) for member in members]))

    def _combined(self, estimates: Tensor) -> Tensor:
        """The estimate [...] of the networks [M, ...] of a run: their mean, or a lower bound."""
        if len(estimates) == 1:
            return estimates[0]
        mean = estimates.mean(0)
        lowered = self._settings.estimator == "ensemble" and self._settings.deviations
        return mean - self._settings.deviations * estimates.std(0, correction=0) if lowered else mean

    def dataset_values(self, number: int, others: Tensor | None = None) -> Tensor:
        """The estimates [N] for the dataset; out of fold, each by the network that has not seen its trajectory.

        With `others`, for the states of a dataset to which no network was fitted.
        """
        if others is not None:
            return self.values(number, others)
        states = self._transitions.dataset_states
        if self._settings.estimator != "out_of_fold":
            return self.values(number, states)
        folds = torch.from_numpy(self._splits[self._numbers.index(number)].folds[self._trajectories])
        estimates = torch.empty(len(states))
        for fold in folds.unique().tolist():
            rows = folds == fold
            if fold < 0:
                estimates[rows] = self.values(number, states[rows])
            else:
                estimates[rows] = self._of_network(number, fold, states[rows])
        return estimates

    def learn(self, batch: Batch) -> Tensor:
        """One step on a batch of all runs; the new estimates [R, B] for its states.

        The rule of all estimators that keep learning: every network takes one step of the loss of its fit on the
        returns-to-go of the batch, which consists of completed episodes. Estimators with other targets, or whose
        networks may not see every trajectory, are refused before training (`ONLINE_ESTIMATORS`).
        """
        states = batch.states.repeat_interleave(self._networks, dim=0)
        self.value.step(states, batch.return_to_go.repeat_interleave(self._networks, dim=0))
        estimates = self.value.values(states).unflatten(0, (len(self.runs), self._networks))
        return self._combined(estimates.transpose(0, 1))

    def _of_network(self, number: int, member: int, states: Tensor) -> Tensor:
        return self.value.values(states[None], run=self._slice(number).start + member)[0]

    def _slice(self, number: int) -> slice:
        start = self._numbers.index(number) * self._networks
        return slice(start, start + self._networks)

    def _generators(self, stream: str) -> list[np.random.Generator]:
        return [generator(run.seed, stream, member) for run in self.runs.values() for member in range(self._networks)]

    def _successful(self, run: Run) -> np.ndarray:
        """Mask [E] of the trajectories with a reward other than the failure reward."""
        if run.task.failure_reward is None:
            return np.ones(len(self._dataset.rows.lengths), dtype=bool)
        starts = np.cumsum(self._dataset.rows.lengths) - self._dataset.rows.lengths
        return np.logical_or.reduceat(self._dataset.rows.rewards != np.float32(run.task.failure_reward), starts)

    def _successors(self) -> Successors:
        """What temporal differences need; the runs of a pack have one task."""
        rows, discount = self._dataset.rows, next(iter(self.runs.values())).task.discount
        rewards, terminated = torch.from_numpy(rows.rewards), torch.from_numpy(rows.terminated)
        parts = zip(*(column.split(rows.lengths.tolist()) for column in (rewards, terminated)), strict=True)
        sums = torch.cat([return_to_go(reward, ends, discount, "sum") for reward, ends in parts])
        dim = self._transitions.observation_dim
        boundaries = rows.terminated.copy()
        boundaries[np.cumsum(rows.lengths) - 1] = True
        places = np.flatnonzero(boundaries)
        ends = torch.from_numpy(places[np.searchsorted(places, np.arange(len(boundaries)))])
        return Successors(self._transitions.table[:, -dim - 1 : -1], terminated, ends, sums.double(), discount)

    def _report(self, number: int, of_networks: Sequence[FitReport]) -> FitReport:
        place, run = self._numbers.index(number), self.runs[number]
        report = of_networks[0]
        exact = exact_values(run.task)
        # Several networks, or held-out trajectories of which the report is not that of the fit.
        apart = (
            self._settings.estimator in ("out_of_fold", "ensemble", "success_only") or self._settings.trajectories < 1.0
        )
        if not apart and exact is None:
            return report
        estimates = self.dataset_values(number)
        if apart:
            reported = torch.from_numpy(self._splits[place].reported[self._trajectories])
            steps = max(part.steps for part in of_networks)
            report = FitReport.of(estimates[reported], self._returns[place][reported], steps)
        if exact is not None:
            truth = torch.from_numpy(exact.behaviour(self._transitions.dataset_states.double().numpy()))
            error = estimates.double() - truth
            bias, rmse = float(error.mean()), float(error.square().mean().sqrt())
            report = replace(report, exact_bias=bias, exact_rmse=rmse)
        return report


def _held_out(rng: np.random.Generator, usable: np.ndarray, share: float) -> np.ndarray:
    """Mask [E] of held-out trajectories: a share of the usable ones, at least one of them and never all."""
    candidates = np.flatnonzero(usable)
    count = max(0, min(max(1, round(share * len(candidates))), len(candidates) - 1))
    mask = np.zeros(len(usable), dtype=bool)
    mask[candidates[rng.permutation(len(candidates))[:count]]] = True
    return mask


def _require(run: Run, enough: bool, problem: str) -> None:
    if not enough:
        raise UserError(f"setting behaviour_value.estimator = {run.behaviour_value.estimator!r}: {problem}")
