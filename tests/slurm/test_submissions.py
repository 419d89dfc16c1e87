"""Records of submissions: written, read, and queried for runs and array tasks."""

import re

import pytest

from harness.errors import UserError
from harness.folders.run_folder import run_folders
from slurm import submissions
from slurm.submissions import Array, Submission, folder_of


def submission(name, submitted, *arrays):
    return Submission(name, "smoke", "me", "login", submitted, {"time_minutes": 5}, "0" * 16, arrays)


def write(root, *records):
    for record in records:
        folder_of(root, record.name).mkdir(parents=True, exist_ok=True)
        submissions.write(root, record)


FIRST = submission("first", 1.0, Array("n-0", ((("a", "b"), ("c",)), (("d",),)), 2, job_id="7"))
SECOND = submission("second", 2.0, Array("n-1", ((("b",),),), 1, job_id="8"), Array("n-2", ((("e",),),), 1, after=0))


def test_submissions_are_read_oldest_first(tmp_path):
    assert submissions.submissions(tmp_path) == []
    write(tmp_path, SECOND, FIRST)
    (folder_of(tmp_path, "unfinished")).mkdir()
    assert submissions.submissions(tmp_path) == [FIRST, SECOND]
    assert list(run_folders(tmp_path)) == []


def test_the_newest_array_task_of_a_run(tmp_path):
    write(tmp_path, FIRST, SECOND)
    tasks = {run: submissions.task_of(tmp_path, run).task_id for run in "abcd"}
    assert tasks == {"a": "7_0", "b": "8", "c": "7_0", "d": "7_1"}
    assert submissions.task_of(tmp_path, "e").task_id is None
    assert submissions.task_of(tmp_path, "f") is None
    place = submissions.task_of(tmp_path, "d")
    assert (place.job_name, place.runs) == ("n-0", ("d",))
    assert place.log == tmp_path / "submissions/first/jobs/7_1_0_log.out"
    assert submissions.task_of(tmp_path, "b").log == tmp_path / "submissions/second/jobs/8_0_log.out"
    assert submissions.task_of(tmp_path, "e").log is None


def test_dropped_arrays_are_ignored(tmp_path):
    write(tmp_path, FIRST, submissions.with_array(SECOND, 0, job_id=None, dropped="SLURM does not know it"))
    assert submissions.task_of(tmp_path, "b").task_id == "7_0"
    assert [number for _, number in submissions.undecided(tmp_path)] == [1]


def test_queued_runs_by_id_and_name(tmp_path):
    write(tmp_path, FIRST, SECOND)
    assert submissions.runs_in_queue(tmp_path, [("7_0", "n-0"), ("8", "n-1")]) == {"a", "b", "c"}
    # SLURM has reused the id for another job.
    assert submissions.runs_in_queue(tmp_path, [("7_0", "other"), ("7_1", "n-0")]) == {"d"}
    # Run b belongs to the task of a newer submission.
    assert submissions.runs_in_queue(tmp_path, [("7_0", "n-0")]) == {"a", "c"}


def test_damaged_record(tmp_path):
    write(tmp_path, FIRST)
    file = folder_of(tmp_path, "first") / "submission.json"
    file.write_text(file.read_text().replace('"limit": 2', '"limit": "two"'))
    with pytest.raises(UserError, match=re.escape(f"{file}: is damaged: value arrays.0.limit = 'two': input should")):
        submissions.submissions(tmp_path)
    with pytest.raises(UserError, match=r"submission\.json: not found"):
        submissions.read(tmp_path, "other")
