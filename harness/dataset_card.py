"""A dataset's card: what is in it, in the numbers that decide how a floor behaves."""

from typing import Any

import numpy as np
import torch

from algorithms.returns import return_to_go
from harness.dataset import Dataset
from harness.settings import Task


def dataset_card(task: Task, dataset: Dataset) -> dict[str, Any]:
    """The card as plain JSON values; rewards, returns and returns-to-go are mapped.

    `success_share` counts the episodes that ended by themselves (at the goal), `truncated_share` those that were cut.
    The return-to-go follows the failure rule where the task has a failure reward.
    """
    trajectories = dataset.trajectories
    lengths = np.array([len(trajectory) for trajectory in trajectories])
    successes = np.array([trajectory.terminated[-1] for trajectory in trajectories])
    returns = np.array([trajectory.rewards.sum(dtype=np.float64) for trajectory in trajectories])
    returns_to_go = torch.cat([
        return_to_go(
            torch.from_numpy(trajectory.rewards),
            torch.from_numpy(trajectory.terminated),
            task.discount,
            failure_reward=task.failure_reward,
        )
        for trajectory in trajectories
    ]).numpy()  # fmt: skip
    return {
        "task": task.name,
        "id": dataset.id,
        "content_hash": dataset.content_hash,
        "episodes": len(trajectories),
        "transitions": dataset.transitions,
        "success_share": float(successes.mean()),
        "truncated_share": float(1.0 - successes.mean()),
        "episode_length": {
            "min": int(lengths.min()), "median": float(np.median(lengths)), "max": int(lengths.max()),
        },
        "mean_return": float(returns.mean()),
        "return_to_go": {
            "mean": float(returns_to_go.mean(dtype=np.float64)),
            "min": float(returns_to_go.min()),
            "max": float(returns_to_go.max()),
        },
    }  # fmt: skip
