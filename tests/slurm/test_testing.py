"""Test jobs of a profile: on a real cluster, and how a submission offers them."""

import json
import re

import pytest
import typer

from ablations.commands import submit
from ablations.commands.control import retry_runs
from ablations.grids import runs_of
from harness.watching.doctor import Finding
from slurm import doctor, testing
from slurm.profile import Profile
from tests.support.run_folder_factory import fail
from tests.support.slurm.grids import FIELDS

# Without the cluster's GPUs, which torch cannot use.
PROFILE = Profile(**{**FIELDS, "gres": None})


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """A Minari folder with one complete dataset and an incomplete one."""
    folder = tmp_path / "data"
    for name in ("floorbench/some-v0/data", "half/data"):
        (folder / name).mkdir(parents=True)
    (folder / "floorbench/some-v0/data/metadata.json").write_text("{}")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
    return folder


def problems(findings):
    return {finding.name: finding.text for finding in findings if finding.verdict == "problem"}


def test_complete_datasets_are_named(data):
    assert testing.local_sets() == ["floorbench/some-v0"]
    assert testing.datasets(["floorbench/some-v0"], "login").verdict == "ok"
    missing = testing.datasets(["a-v0", "b-v0", "floorbench/some-v0"], "login")
    assert (missing.verdict, missing.text.split(": ")[1][:22]) == ("problem", "a-v0 and 1 more not fo")
    assert testing.datasets([], "login").verdict == "note"


def test_what_a_profile_requests_is_compared_with_the_node(monkeypatch):
    monkeypatch.setattr(testing, "usable_cores", lambda: 2)
    assert testing.cores(2).verdict == "ok"
    assert testing.cores(3).text.endswith("fewer than the profile's workers = 3")
    assert testing.gpus(0) == Finding("gpu", "ok", "none requested")
    monkeypatch.setenv("PATH", "")
    assert testing.requeueing(False).verdict == "ok"
    assert testing.requeueing(True).text.startswith("squeue, scontrol not found")


def test_the_root_needs_hard_links(tmp_path, monkeypatch):
    assert testing.files(tmp_path).verdict == "ok"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    assert "hard link" in testing.files(tmp_path).text


def test_an_answer_belongs_to_its_question(tmp_path):
    """What the node writes is read only if it repeats the token; no file and half a file are no answer."""
    assert testing._answer(tmp_path, "t") is None
    (tmp_path / testing.ANSWER).write_text("{")
    assert testing._answer(tmp_path, "t") is None
    (tmp_path / testing.ANSWER).write_text(json.dumps({"token": "another"}))
    assert testing._answer(tmp_path, "t") is None
    assert testing._answer(tmp_path, "another") == {"token": "another"}


def test_a_submission_offers_a_test_job_once(tmp_path, monkeypatch):
    """A question at a terminal, a remark otherwise; --yes and a profile that passed are never asked about."""
    asked = []

    def confirm(text, **_):
        asked.append(text)
        return answers.pop()

    answers, codes = [True, True, False], [0, 1]
    monkeypatch.setattr(typer, "confirm", confirm)
    monkeypatch.setattr(submit, "show_test_job", lambda *_: codes.pop())
    first = submit.offer_test_job("mine.toml", PROFILE, tmp_path, asks=True)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    second = submit.offer_test_job("mine.toml", PROFILE, tmp_path, asks=False)
    assert first == second
    assert first.endswith(f"floorbench doctor --cluster mine.toml --root {tmp_path}")
    assert asked == []
    submit.offer_test_job("mine.toml", PROFILE, tmp_path, asks=True)
    with pytest.raises(typer.Exit):
        submit.offer_test_job("mine.toml", PROFILE, tmp_path, asks=True)
    submit.offer_test_job("mine.toml", PROFILE, tmp_path, asks=True)
    assert (answers, codes, len(asked)) == ([], [], 3)
    record = testing._record(tmp_path, PROFILE)
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    submit.offer_test_job("mine.toml", PROFILE, tmp_path, asks=True)
    assert testing.is_tried(tmp_path, Profile(**{**FIELDS, "gres": None, "time_minutes": 5, "workers": 1}))
    assert not testing.is_tried(tmp_path, Profile(**{**FIELDS, "gres": None, "setup": ("module load x",)}))
    assert len(asked) == 3


@pytest.mark.parametrize("way", ["retry", "tune"])
def test_retry_and_tune_offer_the_test_job_too(tmp_path, monkeypatch, way, capsys):
    """At a terminal a test job that finds problems ends the command before anything is submitted."""
    profile = tmp_path / "mine.toml"
    profile.write_text("time_minutes = 5\n")
    root, runs = tmp_path / "root", runs_of("smoke")[:1]
    fail(root, runs[0], "of something")
    submitted = []
    monkeypatch.setattr(submit, "submit_grid", lambda runs, *_, **__: submitted.append(len(runs)))
    monkeypatch.setattr(submit, "wait_for", lambda *_: None)
    monkeypatch.setattr(submit, "show_test_job", lambda *_: 1)
    monkeypatch.setattr(typer, "confirm", lambda text, **_: True)

    def start():
        if way == "retry":
            retry_runs(runs, root, None, None, str(profile), "retry")
        else:
            submit.on_cluster(str(profile), "tune smoke")(runs_of("smoke")[1:2], root, lambda: None)

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    with pytest.raises(typer.Exit):
        start()
    assert submitted == []
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    start()
    assert submitted == [1]
    assert "a test job shows whether it works: floorbench doctor --cluster" in capsys.readouterr().err


@pytest.mark.slurm
def test_a_profile_that_works(at_cluster, tmp_path, capfd):
    root = tmp_path / "a root"
    assert doctor.show_test_job("mine.toml", PROFILE, root) == 0
    out, err = capfd.readouterr()
    assert out.endswith("jobs can run with profile mine.toml\n")
    assert "problem" not in out
    assert {line.split()[1] for line in out.splitlines()[1:-1]} >= {
        "job", "root", "python", "packages", "files", "datasets", "kernels", "gpu", "pointmaze", "provenance",
    }  # fmt: skip
    assert err.startswith("test job ")
    assert testing.is_tried(root, PROFILE)


@pytest.mark.slurm
@pytest.mark.parametrize(
    ("fields", "name", "text"),
    [
        ({"setup": ("set -e", "module load nothing")}, "job", "FAILED, exit code 127:0.*: module: command not found"),
        ({"setup": ("module load nothing", "exit 7")}, "job", "FAILED, exit code 7:0.*: module: command not found"),
        ({"python": "/no/such/python"}, "job", "FAILED, exit code 127:0.*/no/such/python: No such file or directory"),
        ({"gres": "gpu:2"}, "gpu", "2 requested, but torch can use none"),
    ],
)
def test_profiles_that_do_not_work(at_cluster, tmp_path, fields, name, text):
    findings = testing.run_test_job(Profile(**{**FIELDS, "gres": None, **fields}), tmp_path)
    assert re.search(text, problems(findings)[name])
    assert all("\n" not in finding.text for finding in findings)
    assert not testing.is_tried(tmp_path, Profile(**{**FIELDS, "gres": None, **fields}))
