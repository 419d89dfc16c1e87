"""Invalid input is refused with a one-line error before anything is computed or written."""

import shlex
import subprocess
import sys

import h5py
import pytest

from ablations.grids import runs_of
from harness.data.dataset import ensure_dataset
from harness.errors import UserError
from harness.launching.preflight import check_space
from results.publishing.published_runs import PUBLISHED
from tests.support.command_line import FLOORBENCH, call, call_here, only_line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run nope", "grid 'nope': unknown grid; choose one of demo, floors, paper, truth"),
        ("run", "no runs are named: name a grid, or select tasks, arms and seeds with --task, --arm and --seed"),
        ("plan smoke --arm learned", "--arm learned: selects nothing; grid smoke has cql, monte_carlo"),
        ("plan --arm cql --seed 0", "--arm cql --seed 0: without a grid, --task is needed as well"),
        ("run smoke --scale huge", "scale 'huge': unknown scale; choose one of demo, paper"),
        ("plan smoke --set alpha", "--set alpha: must be key=value, for example --set algorithm.alpha=1"),
        ("run smoke --set algorithm.alhpa=1", "did you mean algorithm.alpha?"),
        ("run smoke --set algorithm.alpha=much", "setting algorithm.alpha = 'much': input should be a valid number"),
        ("run smoke --set algorithm.alpha=-1", "setting algorithm.alpha = -1: input should be greater than"),
        ("run smoke --set algorithm.alpha=NaN", "setting algorithm.alpha = nan: input should be a finite number"),
        ("plan smoke --set floor.base=exact", "setting floor.base = 'exact': the exact values of PointMaze_UMaze"),
        ("plan truth --set task.reward_bias=1", "task.reward_bias = 1: staying on the road is worth more"),
        ("plan smoke --set floor.keeps_learning=true", "setting floor.keeps_learning = true: only a floor.base of"),
        ("plan smoke --set behaviour_value.level=0.9", "setting behaviour_value.level = 0.9: has no effect on the"),
        (
            "plan smoke --set behaviour_value.estimator=td --set floor.base=learned --set floor.keeps_learning=true",
            "setting behaviour_value.estimator = 'td': cannot keep learning online",
        ),
        (
            "plan smoke --set behaviour_value.estimator=success_only --set task.failure_reward=null",
            "has no task.failure_reward, by which failures are recognised",
        ),
        ("plan smoke --set floor.inflation_kind=capped", "setting floor.inflation_kind = 'capped': has no effect with"),
        ("plan smoke --set floor.inflation_share=0.5", "setting floor.inflation_share = 0.5: has no effect on the"),
        ("plan smoke --set floor.error_correlation=1", "setting floor.error_correlation = 1: has no effect on the"),
        (
            "plan smoke --set floor.inflation_kind=correlated_error --set floor.inflation=1",
            "needs a floor.base that differs between states, not 'none', and a positive floor.inflation, not 1",
        ),
        ("run smoke --set floor.base=soft", "setting floor.base = 'soft': unknown floor; must be one of none"),
        ("plan smoke --set seed=1", "grid: contains runs more than once"),
        ("data pointmaze-tiny", "task 'pointmaze-tiny': unknown task; list all with: floorbench data --list"),
        ("data", "data: name at least one task"),
        ("status --json --watch", "status: --json and --watch exclude each other"),
        (
            "verify smoke --root nowhere",
            "verify: nowhere has no finished run of this grid; run the grid first",
        ),
        ("verify smoke --from nowhere", "nowhere/runs.parquet: not found; write it with: floorbench report"),
        (f"verify smoke --from {PUBLISHED}", f"{PUBLISHED}: contains none of the named runs"),
        ("verify smoke --root runs --from frames", "verify: --root and --from exclude each other"),
        ("verify nope", "grid 'nope': unknown grid"),
        ("status --root nowhere", "nowhere: no such folder of runs"),
        ("report --root nowhere", "nowhere: no such folder of runs"),
        ("report exact --set seed=3", "report exact: --set and --scale are for runs, and the exact lab has none"),
        ("report exact --root nowhere", "nowhere: no such folder of runs"),
        (f"report cause dip --from {PUBLISHED}", "differ in schedule.online_steps (20000 and 6000); report them sep"),
    ],
)
def test_invalid_input_is_a_one_line_error(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert message in only_line(call_here(capsys, *arguments.split(), code=2))
    assert list(tmp_path.iterdir()) == []


def test_an_empty_argument_is_not_the_current_folder(tmp_path, monkeypatch, capsys):
    """As of a shell variable that is not set."""
    monkeypatch.chdir(tmp_path)
    for arguments, name in (
        (("run", "smoke", "--root", ""), "--root"),
        (("status", "--root="), "--root"),
        (("data", "pen-binary", "--from", ""), "--from"),
        (("import", "", "--as", "others"), "an argument"),
    ):
        line = only_line(call_here(capsys, *arguments, code=2))
        assert line == f"floorbench: error: {name}: is empty; was a shell variable not set?"
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_environment_writes_nothing(tmp_path):
    done = call("run", "smoke", "--root", tmp_path, "--set", "task.environment=PointMaze_Moon-v3", code=2)
    assert "task.environment = 'PointMaze_Moon-v3': Gymnasium cannot make it" in only_line(done)
    assert list(tmp_path.iterdir()) == []


def test_an_invalid_dataset_writes_nothing(tmp_path, monkeypatch):
    """Remove the terminations that a goal-terminated task needs."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    ensure_dataset(runs_of("smoke")[0].task)
    file = next((tmp_path / "minari").rglob("main_data.hdf5"))
    with h5py.File(file, "r+") as stored:
        for episode in stored.values():
            episode["terminations"][:] = False
    root = tmp_path / "root"
    done = call("run", "smoke", "--root", root, code=2)
    assert "dataset floorbench/pointmaze-umaze-" in done.stderr
    assert "terminat" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(root.iterdir()) == []


def test_an_unwritable_root(tmp_path):
    (tmp_path / "file").write_text("")
    done = call("run", "smoke", "--root", tmp_path / "file" / "runs", code=2)
    assert f"{tmp_path / 'file' / 'runs'}: not a directory" in only_line(done)


def test_too_little_disk_space(tmp_path):
    check_space(tmp_path, 0)
    with pytest.raises(UserError, match=r"MB free; 1,000,000,000,100 MB needed"):
        check_space(tmp_path, 10**18)


def test_an_interruption_that_a_package_catches_is_not_reported_as_its_error():
    """Some packages start a process during their import and take any failure of it for a missing program."""
    program = """
import os, signal
from importlib.metadata import EntryPoint
import floorbench

def swallow():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        raise ImportError("cannot be loaded") from None

floorbench.installed = lambda group: [EntryPoint("swallow", "__main__:swallow", group)]
floorbench.main()
"""
    done = subprocess.run([sys.executable, "-c", program, "swallow"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_full_disk_is_a_one_line_error(tmp_path):
    """A limit on file sizes makes writes fail, as a full disk does."""
    limited = f"ulimit -f 1 && exec {shlex.join([*FLOORBENCH, 'run', 'smoke', '--root', str(tmp_path)])}"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True)
    assert done.returncode == 2
    assert only_line(done).endswith(": file too large")
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


@pytest.mark.parametrize(
    "arguments",
    ["logs", "run smoke --workers 0", "run smoke --pack x", "verify smoke --sample 0", "fly", "run smoke --moon"],
)
def test_invalid_usage_gives_exit_code_2(arguments, capsys):
    done = call_here(capsys, *arguments.split(), code=2)
    assert "Usage: floorbench" in done.stderr
    assert "Traceback" not in done.stderr
