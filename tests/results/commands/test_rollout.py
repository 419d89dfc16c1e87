"""`floorbench rollout` on a real finished run: scores, other seeds, videos, and what is refused."""

import json
import os
import subprocess
import sys
from ctypes.util import find_library

import imageio.v3
import numpy as np
import pytest

from ablations.grids import runs_of
from harness.data.dataset import ensure_dataset
from harness.environments.environment import Environment
from harness.errors import UserError
from harness.launching.planner import commit
from harness.settings import with_settings
from harness.tasks.registry import base_run
from harness.training.training import train_pack
from results.rollouts import filmed, score_interval
from tests.support.command_line import call_here, only_line
from tests.support.run_folder_factory import write_done

SHORT = {"schedule.offline_steps": 100, "schedule.online_steps": 40, "task.horizon": 40, "task.data.transitions": 300}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    run = with_settings(runs_of("smoke")[0], SHORT)
    ensure_dataset(run.task)
    (folder,) = commit([run], tmp_path_factory.mktemp("root"))
    train_pack([folder])
    return folder


def rollout(folder, capsys, *arguments, code=0):
    return call_here(capsys, "rollout", folder.id[:8], "--root", folder.path.parent, *arguments, code=code)


def test_the_episodes_of_the_evaluations_have_the_final_score(folder, capsys):
    shown = json.loads(rollout(folder, capsys, "--json").stdout)
    assert (shown["run"], shown["episodes"], shown["episode_seed"]) == (folder.id, 2, None)
    assert shown["score"] == folder.summary()["final_score"]
    assert shown["return"] == folder.metrics()[-1]["episode_return"]
    assert shown["lengths"] == [40, 40] or shown["score"] > 0


def test_other_seeds_do_not_touch_the_run_folder(folder, capsys):
    files = {path: path.stat().st_mtime_ns for path in folder.path.parent.rglob("*")}
    out = rollout(folder, capsys, "--episodes", 5, "--seed", 3, "--sample").stdout
    assert "episodes of seed 3, sampled actions" in out
    assert "episodes: 5; mean return" in out
    assert {path: path.stat().st_mtime_ns for path in folder.path.parent.rglob("*")} == files


def test_intervals_by_hand():
    wilson = score_interval([1.0, 1.0, 0.0, 1.0])
    # (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n) with p = 0.75, n = 4, z = 1.96.
    assert (wilson.mean, wilson.method) == (0.75, "Wilson, 95%")
    assert (wilson.low, wilson.high) == (pytest.approx(0.3006, abs=1e-4), pytest.approx(0.9544, abs=1e-4))
    assert score_interval([0.0] * 10).low == 0.0
    fractions = score_interval([0.25, 0.5, 0.75])
    assert (fractions.mean, fractions.method) == (0.5, "t, 95%")


# A process without a display and without a library for rendering.
ROLLOUT = [sys.executable, "-m", "floorbench", "rollout"]


def test_what_rendering_needs_is_said_in_one_line(folder, tmp_path):
    arguments = [*ROLLOUT, folder.id, "--root", str(folder.path.parent), "--video", str(tmp_path / "a.mp4")]
    environment = {**os.environ, "MUJOCO_GL": "glfw"}
    environment.pop("DISPLAY", None)
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment)
    assert done.returncode == 2, done.stderr
    assert "PointMaze_UMaze-v3: cannot be rendered here" in done.stderr
    assert "and MUJOCO_GL=egl or osmesa" in only_line(done)
    assert list(tmp_path.iterdir()) == []


def test_bad_files_and_tasks_without_pictures_are_refused(folder, tmp_path):
    (tmp_path / "there.mp4").write_text("")
    with (
        pytest.raises(UserError, match=r"there.mp4: exists; name another file"),
        filmed(folder.run().task, tmp_path / "there.mp4"),
    ):
        pass
    road = base_run("winding-road", "demo", seed=0).task
    with pytest.raises(UserError, match="cannot be rendered as pictures"), filmed(road, tmp_path / "road.mp4"):
        pass


def test_episodes_are_filmed(folder, tmp_path, monkeypatch, capsys):
    """With made-up pictures, because not every machine can render."""
    monkeypatch.setattr(Environment, "frame", lambda self: np.full((64, 96, 3), 5 * self._steps, np.uint8))
    shown = json.loads(rollout(folder, capsys, "--video", tmp_path / "two.mp4", "--json").stdout)
    pictures = imageio.v3.imread(tmp_path / "two.mp4")
    # A frame for every state: one more than steps, in every episode.
    assert pictures.shape == (sum(shown["lengths"]) + 2, 64, 96, 3)
    assert shown["score"] == folder.summary()["final_score"]


def test_mujoco_draws_the_episodes(folder, tmp_path):
    library = next((name for name in ("osmesa", "egl") if find_library({"osmesa": "OSMesa", "egl": "EGL"}[name])), None)
    if library is None:
        pytest.skip("neither OSMesa nor EGL is installed (packages libosmesa6, libegl1)")
    arguments = [
        *ROLLOUT,
        folder.id,
        "--root",
        str(folder.path.parent),
        "--episodes",
        "2",
        "--video",
        str(tmp_path / "a.mp4"),
        "--json",
    ]
    environment = {**os.environ, "MUJOCO_GL": library}
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    pictures = imageio.v3.imread(tmp_path / "a.mp4").astype(int)
    assert len(pictures) == sum(json.loads(done.stdout)["lengths"]) + len(json.loads(done.stdout)["lengths"])
    # The maze has several colours, and its ball moves.
    assert len(np.unique(pictures[0].reshape(-1, 3), axis=0)) > 10
    assert np.abs(pictures[0] - pictures[len(pictures) // 2]).max() > 50


def test_a_run_without_a_checkpoint_is_refused(folder, tmp_path, capsys):
    write_done(tmp_path, [folder.run()])
    done = call_here(capsys, "rollout", folder.id, "--root", tmp_path, code=2)
    assert "keeps no checkpoint, so its policy is gone" in only_line(done)
