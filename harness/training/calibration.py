"""Two-sided calibration: whether Q lies between the values of the behaviour policy and of the learned policy."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from algorithms.settings import BehaviourValueSettings, FloorSettings
from harness.data.dataset import Dataset
from harness.environments.families import exact_values
from harness.settings import Run
from harness.training.floor_columns import dataset_returns
from harness.training.floor_fits import FitStore
from harness.training.learned_floors import LearnedFloors
from harness.training.transitions import Transitions

# States [T, S] to values [T].
Values = Callable[[Tensor], Tensor]

# Lambda of the temporal differences that estimate the value.
TD_LAMBDA = 0.9


def behaviour_value(run: Run, dataset: Dataset, store: FitStore) -> Values | None:
    """V_mu as a function of states, the same for all runs on the same data; None if the run does not ask for it.

    Exact where the task's values are known, otherwise estimated as `schedule.calibration_value` says, with the default
    settings of the fit and seed 0. `store` shares the fit with other packs.
    """
    estimator = run.schedule.calibration_value
    if estimator == "none":
        return None
    exact = exact_values(run.task)
    if exact is not None:
        return lambda states: torch.from_numpy(exact.behaviour(states.double().numpy())).to(states.dtype)
    fit = BehaviourValueSettings(estimator=estimator, td_lambda=TD_LAMBDA if estimator == "td" else 0.0)
    common = replace(run, seed=0, floor=FloorSettings(), behaviour_value=fit)
    returns = dataset_returns(common, dataset)[None]
    floors = LearnedFloors({0: common}, dataset, Transitions(dataset, 1, capacity=0), returns)
    floors.fit(store)
    return lambda states: floors.values(0, states)


def calibration_shares(q: Tensor, behaviour: Tensor, policy: Tensor) -> dict[str, float]:
    """Shares of T states from Q(s, pi(s)), V_mu(s) and V_pi(s), each [T].

    calibrated_share: V_mu <= Q <= V_pi. below_behaviour_share: Q < V_mu. above_policy_share: Q > V_pi. Where the
    learned policy is worse than the behaviour policy, Q may be on the wrong side of both.
    """
    below, above = q < behaviour, q > policy
    return {
        "calibrated_share": float((~below & ~above).float().mean()),
        "below_behaviour_share": float(below.float().mean()),
        "above_policy_share": float(above.float().mean()),
    }
