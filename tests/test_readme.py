"""README and the pages of the folders are true: their code does what they say, their commands exist."""

import importlib
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ablations import claims
from ablations.arms import ARMS, with_arm
from ablations.exact import lab
from ablations.grids import GRIDS, runs_of
from ablations.studies import STUDIES, study_of
from algorithms.floors import FLOORS
from harness import extensions
from harness.data.dataset import ensure_dataset
from harness.environments.environment import gymnasium_environment
from harness.folders.run_folder import RunFolder
from harness.settings import with_settings
from harness.tasks.registry import DEMO, base_run
from harness.training.training import train_pack
from results.frame import evaluations, runs
from results.verdicts.decisions import judge_exact
from results.verdicts.runs import judge_runs
from tests.support.run_folder_factory import write_done

ROOT = Path(__file__).parents[1]
README = "\n".join((ROOT / place / "README.md").read_text() for place in (".", "ablations", "harness", "slurm"))
PAGES = [
    page
    for package in ("algorithms", "harness", "slurm", "ablations", "results")
    for page in (ROOT / package).rglob("*.md")
    if "templates" not in page.parts
] + [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
EXTENSION = ROOT / "examples" / "halved.py"
BLOCKS = re.findall(r"`([a-z_/]+)\.py`[^`]*:\n\n```python\n(.*?)```", README, re.DOTALL)

TINY = {
    "task.horizon": 40,
    "task.data.transitions": 200,
    "algorithm.policy_hidden": (8,),
    "algorithm.critic_hidden": (8,),
    "schedule.offline_steps": 10,
    "schedule.online_steps": 50,
    "schedule.evaluation_episodes": 1,
}


@pytest.fixture
def extended():
    """The project with README's extension loaded, and its grid and study entered, each in its own module."""
    registries = (FLOORS, ARMS, DEMO, GRIDS, STUDIES, extensions._loaded, extensions._owners)
    before = [dict(registry) for registry in registries]
    lab_claims, run_claims = lab.CLAIMS, claims.CLAIMS
    extensions.load_file(EXTENSION)
    for module, code in BLOCKS:
        exec(code, vars(importlib.import_module(module.replace("/", "."))))
    yield
    for registry, entries in zip(registries, before, strict=True):
        registry.clear()
        registry.update(entries)
    lab.CLAIMS, claims.CLAIMS = lab_claims, run_claims


def test_readme_adds_a_floor_an_arm_a_task_a_grid_a_study_and_claims(extended, tmp_path):
    assert [module for module, _ in BLOCKS] == [
        "ablations/grids",
        "ablations/studies",
        "ablations/exact/lab",
    ]
    shown = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(shown) == 4
    assert all(block in EXTENSION.read_text() for block in shown)
    assert judge_exact(lab.CLAIMS[-1:])[0].outcome == "supported"
    assert {run.arm for run in runs_of("halves")} == {"monte_carlo", "halved"}
    study_of("targets").check()
    folders = []
    for arm in ("monte_carlo", "halved"):
        run = with_settings(with_arm(base_run("pointmaze-open", "demo", seed=0), arm), TINY)
        folders.append(RunFolder.of(tmp_path, run))
        folders[-1].create(run)
    ensure_dataset(run.task)
    train_pack(folders)
    full, half = (folder.metrics()[-1] for folder in folders)
    assert folders[1].status()["state"] == "done"
    assert half["floor_mean"] == pytest.approx(0.5 * full["floor_mean"], rel=1e-5)
    (block,) = re.findall(
        r"```python\n(  from results import evaluate_policy, load_policy\n.*?)  ```", README, re.DOTALL
    )
    observation, _ = gymnasium_environment(run.task).reset(seed=0)
    names = {"observation": observation}
    exec(textwrap.dedent(block).replace("runs/<id>", str(folders[0].path)), names)
    assert names["actions"].shape == (2,)
    assert len(names["scores"]) == 100


def test_a_claim_of_readme_is_judged(extended, tmp_path):
    write_done(tmp_path, runs_of("floors"))
    frames = runs([tmp_path]), evaluations([tmp_path])
    (verdict,) = judge_runs(claims.CLAIMS[-1:], *frames)
    of_arm = frames[1].groupby("run").tail(1).groupby("arm")["episode_length"].mean()
    assert verdict.claim.id == "cal-ql-shorter-episodes"
    assert verdict.effect == pytest.approx(of_arm["monte_carlo"] - of_arm["cql"])


def test_every_command_of_readme_exists():
    commands = set(re.findall(r"^(?:\.venv/bin/)?floorbench (\w+)", README, re.MULTILINE))
    assert commands >= {"data", "plan", "run", "status", "report", "doctor"}
    for command in commands:
        arguments = [sys.executable, "-m", "floorbench", command, "--help"]
        assert subprocess.run(arguments, capture_output=True).returncode == 0, command
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE)) <= targets


def test_every_path_of_readme_exists():
    for path in re.findall(r"`((?:algorithms|harness|ablations|results|tests|examples)/[\w./]*)`", README):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("name", [str(page.relative_to(ROOT)) for page in PAGES])
def test_no_code_block_scrolls_sideways_on_github(name):
    # Width of the text: 766 px for the first page of a repository and 838 px for a file; a letter has 8.2 px.
    width = 88 if name == "README.md" else 96
    blocks = re.findall(r"^( *)```.*?\n(.*?)^ *```", (ROOT / name).read_text(), re.DOTALL | re.MULTILINE)
    assert [line for indent, block in blocks for line in block.splitlines() if len(line) > width - len(indent)] == []
