"""Settings as they arrive, in JSON files and on command lines: what is no plain value is refused before it is read."""

from typing import Any

# Characters of a value that an error shows, at most.
SHOWN = 80

# Settings are nested three deep.
DEPTH_LIMIT = 10

# Beyond it JSON's readers disagree about integers.
INTEGER_LIMIT = 2**63


def plain_values(value: Any, path: tuple[Any, ...] = ()) -> Any:
    """A copy in JSON's own types, in which -0.0 is 0.0, so that equal settings have equal text.

    Raises ValueError, one line that names the setting: for what is nested too deeply, for integers of 64 bits and more,
    for text that cannot be shown on one line, and for what is no value of JSON (NaN and infinity pass: they are for
    whoever knows the setting to refuse).
    """
    if len(path) > DEPTH_LIMIT:
        raise ValueError(f"setting {dotted(path)}: is nested too deeply")
    match value:
        case dict():
            for name in value:
                if not isinstance(name, str) or not name.isprintable():
                    raise ValueError(f"setting {dotted((*path, name))}: there is no such setting")
            return {name: plain_values(inner, (*path, name)) for name, inner in value.items()}
        case list() | tuple():
            return [plain_values(inner, (*path, place)) for place, inner in enumerate(value)]
        case str() if not value.isprintable():
            raise ValueError(f"setting {dotted(path)} = {shown(value)}: text should be printable, on one line")
        case None | bool() | str():
            return value
        case int() if abs(value) >= INTEGER_LIMIT:
            raise ValueError(f"setting {dotted(path)}: an integer should lie between -2**63 and 2**63")
        case int():
            return value
        case float():
            return value + 0.0
    raise ValueError(f"setting {dotted(path)} = {shown(value)}: input should be a value of JSON")


def dotted(path: tuple[Any, ...]) -> str:
    """A setting's path as it is written on the command line."""
    return ".".join(quoted_if_odd(str(name)) for name in path)


def quoted_if_odd(text: str) -> str:
    """A text as it is, or in quotes where it could not be read on one line."""
    return text if text.isprintable() and 0 < len(text) <= SHOWN else shown(text)


def shown(value: Any) -> str:
    """A value on one line, cut where it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
