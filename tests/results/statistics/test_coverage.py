"""Coverage of the intervals, Type I error rates of the tests, and the document that reports them."""

import numpy as np
import pytest

from results.statistics import coverage
from results.statistics.coverage import DOCUMENT, document, one_task, several_tasks, type_1_errors


def test_coverage_of_one_task_in_a_small_simulation():
    rows = [(name, n, share) for name, runs, n, share in one_task(150) if "normal" in runs and n in (5, 10)]
    shares = {(name, n): share for name, n, share in rows}
    assert len(shares) == 6
    assert all(0.91 <= share <= 0.99 for share in shares.values()), shares


@pytest.mark.slow
def test_coverage_of_one_task():
    """93 to 97% with ten seeds for normal numbers and for success rates away from 0 and 1."""
    rows = [row for row in one_task(4_000) if row[2] == 10]
    usual = [share for _, runs, _, share in rows if "normal" in runs or "0.7" in runs]
    assert len(usual) == 4
    assert all(0.93 <= share <= 0.97 for share in usual), rows
    assert all(share > 0.88 for *_, share in rows), rows


@pytest.mark.slow
def test_coverage_of_several_tasks():
    rows = list(several_tasks(1_000, 1_000))
    assert len(rows) == 15
    assert all(0.925 <= share <= 0.985 for *_, n, share in rows if n >= 5), rows


@pytest.mark.slow
def test_type_1_error_rates_are_at_most_nominal():
    # The standard error with 4,000 studies is 0.35 points.
    rows = list(type_1_errors(4_000))
    assert all(share <= 0.062 for *_, share in rows), rows
    assert np.mean([share for _, _, n, share in rows if n == 10]) > 0.03


@pytest.mark.slow
def test_document_is_up_to_date():
    assert document() == DOCUMENT.read_text(), "regenerate it with: python -m results.statistics.coverage"


def test_document_has_all_rows():
    text = DOCUMENT.read_text()
    rows = [*one_task(1), *several_tasks(1, 10), *type_1_errors(1)]
    for name, runs, n, _ in rows:
        line = next(line for line in text.splitlines()
                    if [cell.strip() for cell in line.split("|")[1:4]] == [name, runs, str(n)])  # fmt: skip
        assert line.rstrip(" |").endswith("%")
    assert text.count("%  ") >= len(rows)
    assert f"simulates {coverage.STUDIES:,} studies" in text
