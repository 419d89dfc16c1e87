"""The lists of grids and arms."""

import io
import json

import pytest
from rich.console import Console

from ablations.arms import ARMS
from ablations.commands import listing
from ablations.grids import GRIDS
from tests.support.command_line import call


def test_grids_are_listed_with_their_sizes():
    grids = {line["grid"]: line for line in json.loads(call("grids", "--json").stdout)["grids"]}
    assert list(grids) == list(GRIDS)
    floors = grids["floors"]
    assert (floors["tasks"], floors["arms"], floors["seeds"], floors["runs"]) == (1, 5, 6, 30)
    # On two cores, except for the command itself and the data.
    assert floors["core_seconds"] / 2 < floors["seconds"] < floors["core_seconds"]
    smoke = grids["smoke"]
    assert (smoke["seconds"], smoke["core_seconds"]) < (floors["seconds"], floors["core_seconds"])


def test_arms_are_listed_with_their_settings():
    arms = json.loads(call("arms", "--json").stdout)["arms"]
    assert sorted(line["arm"] for line in arms) == sorted(ARMS)
    assert {"arm": "deflated_0.25", "label": "Cal-QL, deflated by 0.25", "group": "Size of the floor",
            "settings": "floor.base=monte_carlo floor.inflation=-0.25"} in arms  # fmt: skip
    shown = call("arms", "noise").stdout
    assert "noisy_0.25" in shown
    assert "expectation" not in shown


def test_implementations_are_described_by_their_difference_from_the_reference():
    assert listing.beside_reference("cql") == "floor.base=none"
    assert listing.beside_reference("no_failure_rule") == "reference, but floor.truncation=sum"
    assert listing.beside_reference("cql_online_alone") == "reference_cql, but schedule.mixing_ratio=0"
    assert listing.beside_reference("reference").endswith("schedule.update_block=1 floor.base=monte_carlo")


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("show", [listing.grids, listing.arms])
def test_lists_fit_the_terminal(show, width, monkeypatch):
    """Names are never shortened, and descriptions keep room for words."""
    few = {name: GRIDS[name] for name in ("demo", "floors", "implementation", "smoke")}
    monkeypatch.setattr("ablations.grids.GRIDS", few)
    stream = io.StringIO()
    monkeypatch.setattr(listing, "result_console", lambda: Console(file=stream, width=width, color_system=None))
    show()
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert {line.split()[0] for line in lines if line.strip()} >= set(few if show is listing.grids else ARMS)
    assert width - max(lines[0].find("about"), lines[0].find("settings")) >= 20
