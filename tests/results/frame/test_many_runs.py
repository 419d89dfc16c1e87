"""Ten thousand runs of forty evaluations: all of them are gathered, none twice, in less than 2 GB."""

import os
import resource
import subprocess
import sys
from dataclasses import replace

import pytest

from ablations.arms import ARMS
from ablations.axes import grid
from harness.settings import with_settings
from results import gather
from tests.support.run_folder_factory import steps_of, write_done

TASKS = ("pointmaze-umaze", "pointmaze-medium", "pointmaze-large", "winding-road")
SEEDS = 250
FORTY = {
    "schedule.offline_steps": 10_000, "schedule.offline_interval": 1_000, "schedule.online_steps": 19_000,
    "schedule.dense_interval": 500, "schedule.dense_steps": 10_000, "schedule.online_interval": 1_000,
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The folders; nothing in them has to survive a power failure."""
    folder = tmp_path_factory.mktemp("many")
    first = [with_settings(run, FORTY) for run in grid(TASKS, list(ARMS)[:10], range(1), "demo")]
    assert len(steps_of(first[0])) == 40
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        for seed in range(SEEDS):
            write_done(folder, [replace(run, seed=seed) for run in first])
    return folder


@pytest.mark.slow
def test_every_run_and_evaluation_is_gathered_twice_the_same(root):
    frames = gather(root)
    assert len(frames.runs) == frames.runs["run"].nunique() == 10_000 == len(frames.provenance)
    assert (frames.evaluations.groupby("run").size() == 40).all()
    assert (frames.runs.groupby(["task", "arm"])["seed"].nunique() == SEEDS).all()
    again = gather(root)
    assert again.evaluations.equals(frames.evaluations)
    assert again.runs["run"].tolist() == frames.runs["run"].tolist()


@pytest.mark.slow
def test_a_report_on_them_needs_less_than_two_gigabytes(root, tmp_path):
    command = [sys.executable, "-m", "floorbench", "report", "--root", root, "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "tables" / "scores.csv").read_text().splitlines()
    counts = {line.split(",")[6] for line in table[1:] if ",final_score," in line}
    assert counts == {str(SEEDS)}
    # Kilobytes, of the largest child so far.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2e6
