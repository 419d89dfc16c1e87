"""Metrics by dose of inflation, computed by hand."""

import math

import pandas as pd
import pytest

from results.statistics.trend import dose_response
from results.tables.doses import RESPONSES, dose_series, doses

ARMS = {"cql": ("none", 0.0), "monte_carlo": ("monte_carlo", 0.0), "inflated_0.5": ("monte_carlo", 0.5),
        "inflated_1": ("monte_carlo", 1.0), "learned": ("learned", 0.0)}  # fmt: skip


def frames(seeds=3, arms=ARMS, **changes):
    """Scores fall by 0.4 per dose (0.3 in seed 1), bound rates rise with it."""
    rows = [
        {"run": f"{arm}{seed}", "task": "maze", "arm": arm, "data_seed": 0, "seed": seed, "state": "done",
         "floor.base": arms[arm][0], "floor.inflation": arms[arm][1],
         "offline_score": 0.9 - (0.3 if seed == 1 else 0.4) * arms[arm][1], "final_score": 1.0}
        for arm in arms for seed in range(seeds)
    ]  # fmt: skip
    runs = pd.DataFrame(rows).assign(**changes)
    evaluations = pd.DataFrame(
        [{"run": row["run"], "step": step, "below_floor": 0.1 + 0.5 * row["floor.inflation"] + step} for row in rows
         for step in (-5, 0, 5)]
    )  # fmt: skip
    return runs, evaluations


def test_a_row_per_dose_and_the_trend():
    table = doses(*frames())
    text = table.text.set_index("Inflation")
    assert list(text.index) == ["0", "0.5", "1", "slope per unit"]
    assert list(text.columns) == ["Task", "Below the floor", "Score, offline end", "Score, online end", "n"]
    assert text.loc["0.5", "Below the floor"] == "0.35 [0.35, 0.35]"
    assert list(text["n"]) == ["3", "3", "3", ""]
    # Slopes -0.4, -0.3, -0.4; each of three seeds falls all the way: 1/6^3.
    trend = table.numbers[(table.numbers["metric"] == "offline_score") & table.numbers["dose"].isna()].iloc[0]
    assert trend["mean"] == pytest.approx(-1.1 / 3)
    assert (trend["rank_correlation"], trend["p_value"]) == (pytest.approx(-1.0), pytest.approx(1 / 216))
    assert text.loc["slope per unit", "Score, offline end"].endswith(", p = 0.0046")
    rises = dose_response([[0.1, 0.35, 0.6]] * 3, [0.0, 0.5, 1.0], "rises")
    bound = table.numbers[(table.numbers["metric"] == "below_floor") & table.numbers["dose"].isna()].iloc[0]
    assert bound["p_value"] == pytest.approx(rises.p_value)


def test_arms_that_differ_in_more_than_the_dose_are_no_series():
    runs, _ = frames()
    ((task, series),) = dose_series(runs)
    assert (task, set(series["arm"])) == ("maze", {"monte_carlo", "inflated_0.5", "inflated_1"})
    assert doses(*frames(arms={name: ARMS[name] for name in ("cql", "monte_carlo", "inflated_1")})) is None
    runs, evaluations = frames(**{"algorithm.alpha": [float(number) for number in range(15)]})
    assert doses(runs, evaluations) is None


def test_a_seed_without_every_dose_counts_in_its_rows_and_not_in_the_trend():
    runs, evaluations = frames()
    runs.loc[(runs["arm"] == "inflated_1") & (runs["seed"] == 2), "state"] = "failed"
    table = doses(runs, evaluations)
    assert list(table.text["n"]) == ["3", "3", "2", ""]
    assert set(table.numbers[table.numbers["dose"].isna()]["n"]) == {2}


def test_a_metric_without_values_has_no_column():
    runs, evaluations = frames()
    table = doses(runs, evaluations.assign(overestimation_exact=math.nan))
    assert "Over-estimation" not in table.text
    assert any(response.heading == "Over-estimation" for response in RESPONSES)
    assert not any("Over-estimation:" in note for note in table.notes)


def test_doses_in_other_units_are_no_series():
    """Four doses of another kind of inflation do not replace the three additive ones."""
    runs, _ = frames(arms={name: values for name, values in ARMS.items() if name != "cql"})
    others = pd.concat([
        runs[runs["arm"] == "monte_carlo"].assign(arm=f"gap_{dose}", **{"floor.inflation": dose})
        for dose in (0.25, 0.5, 1.0, 2.0)
    ])  # fmt: skip
    kinds = {"floor.inflation_kind": "additive"}, {"floor.inflation_kind": "value_gap"}
    both = pd.concat([runs.assign(**kinds[0]), others.assign(**kinds[1])])
    ((_, series),) = dose_series(both)
    assert sorted(series["floor.inflation"].unique()) == [0.0, 0.5, 1.0]
    assert list(dose_series(others.assign(**kinds[1]))) == []
