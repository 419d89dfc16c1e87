"""Values of settings from JSON files and command lines: checked before they are parsed, and named by dotted paths."""

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

# Largest number of characters of a value in an error message.
SHOWN = 80

# Largest depth of nesting; settings are nested three deep.
DEPTH_LIMIT = 10

# Tags that pydantic inserts into the paths of data settings.
_DATA_TAGS = ("collected", "hosted")

# Readers of JSON disagree about larger integers.
INTEGER_LIMIT = 2**63


def plain_values(value: Any, path: tuple[Any, ...] = ()) -> Any:
    """Copy a value into JSON types, with -0.0 as 0.0, so that equal settings have equal text.

    Raises ValueError with one line that names the setting for values that are nested too deeply, integers that need
    more than 64 bits, unprintable text and values that JSON does not have. NaN and infinity are left to the validation
    of the setting.
    """
    if len(path) > DEPTH_LIMIT:
        raise ValueError(f"setting {dotted(path)}: is nested too deeply")
    # The commonest types first: a grid has many thousands of values.
    if isinstance(value, float):
        return value + 0.0
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if not value.isprintable():
            raise ValueError(f"setting {dotted(path)} = {shown(value)}: must be printable text on one line")
        return value
    if isinstance(value, int):
        if abs(value) >= INTEGER_LIMIT:
            raise ValueError(f"setting {dotted(path)}: must be between -2**63 and 2**63")
        return value
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str) or not name.isprintable():
                raise ValueError(f"setting {dotted((*path, name))}: unknown setting")
        return {name: plain_values(inner, (*path, name)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(inner, (*path, place)) for place, inner in enumerate(value)]
    raise ValueError(f"setting {dotted(path)} = {shown(value)}: must be a JSON value")


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces; NaN and infinity raise a ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def dotted(path: tuple[Any, ...]) -> str:
    """The path of a setting as on the command line: "algorithm.alpha"."""
    return ".".join(quoted_if_odd(str(name)) for name in path)


def quoted_if_odd(text: str) -> str:
    """A text, quoted if it is empty, long or unprintable."""
    return text if text.isprintable() and 0 < len(text) <= SHOWN else shown(text)


def shown(value: Any) -> str:
    """A value on one line, truncated if it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


# What sets colours in a terminal.
COLOURS = re.compile(r"\x1b\[[\d;]*m")


def visible(text: str) -> str:
    """A text of others for a terminal: without colours, and with control characters written out.

    They could move the cursor, change the title or hide lines. Tabs and ends of lines are kept.
    """
    plain = COLOURS.sub("", text)
    if plain.isprintable():
        return plain
    return "".join(letter if letter.isprintable() or letter in "\t\r\n" else repr(letter)[1:-1] for letter in plain)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted path: {"floor.base": "none"} for {"floor": {"base": "none"}}."""
    flattened: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flattened |= flat(value, f"{prefix}{name}.")
        else:
            flattened[prefix + name] = value
    return flattened


def nearest_setting(path: str, values: Mapping[str, Any]) -> str:
    """A question, "; did you mean ...?", with the dotted path that is most like a misspelt one; empty if none is."""
    import difflib

    close = difflib.get_close_matches(path[:SHOWN], flat(values), n=1, cutoff=0.4)
    return f"; did you mean {dotted(tuple(close[0].split('.')))}?" if close else ""


def first_problem(error: ValidationError, noun: str = "setting") -> str:
    """The first problem of a pydantic error in one line: path of the setting (or other `noun`), value and problem."""
    problem = error.errors()[0]
    path = dotted(tuple(part for part in problem["loc"] if part not in _DATA_TAGS))
    if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{noun} {path}: unknown {noun}"
    if problem["type"] == "missing":
        return f"{noun} {path}: is missing"
    message = problem["msg"][0].lower() + problem["msg"][1:]
    name = f"{noun} {path}" if path else f"{noun}s"
    return f"{name} = {shown(problem['input'])}: {message}"
