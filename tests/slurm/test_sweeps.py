"""A user's own sweep on a cluster: a grid file with an extension, whose metrics are passed on to a tracker."""

import json

import pytest

from harness import extensions
from harness.folders.run_folder import run_folders
from slurm import submissions
from tests.support.command_line import call
from tests.support.slurm.grids import FIELDS, report, wait_for_end

pytestmark = pytest.mark.slurm

EXTENSION = """
from ablations.arms import Arm
from floorbench import register

def third(inputs):
    return inputs.return_to_go / 3

register.floor("third", third)
register.arm("third", Arm({"floor.base": "third"}, label="Cal-QL, a third of the floor"))
"""

GRID = """
tasks = ["winding-road"]
arms = ["third"]
seeds = "0-1"
extensions = ["../thirds.py"]

[settings]
task.data.transitions = 300
schedule.offline_steps = 30
schedule.offline_interval = 15
schedule.online_steps = 30
schedule.evaluation_episodes = 1
"""


def test_a_floor_of_a_users_file_trains_on_a_cluster_and_its_metrics_are_tracked_there(at_cluster, tmp_path, capsys):
    root, grid = tmp_path / "root", tmp_path / "grids" / "mine.toml"
    grid.parent.mkdir()
    grid.write_text(GRID)
    extension = tmp_path / "thirds.py"
    extension.write_text(EXTENSION)
    profile = tmp_path / "profile.toml"
    profile.write_text("".join(f"{name} = {value!r}\n" for name, value in {**FIELDS, "runs_per_pack": 1}.items()))
    arguments = (grid, "--cluster", profile, "--root", root, "--yes", "--no-shared-prefix", "--tracker", "jsonl")
    # In a process of its own, which knows the extension only from the grid file.
    call("submit", *arguments)
    # The file travels with the runs.
    extension.unlink()
    wait_for_end(root)

    (submission,) = submissions.submissions(root)
    assert submission.name.endswith("-mine")
    folders = list(run_folders(root))
    assert [folder.status()["state"] for folder in folders] == ["done"] * 2, report([], root)
    (kept,) = (root / extensions.FOLDER).iterdir()
    assert kept.read_text() == EXTENSION
    for folder in folders:
        settings = json.loads((folder.path / "config.json").read_text())
        (label,) = settings["extensions"]
        name, _, digest = label.partition("@")
        assert (name, settings["floor"]["base"]) == ("thirds", "third")
        assert folder.provenance()["extensions"]["thirds"] == digest
        assert folder.provenance()["attempts"][0]["launcher"].startswith("slurm ")
        first = next(row for row in folder.metrics() if row["floor_mean"] is not None)
        assert first["floor_mean"] == pytest.approx(first["return_to_go"] / 3, rel=1e-5)

    # Every array task has written the rows of its run, once.
    files = sorted((root / "tracking" / "jsonl").iterdir())
    assert [file.name for file in files] == [f"{submission.name}-0-{task}.jsonl" for task in range(2)]
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert {(line["group"], line["arm"]) for line in lines} == {("mine", "third")}
    tracked = {folder.id: [line["updates"] for line in lines if line["run"] == folder.id] for folder in folders}
    assert tracked == {folder.id: [row["updates"] for row in folder.metrics()] for folder in folders}
    done = call("track", root, "--tracker", "jsonl")
    assert "0 rows of 2 runs" in done.stderr
