"""What came out: run folders to frames, estimates, tables, figures, verdicts and a page.

In a notebook: `from results import columns, evaluations, load_policy, runs`, then `runs("runs")` and
`evaluations("runs")` are pandas frames, also of exported numbers (`runs("results/published")`); `columns()` explains
their columns, `load_policy("runs/<id>")` maps states to actions, and `floor_error("runs/<id>")` measures a learned
floor by running the behaviour policy again.
"""

from typing import Any

__all__ = ["columns", "evaluate_policy", "evaluations", "floor_error", "gather", "load_policy", "runs"]


def __getattr__(name: str) -> Any:
    """The functions named above, imported when they are first asked for: the statistics alone need no run folders."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("evaluate_policy", "load_policy"):
        import harness.training.policies

        return getattr(harness.training.policies, name)
    if name == "floor_error":
        import harness.training.behaviour_rollouts

        return harness.training.behaviour_rollouts.floor_error
    if name == "columns":
        import results.frame.columns

        return results.frame.columns.columns
    import results.frame

    return getattr(results.frame, name)
