"""What documents look up in published runs: every number is that of the frames."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ablations.grids import STUDY_TASKS, runs_of
from harness.errors import UserError
from results.frame import gather
from results.publishing.evidence import Evidence
from results.tables.table import number
from tests.support.run_folder_factory import write_done

TASKS = ("pointmaze-umaze-wide", "winding-road")
ARMS = ("cql", "monte_carlo", "learned", "inflated_0.25", "inflated_0.5", "inflated_1")


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    write_done(root, [run for run in runs_of("study") if run.task.name in TASKS and run.arm in ARMS and run.seed < 8])
    return Evidence(gather(root))


def test_runs_are_known_by_task_and_arm(evidence):
    assert evidence.has("winding-road", "learned")
    assert not evidence.has("winding-road", "wsrl")
    assert not evidence.has("fetch-push", "learned")


def test_verdicts_are_counted_by_task(evidence):
    # The synthetic values of CQL end 38 below the returns on both tasks, those of Cal-QL 4 above.
    assert evidence.outcomes("cql-scale-mismatch") == "supported on 2 of 2 tasks (pointmaze-umaze-wide, winding-road)"
    assert evidence.outcomes("every-dose-binds", "inflated_1").startswith("supported on 2 of 2 tasks")
    all_doses = evidence.outcomes("every-dose-binds")
    assert all_doses == "supported on 6 of 6 tasks and arms (pointmaze-umaze-wide, winding-road)"


def test_measured_shows_interval_and_seeds(evidence):
    (verdict,) = [
        verdict
        for verdict in evidence.verdicts
        if verdict.claim.id == "cql-scale-mismatch" and verdict.task == "winding-road"
    ]
    shown = evidence.measured("cql-scale-mismatch", "winding-road", decimals=1)
    assert shown == f"{verdict.effect:+.1f} [{verdict.low:.1f}, {verdict.high:.1f}], n = 8"
    with pytest.raises(UserError, match="claim every-dose-binds has 3 verdicts on task 'winding-road', not one"):
        evidence.measured("every-dose-binds", "winding-road")


def test_the_usual_n_is_left_out(evidence):
    usual = Evidence(evidence.frames, usual_n=8)
    with_n = evidence.measured("cql-scale-mismatch", "winding-road")
    assert usual.measured("cql-scale-mismatch", "winding-road") == with_n.removesuffix(", n = 8") != with_n
    assert usual.effect("inflated_1", "offline_score").endswith("], n = 16")


def test_effects_average_over_tasks_or_show_one_task(evidence):
    frame = evidence.frames.runs.pivot(index=["task", "seed"], columns="arm", values="offline_score")
    difference = (frame["inflated_1"] - frame["monte_carlo"]).groupby("task").mean()
    assert evidence.effect("inflated_1", "offline_score").startswith(f"{difference.mean():+.2f} [")
    assert evidence.effect("inflated_1", "offline_score").endswith("], n = 16")
    assert evidence.effect("inflated_1", "offline_score", "winding-road").endswith("], n = 8")
    assert evidence.moved("inflated_1", "bound_rate").startswith("higher on 2 of 2 tasks")
    mean = evidence.frames.runs.query("task == 'winding-road' and arm == 'cql'")["offline_score"].mean()
    assert evidence.mean("offline_score", "winding-road", "cql") == number(mean, 2)


def test_means_are_of_runs_and_of_their_first_and_last_online_evaluations(evidence):
    rows = evidence.frames.evaluations.query("task == 'winding-road' and arm == 'cql'")
    last = rows[rows["step"] == rows["step"].max()]
    assert evidence.mean("switch.q_policy", "winding-road", "cql") == number(
        rows[rows["step"] == 0]["q_policy"].mean(), 2
    )
    assert evidence.mean("end.score", "winding-road", "cql", 3) == number(last["score"].mean(), 3)
    assert evidence.data_seeds == 1


def test_numbers_at_a_step_are_those_of_the_next_evaluation(evidence):
    rows = evidence.frames.evaluations.query("task == 'winding-road' and arm == 'cql'")
    steps = sorted(rows["step"].unique())
    mean = rows[rows["step"] == steps[-1]]["score"].mean()
    assert evidence.at("score", "winding-road", "cql", steps[-2] + 1) == number(mean, 2)
    assert evidence.at("score", "winding-road", "cql", steps[-1]) == number(mean, 2)


def test_changes_are_paired_by_seed(evidence):
    table = evidence.measures.query("task == 'winding-road'").pivot(index="seed", columns="arm", values="final_score")
    differences = (table["inflated_1"] - table["monte_carlo"]).to_numpy()
    half = stats.t.ppf(0.975, 7) * differences.std(ddof=1) / np.sqrt(8)
    low, high = (max(-1.0, differences.mean() - half), min(1.0, differences.mean() + half))
    shown = evidence.change("final_score", "winding-road", "inflated_1", "monte_carlo")
    assert shown == f"{number(differences.mean(), 2, sign=True)} [{number(low, 2)}, {number(high, 2)}], n = 8"
    alone = evidence.change("final_score", "winding-road", "inflated_1")
    assert alone.startswith(number(table["inflated_1"].mean(), 2, sign=True))


def test_extent_is_the_range_of_the_arms_means(evidence):
    runs = evidence.frames.runs.query("task == 'winding-road'")
    means = [runs.loc[runs["arm"] == arm, "offline_score"].mean() for arm in ARMS]
    assert evidence.extent("offline_score", "winding-road") == f"{number(min(means), 2)} to {number(max(means), 2)}"


def test_arm_means_are_compared_and_correlated(evidence):
    means = evidence.frames.runs.groupby(["task", "arm"])[["dip", "regret_eval", "offline_score"]].mean()
    larger = sum(means.loc[(task, "cql"), "dip"] >= means.loc[(task, "inflated_1"), "dip"] for task in TASKS)
    assert evidence.as_large("dip", "cql", "inflated_1") == f"on {larger} of 2 tasks"
    shares = [means.loc[task].corr().loc["regret_eval", "offline_score"] ** 2 for task in TASKS]
    text = evidence.explained("regret_eval", "offline_score")
    assert all(number(share, 2) in text for share in (min(shares), max(shares)))


def test_rank_correlations_are_of_the_means_of_some_arms(evidence):
    measures = evidence.measures[evidence.measures["task"] == "winding-road"]
    means = measures[measures["arm"].isin(ARMS[:4])].groupby("arm")[["regret_eval", "final_score"]].mean()
    ranks = means.rank()
    expected = np.corrcoef(ranks["regret_eval"], ranks["final_score"])[0, 1]
    asked = evidence.rank_correlation("regret_eval", "final_score", "winding-road", ARMS[:4])
    assert asked == f"{number(expected, 2, True)}, 4 arms"


def test_a_claim_about_a_level_can_be_asked_of_other_arms(evidence):
    assert evidence.also("cql-scale-mismatch", ("cql",)) == f"CQL: {evidence.outcomes('cql-scale-mismatch')}"
    with pytest.raises(UserError, match="claim every-dose-binds is not about a level"):
        evidence.also("every-dose-binds", ("cql",))


def test_p_values_over_tasks_are_holm_corrected(evidence):
    p_values = {v.task: v.p_value for v in evidence.verdicts if v.claim.id == "cql-scale-mismatch"}
    smaller = min(p_values, key=p_values.get)
    assert evidence.over_tasks("cql-scale-mismatch", smaller) == number(min(1.0, 2 * p_values[smaller]), 2)


def test_missing_tasks_and_seeds_are_named(evidence):
    assert (sorted(evidence.tasks), evidence.arms, evidence.seeds) == (sorted(TASKS), list(ARMS), 8)
    assert set(evidence.missing) | set(TASKS) == set(STUDY_TASKS)
    fewer = evidence.frames.runs.drop(index=evidence.frames.runs.index[0])
    with pytest.raises(UserError, match="findings: tasks and arms have 7 to 8 seeds; run the missing ones"):
        _ = Evidence(replace(evidence.frames, runs=fewer)).seeds


def test_implementation_options_are_compared_with_the_reference(tmp_path):
    chosen = ("reference", "no_failure_rule", "gap_without_alpha", "reference_cql", "monte_carlo")
    runs = [run for run in (*runs_of("implementation"), *runs_of("truncation")) if run.arm in chosen]
    write_done(tmp_path, [run for run in runs if run.seed < 3])
    evidence = Evidence(gather(tmp_path))
    options = evidence.options("offline_score", "winding-road-short")
    assert {effect.arm for effect in options} == {"no_failure_rule", "gap_without_alpha"}
    sizes = [abs(effect.estimate.mean) for effect in options]
    assert sizes == sorted(sizes, reverse=True)
    assert evidence.shown(options[0]).endswith("], n = 3")


@pytest.mark.parametrize(
    "ask",
    [
        lambda evidence: evidence.outcomes("no-such-claim"),
        lambda evidence: evidence.outcomes("cql-scale-mismatch", "learned"),
        lambda evidence: evidence.effect("exact", "q_policy"),
        lambda evidence: evidence.moved("inflated_1", "happiness"),
        lambda evidence: evidence.change("final_score", "winding-road", "exact"),
    ],
)
def test_missing_numbers_are_reported_in_one_line(evidence, ask):
    with pytest.raises(UserError, match=r"^findings: "):
        ask(evidence)


def test_the_tables_have_a_row_per_arm_and_per_tested_claim(evidence):
    changes = evidence.changes.splitlines()
    assert [line.split(" | ")[0] for line in changes[2:]] == [
        "| CQL", "| Cal-QL, learned floor", *(f"| Cal-QL, inflated by {dose}" for dose in ("0.25", "0.5", "1")),
    ]  # fmt: skip
    counted = evidence.tally.splitlines()
    assert len(counted) - 2 == len({verdict.claim.id for verdict in evidence.verdicts})
    cells = [
        int(cell) for line in counted[2:] for cell in line.split(" | ")[1:] for cell in cell.split() if cell != "|"
    ]
    assert sum(cells) == len(evidence.verdicts)


def test_an_effect_is_small_if_its_interval_is(evidence):
    estimate = next(
        effect.estimate
        for effect in evidence.effects
        if (effect.arm, effect.quantity, effect.task) == ("learned", "regret_eval", "")
    )
    largest = max(abs(estimate.low), abs(estimate.high))
    assert evidence.within("learned", "regret_eval", largest)
    assert not evidence.within("learned", "regret_eval", 0.99 * largest)
