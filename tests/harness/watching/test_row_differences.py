"""The first difference between two metrics files is found, exactly or within tolerances."""

import json

import pytest

from harness.watching.row_differences import Difference, difference_beyond_tolerances, difference_of_bytes

ROWS = [
    {"phase": "offline", "offline_step": step, "updates": step, "score": score, "q_data": q, "return_to_go": -50.0}
    for step, score, q in ((0, 0.0, -1.0), (100, 0.5, -30.0), (200, 0.75, -40.0))
]


def text(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def changed(number, **values):
    return [{**row, **values} if place == number else row for place, row in enumerate(ROWS, start=1)]


def test_identical_bytes_have_no_difference():
    assert difference_of_bytes(text(ROWS), text(ROWS)) is None


def test_the_first_row_and_column_are_named():
    other = changed(2, q_data=-30.000001, return_to_go=-51.0)
    difference = difference_of_bytes(text(ROWS), text(other))
    assert difference == Difference(2, "q_data", "-30.0", "-30.000001")
    assert str(difference) == "row 2, q_data: originally -30.0, now -30.000001"


def test_missing_rows_and_columns_are_named():
    assert difference_of_bytes(text(ROWS), text(ROWS[:2])) == Difference(3, "row", "present", "missing")
    without = [{name: value for name, value in row.items() if name != "score"} for row in ROWS]
    assert difference_of_bytes(text(ROWS), text(without)) == Difference(1, "score", "0.0", "missing")


def test_equal_values_with_different_text_differ():
    spaced = text(ROWS).replace(b'"score": 0.5', b'"score":  0.5')
    assert difference_of_bytes(text(ROWS), spaced).column == "text"
    assert difference_of_bytes(text(ROWS), text(ROWS)[:-1]) == Difference(None, "end of metrics.jsonl", b"\n", b"}")


@pytest.mark.parametrize(
    ("number", "values", "agrees"),
    [
        # Steps and text must be equal.
        (2, {"offline_step": 101}, False),
        (2, {"phase": "online"}, False),
        # The return-to-go depends on the data only: relative difference of at most 1e-5.
        (3, {"return_to_go": -50.0004}, True),
        (3, {"return_to_go": -50.001}, False),
        # Before the first update: relative difference of at most 1e-3.
        (1, {"q_data": -1.0009}, True),
        (1, {"q_data": -1.002}, False),
        # Later: the mean of the three rows within 0.25 times the largest value (40), that is 10.
        (2, {"q_data": -59.0}, True),
        (2, {"q_data": -61.0}, False),
        # Shares: the mean within 0.25.
        (2, {"score": 1.0}, True),
        (3, {"score": -0.1}, False),
        # Values missing in one of the two.
        (2, {"score": None}, False),
        (2, {"more": 1.0}, False),
    ],
)
def test_tolerances(number, values, agrees):
    assert (difference_beyond_tolerances(ROWS, changed(number, **values)) is None) == agrees


def test_the_number_of_rows_must_be_equal():
    assert difference_beyond_tolerances(ROWS, ROWS) is None
    assert difference_beyond_tolerances(ROWS, ROWS[:2]) == Difference(None, "number of rows", 3, 2)
