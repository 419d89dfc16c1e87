"""Files of metrics that differ in one known place."""

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


def test_equal_bytes_have_no_difference():
    assert difference_of_bytes(text(ROWS), text(ROWS)) is None


def test_the_first_row_and_column_are_named():
    other = changed(2, q_data=-30.000001, return_to_go=-51.0)
    found = difference_of_bytes(text(ROWS), text(other))
    assert found == Difference(2, "q_data", "-30.0", "-30.000001")
    assert str(found) == "row 2, q_data: -30.0 there, -30.000001 here"


def test_what_is_missing_is_named():
    assert difference_of_bytes(text(ROWS), text(ROWS[:2])) == Difference(3, "row", "present", "missing")
    without = [{name: value for name, value in row.items() if name != "score"} for row in ROWS]
    assert difference_of_bytes(text(ROWS), text(without)) == Difference(1, "score", "0.0", "missing")


def test_equal_values_in_other_words_differ():
    spaced = text(ROWS).replace(b'"score": 0.5', b'"score":  0.5')
    assert difference_of_bytes(text(ROWS), spaced).column == "text"
    assert difference_of_bytes(text(ROWS), text(ROWS)[:-1]) == Difference(None, "end of metrics.jsonl", b"\n", b"}")


@pytest.mark.parametrize(
    ("number", "values", "agrees"),
    [
        # Steps and words are exact.
        (2, {"offline_step": 101}, False),
        (2, {"phase": "online"}, False),
        # The return-to-go depends on data alone: 1e-5 of itself.
        (3, {"return_to_go": -50.0004}, True),
        (3, {"return_to_go": -50.001}, False),
        # Before the first update only the last bits of a forward pass may differ.
        (1, {"q_data": -1.0009}, True),
        (1, {"q_data": -1.002}, False),
        # Later only the mean tells: 0.25 times the column's largest value (40), so 10, and three rows.
        (2, {"q_data": -59.0}, True),
        (2, {"q_data": -61.0}, False),
        # Shares: the mean within 0.25.
        (2, {"score": 1.0}, True),
        (3, {"score": -0.1}, False),
        # A number where there was none.
        (2, {"score": None}, False),
        (2, {"more": 1.0}, False),
    ],
)
def test_tolerances(number, values, agrees):
    assert (difference_beyond_tolerances(ROWS, changed(number, **values)) is None) == agrees


def test_tolerances_and_the_number_of_rows():
    assert difference_beyond_tolerances(ROWS, ROWS) is None
    assert difference_beyond_tolerances(ROWS, ROWS[:2]) == Difference(None, "number of rows", 3, 2)
