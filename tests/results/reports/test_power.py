"""Seeds that a comparison needs: from the pilot's paired differences to table and figure."""

import numpy as np
import pandas as pd
import pytest

from harness.errors import UserError
from results.reports.power import Comparison, pilots, power_figure, power_table
from results.statistics.power import difference_power, equivalence_power

COMPARISON = Comparison("online_change", "monte_carlo", "cql", effect=0.15, margin=0.1)


def pilot_frame(differences: list[float], data_seeds: list[int] | None = None, task: str = "maze") -> pd.DataFrame:
    """Runs in which Cal-QL's change online exceeds CQL's by these differences, seed by seed."""
    rows = [
        {"task": task, "arm": arm, "seed": seed, "data_seed": (data_seeds or [0] * len(differences))[seed],
         "online_change": 0.01 * seed + (difference if arm == "monte_carlo" else 0.0)}
        for seed, difference in enumerate(differences)
        for arm in ("cql", "monte_carlo")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_seeds_are_the_fewest_with_the_power():
    generator = np.random.default_rng(5)
    differences = generator.normal(0.2, 0.24, size=12)
    (pilot,) = pilots(pilot_frame(list(differences)), COMPARISON)
    assert (pilot.task, pilot.n) == ("maze", 12)
    assert pilot.mean == pytest.approx(differences.mean())
    assert pilot.deviation == pytest.approx(differences.std(ddof=1))
    n, m = pilot.difference_seeds, pilot.equivalence_seeds
    assert difference_power(n, 0.15, pilot.deviation) >= 0.8 > difference_power(n - 1, 0.15, pilot.deviation)
    assert equivalence_power(m, 0.1, pilot.deviation) >= 0.8 > equivalence_power(m - 1, 0.1, pilot.deviation)
    assert pilot.difference_seeds_upper > n
    assert pilot.equivalence_seeds_upper > m


def test_large_effects_need_the_seeds_of_a_verdict():
    (pilot,) = pilots(pilot_frame([0.2, 0.2001, 0.1999]), COMPARISON)
    assert (pilot.difference_seeds, pilot.equivalence_seeds) == (6, 6)
    (equal,) = pilots(pilot_frame([0.0, 0.0, 0.0]), COMPARISON)
    assert (equal.difference_seeds, equal.equivalence_seeds_upper) == (6, 6)


def test_the_limit_of_the_deviation_stays_within_the_range():
    """Differences 0 and 0.9: 0.64, and by chi-squared at most 2.5; changes within -1 and 1 differ by at most 2."""
    (pilot,) = pilots(pilot_frame([0.0, 0.9]), COMPARISON)
    assert pilot.deviation == pytest.approx(0.9 / 2**0.5)
    assert pilot.upper == 2.0


def test_data_seeds_are_the_pairs_where_there_are_several():
    """Differences 1, 3 on one dataset, 5, 7 on another, 3, 5 on a third: means 2, 6 and 4."""
    (pilot,) = pilots(pilot_frame([1.0, 3, 5, 7, 3, 5], data_seeds=[0, 0, 1, 1, 2, 2]), COMPARISON)
    assert (pilot.n, pilot.mean, pilot.deviation) == (3, pytest.approx(4.0), pytest.approx(2.0))


def test_tasks_without_pairs_are_left_out():
    others = [pilot_frame([0.1], task="short"), pilot_frame([0.1, np.nan], task="nan")]
    frame = pd.concat([pilot_frame([0.1, 0.2]), *others])
    assert [pilot.task for pilot in pilots(frame, COMPARISON)] == ["maze"]
    with pytest.raises(UserError, match="power: no task has two seeds with monte_carlo and cql"):
        pilots(frame[frame["task"] == "short"], COMPARISON)
    with pytest.raises(UserError, match="power: maze has several runs of an arm and seed, with other settings; name"):
        pilots(pd.concat([pilot_frame([0.1, 0.2])] * 2), COMPARISON)
    with pytest.raises(UserError, match="--metric nonsense: not a number that runs have; choose one of online_change"):
        pilots(frame, Comparison("nonsense", "monte_carlo", "cql", 0.1, 0.1))


def test_table_and_figure_show_the_same_pilots():
    frame = pd.concat([pilot_frame([0.1, 0.3, 0.0]), pilot_frame([0.4, -0.9, 9.0, -9.0], task="noisy")])
    results = pilots(frame, COMPARISON)
    table, drawing = power_table(results, COMPARISON), power_figure(results, COMPARISON)
    assert list(table.numbers["task"]) == ["maze", "noisy"]
    assert table.text["Seeds for a difference of 0.15"][0] == (
        f"{results[0].difference_seeds} ({results[0].difference_seeds_upper})"
    )
    assert "more than 10,000" in table.text["Seeds for equivalence within 0.1"][1]
    at = drawing.numbers[(drawing.numbers["task"] == "maze") & (drawing.numbers["test"] == "difference of")]
    row = at.iloc[3]
    assert row["power"] == pytest.approx(difference_power(int(row["seeds"]), 0.15, results[0].deviation))
    assert (drawing.numbers["power_upper"] <= drawing.numbers["power"] + 1e-9).all()
