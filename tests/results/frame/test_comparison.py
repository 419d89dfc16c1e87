"""What can be compared, what must not be averaged, and remarks on the rest."""

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablations.grids import runs_of
from harness.errors import UserError
from harness.settings import SCHEMA_VERSION, with_settings
from results.frame import Frames, gather, runs
from results.frame.comparison import _missing_seeds, _seeds, common, listed, remarks
from results.reports.runs import write_report
from tests.support.run_folder_factory import fail, write_done


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Smoke: CQL and Cal-QL on pointmaze-umaze, seeds 0 and 1."""
    root = tmp_path_factory.mktemp("runs")
    write_done(root, runs_of("smoke"))
    return gather(root)


def without(frames, **names):
    """The frames without the runs that have all these values."""
    left_out = frames.runs[(frames.runs[list(names)] == list(names.values())).all(axis=1)]["run"]
    return Frames(
        *(frame[~frame["run"].isin(left_out)] for frame in (frames.runs, frames.evaluations, frames.provenance))
    )


def test_sound_frames_have_no_remark(frames):
    assert remarks(frames) == []


def test_a_missing_seed_is_named_and_a_single_one(frames):
    lines = remarks(without(frames, arm="monte_carlo", seed=1))
    assert lines == [
        "pointmaze-umaze: seed 1 is missing for Cal-QL, Monte Carlo floor",
        "pointmaze-umaze: one finished seed, so no interval, for Cal-QL, Monte Carlo floor",
    ]


def test_a_failed_run_leaves_one_seed_but_lacks_none(tmp_path):
    runs = runs_of("smoke")
    write_done(tmp_path, runs[:3])
    fail(tmp_path, runs[3], "diverged")
    assert remarks(gather(tmp_path)) == [
        "pointmaze-umaze: one finished seed, so no interval, for Cal-QL, Monte Carlo floor"
    ]


def test_an_arm_that_a_task_lacks_is_named(tmp_path):
    runs = runs_of("smoke")
    elsewhere = [with_settings(run, {"task.name": "elsewhere"}) for run in runs if run.arm == "cql"]
    write_done(tmp_path, [*runs, *elsewhere])
    assert remarks(gather(tmp_path)) == ["elsewhere: no runs of Cal-QL, Monte Carlo floor, which other tasks have"]


def test_tasks_of_different_grids_are_not_compared(tmp_path):
    runs = [run for run in runs_of("study") if run.seed < 2]
    arms = {"fetch-push": ("cql", "monte_carlo"), "fetch-reach": ("monte_carlo", "learned")}
    write_done(tmp_path, [run for run in runs if run.arm in arms.get(run.task.name, ())])
    assert remarks(gather(tmp_path)) == []


def test_tasks_that_lack_the_same_arms_share_a_line(tmp_path):
    runs = [run for run in runs_of("study") if run.seed < 2]
    complete = [run for run in runs if run.task.name == "fetch-push" and run.arm in ("cql", "monte_carlo", "learned")]
    others = [run for run in runs if run.task.name in ("fetch-reach", "winding-road") and run.arm == "cql"]
    write_done(tmp_path, [*complete, *others])
    assert remarks(gather(tmp_path)) == [
        "fetch-reach, winding-road: no runs of Cal-QL, Monte Carlo floor; Cal-QL, learned floor, which other tasks have"
    ]


def test_numbers_that_finished_runs_lack_are_named(frames):
    runs, evaluations = frames.runs.copy(), frames.evaluations.copy()
    runs.loc[2, "regret_train"] = math.nan
    evaluations.loc[evaluations["run"] == runs.loc[0, "run"], "score"] = math.nan
    lines = remarks(Frames(runs, evaluations, frames.provenance))
    assert lines == [
        "pointmaze-umaze: 1 finished run has no regret_train, its mean is without them: "
        f"{runs.loc[2, 'run']} (Cal-QL, Monte Carlo floor, seed 0)",
        f"pointmaze-umaze: 1 finished run has evaluations without a score: {runs.loc[0, 'run']} (CQL, seed 0)",
    ]


def test_a_number_that_no_run_of_the_task_has_does_not_apply(frames):
    assert remarks(Frames(frames.runs.assign(regret_eval=math.nan), frames.evaluations, frames.provenance)) == []


def test_unequal_steps_are_named(frames):
    odd = frames.runs.loc[3, "run"]
    evaluations = frames.evaluations
    dropped = evaluations.drop(evaluations.index[(evaluations["run"] == odd) & (evaluations["step"] == 150)])
    assert remarks(Frames(frames.runs, dropped, frames.provenance)) == [
        f"pointmaze-umaze: 1 of 4 runs were evaluated at other steps than most: {odd} (Cal-QL, Monte Carlo floor, "
        "seed 1)"
    ]


def test_versions_of_the_code_are_counted(frames):
    provenance = frames.provenance.copy()
    provenance.loc[0, "commit"] = "89abcdef" * 5
    provenance["difference"] = [None, None, None, "fedcba9876543210"]
    assert remarks(Frames(frames.runs, frames.evaluations, provenance)) == [
        "computed by 3 versions of the code: 0123456 (2 runs), 89abcde (1 run), 0123456 with changes fedcba (1 run)"
    ]


def test_arms_that_lack_the_same_seeds_share_a_line():
    pairs = [(data_seed, seed) for data_seed in range(1, 6) for seed in (300, 301)]
    arms = {"cql": pairs, "learned": pairs[::2], "exact": pairs[::2], "noisy_0.1": pairs[:9]}
    rows = [("maze", arm, *pair) for arm, present in arms.items() for pair in present]
    runs = pd.DataFrame(rows, columns=["task", "arm", "data_seed", "seed"])
    assert list(_missing_seeds(runs)) == [
        "maze: seed 301 on data 1 to 5 is missing for Cal-QL, learned floor; Cal-QL, exact floor",
        "maze: seed 301 on data 5 is missing for Cal-QL, floor noise 0.1",
    ]
    assert _seeds([(0, 3), (0, 4), (0, 5), (0, 9)]) == "seeds 3 to 5, 9"


def test_long_lists_are_cut():
    assert listed([str(number) for number in range(14)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more"
    assert listed(["a", "b"]) == "a, b"


def finished_runs(arms):
    """A finished run per arm and task."""
    return pd.DataFrame([(arm, task) for arm, tasks in arms.items() for task in tasks], columns=["arm", "task"])


def test_the_most_pairs_of_arm_and_task_are_taken():
    """Three arms on two tasks are six pairs, four on one task four, one on three tasks three."""
    finished = finished_runs({"cql": "abc", "monte_carlo": "ab", "learned": "ab", "expectation": "b"})
    assert common(finished) == (["a", "b"], ["cql", "monte_carlo", "learned"])


def test_of_equally_many_pairs_more_tasks_are_taken():
    assert common(finished_runs({"cql": "ab", "monte_carlo": "a"})) == (["a", "b"], ["cql"])


def test_a_grid_elsewhere_does_not_narrow_the_comparison():
    study = dict.fromkeys(("cql", "monte_carlo", "learned"), "abc")
    elsewhere = {"cql": "abcd", "reference": "d", "official": "d"}
    assert common(finished_runs(study | elsewhere)) == (["a", "b", "c"], ["cql", "monte_carlo", "learned"])


def test_a_baseline_is_among_the_arms_and_too_few_tasks_are_none():
    finished = finished_runs({"cql": "ab", "monte_carlo": "bc", "learned": "bc", "inflated_1": "bc"})
    assert common(finished) == (["b", "c"], ["monte_carlo", "learned", "inflated_1"])
    assert common(finished, "cql") == (["b"], ["cql", "monte_carlo", "learned", "inflated_1"])
    assert common(finished, "cql", fewest=2) == (["a", "b"], ["cql"])
    assert common(finished, "expectation") == ([], [])
    assert common(finished, fewest=3) == ([], [])
    assert common(finished.iloc[:0]) == ([], [])


@given(st.dictionaries(st.sampled_from("uvwxyz"), st.sets(st.sampled_from("abcdef"), min_size=1), min_size=1))
def test_every_arm_has_every_task(arms):
    tasks, compared = common(finished_runs(arms))
    assert tasks
    assert compared
    assert all(set(tasks) <= arms[arm] for arm in compared)
    assert all(not set(tasks) <= arms[arm] for arm in arms if arm not in compared)


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


@pytest.fixture
def on_two_datasets(tmp_path, smoke):
    """Smoke on two datasets, seed 1 of Cal-QL missing on the second."""
    runs = [with_settings(run, {"task.data.seed": data_seed}) for data_seed in (0, 1) for run in smoke]
    for run, folder in zip(runs[:-1], write_done(tmp_path, runs[:-1]), strict=True):
        folder.record_provenance({**folder.provenance(), "dataset": f"{run.task.data_seed}" * 16})
    return gather(tmp_path)


def test_seeds_on_different_data_are_different_runs_of_one_arm(on_two_datasets):
    assert on_two_datasets.runs.groupby("data_seed").size().to_dict() == {0: 4, 1: 3}
    assert (on_two_datasets.evaluations.groupby("run")["data_seed"].nunique() == 1).all()
    assert remarks(on_two_datasets) == ["pointmaze-umaze: seed 1 on data 1 is missing for Cal-QL, Monte Carlo floor"]


def test_a_report_covers_runs_on_different_data(on_two_datasets, tmp_path):
    """Tables and figures that pair or list seeds must not mix up equal seeds on different data."""
    write_report(on_two_datasets, tmp_path / "report")
    differences = pd.read_csv(tmp_path / "report" / "tables" / "differences.csv")
    assert set(differences["n"]) == {2}, "data seeds"
    curves = pd.read_csv(tmp_path / "report" / "figures" / "learning_curves_pointmaze-umaze.csv").dropna(subset="seed")
    assert len(curves.drop_duplicates(["arm", "data_seed", "seed"])) == 7
    assert not curves.duplicated(["arm", "data_seed", "seed", "step"]).any()
    assert "1 on data 1" in (tmp_path / "report" / "report.html").read_text()
