"""Memory of workers by pack size, at the shape of the demo, and the memory of an additional run."""

import os
import subprocess
import sys

import pytest

from harness.data.dataset import ensure_dataset
from harness.launching.planner import commit
from harness.settings import with_settings
from harness.tasks.registry import base_run

pytestmark = pytest.mark.benchmark

PACKS = (1, 4, 16, 64)

# Long enough to use all buffers of updates, episodes and evaluations. An online transition of the demo takes another
# 72 bytes.
SCHEDULE = {
    "schedule.offline_steps": 200,
    "schedule.online_steps": 100,
    "schedule.evaluation_episodes": 2,
}

# In bytes per run, without the dataset, which all processes share.
LIMIT = 40 * 2**20


def worker_memory(root, runs):
    """Peak memory in bytes of a worker that trains a pack of `runs` runs."""
    seeds = [with_settings(base_run("pointmaze-medium", "demo", seed), SCHEDULE) for seed in range(runs)]
    folders = commit(seeds, root)
    command = [sys.executable, "-m", "harness.launching.worker", str(root), *(folder.id for folder in folders)]
    worker = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    _, status, used = os.wait4(worker.pid, 0)
    worker.returncode = os.waitstatus_to_exitcode(status)
    assert [folder.status()["state"] for folder in folders] == ["done"] * runs
    return used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def test_memory_of_a_packed_run(benchmark, capsys, tmp_path):
    """The reported time is that of all workers."""
    ensure_dataset(base_run("pointmaze-medium", "demo", 0).task)
    memory = benchmark.pedantic(lambda: {runs: worker_memory(tmp_path / str(runs), runs) for runs in PACKS}, rounds=1)
    per_run = (memory[PACKS[-1]] - memory[PACKS[0]]) / (PACKS[-1] - PACKS[0])
    benchmark.extra_info |= {"memory": memory, "memory_per_run": per_run}
    with capsys.disabled():
        by_pack = ", ".join(f"{runs} runs {peak / 2**20:,.0f} MB" for runs, peak in memory.items())
        print(f"\n{benchmark.name}: {by_pack}; {per_run / 2**20:.1f} MB per run")
    assert per_run < LIMIT
