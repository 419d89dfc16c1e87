"""The tables of a report: functions from frames to tables with numbers for machines and text for people.

`table` defines a table and its file formats; the other modules make the tables.
"""

from results.tables.table import Table, interval_text, write

__all__ = ["Table", "interval_text", "write"]
