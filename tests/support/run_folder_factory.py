"""Synthetic run folders in the true format, so that what reads them can be tested without training.

The curves are made up, but shaped like the real ones: every number of a row and of the summary is derived from the
same curve, so tables and figures can be checked against each other.
"""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from harness.environments.families import WINDING_ROAD
from harness.files import write_json
from harness.folders.attempts import latest_attempt
from harness.folders.run_folder import RunFolder
from harness.metrics import TRUTH
from harness.settings import Run
from harness.training.evaluation import summarise

# Per arm: score at the end of offline, depth of the dip, and mean Q minus return-to-go when offline training ends.
SHAPES = {
    "cql": (0.45, 0.35, -38.0),
    "monte_carlo": (0.75, 0.05, 4.0),
    "learned": (0.72, 0.08, 5.0),
    "exact": (0.74, 0.05, 3.0),
    "deflated_0.25": (0.65, 0.15, -12.0),
    "inflated_0.25": (0.6, 0.15, 22.0),
    "inflated_0.5": (0.45, 0.15, 40.0),
    "inflated_1": (0.2, 0.1, 80.0),
    "naive_truncation": (0.6, 0.15, 20.0),
}
RETURN_TO_GO = -52.0
RANGE = 95.0


def write_done(root: Path, runs: Iterable[Run]) -> list[RunFolder]:
    """Finished folders for `runs`."""
    folders = []
    for run in runs:
        folder = begin(root, run)
        rows = metrics(run)
        folder.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        folder.write_status("done")
        folder.finish(summary(run, rows))
        folder.end_attempt("done")
        folders.append(folder)
    return folders


def begin(root: Path, run: Run) -> RunFolder:
    """A folder whose run has just started."""
    folder = RunFolder.of(root, run)
    folder.create(run)
    lasting = {
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "difference": None,
        "packages": {"torch": "2.13.0", "mujoco": "3.3.7"},
        "machine": {"processor": "a processor", "cores": 2},
    }
    folder.begin_attempt({**lasting, "launcher": "local pool"})
    folder.record_provenance({**lasting, "dataset": "89abcdef01234567"})
    folder.write_status("running", phase="offline", step=0)
    return folder


def fail(root: Path, run: Run, reason: str) -> RunFolder:
    """A folder whose run stopped with `reason`."""
    folder = begin(root, run)
    folder.write_status("failed", reason=reason)
    folder.end_attempt(f"failed: {reason}")
    return folder


def lose(root: Path, run: Run) -> RunFolder:
    """A folder whose run had its last heartbeat an hour ago."""
    folder = begin(root, run)
    long_ago = time.time() - 3600
    os.utime(folder.attempt.file, (long_ago, long_ago))
    return folder


def steps_of(run: Run) -> list[tuple[int, int]]:
    """Offline and online step of every evaluation: dense right after the switch."""
    schedule = run.schedule
    offline = [(step, 0) for step in range(0, schedule.offline_steps + 1, schedule.offline_interval)]
    online = [*range(schedule.dense_interval, schedule.dense_steps + 1, schedule.dense_interval)]
    online += range(
        schedule.dense_steps + schedule.online_interval, schedule.online_steps + 1, schedule.online_interval
    )
    return offline + [(schedule.offline_steps, step) for step in online]


def metrics(run: Run) -> list[dict[str, Any]]:
    """The rows of a run."""
    score_end, dip, gap = SHAPES.get(run.arm, (0.5, 0.1, 0.0))
    random = np.random.default_rng([run.seed, len(run.arm)])
    score_end += 0.1 * random.standard_normal()
    gap += 3.0 * random.standard_normal()
    floor = None if run.floor.base == "none" else RETURN_TO_GO + RANGE * run.floor.inflation
    schedule = run.schedule
    rows = []
    for offline_step, online_step in steps_of(run):
        done = offline_step / max(schedule.offline_steps, 1)
        since = online_step / max(schedule.online_steps, 1)
        back = 1 - np.exp(-6 * since)
        mean = score_end * done**0.5 + (0.95 - score_end) * back - dip * 9 * since * np.exp(-9 * since) * np.e / 2
        episodes = schedule.evaluation_episodes
        score = random.binomial(episodes, np.clip(mean, 0, 1)) / episodes
        q_policy = float((RETURN_TO_GO + gap) * done**0.5 * (1 - back) + (RETURN_TO_GO + 8) * back + random.normal())
        trained = online_step // 60
        rows.append(
            {
                "phase": "online" if online_step else "offline",
                "offline_step": offline_step,
                "online_step": online_step,
                "updates": offline_step + online_step * schedule.updates_per_step,
                "score": score,
                "episode_return": -300.0 + 250.0 * score,
                "episode_length": 300.0 - 250.0 * score,
                "critic_loss": None if offline_step == 0 else 4.0 * (2 - done),
                "bound_rate_current": None if floor is None or offline_step == 0 else bound_rate(run, q_policy, floor),
                "q_data": q_policy + 1.5,
                "q_policy": q_policy,
                "q_uniform": q_policy - 2.0,
                "floor_mean": floor,
                "below_floor": None if floor is None else float(q_policy < floor),
                "return_to_go": RETURN_TO_GO,
                "calibration_data": q_policy - RETURN_TO_GO,
                "calibration_policy": q_policy + 100 * (1 - score),
                **against_truth(run, q_policy, score),
                "train_episodes": trained,
                "train_successes": int(trained * np.clip(mean, 0, 1)),
            }
        )
    return rows


def bound_rate(run: Run, q_policy: float, floor: float) -> float:
    """Synthetic: the bound rate rises with the dose and with the distance from the values to the floor."""
    return float(np.clip(0.3 + 0.4 * run.floor.inflation + 0.01 * (floor - q_policy), 0, 1))


def against_truth(run: Run, q_policy: float, score: float) -> dict[str, float | None]:
    """Differences to synthetic exact values for tasks that have them; empty for others."""
    if run.task.environment != WINDING_ROAD:
        return dict.fromkeys(TRUTH)
    policy = RETURN_TO_GO + 10.0 * score
    error = None if run.floor.base == "none" else RANGE * run.floor.inflation
    values = (q_policy - RETURN_TO_GO, q_policy - policy, 10.0 * (1.0 - score), error, error)
    return dict(zip(TRUTH, values, strict=True))


def summary(run: Run, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The contents of `done.json` that training writes for these rows."""
    learned = {"held_out_rmse": 3.0 + 0.25 * run.seed, "held_out_r2": 0.96, "steps": 900}
    floor = learned if run.floor.base == "learned" else None
    return {**summarise(rows, run.schedule), "learned_floor": floor}


def spend(folder: RunFolder, wall: float, pack: int, seconds: dict[str, float], processor: float) -> None:
    """Change what the last attempt has recorded: wall-clock time, size of the pack, processor time by part and all."""
    attempt = latest_attempt(folder.path)
    assert attempt is not None
    ended = attempt.details["started"] + wall
    used = {"ended": ended, "pack_size": pack, "seconds": seconds, "processor_seconds": processor}
    write_json(attempt.file, {**attempt.details, **used})
