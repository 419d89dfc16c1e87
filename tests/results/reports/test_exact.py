"""The report of the exact lab: a self-contained page with every claim and verdict, reproducible bytes."""

from math import nan

import pandas as pd
import pytest

from ablations.claim import Claim, EveryCase
from harness.errors import UserError
from results.reports.exact import FIGURES, summary, write_exact_report
from results.verdicts.decisions import judge_exact
from tests.results.reports.test_runs import Tags
from tests.support import exact_frames

CLAIMS = (
    Claim("zero-gradient", "The max operation", "Q at -35 is not pushed down.", "tutorial, Q&A 3", "gradient",
          lambda: [0.0, -3.25], EveryCase(0, 0)),
    Claim("jensen", "Monte Carlo floors", "E max(q, G) <is> at least max(q, E G).", "derived", "gap",
          lambda: [0.0, 1.2e-11], EveryCase(at_least=0)),
    Claim("zero-push-down", "The max operation", "The push-down term has no gradient.", "derived", "gradient",
          lambda: [0.0], EveryCase(0, 0), "zero-gradient"),
    Claim("unknown", "Monte Carlo floors", "The gap is undefined.", "derived", "gap",
           lambda: [nan], EveryCase(at_least=0)),
)  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    out = tmp_path_factory.mktemp("exact")
    return out, write_exact_report(judge_exact(CLAIMS), exact_frames.frames(), out)


def test_all_files_are_written(report):
    out, files = report
    assert files[0] == out / "report.html"
    written = {path for path in out.rglob("*") if path.is_file()}
    assert written == set(files)
    assert {out / "tables" / f"verdicts.{suffix}" for suffix in ("csv", "md", "tex")} <= written
    for figure in FIGURES:
        assert {out / "figures" / f"{figure.__name__}.{suffix}" for suffix in ("svg", "csv", "txt")} <= written


def test_the_page_links_only_its_own_files(report):
    out, files = report
    text = files[0].read_text()
    page = Tags(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link[1:] in page.ids if link.startswith("#") else (out / link).is_file()
    assert text.count('<img src="figures/') == len(FIGURES) == 10
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text


def test_every_claim_is_shown_with_verdict_and_numbers(report):
    text = report[1][0].read_text()
    assert '<span class="verdict">\N{BALLOT X} contradicted</span>: Q at \N{MINUS SIGN}35 is not pushed down.' in text
    assert '<span class="verdict">? inconclusive</span>: The gap is undefined.' in text
    assert "E max(q, G) &lt;is&gt; at least" in text
    minus = "\N{MINUS SIGN}"
    assert f'<strong>{minus}3.25</strong> <span class="interval">[{minus}3.25, 0]</span>, n = 2' in text
    assert f"1.2e{minus}11]" in text
    for claim in CLAIMS:
        assert f"<code>{claim.id}</code>, {claim.source.replace('&', '&amp;')}" in text
    assert "4 claims: 2 supported, 1 contradicted, 1 inconclusive" in text


def test_a_correction_follows_the_claim_it_corrects(report):
    text = report[1][0].read_text()
    places = [text.index(f'id="claim-{name}"') for name in ("zero-gradient", "zero-push-down", "jensen", "unknown")]
    assert places == sorted(places)
    assert '<section class="claim supported correction" id="claim-zero-push-down">' in text
    assert "corrects: zero-gradient" in text


def test_the_page_shows_its_provenance(report):
    text = report[1][0].read_text()
    for item in ("floorbench commit", "torch", "processor", "threads"):
        assert f"<td>{item}</td>" in text


def test_the_report_is_reproducible_byte_for_byte(report, tmp_path):
    out, files = report
    for first, second in zip(
        files, write_exact_report(judge_exact(CLAIMS), exact_frames.frames(), tmp_path), strict=True
    ):
        assert first.relative_to(out) == second.relative_to(tmp_path)
        assert first.read_bytes() == second.read_bytes(), first.name


def test_csv_files_of_figures_contain_the_numbers_of_the_frames(report):
    read = pd.read_csv(report[0] / "figures" / "floor_dose.csv")
    assert read["stopping_value"].to_numpy() == pytest.approx(exact_frames.floor_dose()["stopping_value"].to_numpy())
    assert {"infeasible", "over_estimated"} <= set(read.columns)


def test_the_summary_counts_every_outcome():
    assert summary(judge_exact(CLAIMS[1:2])) == "1 claim: 1 supported"


def test_an_unwritable_directory_gives_a_one_line_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"report directory .*cannot be written"):
        write_exact_report(judge_exact(CLAIMS), exact_frames.frames(), tmp_path / "file" / "report")
