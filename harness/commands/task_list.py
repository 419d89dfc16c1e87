"""`floorbench data --list`: every task, what it is made of, and whether its data are there."""

from typing import Any

from harness.commands.output import print_json, result_console, text_table
from harness.settings import HostedData, Task
from harness.tasks.tasks import SCALES, scaled_task


def list_tasks(scale: str, as_json: bool) -> None:
    """Print every task, at `scale` where it has settings for it."""
    names = dict.fromkeys(name for recipes in SCALES.values() for name in recipes)
    rows = [_row(scaled_task(name, scale)) for name in names]
    if as_json:
        print_json(rows)
        return
    columns = ("task", "environment", "horizon", "rewards", "ends", "score", "dataset", "made")
    cells = [[row[column] for column in columns[:-1]] + ["yes" if row["made"] else "no"] for row in rows]
    result_console().print(text_table(columns, cells))


def _row(task: Task) -> dict[str, Any]:
    from harness.data.dataset_files import dataset_exists, dataset_id

    return {
        "task": task.name,
        "environment": task.environment,
        "horizon": task.horizon,
        "rewards": _rewards(task),
        "ends": "at the first success" if task.success_reward is not None else "with the environment",
        "score": _score(task),
        "dataset": dataset_id(task),
        "repairs": list(task.data.repairs) if isinstance(task.data, HostedData) else [],
        "scales": [scale for scale, recipes in SCALES.items() if task.name in recipes],
        "made": dataset_exists(task),
    }


def _rewards(task: Task) -> str:
    """The mapping of the rewards r, and what failing is worth for ever."""
    source = "r" if task.reward == "environment" else "(success - 1)"
    bias = f" {task.reward_bias:+g}" if task.reward_bias else ""
    mapped = f"{task.reward_scale:g} {source}{bias}" if task.reward_scale != 1.0 else f"{source}{bias}"
    if task.failure_reward is None:
        return mapped
    return f"{mapped}; failure {task.failure_reward / (1.0 - task.discount):g}"


def _score(task: Task) -> str:
    if task.reference_returns is not None:
        return "return from {:g} to {:g}".format(*task.reference_returns)
    return "share of subtasks" if task.subtasks else "success"
