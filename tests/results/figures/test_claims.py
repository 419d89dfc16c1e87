"""The figure of a claim shows the numbers behind its verdicts."""

import numpy as np
import pytest

from ablations.claims import CLAIMS
from results.figures.claims import claim_figure
from results.style import COLUMN, PAGE
from results.verdicts.runs import judge_runs, measured
from results.verdicts.table import by_claim


@pytest.fixture(scope="module")
def drawings(frames):
    runs, evaluations, per_run = frames
    verdicts = by_claim(judge_runs(CLAIMS, runs, evaluations))
    claims = {claim.id: claim for claim in CLAIMS}
    return {name: (claim_figure(group, measured(claims[name], per_run)), group) for name, group in verdicts.items()}


def test_every_claim_with_runs_has_a_figure_of_its_verdicts(drawings):
    drawn = {name: pair for name, pair in drawings.items() if pair[0] is not None}
    assert set(drawn) == {name for name, (_, verdicts) in drawings.items() if any(verdict.n for verdict in verdicts)}
    assert len(drawn) >= 15
    for name, (drawing, verdicts) in drawn.items():
        assert drawing.name == f"claim_{name}"
        assert drawing.figure.get_figwidth() in (COLUMN, PAGE)
        assert f"n = {max(verdict.n for verdict in verdicts)}" in drawing.caption
        assert verdicts[0].claim.statement in drawing.caption
        assert any(verdict.method in drawing.caption for verdict in verdicts if verdict.n)


def test_the_mean_over_seeds_is_the_effect_of_the_verdict(drawings):
    for name in ("cql-scale-mismatch", "cal-ql-lower-regret", "learned-floor-score", "every-dose-costs-score"):
        drawing, verdicts = drawings[name]
        for verdict in (verdict for verdict in verdicts if verdict.n):
            rows = drawing.numbers[(drawing.numbers["task"] == verdict.task) & (drawing.numbers["arm"] == verdict.arm)]
            mean, seeds = rows[rows["seed"].isna()], rows[rows["seed"].notna()]
            assert mean["value"].item() == verdict.effect == pytest.approx(seeds["value"].mean())
            assert len(seeds) == verdict.n == mean["n"].item()


def test_a_dose_response_has_a_mean_at_every_dose_and_a_line_per_seed(drawings):
    drawing, verdicts = drawings["inflation-binds"]
    (panel,) = drawing.figure.axes
    means = drawing.numbers[drawing.numbers["seed"].isna()]
    assert list(means["dose"]) == [-0.25, 0.0, 0.25, 0.5, 1.0]
    curve = next(line for line in panel.lines if line.get_marker() == "o")
    assert list(curve.get_xdata()) == list(means["dose"])
    assert list(curve.get_ydata()) == list(means["mean"])
    (thin,) = [line for line in panel.lines if line.get_linewidth() == 0.7]
    # Six seeds with five doses each, separated by gaps.
    assert np.isnan(thin.get_ydata()).nonzero()[0].tolist() == [5, 11, 17, 23, 29, 35]
    slope = np.polyfit(means["dose"], means["mean"], 1)[0]
    assert next(verdict.effect for verdict in verdicts if verdict.n) == pytest.approx(slope)


def test_the_equivalence_margin_is_shaded(drawings):
    (panel,) = drawings["learned-floor-score"][0].figure.axes
    shade = panel.patches[0]
    assert (shade.get_x(), shade.get_width()) == pytest.approx((-0.1, 0.2))


def test_a_claim_without_runs_has_no_figure(frames, drawings):
    _, verdicts = drawings["cql-scale-mismatch"]
    runs, evaluations, per_run = frames
    without_cql = runs["arm"] != "cql"
    others = judge_runs([verdicts[0].claim], runs[without_cql], evaluations[evaluations["arm"] != "cql"])
    assert [verdict.n for verdict in others] == [0, 0]
    assert claim_figure(others, measured(verdicts[0].claim, per_run)) is None
