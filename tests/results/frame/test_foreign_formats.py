"""Files of others, made by hand in each format."""

import hashlib
import json

import pytest

from harness.errors import UserError
from results.frame.foreign_formats import Row, parse

CHART = """"Step","a - eval/score","a - eval/score__MIN","a - eval/score__MAX","b - c - eval/score","b - c - loss"
"100","10","10","10","","3.5"
"200","20.5","20.5","20.5","30","NaN"
"""

LONG = """Algorithm,dataset,seed,step,metric,value
CQL,maze-v2,0,100,score,1
CQL,maze-v2,0,100,loss,7
CQL,maze-v2,1,100,score,2
IQL,maze-v2,0,200,score,
"""

WIDE = """_step,run_name,eval/d4rl_normalized_score,train/loss
100,r1,50,0.5
200,r1,60,0.25
"""


def write(folder, text, name="file.csv"):
    file = folder / name
    file.write_text(text)
    return file


def write_d3rlpy(folder, name="CQL_20240102030405", algorithm="cql", rows="1,1000,20.0\n2,2000,40.0\n"):
    run = folder / name
    run.mkdir(parents=True)
    parameters = {"observation_shape": [[3]], "action_size": 1, "config": {"type": algorithm, "params": {"gamma": 0.9}}}
    (run / "params.json").write_text(json.dumps(parameters))
    (run / "environment.csv").write_text(rows)
    (run / "loss.csv").write_text("1,1000,0.5\n")
    return run


def test_a_chart_of_weights_and_biases(tmp_path):
    file = write(tmp_path, CHART)
    parsed = parse(file, "eval/score")
    assert parsed.metric == "eval/score"
    assert parsed.rows == [Row("a", 100, 10.0), Row("a", 200, 20.5), Row("b - c", 200, 30.0)]
    assert parsed.sha256 == hashlib.sha256(CHART.encode()).hexdigest()
    assert parse(file, "loss").rows == [Row("b - c", 100, 3.5)]


def test_a_long_file_with_a_row_per_metric(tmp_path):
    parsed = parse(write(tmp_path, LONG), "score")
    assert parsed.rows == [
        Row("maze-v2 CQL 0", 100, 1.0, "maze-v2", "CQL", 0), Row("maze-v2 CQL 1", 100, 2.0, "maze-v2", "CQL", 1),
    ]  # fmt: skip


def test_a_long_file_with_a_column_per_metric(tmp_path):
    parsed = parse(write(tmp_path, "\N{ZERO WIDTH NO-BREAK SPACE}" + WIDE), "eval/d4rl_normalized_score")
    assert parsed.rows == [Row("r1", 100, 50.0), Row("r1", 200, 60.0)]
    (only,) = parse(write(tmp_path, "step,value\n5,0.5\n", "one.csv")).rows
    assert only == Row("one", 5, 0.5)


def test_folders_of_d3rlpy(tmp_path):
    first = write_d3rlpy(tmp_path / "logs")
    write_d3rlpy(tmp_path / "logs", "other", "td3_plus_bc", "1,500,1.5\n")
    assert parse(first).rows == [Row(first.name, 1000, 20.0, arm="cql"), Row(first.name, 2000, 40.0, arm="cql")]
    both = parse(tmp_path / "logs")
    assert both.metric == "environment"
    assert both.rows[2] == Row("other", 500, 1.5, arm="td3_plus_bc")
    assert parse(first, "loss").rows == [Row(first.name, 1000, 0.5, arm="cql")]
    before = both.sha256
    (first / "environment.csv").write_text("1,1000,21.0\n")
    assert parse(tmp_path / "logs").sha256 != before
    # Version 1 of d3rlpy; without a name among the parameters, the folder begins with it.
    (first / "params.json").write_text('{"algorithm": "AWAC"}')
    assert parse(first).rows[0].arm == "AWAC"
    (first / "params.json").write_text('{"config": 3}')
    assert parse(first).rows[0].arm == "CQL"


@pytest.mark.parametrize(
    ("text", "metric", "message"),
    [
        ("", None, "file.csv: has no rows"),
        ("step,score\n", None, "file.csv: has no rows"),
        ("epoch,score\n1,2\n", None, "file.csv:1: has no column of steps; name one of its columns step or _step"),
        ("step,score\n1,2,3\n", None, "file.csv:2: has 3 cells, but the header 2"),
        ("step,score,score\n1,2,3\n", None, "file.csv:1: heading score occurs twice"),
        ('step,score\n1,"2\n', None, "file.csv:2: not CSV"),
        ("step,score\n1,inf\n", None, "file.csv:2: score = 'inf': is not a finite number"),
        ("step,score\n1,=cmd()\n", None, "file.csv:2: score = '=cmd()': is not a finite number"),
        ("step,score\n1.5,2\n", None, "file.csv:2: step = '1.5': must be a whole number"),
        ("step,score\n-1,2\n", None, "file.csv:2: step = '-1': must be a whole number"),
        ("step,score\n1e300,2\n", None, "file.csv:2: step = '1e300': must be a whole number"),
        ("step,score\n1,\n", None, "file.csv: has no values of score"),
        ("step,a,b\n1,2,3\n", None, "file.csv: has several metrics or none (a, b); choose one with --metric"),
        ("step,a,b\n1,2,3\n", "c", "--metric c: is not in "),
        (CHART.replace("Step", "Relative Time"), "eval/score", "the axis of the chart is Relative Time; export"),
        (CHART.replace('"100","10","10"', '"100","10","9"'), "eval/score", "a - eval/score: a mean of several runs"),
        ('"Step","a - s","b"\n1,2,3\n', None, "file.csv:1: heading b: is not RUN - METRIC"),
    ],
)  # fmt: skip
def test_other_files_are_refused_with_the_line(tmp_path, text, metric, message):
    with pytest.raises(UserError) as error:
        parse(write(tmp_path, text), metric)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_other_places_are_refused(tmp_path):
    (tmp_path / "pickle.csv").write_bytes(b"\x80\x04\x95cos\nsystem\n")
    with pytest.raises(UserError, match="is not a text file"):
        parse(tmp_path / "pickle.csv")
    with pytest.raises(UserError, match=r"nowhere.csv: cannot be read \(no such file"):
        parse(tmp_path / "nowhere.csv")
    with pytest.raises(UserError, match=r"has no params.json"):
        parse(tmp_path)
    run = write_d3rlpy(tmp_path / "logs", rows="1,1000,histogram,0,1,2\n")
    with pytest.raises(UserError, match=r"environment.csv:1: has 6 cells; epoch, step and value are expected"):
        parse(run)
    (run / "environment.csv").write_text("1,1000,1\n")
    write_d3rlpy(tmp_path / "logs", "second")
    (tmp_path / "logs" / "second" / "environment.csv").unlink()
    with pytest.raises(UserError, match=r"second: has no environment.csv"):
        parse(tmp_path / "logs", "environment")
    (run / "params.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"params.json: is damaged"):
        parse(run, "loss")
