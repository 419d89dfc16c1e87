"""The card of a dataset as a table."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from results.figures.dataset import RULES
from results.tables import Table


def dataset_table(card: Mapping[str, Any]) -> Table:
    """The spread of lengths, returns and floors, one row each."""
    spreads = {"Episode length": card["episode_length"], "Episode return": card["episode_return"]}
    spreads |= {f"Floor, {RULES[rule][0]}": spread for rule, spread in card["floors"].items()}
    numbers = pd.DataFrame([{"task": card["task"], "quantity": name, **own} for name, own in spreads.items()])
    headings = {"mean": "Mean", "sd": "SD", "min": "Min", "max": "Max"}
    text = pd.DataFrame([
        {"Task": card["task"], "Quantity": name}
        | {headings.get(key, f"{key[1:].lstrip('0')} %"): f"{value:.4g}" for key, value in own.items()}
        for name, own in spreads.items()
    ])  # fmt: skip
    success = "" if card["success_share"] is None else f"{card['success_share']:.1%} of them succeed, "
    notes = (
        f"{card['episodes']:,} episodes of {card['id']}, {success}{card['truncated_share']:.1%} are cut off; "
        f"{card['transitions']:,} transitions. Rewards are mapped; content {card['content_hash']}.",
        *card["repairs"],
    )
    return Table(f"dataset-{card['task']}", f"Dataset of {card['task']}", numbers, text, notes)
