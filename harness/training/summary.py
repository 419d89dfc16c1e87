"""What a finished run says in a few numbers: scores, regret, dip, recovery (definitions in the docstrings)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.settings import Schedule


def summarise(rows: Sequence[dict[str, Any]], schedule: Schedule) -> dict[str, Any]:
    """The summary of a run's metric rows; the last offline row is the switch."""
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
    """1 - mean score over the online phase, weighted by steps: the trapezoid rule over evaluations at `steps` [K].

    The first evaluation is the one at the switch. None without an online phase.
    """
    if len(steps) < 2:
        return None
    return float(1.0 - np.trapezoid(scores, steps) / (steps[-1] - steps[0]))


def regret_train(episodes: int, successes: int) -> float | None:
    """1 - mean success over finished online training episodes (CORL's regret); None if none was finished."""
    return 1.0 - successes / episodes if episodes else None


def dip(steps: np.ndarray, scores: np.ndarray, window: int) -> float:
    """Score at the switch minus the lowest evaluation in the first `window` online steps, at least 0."""
    return float(max(0.0, scores[0] - scores[steps <= window].min()))


def recovery_steps(steps: np.ndarray, scores: np.ndarray, window: int) -> int | None:
    """Environment steps from the switch until, after the lowest point of the window, the score is back.

    0 without a dip, None if the score at the switch is never reached again.
    """
    within = steps <= window
    lowest = int(np.argmin(scores[within]))
    if scores[lowest] >= scores[0]:
        return 0
    back = np.flatnonzero(scores[lowest:] >= scores[0])
    return int(steps[lowest + back[0]]) if len(back) else None
