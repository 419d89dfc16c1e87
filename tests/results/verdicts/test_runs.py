"""Claims about runs: which runs enter, what is said of the others, and that nothing is left out in silence."""

from dataclasses import replace
from math import isnan, nan

import pandas as pd
import pytest

from ablations.claim import Claim, Difference, DoseResponse, Equivalence, EveryCase, Level, NonInferiority
from ablations.measures import Recorded
from results.frame.per_run import per_run
from results.verdicts.runs import judge_runs, measured

DOSES = {"cql": 0.0, "monte_carlo": 0.0, "learned": 0.0, "inflated_0.25": 0.25, "inflated_1": 1.0}


def claim(test, measure=lambda runs: runs["dip"], name="some-claim") -> Claim:
    return Claim(name, "topic", "Something is so.", "derived", "dip", measure, test)


def frames(values: dict[tuple[str, str], list[float]], failed: tuple[tuple[str, int], ...] = ()):
    """Runs with these dips by task and arm, seed by seed (None: no run), and two evaluations of each."""
    runs, rows = [], []
    for (task, arm), dips in values.items():
        for seed, dip in enumerate(dips):
            if dip is None:
                continue
            run = f"{task}-{arm}-{seed}"
            state = "failed" if (arm, seed) in failed else "done"
            runs.append((run, task, arm, seed, state, DOSES[arm], dip))
            rows += [(run, task, arm, seed, step, phase, 0.5, q) for step, phase, q in
                     ((-10, "offline", 0.0), (0, "offline", dip), (10, "online", 2 * dip))]  # fmt: skip
    columns = ["run", "task", "arm", "seed", "state", "floor.inflation", "dip"]
    evaluations = ["run", "task", "arm", "seed", "step", "phase", "score", "q_policy"]
    frames = pd.DataFrame(runs, columns=columns), pd.DataFrame(rows, columns=evaluations)
    return tuple(frame.assign(data_seed=0) for frame in frames)


SIX = [1.0, 2, 3, 4, 5, 6]
TWO_ARMS = {("maze", "cql"): [10.0 + dip for dip in SIX], ("maze", "monte_carlo"): [10.0] * 6}


def judge(test, *material, **keywords):
    return judge_runs([claim(test, **keywords)], *material)


def test_a_row_per_run_has_both_moments():
    frame = per_run(*frames(TWO_ARMS)).set_index("run")
    row = frame.loc["maze-cql-2"]
    assert (row["dip"], row["switch.q_policy"], row["end.q_policy"]) == (13.0, 13.0, 26.0)
    assert len(frame) == 12


def test_the_runs_behind_a_verdict_are_those_of_both_arms():
    (verdict,) = judge(Difference(("monte_carlo",), "cql", "below"), *frames(TWO_ARMS))
    assert (verdict.outcome, verdict.effect, verdict.n, verdict.p_value) == ("supported", -3.5, 6, 2 / 64)
    assert (verdict.task, verdict.arm, verdict.remark) == ("maze", "monte_carlo", "")
    assert set(verdict.runs) == {f"maze-{arm}-{seed}" for arm in ("cql", "monte_carlo") for seed in range(6)}


def test_seeds_that_lack_an_arm_are_named():
    values = {**TWO_ARMS, ("maze", "monte_carlo"): [10.0, None, 10, 10, nan, 10, 10, 10, 10]}
    values["maze", "cql"] = [*TWO_ARMS["maze", "cql"], 17.0, 18.0, 19.0]
    (verdict,) = judge(Difference(("monte_carlo",), "cql", "below"), *frames(values, failed=(("cql", 3),)))
    assert verdict.n == 6
    assert verdict.remark == "left out: seed 1 (monte_carlo missing), seed 3 (cql failed), seed 4 (no number)"
    assert not [run for run in verdict.runs if run[-1] in "134"]
    assert verdict.outcome == "supported"


def test_too_few_seeds_are_remarked():
    values = {key: dips[:5] for key, dips in TWO_ARMS.items()}
    (verdict,) = judge(Difference(("monte_carlo",), "cql", "below"), *frames(values))
    assert (verdict.outcome, verdict.n) == ("too few seeds", 5)
    assert verdict.remark == "5 seeds; at least 6 are needed"
    assert verdict.effect == pytest.approx(-3.0), "the effect is shown all the same"


@pytest.mark.parametrize(
    "test",
    [
        Level(("cql", "learned"), "above"),
        Difference(("monte_carlo", "learned"), "cql", "below"),
        Equivalence("learned", "monte_carlo", 0.1, control="c"),
        NonInferiority("learned", "cql", 0.1, "above", control="c"),
    ],
)
def test_an_arm_without_runs_is_not_tested_for_a_reason(test):
    verdict = judge(test, *frames(TWO_ARMS))[-1]
    assert (verdict.arm, verdict.outcome, verdict.n, verdict.runs) == ("learned", "not tested", 0, ())
    assert verdict.remark == "no finished run of learned"
    assert isnan(verdict.effect)


