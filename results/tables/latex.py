"""A table in LaTeX."""

import re

from jinja2 import Environment, PackageLoader

from results.tables.table import Table


def latex(table: Table) -> str:
    """The table with booktabs rules and a heading row per group (if it has any), in letters that fit two columns.

    A `table*`, or a `longtable` where the table has columns of prose.
    """
    environment = Environment(
        loader=PackageLoader("results"), variable_start_string="<<", variable_end_string=">>", block_start_string="<%",
        block_end_string="%>", comment_start_string="<#", comment_end_string="#>", trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["tex"] = _tex
    columns = [column for column in table.text.columns if column != table.group]
    grouped = table.text.groupby(table.group, sort=False) if table.group else [("", table.text)]
    groups = [(name, rows[columns].to_numpy().tolist()) for name, rows in grouped]
    template = environment.get_template("long_table.tex" if table.prose else "table.tex")
    return template.render(table=table, columns=columns, groups=groups)


def _tex(text: str) -> str:
    """Escape for LaTeX, with true minus signs before digits."""
    special = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
               "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}  # fmt: skip
    escaped = "".join(special.get(letter, letter) for letter in text)
    return re.sub(r"(?<![\w.])-(?=\d)", "$-$", escaped)
