"""A page that stands alone: its template, and drawings in it that follow the reader's colour scheme."""

import re
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from results.style import ON_DARK


def render(template: str, images: Mapping[str, str], **values: Any) -> str:
    """The page as HTML; `images` holds the SVG text of every drawing by name, `values` what else the template shows."""
    environment = Environment(
        loader=PackageLoader("results"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["minus"] = minus
    inline = {name: Markup(inline_svg(svg, name)) for name, svg in images.items()}
    return environment.get_template(template).render(images=inline, colours=ON_DARK, variable=_variable, **values)


def markdown(template: str, **values: Any) -> str:
    """The same for a repository: Markdown that names its pictures by their files."""
    environment = Environment(
        loader=PackageLoader("results"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["markdown"] = lambda frame: frame.to_markdown(index=False, disable_numparse=True)
    return re.sub(r"\n{3,}", "\n\n", environment.get_template(template).render(**values)).strip() + "\n"


def inline_svg(svg: str, name: str) -> str:
    """The `<svg>` element for a page: ids of its own, the page's width, and colours that follow the page's scheme."""
    svg = svg[svg.index("<svg") :]
    for before in ('id="', 'href="#', "url(#"):
        svg = svg.replace(before, f"{before}{name}-")
    for colour in ON_DARK:
        svg = svg.replace(colour, f"var({_variable(colour)})")
    return svg


def minus(text: str) -> str:
    """With true minus signs in its numbers: no line ends behind them."""
    return re.sub(r"(?<![\w.)])-(?=\d)|(?<=\de)-(?=\d)", "\N{MINUS SIGN}", text)


def _variable(colour: str) -> str:
    """Name of the CSS variable that stands for a colour of the light page."""
    return f"--c{colour.removeprefix('#')}"
