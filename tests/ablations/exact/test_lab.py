"""The verdicts of the exact lab, and that a wrong loss changes them."""

import subprocess
import sys
from dataclasses import replace
from math import inf

import pandas as pd
import pytest
import torch

from ablations.exact import lab, push_down, tabular, truncation
from algorithms.critic_loss import critic_loss
from algorithms.floors import return_to_go
from results.reports.exact import FIGURES
from results.verdicts.decisions import verdict

# Claims of the tutorial or of implementations that exact values contradict; a supported claim corrects each.
CONTRADICTED = {
    "the-floor-lifts",
    "bad-is-not-preferred",
    "the-regulariser-turns-off",
    "optimistic-about-data",
    "the-push-down-is-unbounded",
    "own-policy-below-behaviour",
    "cql-unlearns-beside-offline-data",
    "offline-data-prevent-unlearning",
    "cal-ql-does-not-unlearn-under-push-down",
    "cql-bounds-every-value",
    "max-backup-is-conservative",
    "between-for-any-better-policy",
    "between-in-the-soft-maximum",
    "over-estimation-stays-where-the-floor-is-too-high",
    "a-random-floor-raises-the-value",
    "errors-of-mean-0-raise-values",
    "the-failure-rule-is-right",
    "the-exact-floor-lowers-regret",
    "inflation-costs-regret",
}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The folder and the output of `floorbench report exact`."""
    out = tmp_path_factory.mktemp("exact")
    command = [sys.executable, "-m", "floorbench", "report", "exact", "--out", str(out)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return out, result.stdout


def test_verdicts_agree_with_theory(report):
    out, printed = report
    table = pd.read_csv(out / "tables" / "verdicts.csv")
    outcomes = table.set_index("id")["outcome"]
    assert set(outcomes.index) == {claim.id for claim in lab.CLAIMS}
    assert set(outcomes[outcomes == "contradicted"].index) == CONTRADICTED
    assert set(outcomes[outcomes != "contradicted"]) == {"supported"}
    assert all(claim in printed for claim in outcomes.index)


def test_all_figures_are_drawn(report):
    out, _ = report
    for figure in FIGURES:
        assert (out / "figures" / f"{figure.__name__}.svg").stat().st_size > 1000


def test_every_contradicted_claim_has_a_correction():
    corrected = {claim.corrects for claim in lab.CLAIMS} - {None}
    assert corrected == CONTRADICTED


@pytest.fixture
def fresh_lab():
    """Clear the caches of the lab's modules before and after."""

    def clear_caches():
        for module in lab.MODULES:
            for member in vars(module).values():
                if hasattr(member, "cache_clear"):
                    member.cache_clear()

    clear_caches()
    yield
    clear_caches()


def without_floor(values, target, log_density, floor, form, scalars):
    return critic_loss(values, target, log_density, torch.full_like(floor, -inf), form, scalars)


def floor_only_in_the_loss(values, target, log_density, floor, form, scalars):
    """Loss with the floor, gradient without it."""
    with_floor = critic_loss(values, target, log_density, floor, form, scalars)
    return replace(with_floor, gradient=without_floor(values, target, log_density, floor, form, scalars).gradient)


def half_the_push_up(values, target, log_density, floor, form, scalars):
    result = critic_loss(values, target, log_density, floor, form, scalars)
    gradient = result.gradient.clone()
    gradient[..., 0] += 0.5 * scalars.alpha[:, None, None] / floor.shape[-1]
    return replace(result, gradient=gradient)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (without_floor, "no-push-down-below-the-floor"),
        (without_floor, "the-loss-rests-below-the-floor"),
        (without_floor, "floors-above-the-optimum-are-not"),
        (floor_only_in_the_loss, "no-push-down-below-the-floor"),
        (floor_only_in_the_loss, "cal-ql-learns-the-floor"),
        (half_the_push_up, "cql-learns-minus-35"),
        (half_the_push_up, "push-up-balances-push-down"),
        (half_the_push_up, "cql-is-a-penalised-problem"),
        (half_the_push_up, "the-value-is-the-clipped-floor"),
        (half_the_push_up, "a-random-floor-balances-shares"),
    ],
)
def test_a_wrong_loss_contradicts_a_supported_claim(wrong, name, fresh_lab, monkeypatch):
    for module in (tabular, push_down):
        monkeypatch.setattr(module, "critic_loss", wrong)
    (claim,) = (candidate for candidate in lab.CLAIMS if candidate.id == name)
    assert verdict(claim, claim.measure()).outcome == "contradicted"


def test_a_naive_return_to_go_contradicts_supported_claims(fresh_lab, monkeypatch):
    def naive(rewards, terminated, discount, truncation, failure_reward, bootstrap_value):
        return return_to_go(rewards, terminated, discount, "sum")

    monkeypatch.setattr(truncation, "return_to_go", naive)
    for name in ("the-failure-rule-is-right-for-the-stuck", "the-failure-rule-deflates", "the-bootstrap-is-right"):
        (claim,) = (candidate for candidate in lab.CLAIMS if candidate.id == name)
        assert verdict(claim, claim.measure()).outcome == "contradicted", name
