"""Grid files: what they mean, the worked examples, and one-line errors with file, line and key."""

import json
import re
from pathlib import Path

import pytest

from ablations.grid_files import read
from ablations.grids import runs_of
from ablations.selection import Selection
from harness.data.dataset import ensure_dataset
from harness.errors import UserError
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.settings import with_settings
from harness.training.training import train_pack
from tests.support.command_line import call, call_here, only_line

EXAMPLES = Path(__file__).parents[2] / "examples"

MINIMAL = """tasks = ["winding-road"]
arms = ["cql", "monte_carlo"]
seeds = "0-2"
"""

TINY = {
    "task.data.transitions": 300,
    "algorithm.policy_hidden": (8,),
    "algorithm.critic_hidden": (8,),
    "algorithm.batch_size": 8,
    "schedule.offline_steps": 5,
    "schedule.online_steps": 5,
    "schedule.evaluation_episodes": 1,
}


@pytest.fixture
def written(tmp_path):
    """Write a grid file."""

    def write(text):
        (tmp_path / "grid.toml").write_text(text)
        return tmp_path / "grid.toml"

    return write


def test_a_file_means_the_runs_of_the_grid(written):
    file = written('tasks = ["pointmaze-medium"]\narms = ["cql", "learned"]\nseeds = [0, "2-3"]\n')
    expected = [run for run in runs_of("floors") if run.arm in ("cql", "learned") and run.seed in (0, 2, 3)]
    assert [run.id for run in read(file).runs()] == [run.id for run in expected]


def test_axes_and_settings(written):
    text = (
        MINIMAL
        + """
[settings]
schedule.offline_steps = 7
[product]
algorithm.alpha = [1, 2.5]
floor.constant = [0.0, 1.0]
[joint]
"algorithm.tau" = [0.1, 0.2]
[joint.algorithm]
temperature = [1, 2]
"""
    )
    content = read(written(text))
    runs = content.runs()
    assert len(runs) == content.count == 2 * 3 * 2 * 2 * 2
    assert len({run.id for run in runs}) == len(runs)
    assert {run.schedule.offline_steps for run in runs} == {7}
    assert {(run.algorithm.tau, run.algorithm.temperature) for run in runs} == {(0.1, 1.0), (0.2, 2.0)}
    (one,) = {run.arm for run in runs if run.arm.startswith("cql") and run.algorithm.alpha == 2.5 and
              run.algorithm.tau == 0.2 and run.floor.constant == 1}  # fmt: skip
    assert one == "cql[alpha=2.5,constant=1,tau=0.2,temperature=2]"
    assert "2 values of algorithm.alpha" in content.size
    assert content.meaning()["seeds"] == (0, 1, 2)


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.toml")), ids=lambda file: file.stem)
def test_the_worked_examples_run(file, tmp_path):
    content = read(file)
    runs = content.narrowed(Selection(seeds=("0",))).runs()
    assert len(runs) * len(content.seeds) == content.count
    runs = [with_settings(run, TINY) for run in runs]
    folders = [RunFolder.of(tmp_path, run) for run in runs]
    for folder, run in zip(folders, runs, strict=True):
        folder.create(run)
    ensure_dataset(runs[0].task)
    train_pack(folders) if file.stem != "factorial" else [train_pack([folder]) for folder in folders]
    assert {folder.state for folder in folders} == {RunState.DONE}


