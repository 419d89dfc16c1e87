"""The intervals hold the truth as often as they say, and the document tells what was measured."""

import numpy as np
import pytest

from results.statistics import coverage
from results.statistics.coverage import DOCUMENT, document, false_claims, one_task, several_tasks


def test_intervals_of_one_task_hold_the_truth_in_a_small_simulation():
    shares = {(what, n): share for what, law, n, share in one_task(150) if "normal" in law and n in (5, 10)}
    assert len(shares) == 6
    assert all(0.91 <= share <= 0.99 for share in shares.values()), shares


@pytest.mark.slow
def test_coverage_of_one_task():
    """93 to 97% at ten seeds, where the numbers are normal or a success rate away from its ends."""
    rows = [row for row in one_task(4_000) if row[2] == 10]
    usual = [share for _, law, _, share in rows if "normal" in law or "0.7" in law]
    assert len(usual) == 4
    assert all(0.93 <= share <= 0.97 for share in usual), rows
    assert all(share > 0.88 for *_, share in rows), rows


@pytest.mark.slow
def test_coverage_of_several_tasks():
    rows = list(several_tasks(1_000, 1_000))
    assert len(rows) == 15
    assert all(0.925 <= share <= 0.985 for *_, n, share in rows if n >= 5), rows


@pytest.mark.slow
def test_tests_accept_what_is_not_so_at_most_at_their_rate():
    # 4,000 studies: 0.35 points standard error.
    rows = list(false_claims(4_000))
    assert all(share <= 0.062 for *_, share in rows), rows
    assert np.mean([share for what, _, n, share in rows if n == 10]) > 0.03


@pytest.mark.slow
def test_the_document_is_what_the_simulation_gives():
    assert document() == DOCUMENT.read_text(), "write it again: python -m results.statistics.coverage"


def test_the_document_has_every_row():
    text = DOCUMENT.read_text()
    rows = [*one_task(1), *several_tasks(1, 10), *false_claims(1)]
    for what, law, n, _ in rows:
        line = next(line for line in text.splitlines()
                    if [cell.strip() for cell in line.split("|")[1:4]] == [what, law, str(n)])  # fmt: skip
        assert line.rstrip(" |").endswith("%")
    assert text.count("%  ") >= len(rows)
    assert f"{coverage.STUDIES:,} simulated studies" in text
