"""`floorbench import`, and the report with a source: its own rows and lines, and every number of ours unchanged."""

import json

import pandas as pd
import pytest

from ablations.grids import runs_of
from harness.settings import with_settings
from results.exports import table
from results.figures.foreign import curves_beside_foreign
from results.frame import gather
from results.frame.frames import load_foreign
from results.reports.runs import write_report
from tests.results.frame.test_foreign_formats import write_d3rlpy
from tests.support.command_line import call_here, only_line
from tests.support.figure_layout import faults
from tests.support.run_folder_factory import write_done

TINY = {"schedule.offline_steps": 400, "schedule.offline_interval": 200, "schedule.online_steps": 600,
        "schedule.online_interval": 300, "schedule.dense_interval": 300, "schedule.dense_steps": 300}  # fmt: skip

TASK = "pointmaze-medium"

# Two seeds of two algorithms, per cent of the normalised score.
CHART = """"Step","CQL-maze-v2-s0 - eval/d4rl_normalized_score","CQL-maze-v2-s1 - eval/d4rl_normalized_score","IQL-maze-v2-s0 - eval/d4rl_normalized_score"
"500","20","40","10"
"1000","40","60","30"
"1500","60","80",""
"2000","80","100","50"
"""  # noqa: E501


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    runs = [run for run in runs_of("floors") if run.seed < 2 and run.arm == "monte_carlo"]
    assert {run.task.name for run in runs} == {TASK}
    write_done(root, [with_settings(run, TINY) for run in runs])
    return root


@pytest.fixture
def chart(tmp_path):
    file = tmp_path / "wandb_export.csv"
    file.write_text(CHART)
    return file


NAMES = r"^(?P<arm>\w+)-(?P<task>maze-v2)-s(?P<seed>\d+)$"
OPTIONS = ("--as", "corl", "--offline-steps", 1000, "--names", NAMES, "--task", f"maze-v2={TASK}")


def test_a_report_shows_runs_of_others_beside_ours(root, chart, tmp_path, capsys):
    before = {path.name: path.read_bytes() for path in write_report(gather(root), tmp_path / "before")}
    done = call_here(capsys, "import", chart, *OPTIONS, "--root", root)
    assert done.stdout == (f"corl: 11 evaluations of 3 runs; tasks: {TASK}; arms: CQL, IQL; scores from 0.10 to 1.00\n")
    out = tmp_path / "after"
    after = {path.name: path.read_bytes() for path in write_report(gather(root), out)}
    new = set(after) - set(before)
    assert new == {f"foreign.{suffix}" for suffix in ("csv", "md", "tex")} | {
        f"foreign_{TASK}.{suffix}" for suffix in ("svg", "csv", "txt")
    }
    pages = {name for name in before if before[name] != after[name]}
    assert pages == {"report.md", "figures.html", f"task-{TASK}.html", "report.html"}, "only pages that show more"
    page = (out / f"task-{TASK}.html").read_text()
    assert "CQL (corl)" in page
    assert f'<img src="figures/foreign_{TASK}.svg"' in page
    assert "eval/d4rl_normalized_score of wandb_export.csv (SHA-256 " in page
    assert "Monte Carlo floor (corl)" not in page

    numbers = pd.read_csv(out / "tables" / "foreign.csv").set_index(["source", "arm", "metric"])
    theirs = numbers.loc["corl"]
    assert theirs.loc[("CQL", "offline_score"), "mean"] == 0.5
    assert theirs.loc[("CQL", "final_score"), "mean"] == 0.9
    # Seed 0: 1 - (0.4 / 2 + 0.6 + 0.8 / 2) / 2; seed 1: 1 - (0.6 / 2 + 0.8 + 1 / 2) / 2.
    assert theirs.loc[("CQL", "regret_eval"), "mean"] == pytest.approx((0.4 + 0.2) / 2)
    assert theirs.loc[("IQL", "regret_eval"), ["mean", "n"]].tolist() == pytest.approx([0.6, 1])
    ours = pd.read_csv(out / "tables" / "scores.csv").set_index(["arm", "metric"])
    for metric in ("offline_score", "final_score", "regret_eval"):
        values = numbers.loc[("floorbench", "monte_carlo", metric), ["mean", "low", "high"]].tolist()
        assert values == pytest.approx(ours.loc[("monte_carlo", metric), ["mean", "low", "high"]].tolist())

    drawn = pd.read_csv(out / "figures" / f"foreign_{TASK}.csv")
    of_cql = drawn[(drawn["source"] == "corl") & (drawn["arm"] == "CQL")]
    assert of_cql[["position", "step", "mean"]].to_numpy().tolist() == [
        [-0.5, -500, 0.3], [0, 0, 0.5], [0.5, 500, 0.7], [1, 1000, 0.9],
    ]  # fmt: skip
    assert "corl 1,000 + 1,000 steps" in (out / "figures" / f"foreign_{TASK}.txt").read_text()
    assert table(gather(root), "foreign").name == "foreign"
    assert "already" in only_line(call_here(capsys, "import", chart, *OPTIONS, "--root", root, code=2))


