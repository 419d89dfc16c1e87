"""Dataset cards: size, returns and floors of a dataset."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from algorithms.floors import return_to_go
from harness.data.dataset import Dataset
from harness.data.files import origins
from harness.settings import Task

# Bins of the histogram of returns.
BARS = 20

# Quantiles in summaries.
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class CardArrays:
    """The arrays behind a dataset card: E episodes, N transitions; rewards are mapped."""

    # [E] steps, sums of rewards, and whether the episode terminated (False: it was truncated).
    lengths: np.ndarray
    returns: np.ndarray
    terminated: np.ndarray
    # Monte Carlo floor [N] by the rule for truncated trajectories.
    floors: dict[str, np.ndarray]


def card_arrays(task: Task, dataset: Dataset) -> CardArrays:
    """The arrays of a dataset card, with a floor for each rule of `floor.truncation`.

    The rule "bootstrap" uses the value of failing for ever; it applies only to tasks with a failure reward.
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
    """The dataset card as plain JSON values; rewards, returns and floors are mapped.

    `success_share` is the fraction of episodes that terminated, which is at the goal; None for tasks whose score is a
    return. `truncated_share` is the fraction that was truncated.
    """
    arrays = arrays or card_arrays(task, dataset)
    terminated_share = float(arrays.terminated.mean())
    counts, edges = np.histogram(arrays.returns, bins=BARS)
    return {
        "task": task.name,
        "id": dataset.id,
        "files": origins(task),
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
