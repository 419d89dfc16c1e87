"""`floorbench tune` on real runs: killed, resumed, and its best settings compared with the defaults."""

import json
import os
import signal
import subprocess
import sys

import pytest

from floorbench import app
from harness.command_line import INTERRUPTED
from harness.errors import UserError
from harness.folders.run_folder import run_folders
from results.commands.tune import changed_study, report_best
from tests.support.waiting import wait_until

TUNE = [sys.executable, "-m", "floorbench", "tune"]

# Runs of a second or so.
SHORT = [
    "--set", "schedule.offline_steps=30", "--set", "schedule.online_steps=30", "--set", "schedule.offline_interval=15",
    "--set", "schedule.online_interval=15", "--set", "schedule.dense_steps=0",
    "--set", "schedule.evaluation_episodes=1",
]  # fmt: skip


def call(*arguments, code=0):
    done = subprocess.run([*TUNE, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done


def only_line(done):
    (line,) = done.stderr.splitlines()
    return line


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A root with a study of two trials per arm that was killed after its first run and resumed."""
    root = tmp_path_factory.mktemp("root")
    command = [*TUNE, "smoke", "--root", root, "--trials", 2, "--pack", 6, *SHORT]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)
    runs = root / "studies" / "smoke" / "runs"
    wait_until(lambda: any(runs.glob("*/done.json")), 240)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = call("smoke", "--root", root, "--trials", 2, "--pack", 6, *SHORT)
    assert "2 trials per arm (cql, monte_carlo)" in done.stderr
    return root


def test_a_killed_search_resumes_without_duplicate_trials(root):
    shown = json.loads(call("status", "smoke", "--root", root, "--json", *SHORT).stdout)
    assert [(row["arm"], row["number"], row["state"]) for row in shown["trials"]] == [
        (arm, number, "complete") for arm in ("cql", "monte_carlo") for number in (0, 1)
    ]
    folders = list(run_folders(root / "studies" / "smoke" / "runs"))
    assert sorted(folder.id for folder in folders) == sorted(id for row in shown["trials"] for id in row["runs"])
    assert {folder.status()["state"] for folder in folders} == {"done"}
    for row in shown["trials"]:
        values = [folder.summary()["regret_eval"] for folder in folders if folder.id in row["runs"]]
        assert row["value"] == pytest.approx(sum(values) / 3)
        # 30 gradient steps offline and 30 online, three seeds.
        assert row["updates"] == 180
        assert row["core_hours"] > 0


def test_status_is_a_line_per_arm(root):
    lines = call("status", "smoke", "--root", root, *SHORT).stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["cql", "2", "2"], ["monte_carlo", "2", "2"]]


def test_another_definition_is_refused(root):
    line = only_line(call("smoke", "--root", root, "--trials", 2, code=2))
    assert line.startswith("floorbench: error: study smoke/cql: was created with different arms; choose another --root")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("moon", "study 'moon': unknown study; choose one of smoke, floors, doses"),
        ("best smoke", "study smoke: not found in ROOT; start it with floorbench tune smoke"),
        ("worst smoke", "tune worst smoke: must be STUDY, best STUDY or status STUDY"),
        ("smoke --storage oracle", "--storage oracle: "),
    ],
)
def test_invalid_input_is_a_one_line_error(tmp_path, words, line):
    with pytest.raises(UserError) as raised:
        app(["tune", *words.split(), "--root", str(tmp_path)], standalone_mode=False)
    assert str(raised.value).startswith(line.replace("ROOT", str(tmp_path)))
    assert "\n" not in str(raised.value)


def test_best_runs_the_best_settings_and_the_defaults(root, capsys):
    """Every arm runs with its best settings and its defaults, on the seeds of the report."""
    study, asked = changed_study("smoke", "demo", SHORT[1::2]), []

    def launch(runs, place, watch):
        asked.extend(runs)
        return False

    assert report_best(study, root, launch, None) == INTERRUPTED
    assert "equal effort: 2 trials per arm" in capsys.readouterr().err
    shown = json.loads(call("status", "smoke", "--root", root, "--json", *SHORT).stdout)
    assert set(study.runs) < set(asked)
    for arm in ("cql", "monte_carlo"):
        rows = [row for row in shown["trials"] if row["arm"] == arm]
        best = min(rows, key=lambda row: row["value"])["settings"]
        tuned = [run for run in asked if run.arm == f"{arm}_tuned"]
        assert [run.seed for run in tuned] == [0, 1]
        assert {run.algorithm.alpha for run in tuned} == {best["algorithm.alpha"]}
        assert {run.algorithm.critic_learning_rate for run in tuned} == {best["algorithm.critic_learning_rate"]}


@pytest.mark.slow
def test_best_is_compared_with_the_defaults_on_new_seeds(root):
    done = call("best", "smoke", "--root", root, *SHORT)
    assert "equal effort: 2 trials per arm" in done.stderr
    folders = [folder.run() for folder in run_folders(root)]
    assert sorted((run.arm, run.seed) for run in folders) == [
        (arm, seed) for arm in ("cql", "cql_tuned", "monte_carlo", "monte_carlo_tuned") for seed in (0, 1)
    ]
    report = (root / "studies" / "smoke" / "report" / "report.html").read_text()
    assert "CQL, tuned" in report