def test_an_arm_that_was_not_run_does_not_weigh_on_the_others():
    first, second = judge(Level(("cql", "learned"), "above"), *frames(TWO_ARMS))
    assert (first.outcome, first.p_value) == ("supported", 2 / 64)
    assert second.n == 0


def test_a_trend_is_over_the_doses_that_were_run():
    values = {
        ("maze", arm): [dose + seed for seed in range(6)]
        for arm, dose in DOSES.items()
        if arm not in ("cql", "learned")
    }
    arms = ("monte_carlo", "inflated_0.25", "inflated_0.5", "inflated_1")
    (verdict,) = judge(DoseResponse(arms, "rises"), *frames(values))
    assert (verdict.outcome, verdict.n, verdict.arm) == ("supported", 6, "")
    assert verdict.effect == pytest.approx(1.0)
    assert "dose (0, 0.25, 1)" in verdict.method
    del values["maze", "inflated_1"]
    (few,) = judge(DoseResponse(arms, "rises"), *frames(values))
    assert few.remark == f"2 of the doses {', '.join(arms)} have finished runs; a trend needs 3"


def test_every_task_has_a_verdict():
    values = {**TWO_ARMS, **{("road", arm): dips for (_, arm), dips in TWO_ARMS.items()}}
    values["road", "monte_carlo"] = [20.0] * 6
    verdicts = judge(Difference(("monte_carlo",), "cql", "below"), *frames(values))
    assert [(verdict.task, verdict.outcome) for verdict in verdicts] == [
        ("maze", "supported"),
        ("road", "contradicted"),
    ]


@pytest.mark.parametrize("measure", [lambda runs: runs["switch.q_nowhere"], lambda runs: runs["dip"] * nan])
def test_a_missing_metric_is_remarked(measure):
    (verdict,) = judge(Level(("cql",), "above"), *frames(TWO_ARMS), measure=measure)
    assert verdict.remark == "the metric is not available for cql"
    assert verdict.outcome == "not tested"


def test_a_failed_run_has_no_number():
    material = frames(TWO_ARMS, failed=(("cql", 0),))
    numbers = measured(claim(Level(("cql",), "above")), per_run(*material))
    assert len(numbers) == 11


def test_two_claims_of_one_id_and_claims_of_the_lab_are_refused():
    level = claim(Level(("cql",), "above"))
    with pytest.raises(ValueError, match="some-claim: the id is not unique"):
        judge_runs([level, level], *frames(TWO_ARMS))
    with pytest.raises(TypeError, match="exact cases"):
        judge(EveryCase(at_least=0.0), *frames(TWO_ARMS))


# Families, controls and data seeds -----------------------------------------------------------------------------------

CONTROL = Claim("floor-differs", "topic", "CQL differs.", "derived", "dip", lambda runs: runs["dip"],
                Difference(("cql",), "monte_carlo", "above"))  # fmt: skip
EQUAL = Claim("equal", "topic", "No difference.", "derived", "dip", lambda runs: runs["dip"],
              Equivalence("learned", "monte_carlo", 1.0, control="floor-differs"))  # fmt: skip


def test_equivalence_counts_only_where_the_control_is_supported():
    """On the road CQL does not differ either: there, the equality of two floors says nothing."""
    equal = [10.0, 10.1, 9.9, 10, 10, 10.1]
    values = {**TWO_ARMS, ("maze", "learned"): equal}
    values |= {("road", "cql"): [10.0] * 6, ("road", "monte_carlo"): [10.0] * 6, ("road", "learned"): equal}
    verdicts = judge_runs([CONTROL, EQUAL], *frames(values))
    alone = judge_runs([EQUAL], *frames(values))
    outcome = {(verdict.claim.id, verdict.task): verdict.outcome for verdict in verdicts}
    assert outcome["floor-differs", "maze"] == outcome["equal", "maze"] == "supported"
    assert outcome["floor-differs", "road"] == outcome["equal", "road"] == "inconclusive"
    road = next(verdict for verdict in verdicts if (verdict.claim.id, verdict.task) == ("equal", "road"))
    assert road.remark == "the control floor-differs is not supported here, so equality says nothing"
    assert road.p_value < 0.05, "the numbers of the test are shown all the same"
    assert {verdict.outcome for verdict in alone} == {"inconclusive"}, "a control that is not judged is not supported"


