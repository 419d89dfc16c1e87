"""A study on a cluster: batches are arrays, and an interrupted driver finds its trials in the queue."""

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


def test_an_interrupted_study_resumes_with_its_queued_arrays(at_cluster, tmp_path, monkeypatch):
    profile = tmp_path / "profile.toml"
    profile.write_text("".join(f"{name} = {value!r}\n" for name, value in FIELDS.items()))
    study, root = short_study(), tmp_path / "root"
    launch = on_cluster(str(profile), "tune smoke")

    def interrupt(runs, place, watch):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(launching, "wait_for", interrupt)
        assert tune_study(study, root, launch, None, trials=4, batch=2) == 130
    assert tune_study(study, root, launch, None, trials=4, batch=2) == 0
    folder = folder_of(root, study.name)
    (search,) = searches(study, folder, open_storage(folder)).values()
    assert [trial.state.name for trial in search.study.trials] == ["COMPLETE"] * 4
    folders = list(run_folders(folder / "runs"))
    assert [item.status()["state"] for item in folders] == ["done"] * 12
    assert {item.provenance()["attempts"][0]["launcher"].split()[0] for item in folders} == {"slurm"}
    # One array per batch: the second command did not resubmit queued runs.
    arrays = [array for item in submissions.submissions(folder / "runs") for array in item.arrays]
    assert sum(len(pack) for array in arrays for task in array.tasks for pack in task) == 12
