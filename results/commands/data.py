"""`floorbench data`: make, check and describe the datasets of tasks; list the tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from harness.command_line import FittedTable, Json, Scale, print_json, remark_console, result_console, text_table
from harness.errors import UserError
from harness.launching.progress import make_datasets
from harness.settings import HostedData, Task

if TYPE_CHECKING:
    from harness.data.card import CardArrays

# Heights of the bars of a histogram in one line of text.
BLOCKS = " ▁▂▃▄▅▆▇█"


def data(
    tasks: Annotated[list[str] | None, typer.Argument(help="Names of tasks.", metavar="TASK")] = None,
    scale: Scale = "demo",
    data_seed: Annotated[int, typer.Option(min=0, help="Seed with which data are collected.")] = 0,
    list_tasks: Annotated[bool, typer.Option("--list", help="List all tasks and whether their data exist.")] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Import a hosted dataset from a directory, an archive or a file."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the dataset cards as tables and figures to this directory.")
    ] = None,
    json: Json = False,
) -> None:
    """Collect or download the datasets of tasks, check them and print their cards."""
    if list_tasks:
        show_tasks(scale, json)
    elif tasks:
        show_cards(tasks, scale, json, out, source, data_seed)
    else:
        raise UserError("data: name at least one task; list them with --list")


def show_cards(
    names: Sequence[str], scale: str, as_json: bool, out: Path | None, source: Path | None, data_seed: int = 0
) -> None:
    """Make or download missing datasets and print a card of each.

    `out`: a directory for the cards as tables and figures; `source`: a copy of hosted data to import; `data_seed`: for
    data collected here.
    """
    from harness.data.card import card_arrays, dataset_card
    from harness.tasks.registry import scaled_task, with_data_seed

    console = remark_console()
    tasks = [with_data_seed(scaled_task(name, scale), data_seed) for name in names]
    if source is not None:
        _import_from(source, tasks)
    cards = []
    for task, dataset in zip(tasks, make_datasets(tasks, console, download=True), strict=True):
        arrays = card_arrays(task, dataset)
        cards.append(dataset_card(task, dataset, arrays))
        if not as_json:
            print_card(cards[-1], result_console())
        if out is not None:
            console.print(f"card: {write_card(cards[-1], arrays, out)[0].with_suffix('.*')}")
    if as_json:
        print_json(cards)


def _import_from(source: Path, tasks: Sequence[Task]) -> None:
    from harness.data.hosting import take_sets

    for task in tasks:
        if not isinstance(task.data, HostedData):
            raise UserError(f"--from: the data of {task.name} are collected locally; leave out --from")
        take_sets(task, source)


def print_card(card: Mapping[str, Any], console: Console) -> None:
    """Print a card: facts, then statistics of lengths, returns and floors."""
    facts = [
        ("task", card["task"]),
        ("data", card["id"]),
        *(("read from", line) for line in card["files"]),
        ("content", card["content_hash"]),
        ("episodes", f"{card['episodes']:,}, {_percent(card['success_share'])} successful, "
                     f"{_percent(card['truncated_share'])} truncated"),
        ("transitions", f"{card['transitions']:,} of {card['observation_dim']} + {card['action_dim']} dimensions"),
        ("returns", _bars(card["return_histogram"])),
        *(("repair", line) for line in card["repairs"]),
    ]  # fmt: skip
    console.print(text_table(("", ""), facts))
    spreads = {"episode length": card["episode_length"], "episode return": card["episode_return"]}
    spreads |= {f"floor, {rule}": spread for rule, spread in card["floors"].items()}
    columns = ("", *card["episode_length"])
    console.print(
        text_table(columns, [(name, *map("{:.4g}".format, values.values())) for name, values in spreads.items()])
    )


def write_card(card: Mapping[str, Any], arrays: CardArrays, folder: Path) -> list[Path]:
    """Write a card as a table (csv, md, tex) and a figure (pdf, svg, png, data, caption)."""
    from results import tables
    from results.figures import drawing
    from results.figures.dataset import dataset_figure, dataset_table

    folder.mkdir(parents=True, exist_ok=True)
    figure = dataset_figure(card, arrays.returns, arrays.lengths, arrays.terminated, arrays.floors)
    return [*tables.write(dataset_table(card), folder), *drawing.write(figure, folder)]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _bars(histogram: Mapping[str, Any]) -> str:
    edges, counts = histogram["edges"], histogram["episodes"]
    highest = max(counts)
    bars = "".join(BLOCKS[-(-count * (len(BLOCKS) - 1) // highest)] for count in counts)
    return f"{edges[0]:.4g} [{bars}] {edges[-1]:.4g}"


def show_tasks(scale: str, as_json: bool) -> None:
    """Print all tasks, at `scale` where it has settings for them."""
    from harness.tasks.registry import SCALES, scaled_task

    names = dict.fromkeys(name for recipes in SCALES.values() for name in recipes)
    rows = [_row(scaled_task(name, scale)) for name in names]
    if as_json:
        print_json(rows)
        return
    columns = ("task", "environment", "horizon", "rewards", "ends", "score", "made", "dataset")
    lines = [{column: row[column] for column in columns} | {"made": "yes" if row["made"] else "no"} for row in rows]
    result_console().print(FittedTable(lines, ("rewards", "ends", "environment", "score", "dataset", "horizon")))


def _row(task: Task) -> dict[str, Any]:
    from harness.data.files import dataset_exists, dataset_id
    from harness.tasks.registry import SCALES

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
    """The mapping of the reward r, and the value of failing forever."""
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
