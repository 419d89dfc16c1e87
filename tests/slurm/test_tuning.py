"""A study on a cluster: its batches are arrays, and a driver that went away finds its trials in the queue."""

from dataclasses import replace

import pytest

from ablations.commands import submit as launching
from ablations.commands.submit import on_cluster
from ablations.studies import study_of
from harness.folders.run_folder import run_folders
from harness.settings import with_settings
from harness.tuning.driver import searches
from harness.tuning.storage import folder_of, open_storage
from results.commands.tune import tune_study
from slurm import submissions
from tests.support.slurm.grids import FIELDS

pytestmark = pytest.mark.slurm

SHORT = {"schedule.offline_steps": 30, "schedule.online_steps": 30, "schedule.evaluation_episodes": 1}


def short_study():
    study = study_of("smoke")
    return replace(study, runs=tuple(with_settings(run, SHORT) for run in study.runs if run.arm == "cql"))


def test_a_study_is_computed_by_arrays_and_taken_up_in_the_queue(at_cluster, tmp_path, monkeypatch):
    profile = tmp_path / "profile.toml"
    profile.write_text("".join(f"{name} = {value!r}\n" for name, value in FIELDS.items()))
    study, root = short_study(), tmp_path / "root"
    launch = on_cluster(str(profile), "tune smoke")

    def go_away(runs, place, watch):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(launching, "wait_for", go_away)
        assert tune_study(study, root, launch, None, trials=4, batch=2) == 130
    assert tune_study(study, root, launch, None, trials=4, batch=2) == 0
    folder = folder_of(root, study.name)
    (search,) = searches(study, folder, open_storage(folder)).values()
    assert [trial.state.name for trial in search.study.trials] == ["COMPLETE"] * 4
    folders = list(run_folders(folder / "runs"))
    assert [each.status()["state"] for each in folders] == ["done"] * 12
    assert {each.provenance()["attempts"][0]["launcher"].split()[0] for each in folders} == {"slurm"}
    # One array per batch: the second command submitted nothing that was in the queue.
    arrays = [array for each in submissions.submissions(folder / "runs") for array in each.arrays]
    assert sum(len(pack) for array in arrays for task in array.tasks for pack in task) == 12
