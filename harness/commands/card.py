"""A dataset's card as text: a table on the terminal, and a table with a figure in files."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from harness.commands.output import text_table

if TYPE_CHECKING:
    from harness.data.dataset_card import CardArrays

# Heights of the bars of a histogram in a line of text.
BLOCKS = " ▁▂▃▄▅▆▇█"


def print_card(card: Mapping[str, Any], console: Console) -> None:
    """The card on a terminal: facts, then the spread of lengths, returns and floors."""
    facts = [
        ("task", card["task"]),
        ("data", card["id"]),
        ("content", card["content_hash"]),
        ("episodes", f"{card['episodes']:,}, {_share(card['success_share'])} succeed, "
                     f"{_share(card['truncated_share'])} are cut off"),
        ("transitions", f"{card['transitions']:,} of {card['observation_dim']} + {card['action_dim']} numbers"),
        ("returns", _bars(card["return_histogram"])),
        *(("repair", line) for line in card["repairs"]),
    ]  # fmt: skip
    console.print(text_table(("", ""), facts))
    spreads = {"episode length": card["episode_length"], "episode return": card["episode_return"]}
    spreads |= {f"floor, {rule}": spread for rule, spread in card["floors"].items()}
    columns = ("", *card["episode_length"])
    console.print(text_table(columns, [(name, *map("{:.4g}".format, own.values())) for name, own in spreads.items()]))


def write_card(card: Mapping[str, Any], arrays: "CardArrays", folder: Path) -> list[Path]:
    """Write the card's table (csv, md, tex) and figure (pdf, svg, png, numbers, caption) into a folder."""
    from results import tables
    from results.dataset_table import dataset_table
    from results.figures import drawing
    from results.figures.dataset import dataset_figure

    folder.mkdir(parents=True, exist_ok=True)
    figure = dataset_figure(card, arrays.returns, arrays.lengths, arrays.terminated, arrays.floors)
    return [*tables.write(dataset_table(card), folder), *drawing.write(figure, folder)]


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _bars(histogram: Mapping[str, Any]) -> str:
    edges, counts = histogram["edges"], histogram["episodes"]
    highest = max(counts)
    bars = "".join(BLOCKS[-(-count * (len(BLOCKS) - 1) // highest)] for count in counts)
    return f"{edges[0]:.4g} [{bars}] {edges[-1]:.4g}"
