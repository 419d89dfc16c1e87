"""Tables on a terminal: values are never shortened, columns are left out instead. Names are printed as they are."""

import io

import pytest
from rich.console import Console

from harness.command_line import FILE_WIDTH, FittedTable, WrappedTable, remark_console, result_console

LINES = [
    {"task": "pointmaze-umaze-narrow", "arm": "calibrated_offline", "seeds": 10, "runs": 10, "new": 10},
    {"task": "winding-road", "arm": "cql", "seeds": 10, "runs": 10, "new": 7},
]


def shown(width: int) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width).print(FittedTable(LINES, ("seeds", "runs")))
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(
    ("width", "names"),
    [(120, "task arm seeds runs new"), (60, "task arm seeds runs new"), (59, "task arm runs new"),
     (53, "task arm runs new"), (52, "task arm new"), (47, "task arm new")],
)  # fmt: skip
def test_a_table_leaves_out_columns_and_never_shortens_values(width, names):
    heading, *rows = shown(width)
    assert heading.split() == names.split()
    expected = [[str(line[name]) for name in names.split()] for line in LINES]
    assert [row.split() for row in rows] == expected
    assert max(map(len, [heading, *rows])) <= width


LONG = [
    {"Task": "winding-road", "Mean difference": "+0.042", "Passes": "no: no arm changes by 0.15 online"},
    {"Task": "fetch-push", "Mean difference": "-0.100", "Passes": "yes"},
]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (120, ["Task          Mean difference  Passes",
               "winding-road  +0.042           no: no arm changes by 0.15 online",
               "fetch-push    -0.100           yes"]),
        (50, ["Task          Mean difference  Passes",
              "winding-road  +0.042           no: no arm changes",
              "                               by 0.15 online",
              "fetch-push    -0.100           yes"]),
        (40, ["winding-road", "  Mean difference: +0.042", "  Passes: no: no arm changes by 0.15",
              "  online", "fetch-push", "  Mean difference: -0.100", "  Passes: yes"]),
    ],
)  # fmt: skip
def test_texts_are_wrapped_between_words_or_become_blocks(width, expected):
    stream = io.StringIO()
    Console(file=stream, width=width).print(WrappedTable(LONG))
    assert [line.rstrip() for line in stream.getvalue().splitlines()] == expected


def test_names_are_printed_as_they_are(capsys):
    """Nothing in the name of a folder is markup, or the code of an emoji."""
    name = "runs/[bold]:smile:[/]:100:" + "x" * 300
    for console in (result_console(), remark_console()):
        assert console.width == FILE_WIDTH
        console.print(f"4 runs in {name}")
        console.print(FittedTable([{"run": name}], ()))
    printed = capsys.readouterr()
    for text in (printed.out, printed.err):
        assert [line.strip() for line in text.splitlines()] == [f"4 runs in {name}", "run", name]