def test_the_figure_names_every_line_and_is_laid_out(root, chart, tmp_path, capsys):
    call_here(capsys, "import", chart, *OPTIONS, "--root", tmp_path)
    frames = gather(root)
    (drawing,) = curves_beside_foreign(frames.runs, frames.evaluations, load_foreign([tmp_path]))
    assert faults(drawing.figure) == []
    names = [text.get_text() for text in drawing.figure.axes[0].get_legend().get_texts()]
    assert names == ["Cal-QL, Monte Carlo floor", "CQL (corl)", "IQL (corl)"]


def test_folders_of_d3rlpy_with_reference_returns(tmp_path, capsys):
    write_d3rlpy(tmp_path / "logs")
    arguments = ("import", tmp_path / "logs", "--as", "d3rlpy", "--offline-steps", 2000, "--task", TASK)
    done = call_here(capsys, *arguments, "--reference-returns", "0,80", "--root", tmp_path)
    assert f"d3rlpy: 2 evaluations of 1 run; tasks: {TASK}; arms: cql; scores from 0.25 to 0.50" in done.stdout
    assert "note: no evaluation after the switch" in done.stderr
    frame = load_foreign([tmp_path])
    assert frame[["step", "phase", "score"]].to_numpy().tolist() == [[-1000, "offline", 0.25], [0, "offline", 0.5]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--as", "../x"], "--as '../x': must be up to 40 letters"),
        (["--arm", "CQL=<i>"], "arm '<i>': contains '<'; rename it"),
        (["--arm", "BC=x"], "--arm BC=x: no run has the arm BC; the file has CQL, IQL"),
        (["--task", "a", "--task", "b"], "--task b: must be one name for all runs, or THEIRS=OURS"),
        (["--task", "a="], "--task a=: must be one name for all runs"),
        (["--names", "("], "--names (: not a regular expression"),
        (["--names", "(?P<x>.)"], "--names (?P<x>.): needs groups (?P<task>...)"),
        (["--reference-returns", "3"], "--reference-returns 3: must be LOW,HIGH"),
        (["--reference-returns", "3,1"], "--reference-returns 3,1: must be LOW,HIGH"),
        (["--reference-returns", "0,inf"], "--reference-returns 0,inf: must be LOW,HIGH"),
        (["--metric", "eval/regret"], "--metric eval/regret: is not in"),
        (["--unit", "share"], "--unit share: but the name of metric"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(options, message, chart, tmp_path, capsys):
    defaults = {"--as": "corl", "--names": NAMES}
    for option, value in defaults.items():
        options = options if option in options else [*options, option, value]
    arguments = ("import", chart, "--offline-steps", 1000, *options, "--root", tmp_path / "root")
    assert message in only_line(call_here(capsys, *arguments, code=2))
    assert [path.name for path in tmp_path.iterdir()] == [chart.name]


def test_a_strangers_file_is_only_read(tmp_path, capsys, monkeypatch):
    """What a name or a parameter of d3rlpy says is text: nothing is run, and nothing is written beside the source."""
    monkeypatch.chdir(tmp_path)
    run = write_d3rlpy(tmp_path / "logs", algorithm="__import__('os').mkdir('made')")
    arguments = (
        "import",
        tmp_path / "logs",
        "--as",
        "odd",
        "--offline-steps",
        0,
        "--task",
        "t",
        "--reference-returns",
        "0,1",
    )
    assert "arm \"__import__('os').mkdir('made')\": contains \"'\"" in only_line(call_here(capsys, *arguments, code=2))
    (run / "params.json").write_text(json.dumps({"config": {"type": "cql"}}))
    call_here(capsys, *arguments, "--root", tmp_path / "root")
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert written == [
        *(f"logs/{run.name}/{name}" for name in ("environment.csv", "loss.csv", "params.json")),
        "root/imported/odd.parquet",
    ]
