"""Numbers that sort, minus signs and mathematics of HTML pages."""

import pytest

from results.reports.page import maths, minus, sorting


def test_only_negative_numbers_get_minus_signs():
    text = "-35 [-35, 1.2e-11], n = 2; push-down-at-7, -a and 3-4"
    expected = "~35 [~35, 1.2e~11], n = 2; push-down-at-7, -a and 3-4"
    assert minus(text) == expected.replace("~", "\N{MINUS SIGN}")


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("-13.8 [-14.0, -13.5]", -13.8), ("+0.05*", 0.05), ("1,720", 1720), ("3 of 10", 3), ("12%", 12),
        ("1.2e-11", 1.2e-11), ("0.50 [0.40, 0.60] (n = 4)", 0.5),
    ],
)  # fmt: skip
def test_a_cell_sorts_by_the_number_it_begins_with(cell, number):
    assert sorting(cell) == f' data-sort="{number:.9g}"'


def test_a_bound_comes_before_the_number_and_missing_values_have_none():
    bound = float(sorting("<0.001").split('"')[1])
    assert 0.00099 < bound < 0.001
    assert sorting("-") == sorting("\N{EN DASH}") == sorting("") == ' data-sort=""'


@pytest.mark.parametrize("cell", ["CQL", "12ab", "2d4e", "200 to 500 steps", "pointmaze"])
def test_text_has_no_number(cell):
    assert sorting(cell) == ("" if cell != "200 to 500 steps" else ' data-sort="200"')


def test_mathematics_is_set_as_mathematics():
    assert maths("Q(s, pi(s)) - V_mu <= 3") == (
        "<i>Q</i>(<i>s</i>, \N{GREEK SMALL LETTER PI}(<i>s</i>)) "
        "\N{MINUS SIGN} <i>V</i><sub>\N{GREEK SMALL LETTER MU}</sub> \N{LESS-THAN OR EQUAL TO} 3"
    )
    assert maths("a < b & -1") == "a &lt; b &amp; \N{MINUS SIGN}1"
    assert maths("V* - V_pi") == "<i>V</i>* \N{MINUS SIGN} <i>V</i><sub>\N{GREEK SMALL LETTER PI}</sub>"
