"""Values that cannot be written, shown or read back are refused with the setting's name."""

import json

import pytest

from harness.plain_values import dotted, plain_values, quoted_if_odd, shown


def test_plain_values_are_converted_to_json_types():
    given = {"a": (1, 2.5), "b": {"c": [None, True, "äß 漢字"]}}
    assert plain_values(given) == {"a": [1, 2.5], "b": {"c": [None, True, "äß 漢字"]}}
    assert type(plain_values(given)["a"]) is list


def test_minus_zero_is_zero():
    """They are equal, but their texts are not, and the text decides a run's id."""
    assert json.dumps(plain_values({"a": [-0.0, 0.0, -1.5]})) == '{"a": [0.0, 0.0, -1.5]}'


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"a": {"b": "two\nlines"}}, r"setting a.b = 'two\nlines': must be printable text on one line"),
        ({"a": "\ud800"}, r"setting a = '\ud800': must be printable text on one line"),
        ({"a": ["x", "\x00"]}, r"setting a.1 = '\x00': must be printable text on one line"),
        ({"a": 2**63}, "setting a: must be between -2**63 and 2**63"),
        ({"a": -(10**5000)}, "setting a: must be between -2**63 and 2**63"),
        ({"a": {3}}, "setting a = {3}: must be a JSON value"),
        ({"a": {1: 2}}, "setting a.1: unknown setting"),
        ({"a": {"\n": 2}}, r"setting a.'\n': unknown setting"),
    ],
)
def test_other_values_are_one_line_errors_that_name_the_setting(value, line):
    with pytest.raises(ValueError, match="setting") as caught:
        plain_values(value)
    assert str(caught.value) == line


def test_deep_nesting_is_refused():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match=r"^setting a(\.0){10}: is nested too deeply$"):
        plain_values({"a": deep})


def test_shown_and_dotted():
    assert shown("a") == "'a'"
    assert len(shown("x" * 1000)) == 80
    assert shown("x" * 1000).endswith("xxx...")
    assert dotted(("algorithm", "policy_hidden", 0)) == "algorithm.policy_hidden.0"
    assert dotted(("a", "")) == "a.''"
    assert quoted_if_odd("alpha=1") == "alpha=1"
    assert quoted_if_odd("al\npha") == r"'al\npha'"
