"""Rendering of HTML pages and Markdown: numbers that sort, minus signs, mathematics."""

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

# Cells without a value.
MISSING = ("", "-", "\N{EN DASH}", "n/a")

# A number at the beginning of a cell, possibly below a bound ("<0.001").
NUMBER = re.compile(r"(<?)([+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)(?=[\s*%]|$)")

# Mathematics as the texts write it, after escaping -> as a page shows it.
MATHEMATICS = {
    r"\bQ\(s, pi\(s\)\)": "<i>Q</i>(<i>s</i>, \N{GREEK SMALL LETTER PI}(<i>s</i>))",
    r"\bQ\(s, a\)": "<i>Q</i>(<i>s</i>, <i>a</i>)",
    r"\bpi\(\.\|s&#39;\)": "\N{GREEK SMALL LETTER PI}(\N{MIDDLE DOT}|<i>s</i>\N{PRIME})",
    r"\bpi\(\.\|s\)": "\N{GREEK SMALL LETTER PI}(\N{MIDDLE DOT}|<i>s</i>)",
    r"\b([VE])_mu(?:\(s\))?": "<i>\\1</i><sub>\N{GREEK SMALL LETTER MU}</sub>",
    r"\b([VE])_pi(?:\(s\))?": "<i>\\1</i><sub>\N{GREEK SMALL LETTER PI}</sub>",
    r"\bV\*(?:\(s\))?": "<i>V</i>*",
    r"\btau\b": "\N{GREEK SMALL LETTER TAU}",
    r"(?<=[\w)>*]) - (?=[\w<])": " \N{MINUS SIGN} ",
    r"\+-(?=\d)": "\N{PLUS-MINUS SIGN}",
    r"&lt;= ?(?=\d)": "\N{LESS-THAN OR EQUAL TO} ",
}  # fmt: skip


def render(template: str, **values: Any) -> str:
    """Render a template as HTML with the template's variables `values`."""
    environment = Environment(
        loader=PackageLoader("results"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"minus": minus, "maths": maths, "sorting": sorting}
    return environment.get_template(template).render(**values)


def markdown(template: str, **values: Any) -> str:
    """Render a template as Markdown, with figures linked by file name."""
    environment = Environment(
        loader=PackageLoader("results"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["markdown"] = lambda frame: frame.to_markdown(index=False, disable_numparse=True)
    return re.sub(r"\n{3,}", "\n\n", environment.get_template(template).render(**values)).strip() + "\n"


def minus(text: str) -> str:
    """Replace the hyphens of negative numbers by minus signs, which do not break lines."""
    return re.sub(r"(?<![\w.)])-(?=\d)|(?<=\de)-(?=\d)", "\N{MINUS SIGN}", text)


def maths(text: str) -> Markup:
    """Text as HTML with mathematics in italics and Greek letters, and minus signs."""
    html = str(escape(minus(str(text))))
    for pattern, shown in MATHEMATICS.items():
        html = re.sub(pattern, shown, html)
    return Markup(html)


def sorting(cell: str) -> Markup:
    """The attribute by which a table sorts a cell: its number, nothing for text, and empty for a missing value."""
    if cell in MISSING:
        return Markup(' data-sort=""')
    match = NUMBER.match(cell)
    if match is None:
        return Markup("")
    value = float(match[2].replace(",", ""))
    # A number below a bound comes before the bound itself.
    return Markup(f' data-sort="{value - abs(value) * 1e-6 if match[1] else value:.9g}"')
