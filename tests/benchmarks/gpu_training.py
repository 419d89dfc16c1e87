"""Phases of gpu-check that train runs: byte-identical metrics however they are trained, and the seconds of acting."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from ablations.grids import runs_of
from harness.data.dataset import ensure_dataset, load_dataset
from harness.folders.checkpoint import Position
from harness.launching.planner import commit
from harness.settings import Run, with_settings
from harness.training.recording import starting_points
from harness.training.timing import CHECKPOINT_VARIABLE, Stop
from harness.training.training import PackTraining, train_pack
from tests.support.packs import SHORT, interrupt

ROOT = Path(__file__).parents[2]

# The update at which half of a pack is cancelled, and the environment steps that are timed.
CANCELLED_AT, STEPS = 33, 20

# Runs of the pack that acts, as many as fit into a pack by default; in the tiny check two.
ACTING = 64


def settings(device: str) -> dict[str, Any]:
    """What is changed of the grid smoke."""
    return {**SHORT, "algorithm.kernel": "torch" if device == "cpu" else "cuda"}


def training(device: str, tiny: bool) -> Iterator[dict[str, Any]]:
    """The grid smoke whole, interrupted, half cancelled, and in two workers on one GPU: the same metrics."""
    changes = settings(device)
    with tempfile.TemporaryDirectory() as folder:
        roots = {name: Path(folder) / name for name in ("whole", "interrupted", "cancelled", "two workers")}
        began = time.monotonic()
        train(roots["whole"], changes)
        seconds = time.monotonic() - began
        expected = metrics(roots["whole"])
        yield {"runs": len(expected), "seconds_whole": seconds}

        first = subprocess.Popen(command(roots["interrupted"], changes), cwd=ROOT,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        time.sleep(0.7 * seconds)
        first.send_signal(signal.SIGTERM)
        was_done = not first.wait()
        train(roots["interrupted"], changes)
        compare("after an interruption", metrics(roots["interrupted"]), expected)
        yield {"interrupted": "equal, but it was done before" if was_done else "equal"}

        left = cancel_half(roots["cancelled"], [with_settings(run, changes) for run in runs_of("smoke")])
        compare("after half of the pack was cancelled", left, {id: expected[id] for id in left})
        yield {"half_cancelled": f"equal ({len(left)} runs are left)"}

        train(roots["two workers"], changes, "--workers", "2", "--pack", str(len(expected) // 2))
        compare("in two workers on one GPU", metrics(roots["two workers"]), expected)
        yield {"two_workers": "equal"}


def command(root: Path, changes: dict[str, Any], *options: str) -> list[str]:
    """The command that trains the grid smoke."""
    parts = [part for name, value in changes.items() for part in ("--set", f"{name}={value}")]
    return [sys.executable, "-m", "floorbench", "run", "smoke", *parts, "--root", str(root), *options]


def train(root: Path, changes: dict[str, Any], *options: str) -> None:
    """Train the grid smoke on the first visible GPU; raises RuntimeError with what the command has said."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    done = subprocess.run(
        command(root, changes, *options), capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": visible},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {(done.stdout + done.stderr)[-1_500:]}")


def cancel_half(root: Path, runs: Sequence[Run]) -> dict[str, bytes]:
    """Train runs as one pack here, half of which is cancelled; the metrics of the others."""
    folders = commit(runs, root)
    half = folders[: len(folders) // 2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CHECKPOINT_VARIABLE, "0")
        patch.setattr("harness.training.pack.STATUS_INTERVAL", 0.0)
        interrupt(patch, CANCELLED_AT, lambda: [folder.cancel("gpu-check") for folder in half])
        train_pack(folders)
    states = [folder.status()["state"] for folder in folders]
    if states != ["cancelled"] * len(half) + ["done"] * (len(folders) - len(half)):
        raise RuntimeError(f"states after half of the pack was cancelled: {' '.join(states)}")
    return {folder.id: folder.metrics_file.read_bytes() for folder in folders[len(half) :]}


def metrics(root: Path) -> dict[str, bytes]:
    """The metrics of every run by its id."""
    return {file.parent.name: file.read_bytes() for file in sorted(root.glob("*/metrics.jsonl"))}


def compare(when: str, repeated: dict[str, bytes], expected: dict[str, bytes]) -> None:
    """Raise RuntimeError if the metrics of any run differ, or if there are none."""
    unequal = [id for id in {**expected, **repeated} if repeated.get(id) != expected.get(id)]
    if unequal or not expected:
        raise RuntimeError(f"other metrics {when}: {' '.join(unequal) or 'no runs'}")


def acting(device: str, tiny: bool) -> Iterator[dict[str, Any]]:
    """Seconds of a call of `act`, of an evaluation and of an online step with its update, for a pack of R runs."""
    changes = {**settings(device), **({} if tiny else {"task.horizon": 300, "schedule.evaluation_episodes": 5})}
    first = runs_of("smoke")[0]
    count = 2 if tiny else ACTING
    runs = [with_settings(first, {**changes, "seed": seed}) for seed in range(count)]
    ensure_dataset(runs[0].task)
    wait = torch.cuda.synchronize if device != "cpu" else lambda: None
    with tempfile.TemporaryDirectory() as folder:
        (point,) = starting_points(commit(runs, Path(folder)))
        pack = PackTraining(point, load_dataset(runs[0].task), Stop())
        learner = pack.learner
        states = torch.zeros(count, 1, pack.transitions.observation_dim)

        def evaluate() -> None:
            pack.evaluator.evaluate(learner, pack.pack.live)

        def online_step() -> None:
            pack.online_step()
            step = pack.pack.position.online_step + 1
            pack.pack.position = Position(runs[0].schedule.offline_steps, step, evaluated=True)
            wait()

        learner.act(states)
        result = {"runs": count, "act": seconds_of(lambda: learner.act(states), 2 if tiny else 200)}
        yield result
        evaluate()
        yield {"evaluation": seconds_of(evaluate, 1)}
        # The updates of the offline phase are made up for in the first step.
        pack.switch()
        online_step()
        yield {"online_step": seconds_of(online_step, 2 if tiny else STEPS)}


def seconds_of(action: Any, repeats: int) -> float:
    """Mean seconds of an action that waits for the GPU."""
    began = time.perf_counter()
    for _ in range(repeats):
        action()
    return (time.perf_counter() - began) / repeats
