"""The grids of the study of fine-tuning: cells, seeds and what they leave out."""

from collections import Counter

import pytest

from ablations.axes import split_variant
from ablations.claim import arms_of
from ablations.claims import undecidable
from ablations.fine_tuning import CONFIRMATORY, CONTROL, DATA_SEEDS, DEMO_ARMS, FURTHER, MIXED, PHENOMENON
from ablations.fine_tuning_claims import (
    ALPHAS,
    BEST_VALUE,
    CAUSE,
    FINE_TUNING_CLAIMS,
    FLOOR_ERROR,
    ONLINE,
    PROTOCOLS,
    REMEDIES,
)
from ablations.grids import runs_of


@pytest.fixture(scope="module")
def cause():
    return runs_of("cause")


def test_the_dip_has_50_runs_of_the_primary_arms_and_20_of_the_others():
    counts = Counter(run.arm for run in runs_of("dip"))
    assert counts == {**dict.fromkeys(CONFIRMATORY, 50), **dict.fromkeys(FURTHER, 20)}


def test_the_demo_decides_its_claims_with_seeds_and_data_of_its_own():
    runs = runs_of("demo")
    assert Counter(run.arm for run in runs) == dict.fromkeys(DEMO_ARMS, 8)
    assert {run.task.name for run in runs} == {PHENOMENON}
    assert {run.task.data_seed for run in runs}.isdisjoint({*DATA_SEEDS, 0, 21, 22})
    assert min(run.seed for run in runs) >= 400
    assert len({(run.task, run.algorithm, run.schedule) for run in runs}) == 1
    assert undecidable(runs) == []
    assert "cql-falls-online" in {entry.claim.id for entry in undecidable([run for run in runs if run.seed < 405])}


def test_arms_without_an_offline_phase_keep_that():
    offline = {run.arm: run.schedule.offline_steps for run in runs_of("dip")}
    assert (offline["rlpd_like"], offline["sac_online"], offline["wsrl"]) == (0, 0, 24_000)


@pytest.mark.parametrize(
    "grid", ["dip", "cause", "remedies", "mixed_data", "mixed_data_long", "alphas", "floor_error", "best_value"]
)
def test_data_and_seeds_are_replicated_and_pilots_are_not_used(grid):
    runs = runs_of(grid)
    assert {run.task.data_seed for run in runs} == set(range(1, 11))
    assert min(run.seed for run in runs) >= 300
    assert len({run.id for run in runs}) == len(runs)
    per_data = Counter((run.task.name, run.arm, run.task.data_seed) for run in runs)
    balance = Counter((task, arm) for task, arm, _ in per_data)
    assert set(balance.values()) == {10}, "every arm on all data"


def test_the_factorial_has_every_cell_that_differs(cause):
    """3 mixing ratios x 3 shifts x (3 push-downs of CQL and Cal-QL, 2 of the floor that is removed at the switch)."""
    for task in (PHENOMENON, CONTROL):
        cells = {(run.arm, run.schedule.mixing_ratio, run.online) for run in cause if run.task.name == task}
        assert len(cells) == 3 * 3 * (3 + 3 + 2)


def test_the_deciding_cells_have_20_runs(cause):
    counts = Counter(run.arm for run in cause if run.task.name == PHENOMENON)
    assert sorted(Counter(counts.values()).items()) == [(10, 64), (20, 8)]
    for claim in FINE_TUNING_CLAIMS:
        for arm in arms_of(claim.test) if claim.topic in (ONLINE, CAUSE) else ():
            if split_variant(arm)[0] in ("cql", "monte_carlo"):
                assert counts[arm] >= (20 if claim.primary else 10), arm


def test_mixed_data_have_the_arms_of_the_primary_claims():
    """7 arms, and CQL and Cal-QL with push-down or not x recalibrated or not, and without offline data."""
    counts = Counter(run.arm for run in runs_of("mixed_data"))
    assert Counter(counts.values()) == {10: 7 + 2 * (2 * 2 - 1 + 1)}
    for claim in FINE_TUNING_CLAIMS:
        if claim.primary:
            assert set(arms_of(claim.test)) <= set(counts), claim.id
    assert {run.task.collected.misdirected for run in runs_of("mixed_data")} == {0.3}


def test_more_steps_on_mixed_data_have_the_primary_claims_about_the_change_online():
    """New runs: none of them is one of `mixed_data`, which has the same data."""
    runs, shorter = runs_of("mixed_data_long"), runs_of("mixed_data")
    arms = {run.arm for run in runs}
    primary = [claim for claim in FINE_TUNING_CLAIMS if claim.topic == ONLINE and claim.primary]
    assert {arm for claim in primary for arm in arms_of(claim.test)} == arms
    assert {run.task for run in runs} == {run.task for run in shorter}
    assert {(run.schedule.offline_steps, run.schedule.online_steps) for run in runs} == {(48_000, 20_000)}
    assert not {run.seed for run in runs} & {run.seed for run in shorter}


@pytest.mark.parametrize(
    ("grid", "topic"),
    [("alphas", ALPHAS), ("floor_error", FLOOR_ERROR), ("dip", PROTOCOLS), ("best_value", BEST_VALUE)],
)
def test_a_grid_has_the_arms_of_its_claims(grid, topic):
    arms = {run.arm for run in runs_of(grid)}
    claims = [claim for claim in FINE_TUNING_CLAIMS if claim.topic == topic]
    assert claims
    for claim in claims:
        assert set(arms_of(claim.test)) <= arms, claim.id


def test_every_estimator_sees_every_share_of_clean_and_mixed_data():
    """CQL, Monte Carlo, and 5 estimators x 5 shares, on both tasks; the references on mixed data are no new runs."""
    runs = runs_of("floor_error")
    counts = Counter((run.task.name, run.arm) for run in runs)
    assert Counter(task for task, _ in counts) == {PHENOMENON: 2 + 5 * 5, MIXED: 2 + 5 * 5}
    assert set(counts.values()) == {10}
    shared = {run.id for run in runs} & {run.id for run in runs_of("mixed_data")}
    assert {run.arm for run in runs if run.id in shared} == {"cql", "monte_carlo", "learned"}


def test_remedies_are_tried_with_and_without_push_down():
    """2 arms x (2 push-downs x new critics or not x critics first or not, and 2 without offline data), 10 runs each."""
    counts = Counter(run.arm for run in runs_of("remedies"))
    assert Counter(counts.values()) == {10: 2 * (2 * 2 * 2 + 2)}
    for claim in FINE_TUNING_CLAIMS:
        if claim.topic == REMEDIES:
            assert set(arms_of(claim.test)) <= set(counts), claim.id
    online = {run.arm: (run.online.new_critics, run.online.critic_updates) for run in runs_of("remedies")}
    assert online["cql[alpha=0,alpha_decay=0,new_critics=true,critic_updates=1000]"] == (True, 1_000)
