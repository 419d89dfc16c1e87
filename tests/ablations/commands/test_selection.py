"""Runs by id, by its beginning, by grid and by selection; one-line errors for everything else."""

import json
import re

import pytest

from ablations.commands.selection import described, grid_runs, named_runs, one_run
from ablations.grids import runs_of
from ablations.selection import Selection
from harness.errors import UserError
from harness.launching.planner import commit
from harness.settings import with_settings
from tests.support.command_line import call_here, only_line
from tests.support.run_folder_factory import write_done

RUNS = runs_of("smoke")


@pytest.fixture
def root(tmp_path):
    commit(RUNS, tmp_path)
    return tmp_path


def test_ids_and_prefixes(root):
    for run in RUNS:
        assert one_run(run.id, root).id == run.id
        assert one_run(run.id[:6].upper(), root).id == run.id
    assert named_runs([RUNS[2].id, RUNS[0].id[:6], RUNS[2].id], root, None, []) == [RUNS[2], RUNS[0]]


def test_grids(root):
    assert named_runs(["smoke"], root, "demo", []) == RUNS
    changed = named_runs(["smoke"], root, "demo", ["algorithm.alpha=2"])
    assert {run.algorithm.alpha for run in changed} == {2.0}
    assert named_runs([RUNS[1].id, "smoke"], root, "demo", []) == [RUNS[1], RUNS[0], *RUNS[2:]]


def test_errors_list_candidates(root):
    with pytest.raises(UserError, match=re.escape(f"zz: not the beginning of a run id in {root}; runs: ")) as error:
        one_run("zz", root)
    assert all(run.id in str(error.value) for run in RUNS)
    with pytest.raises(UserError, match="smoky: neither a grid nor the beginning of a run id"):
        named_runs(["smoky"], root, None, [])
    twin = root / (RUNS[0].id[:11] + ("0" if RUNS[0].id[11] != "0" else "1"))
    twin.mkdir()
    (twin / "config.json").write_text("{")
    with pytest.raises(UserError, match="ambiguous, 2 runs match: ") as error:
        one_run(RUNS[0].id[:11], root)
    assert f"{RUNS[0].id} (pointmaze-umaze cql seed 0)" in str(error.value)
    assert "settings unreadable" in str(error.value)


def test_empty_names_and_roots(root, tmp_path):
    with pytest.raises(UserError, match="not the beginning of a run id"):
        one_run("", root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="; the directory has no runs"):
        one_run("a", tmp_path / "empty")
    with pytest.raises(UserError, match="no such folder of runs"):
        one_run("a", tmp_path / "nowhere")


def test_changes_need_a_grid(root):
    with pytest.raises(UserError, match="--set: only changes the runs of a grid"):
        named_runs([RUNS[0].id], root, "demo", ["algorithm.alpha=2"])
    with pytest.raises(UserError, match="--scale: only changes the runs of a grid"):
        named_runs([RUNS[0].id], root, "demo", [])


def test_changes_of_a_selection_are_those_of_its_grid(tmp_path, capsys):
    """What `plan` accepts shows the same runs in `status` and `report`, and not others of the root."""
    [plain] = Selection(("pointmaze-umaze",), ("cql",), ("0",)).grid("demo")
    changed = with_settings(plain, {"algorithm.alpha": 2.0}, source="--set")
    write_done(tmp_path, [plain, changed])
    words = [f"--root={tmp_path}", f"--task={changed.task.name}", f"--arm={changed.arm}", f"--seed={changed.seed}"]
    other = f"--set=schedule.offline_steps={changed.schedule.offline_steps + 1}"
    for command in ("plan", "status"):
        shown = json.loads(call_here(capsys, command, *words, "--json", "--set=algorithm.alpha=2").stdout)["runs"]
        assert [(row["run"], row["state"]) for row in shown] == [(changed.id, "done")], command
        shown = json.loads(call_here(capsys, command, *words, "--json", other).stdout)["runs"]
        assert [row["state"] for row in shown] == ["new"], command
    words = [word for word in words if "--seed" not in word]
    for command in ("plan", "status", "cancel", "retry", "verify", "report"):
        line = only_line(call_here(capsys, command, *words, other, code=2))
        assert "without a grid, --seed is needed as well; add it, or name a grid" in line, command
    line = only_line(call_here(capsys, "power", *words[:1], "--set=algorithm.alpha=2", code=2))
    assert "--set: only changes the runs of a grid; name a grid" in line


def test_a_selection_of_a_grid(root):
    chosen = grid_runs("smoke", None, [], Selection(arms=("c*",)))
    assert chosen == [run for run in RUNS if run.arm == "cql"]
    assert named_runs(["smoke"], root, None, [], Selection(seeds=("1",))) == [run for run in RUNS if run.seed == 1]
    changed = grid_runs("smoke", "demo", ["algorithm.alpha=2"], Selection(seeds=("0",)))
    assert [(run.seed, run.algorithm.alpha) for run in changed] == [(0, 2.0), (0, 2.0)]


def test_a_selection_of_a_root(root):
    chosen = named_runs([], root, None, [], Selection(arms=("monte_carlo",), seeds=("0-9",)))
    assert sorted(chosen, key=lambda run: run.seed) == [run for run in RUNS if run.arm == "monte_carlo"]
    with pytest.raises(UserError, match=re.escape(f"--arm learned: selects nothing; {root} has ")):
        named_runs([], root, None, [], Selection(arms=("learned",)))


def test_nothing_named(root):
    with pytest.raises(UserError, match="no runs are named: name a grid, or select"):
        grid_runs(None, None, [])
    with pytest.raises(UserError, match="no runs are named: give run ids or grids, or select"):
        named_runs([], root, None, [])


def test_described():
    assert described(RUNS) == "4 runs (pointmaze-umaze cql+monte_carlo seeds 0,1)"
    assert described(RUNS[:1]) == "1 run (pointmaze-umaze cql seed 0)"
