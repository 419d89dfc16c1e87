"""What came out: run folders to frames, estimates, tables, figures, verdicts and a page.

In a notebook: `from results import evaluations, runs`, then `runs("runs")` and `evaluations("runs")` are pandas frames.
"""

from typing import Any

__all__ = ["evaluations", "gather", "runs"]


def __getattr__(name: str) -> Any:
    """The functions named above, imported when they are first asked for: the statistics alone need no run folders."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import results.frame

    return getattr(results.frame, name)
