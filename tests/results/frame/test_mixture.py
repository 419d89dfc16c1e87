"""Runs that must not be averaged are refused by name."""

import pytest

from ablations.grids import runs_of
from harness.errors import UserError
from harness.settings import SCHEMA_VERSION, with_settings
from results.frame import gather, runs
from tests.support.run_folder_factory import write_done


@pytest.fixture
def smoke():
    return runs_of("smoke")


def test_runs_that_differ_in_more_than_their_seed_are_not_averaged(tmp_path, smoke):
    other = with_settings(smoke[0], {"algorithm.alpha": 5.0, "seed": 9})
    write_done(tmp_path, [smoke[0], other])
    differ = rf"both pointmaze-umaze / cql but differ in algorithm\.alpha \({smoke[0].algorithm.alpha} and 5\.0\)"
    with pytest.raises(UserError, match=differ):
        runs([tmp_path])


def test_another_setting_between_arms_or_tasks_is_no_mixture(tmp_path, smoke):
    other_arm = with_settings(smoke[0], {"algorithm.alpha": 5.0, "arm": "strong"})
    other_task = with_settings(smoke[0], {"algorithm.alpha": 5.0, "task.name": "elsewhere"})
    write_done(tmp_path, [smoke[0], other_arm, other_task])
    assert len(runs(tmp_path)) == 3


def test_runs_on_different_data_are_not_compared(tmp_path, smoke):
    folders = write_done(tmp_path, smoke)
    folders[3].record_provenance({**folders[3].provenance(), "dataset": "f" * 16})
    both = f"runs ({smoke[0].id} and {smoke[3].id}|{smoke[3].id} and {smoke[0].id})"
    with pytest.raises(UserError, match=f"{both} are both of pointmaze-umaze but were computed on data of different"):
        gather(tmp_path)


def test_tasks_may_have_different_data_and_a_run_may_not_have_begun(tmp_path, smoke):
    elsewhere = with_settings(smoke[0], {"task.name": "elsewhere"})
    write_done(tmp_path, smoke)
    (folder,) = write_done(tmp_path, [elsewhere])
    folder.record_provenance({**folder.provenance(), "dataset": "f" * 16})
    planned = with_settings(smoke[0], {"seed": 8})
    folder.of(tmp_path, planned).create(planned)
    assert len(gather(tmp_path).runs) == len(smoke) + 2


def test_another_schema_version_is_refused_by_name(tmp_path, smoke):
    folders = write_done(tmp_path, smoke)
    config = folders[1].path / "config.json"
    config.write_text(config.read_text().replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 0'))
    with pytest.raises(UserError, match=rf"{smoke[1].id}/config.json: schema version 0 cannot be read"):
        gather(tmp_path)
