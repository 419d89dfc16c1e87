"""Rendering of self-contained HTML pages, with inline figures that follow the light or dark colour scheme."""

import re
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from results.style import ON_DARK


def render(template: str, images: Mapping[str, str], **values: Any) -> str:
    """Render a template as HTML; `images`: the SVG text of every figure by name, `values`: the template's variables."""
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
    """Render a template as Markdown, with figures linked by file name."""
    environment = Environment(
        loader=PackageLoader("results"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["markdown"] = lambda frame: frame.to_markdown(index=False, disable_numparse=True)
    return re.sub(r"\n{3,}", "\n\n", environment.get_template(template).render(**values)).strip() + "\n"


def inline_svg(svg: str, name: str) -> str:
    """The `<svg>` element for inlining: ids prefixed with `name`, colours replaced by CSS variables."""
    svg, name = svg[svg.index("<svg") :], re.sub(r"[^\w.-]", "-", name)
    for before in ('id="', 'href="#', "url(#"):
        svg = svg.replace(before, f"{before}{name}-")
    for colour in ON_DARK:
        svg = svg.replace(colour, f"var({_variable(colour)})")
    return svg


def minus(text: str) -> str:
    """Replace the hyphens of negative numbers by minus signs, which do not break lines."""
    return re.sub(r"(?<![\w.)])-(?=\d)|(?<=\de)-(?=\d)", "\N{MINUS SIGN}", text)


def _variable(colour: str) -> str:
    """The name of the CSS variable for a colour of the light scheme."""
    return f"--c{colour.removeprefix('#')}"
