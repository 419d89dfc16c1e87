"""What arms change against the Monte Carlo floor, by hand."""

from math import nan

import pandas as pd
import pytest

from results.tables.effects import effects, effects_table

# Arm: inflation, mean floor, Q of the policy, score at the switch.
ARMS = {
    "cql": (0.0, nan, -70.0, 0.2),
    "monte_carlo": (0.0, -60.0, -50.0, 0.6),
    "inflated_0.5": (0.5, -10.0, -25.0, 0.6),
}


def frame(tasks=("first", "second"), seeds=8, arms=ARMS):
    """On the second task returns are ten times as large, and CQL's score is as Cal-QL's."""
    rows = []
    for task in tasks:
        scale = 10.0 if task == "second" else 1.0
        for arm, (inflation, floor, value, score) in arms.items():
            for seed in range(seeds):
                rows.append(
                    {
                        "task": task, "arm": arm, "data_seed": 0, "seed": seed, "floor.inflation": inflation,
                        "floor.base": "none" if arm == "cql" else "monte_carlo", "switch.floor_mean": scale * floor,
                        "switch.q_policy": scale * (value + seed % 2), "switch.q_uniform": scale * value,
                        "switch.bound_rate_current": 0.25 + inflation,
                        "offline_score": 0.6 if task == "second" else score + 0.1 * (seed % 2), "final_score": 1.0,
                        "regret_eval": 0.0, "dip": 0.0,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def of(estimated, arm, quantity, task=""):
    (effect,) = [one for one in estimated if (one.arm, one.quantity, one.task) == (arm, quantity, task)]
    return effect


def test_a_score_is_compared_within_seed_and_every_task_counts_once():
    estimated = effects(frame())
    first = of(estimated, "cql", "offline_score", "first")
    assert first.estimate.mean == pytest.approx(-0.4)
    assert first.estimate.n == 8
    # All eight differences have one sign, 2 of 2^8 assignments are as extreme; twice for the task's two arms.
    assert first.p_holm == pytest.approx(2 * 2 / 2**8)
    assert first.direction == -1
    assert of(estimated, "cql", "offline_score", "second").direction == 0
    pooled = of(estimated, "cql", "offline_score")
    assert pooled.estimate.mean == pytest.approx(-0.2)
    assert pooled.estimate.n == 16
    assert pooled.direction == 0


def test_with_several_data_seeds_each_counts_once():
    """Four data seeds of two seeds: the means per data seed of the differences -0.4 are tested, so p = 2/16."""
    runs = frame(tasks=("first",))
    runs["data_seed"], runs["seed"] = runs["seed"] // 2, runs["seed"] % 2
    cql = of(effects(runs), "cql", "offline_score", "first")
    assert (cql.estimate.n, cql.estimate.mean) == (4, pytest.approx(-0.4))
    assert cql.p_holm == pytest.approx(2 * 2 / 2**4)


def test_values_are_shares_of_the_range_that_inflation_adds():
    """Inflation by a half adds 50 on the first task and 500 on the second: ranges of 100 and of 1,000."""
    estimated = effects(frame())
    for task in ("first", "second", ""):
        assert of(estimated, "inflated_0.5", "q_policy", task).estimate.mean == pytest.approx(0.25)
        assert of(estimated, "cql", "q_uniform", task).estimate.mean == pytest.approx(-0.2)


def test_without_an_inflated_arm_values_are_omitted():
    estimated = effects(frame(arms={arm: ARMS[arm] for arm in ("cql", "monte_carlo")}))
    assert {effect.quantity for effect in estimated} == {"offline_score", "final_score", "regret_eval", "dip"}


def test_a_row_of_text_per_arm():
    text = effects_table(effects(frame())).text.set_index("Arm")
    assert list(text.index) == ["CQL", "Cal-QL, inflated by 0.5"]
    assert text.loc["CQL", "Score, offline end"] == "-0.20 [-0.20, -0.20] (1 down)"
    assert text.loc["CQL", "Bound rate"] == "-"
    assert text.loc["Cal-QL, inflated by 0.5", "Bound rate"] == "+0.50 [0.50, 0.50] (2 up)"
    assert set(text["Tasks"]) == {"2"}
    assert set(text["n"]) == {"16"}


def test_a_single_task_or_none_with_the_centre_has_no_table():
    assert effects_table(effects(frame(tasks=("first",)))) is None
    assert effects(frame(arms={"cql": ARMS["cql"]})) == []


def test_implementation_arms_are_compared_with_their_reference():
    arms = {
        **ARMS,
        "reference": (0.0, -60.0, -40.0, 0.5),
        "official": (0.0, -60.0, -40.0, 0.7),
        "floor_on_uniform": (0.0, -60.0, -40.0, 0.1),
    }
    assert {effect.arm for effect in effects(frame(arms=arms))} == {"cql", "inflated_0.5"}
    estimated = effects(frame(arms=arms), "reference")
    assert {effect.arm for effect in estimated} == {"official", "floor_on_uniform"}
    assert of(estimated, "official", "offline_score", "first").estimate.mean == pytest.approx(0.2)
    assert not [effect for effect in estimated if effect.quantity == "q_policy"], "no inflated arm tells the range"
