"""A grid whose processes are killed at random moments ends with byte-identical metrics."""

import os
import random
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pytest

from ablations.grids import runs_of
from harness.folders.provenance import PROJECT
from harness.folders.run_folder import RunFolder
from harness.launching.planner import plan
from harness.training.timing import CHECKPOINT_VARIABLE
from tests.support.waiting import wait_until

KILLS = tuple(product(("launcher", "worker"), (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)))

# Duration of a worker as a fraction of the launcher's.
WORKER_FRACTION = 0.2

# Kills per grid before it may finish.
KILLS_PER_GRID = 5


def start(root):
    """`floorbench run smoke` with a checkpoint every tenth of a second."""
    command = [
        sys.executable,
        "-m",
        "floorbench",
        "run",
        "smoke",
        "--root",
        str(root),
        "--workers",
        "2",
        "--pack",
        "2",
    ]
    return subprocess.Popen(
        [*command, "--retry-failed"],
        env={**os.environ, CHECKPOINT_VARIABLE: "0.1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def workers_of(launcher):
    """The ids of its workers, without processes that other packages start."""
    try:
        children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    except OSError:
        return []
    return [int(child) for child in children if name_of(child).startswith("worker ")]


def name_of(process):
    """The name of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{process}/comm").read_text()
    except OSError:
        return ""


def kill(launcher, target, number, rng):
    """Send the signal; returns whether the process existed."""
    victims = [launcher.pid] if target == "launcher" else workers_of(launcher)
    if not victims:
        return False
    os.kill(rng.choice(victims), number)
    return True


def run_to_the_end(root, seconds=300):
    """Start the grid again until all runs are done; runs of orphaned workers are waited for."""
    deadline = time.monotonic() + seconds
    while plan(runs_of("smoke"), root).counts() != {"done": 4}:
        assert time.monotonic() < deadline, plan(runs_of("smoke"), root).counts()
        start(root).communicate(timeout=seconds)


def results(root):
    folders = [RunFolder.of(root, run) for run in runs_of("smoke")]
    return {folder.id: (folder.metrics_file.read_bytes(), folder.summary()) for folder in folders}


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """The results of an uninterrupted grid, and its duration in seconds, to which others are added."""
    root = tmp_path_factory.mktemp("untouched")
    began = time.monotonic()
    run_to_the_end(root)
    return results(root), [time.monotonic() - began]


def kill_and_compare(root, untouched, kills, seed):
    """Start the grid once per planned kill, at random moments, then let it finish and compare."""
    expected, durations = untouched
    rng = random.Random(seed)
    waiting = list(kills)
    while waiting:
        fresh, began = not root.exists(), time.monotonic()
        launcher = start(root)
        # The shortest: if the first grid was slow because the machine was busy, most kills would come too late.
        moment = rng.uniform(0.0, min(durations))
        if waiting[0][0] == "worker":
            # Workers exist for a small part of the time.
            wait_until(lambda launcher=launcher: workers_of(launcher) or launcher.poll() is not None)
            moment *= WORKER_FRACTION
        try:
            launcher.wait(moment)
            if fresh:
                durations.append(time.monotonic() - began)
        except subprocess.TimeoutExpired:
            if kill(launcher, *waiting[0], rng):
                waiting.pop(0)
        _, output = launcher.communicate(timeout=300)
        # Before the project's code is loaded, Python handles SIGINT itself.
        assert f'File "{PROJECT}' not in output or "KeyboardInterrupt" in output, output
        if plan(runs_of("smoke"), root).counts() == {"done": 4}:
            break
    run_to_the_end(root)
    assert results(root) == expected
    return len(kills) - len(waiting)


def test_every_kind_of_kill(tmp_path, untouched):
    kills = KILLS
    done, grid = 0, 0
    while done < len(kills):
        done += kill_and_compare(tmp_path / str(grid), untouched, kills[done : done + KILLS_PER_GRID], seed=grid)
        grid += 1


@pytest.mark.slow
def test_a_hundred_kills(tmp_path, untouched):
    rng = random.Random(0)
    kills = [rng.choice(KILLS) for _ in range(100)]
    done, grid = 0, 0
    while done < len(kills):
        wanted = kills[done : done + KILLS_PER_GRID]
        done += kill_and_compare(tmp_path / str(grid), untouched, wanted, seed=1000 + grid)
        grid += 1
        print(f"{grid} grids, {done} kills: all byte-identical", flush=True)
