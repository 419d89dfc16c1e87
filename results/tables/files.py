"""The files of a table."""

from pathlib import Path

from results.tables.latex import latex
from results.tables.table import Table


def write(table: Table, folder: Path) -> list[Path]:
    """Write `<name>.csv` (numbers), `.md` and `.tex` (text, booktabs); the same table gives the same bytes."""
    files = {
        "csv": table.numbers.to_csv(index=False, float_format="%.6g", lineterminator="\n"),
        "md": "\n\n".join([f"**{table.title}**", markdown(table), *table.notes]) + "\n",
        "tex": latex(table),
    }
    paths = []
    for suffix, content in files.items():
        paths.append(folder / f"{table.name}.{suffix}")
        paths[-1].write_text(content)
    return paths


def markdown(table: Table) -> str:
    """The text of the table alone, as Markdown."""
    return table.text.to_markdown(index=False, disable_numparse=True)
