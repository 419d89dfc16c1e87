"""A dataset's card: what is in it, in the numbers that decide how a floor behaves."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from algorithms.returns import return_to_go
from harness.data.dataset import Dataset
from harness.settings import Task

# Bars of the histogram of returns.
BARS = 20

# Shares of the transitions below which the quantiles of a floor lie.
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class CardArrays:
    """What the numbers of a card are made of: E episodes, N transitions; rewards are mapped."""

    # [E] steps, sums of rewards, and whether the episode ended by itself (not cut off).
    lengths: np.ndarray
    returns: np.ndarray
    terminated: np.ndarray
    # Rule for trajectories that are cut off -> Monte Carlo floor [N].
    floors: dict[str, np.ndarray]


def card_arrays(task: Task, dataset: Dataset) -> CardArrays:
    """The arrays of a task's card. Cut-off trajectories are continued by each rule of `floor.truncation`.

    The rule "bootstrap" takes failing for ever as the value of the state after the cut; only where failure has one.
    """
    rows = dataset.rows
    stops = np.cumsum(rows.lengths)
    starts = stops - rows.lengths
    rules: dict[str, dict[str, Any]] = {
        "failure_rule": {"truncation": "failure_rule", "failure_reward": task.failure_reward},
        "sum": {"truncation": "sum"},
    }
    if task.failure_reward is not None:
        failing = task.failure_reward / (1.0 - task.discount)
        rules["bootstrap"] = {"truncation": "bootstrap", "bootstrap_value": failing}
    rewards, terminated = (
        torch.from_numpy(column).split(rows.lengths.tolist()) for column in (rows.rewards, rows.terminated)
    )
    floors = {
        name: torch.cat([return_to_go(*part, task.discount, **rule) for part in zip(rewards, terminated, strict=True)])
        for name, rule in rules.items()
    }
    return CardArrays(
        lengths=rows.lengths,
        returns=np.add.reduceat(rows.rewards.astype(np.float64), starts),
        terminated=rows.terminated[stops - 1],
        floors={name: floor.numpy() for name, floor in floors.items()},
    )


def dataset_card(task: Task, dataset: Dataset, arrays: CardArrays | None = None) -> dict[str, Any]:
    """The card as plain JSON values; rewards, returns and floors are mapped.

    `success_share` counts the episodes that ended by themselves, which is at the goal; it is None for tasks whose
    score is a return. `truncated_share` counts those that were cut off.
    """
    arrays = arrays or card_arrays(task, dataset)
    terminated_share = float(arrays.terminated.mean())
    counts, edges = np.histogram(arrays.returns, bins=BARS)
    return {
        "task": task.name,
        "id": dataset.id,
        "content_hash": dataset.content_hash,
        "repairs": list(dataset.repairs),
        "episodes": len(arrays.lengths),
        "transitions": dataset.transitions,
        "observation_dim": dataset.observation_dim,
        "action_dim": dataset.action_dim,
        "success_share": terminated_share if task.reference_returns is None else None,
        "truncated_share": 1.0 - terminated_share,
        "episode_length": _spread(arrays.lengths),
        "episode_return": _spread(arrays.returns),
        "return_histogram": {"edges": edges.tolist(), "episodes": counts.tolist()},
        "floors": {name: _spread(floor) for name, floor in arrays.floors.items()},
    }


def _spread(values: np.ndarray) -> dict[str, float]:
    quantiles = np.quantile(values, QUANTILES)
    return {
        "mean": float(values.mean(dtype=np.float64)),
        "sd": float(values.std(dtype=np.float64)),
        "min": float(values.min()),
        **{f"q{100 * share:02.0f}": float(value) for share, value in zip(QUANTILES, quantiles, strict=True)},
        "max": float(values.max()),
    }
