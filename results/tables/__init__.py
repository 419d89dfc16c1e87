"""The tables of a report: functions of the frames, each with numbers for machines and text for people.

`table` what a table is, `text` its cells, `files` and `latex` how it is written; `metrics` what is measured; then one
file per table.
"""

from results.tables.files import write
from results.tables.table import Table
from results.tables.text import interval_text

__all__ = ["Table", "interval_text", "write"]