def test_the_examples_are_a_dose_curve_an_alpha_sweep_and_a_factorial():
    doses = read(EXAMPLES / "dose_curve.toml").runs()
    # Dose 0 changes nothing, so its runs are those of the grid `doses`.
    assert {run.id for run in doses} & {run.id for run in runs_of("doses")} == {
        run.id for run in runs_of("doses") if run.arm == "monte_carlo"
    }
    alphas = read(EXAMPLES / "alpha_sweep.toml").runs()
    assert {(run.floor.base, run.algorithm.alpha) for run in alphas} == {
        (base, alpha) for base in ("none", "monte_carlo") for alpha in (1.0, 3.0, 10.0)
    }
    factorial = read(EXAMPLES / "factorial.toml").runs()
    assert len({(run.floor.inflation, run.schedule.mixing_ratio) for run in factorial}) == 4
    assert len(factorial) == 16


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks = [", "grid.toml:1: not valid TOML: invalid value"),
        (MINIMAL + "color = 1\n", "grid.toml:4: key color: unknown key"),
        (MINIMAL.replace('"0-2"', "1.5"), "grid.toml:3: key seeds"),
        (MINIMAL.replace("0-2", "2-0"), "grid.toml:3: seeds 2-0: must be a number or a range"),
        (MINIMAL.replace('"0-2"', "[]"), "grid.toml:3: seeds: names none"),
        (MINIMAL.replace('"0-2"', "9" * 19), "grid.toml:3: seeds 999999999999999999...: seeds have at most 18 digits"),
        (MINIMAL.replace("0-2", "0-" + "9" * 5_000), "seeds have at most 18 digits"),
        (MINIMAL.replace("winding-road", "winding-rod"), "grid.toml:1: task 'winding-rod': unknown task"),
        (MINIMAL.replace('"cql"', '"sac"'), "grid.toml:2: arm sac: unknown arm; choose one of no_push_down"),
        (MINIMAL + 'scale = "huge"\n', "grid.toml:4: scale 'huge': unknown scale"),
        ("seeds = 1\n", "grid.toml:1: key tasks: is missing"),
        (MINIMAL + "[settings]\n\nalgorithm.alhpa = 1\n", "grid.toml:6: setting algorithm.alhpa: unknown setting; did"),
        (MINIMAL + "[product]\nalgorithm.alhpa = [1]\n", "grid.toml:5: setting algorithm.alhpa: unknown setting; did"),
        (MINIMAL + "[product.algorithm]\nalpha = [1, -1]\n", "grid.toml:5: setting algorithm.alpha = -1: input should"),
        (MINIMAL + "[product]\nalgorithm.alpha = 3\n", "grid.toml:5: product.algorithm.alpha = 3: must be a list"),
        (MINIMAL + "[product]\nseed = [3]\n", "grid.toml:5: product.seed: cannot be an axis here; use seeds"),
        (
            MINIMAL + "[joint]\nalgorithm.alpha = [3]\nalgorithm.tau = [0.1, 0.2]\n",
            "grid.toml:6: joint.algorithm.tau: has 2 values; joint axes need equally many",
        ),
    ],
)
def test_errors_name_file_line_and_key(text, message, written):
    with pytest.raises(UserError, match=re.escape(message)):
        read(written(text))


def test_an_axis_that_names_no_setting_and_an_empty_selection_on_the_command_line(written, tmp_path, capsys):
    wrong = written(MINIMAL + "[product]\nalgorithm.alhpa = [1]\n")
    right = ("plan", "smoke", "--root", tmp_path / "runs")
    for arguments, message in (
        (("run", wrong), "grid.toml:5: setting algorithm.alhpa: unknown setting; did you mean algorithm.alpha?"),
        (("submit", wrong, "--cluster", "cpu"), "grid.toml:5: setting algorithm.alhpa: unknown setting"),
        ((*right, "--arm", "learned"), "--arm learned: selects nothing; grid smoke has cql, monte_carlo"),
        ((*right, "--seed", "7-9"), "--seed 7-9: selects nothing; grid smoke has 0-1"),
    ):
        assert message in only_line(call_here(capsys, *arguments, code=2))
    assert list(tmp_path.iterdir()) == [wrong]


def test_a_missing_file(capsys):
    assert "nowhere.toml: no such grid file" in only_line(call_here(capsys, "plan", "nowhere.toml", code=2))


def test_plan_shows_what_a_file_means(written, tmp_path, capsys):
    file = written(MINIMAL + "[product]\nalgorithm.alpha = [1, 2]\n")
    shown = json.loads(call_here(capsys, "plan", file, "--arm", "cql*", "--root", tmp_path / "runs", "--json").stdout)
    assert shown["grid"]["product"] == {"algorithm.alpha": [1, 2]}
    assert {row["arm"] for row in shown["runs"]} == {"cql[alpha=1]", "cql[alpha=2]"}
    assert len(shown["runs"]) == 6


def test_a_hundred_thousand_runs_are_planned_but_not_started(written, tmp_path, capsys):
    file = written(MINIMAL.replace("0-2", "0-499") + f"[product]\nalgorithm.alpha = {list(range(1, 101))}\n")
    done = call_here(capsys, "plan", file, "--root", tmp_path / "runs")
    assert "100,000 runs: 1 task, 2 arms, 500 seeds, 100 values of algorithm.alpha" in done.stdout
    for command in ("run", "submit --cluster cpu"):
        line = only_line(call_here(capsys, *command.split(), file, code=2))
        assert "100,000 runs" in line
        assert "more than 10,000 need --yes; or select some" in line
    few = json.loads(call_here(capsys, "plan", file, "--seed", 3, "--arm", "cql*", "--json").stdout)
    assert len(few["runs"]) == 100


def test_a_file_is_run(written, tmp_path):
    short = "[settings]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in TINY.items())
    call("run", written(MINIMAL + short), "--seed", 0, "--root", tmp_path / "runs", "--workers", 1)
    assert "2 done" in call("plan", tmp_path / "grid.toml", "--seed", 0, "--root", tmp_path / "runs").stdout
