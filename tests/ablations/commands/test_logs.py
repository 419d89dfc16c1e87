"""Logs of runs, also while they grow; the log of the array task if a run has none."""

import threading

import pytest

from ablations.commands.logs import followed, is_over, show_logs
from ablations.grids import runs_of
from harness.folders.run_folder import RunFolder
from harness.launching.planner import commit
from slurm.submissions import JOBS, Array, Submission, folder_of
from tests.slurm.test_submissions import write
from tests.support.run_folder_factory import begin, fail, lose, write_done

RUNS = runs_of("smoke")


def test_only_the_log_is_on_stdout(tmp_path, capfd):
    folder = fail(tmp_path, RUNS[0], "it broke")
    folder.append_log("one\ntwo\n")
    show_logs(RUNS[0].id[:8], tmp_path, follow=False)
    assert capfd.readouterr() == ("one\ntwo\n", "")
    show_logs(RUNS[0].id, tmp_path, follow=True)
    assert capfd.readouterr() == ("one\ntwo\n", "")


def test_a_run_without_output_shows_the_log_of_its_array_task(tmp_path, capfd):
    commit(RUNS[:2], tmp_path)
    array = Array("n-0", (((RUNS[0].id,),),), 1, job_id="7")
    write(tmp_path, Submission("s", "smoke", "me", "login", 1.0, {"time_minutes": 5}, "0" * 16, (array,)))
    output = folder_of(tmp_path, "s") / JOBS / "7_0_log.out"
    show_logs(RUNS[0].id, tmp_path, follow=False)
    assert "no output (state: planned)" in capfd.readouterr().err
    output.parent.mkdir()
    output.write_text("srun: error: no such thing\n")
    show_logs(RUNS[0].id, tmp_path, follow=False)
    out, err = capfd.readouterr()
    assert out == "srun: error: no such thing\n"
    assert f"SLURM log of its array task: {output}" in err
    assert err.endswith("log.txt: no output\n")
    show_logs(RUNS[1].id, tmp_path, follow=False)
    assert "SLURM" not in capfd.readouterr().err


def test_follow_a_log_that_grows_and_is_replaced(tmp_path):
    file, over = tmp_path / "log.txt", threading.Event()
    pieces = followed(file, over.is_set)
    writer = threading.Timer(0.1, file.write_text, ["one\n"])
    writer.start()
    assert next(pieces) == b"one\n"
    with open(file, "a") as stream:
        stream.write("two\n")
    assert next(pieces) == b"two\n"
    (tmp_path / "new").write_text("three\n")
    (tmp_path / "new").replace(file)
    assert next(pieces) == b"three\n"
    file.write_text("4\n")
    assert next(pieces) == b"4\n"
    over.set()
    assert list(pieces) == []


def test_output_just_before_the_end_is_printed(tmp_path):
    file = tmp_path / "log.txt"

    def ends():
        file.write_text("the end\n")
        return True

    assert list(followed(file, ends)) == [b"the end\n"]


@pytest.mark.parametrize(
    ("make", "over"), [(write_done, True), (fail, True), (lose, True), (begin, False), (commit, False)]
)
def test_states_in_which_a_run_is_over(tmp_path, make, over):
    if make is commit:
        commit(RUNS[:1], tmp_path)
    elif make is write_done:
        write_done(tmp_path, RUNS[:1])
    else:
        make(tmp_path, RUNS[0], *(["it broke"] if make is fail else []))
    assert is_over(RunFolder.of(tmp_path, RUNS[0])) == over
