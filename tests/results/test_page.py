"""Inline figures and minus signs of HTML pages."""

from results.page import inline_svg, minus


def test_inline_figures_use_the_colours_of_the_page():
    svg = '<?xml version="1.0"?>\n<svg id="figure"><path style="fill: #0072b2" clip-path="url(#p1)"/></svg>'
    expected = '<svg id="curve-figure"><path style="fill: var(--c0072b2)" clip-path="url(#curve-p1)"/></svg>'
    assert inline_svg(svg, "curve") == expected


def test_only_negative_numbers_get_minus_signs():
    text = "-35 [-35, 1.2e-11], n = 2; push-down-at-7, -a and 3-4"
    expected = "~35 [~35, 1.2e~11], n = 2; push-down-at-7, -a and 3-4"
    assert minus(text) == expected.replace("~", "\N{MINUS SIGN}")