def test_a_difference_beyond_the_margin_needs_no_control():
    values = {**TWO_ARMS, ("maze", "monte_carlo"): [10.0] * 6}
    claims = [replace(EQUAL, test=Equivalence("cql", "monte_carlo", 0.1, control="absent"))]
    (verdict,) = judge_runs(claims, *frames(values))
    assert verdict.outcome == "contradicted"


def test_primary_claims_are_one_family_over_tasks():
    """p = 2/64 on both tasks: alone significant, but not in a family of two."""
    values = {**TWO_ARMS, **{("road", arm): dips for (_, arm), dips in TWO_ARMS.items()}}
    exploratory = judge_runs([CONTROL], *frames(values))
    primary = judge_runs([replace(CONTROL, primary=True)], *frames(values))
    assert [(verdict.outcome, verdict.p_value) for verdict in exploratory] == [("supported", 2 / 64)] * 2
    assert [(verdict.outcome, verdict.p_value) for verdict in primary] == [("too few seeds", 4 / 64)] * 2
    assert primary[0].remark == "6 seeds cannot reach p <= 0.05 in a family of 2 tests"


def test_exploratory_claims_do_not_weigh_on_primary_ones():
    values = {**TWO_ARMS, **{("road", arm): dips for (_, arm), dips in TWO_ARMS.items() if arm == "cql"}}
    claims = [replace(CONTROL, primary=True), replace(CONTROL, id="other")]
    assert [verdict.p_value for verdict in judge_runs(claims, *frames(values)) if verdict.n] == [2 / 64] * 2


def test_with_several_data_seeds_each_counts_once():
    """Two seeds on each of three data seeds: three means, so no verdict; the effect is the mean over data seeds."""
    runs, rows = frames(TWO_ARMS)
    runs["data_seed"] = runs["seed"] // 2
    runs["seed"] = runs["seed"] % 2
    (verdict,) = judge_runs([CONTROL], runs, rows)
    assert (verdict.n, verdict.outcome) == (3, "too few seeds")
    # Differences 1 to 6 within seed: means 1.5, 3.5, 5.5 per data seed.
    assert verdict.effect == pytest.approx(3.5)
    half = 4.302653 * 2.0 / 3**0.5
    assert (verdict.low, verdict.high) == pytest.approx((3.5 - half, 3.5 + half))
    assert len(verdict.runs) == 12


def test_seeds_of_one_number_on_different_data_are_not_mixed():
    runs, rows = frames({key: dips * 2 for key, dips in TWO_ARMS.items()}, failed=(("cql", 7),))
    runs["data_seed"] = runs["seed"] // 2
    runs["seed"] = runs["seed"] % 2
    (verdict,) = judge_runs([CONTROL], runs, rows)
    assert verdict.n == 6
    assert verdict.remark == "left out: seed 1 on data 3 (cql failed)"
    assert not [run for run in verdict.runs if run.endswith("-7")]


@pytest.mark.parametrize(
    ("test", "least", "largest"),
    [
        (Level(("cql",), "above"), 0.0, 1.0),
        (Difference(("cql",), "monte_carlo", "above"), -1.0, 1.0),
        (Equivalence("cql", "monte_carlo", 0.1, control="some-claim"), -1.0, 1.0),
        (NonInferiority("cql", "monte_carlo", 0.1, "below", control="some-claim"), -1.0, 1.0),
        # The slope from 0 to 1 over the doses 0, 0.25 and 1: the weights above their mean sum to (7/12) / (78/144).
        (DoseResponse(("monte_carlo", "inflated_0.25", "inflated_1"), "rises"), -14 / 13, 14 / 13),
    ],
)
def test_intervals_of_recorded_shares_are_possible(test, least, largest):
    """A dip is a share: its mean lies in [0, 1] and its differences in [-1, 1], unless the score is one of returns."""
    arms = {"cql": [0.9, 0.9], "monte_carlo": [0.0, 1.0], "inflated_0.25": [1.0, 0.0], "inflated_1": [0.1, 0.9]}
    runs, evaluations = frames({("maze", arm): dips for arm, dips in arms.items()})
    if isinstance(test, Level):
        runs.loc[(runs["arm"] == "cql") & (runs["seed"] == 0), "dip"] = 0.0
    (bounded,) = judge(test, runs, evaluations, measure=Recorded("dip"))
    (free,) = judge(test, runs, evaluations)
    (returns,) = judge(test, runs.assign(**{"task.reference_returns": 1.0}), evaluations, measure=Recorded("dip"))
    assert free.low < least
    assert free.high > largest
    assert (bounded.low, bounded.high) == pytest.approx((least, largest))
    assert (bounded.effect, bounded.p_value) == pytest.approx((free.effect, free.p_value), nan_ok=True)
    assert (returns.low, returns.high) == (free.low, free.high)
