"""The tables of a report: functions from frames to tables with numbers for machines and text for people.

`table` is what a table is and how it is written; the other modules have the tables themselves.
"""

from results.tables.table import Table, interval_text, write

__all__ = ["Table", "interval_text", "write"]
