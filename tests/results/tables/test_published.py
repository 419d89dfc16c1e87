"""Published numbers stand beside ours as they were published, and only where they match."""

import pandas as pd
import pytest

from results.tables.published import ARMS, COLUMNS, FILE, TASKS, beside_published, published
from tests.support.made_frames import frame_of


def test_every_number_that_may_be_shown_is_there():
    for theirs in TASKS.values():
        for algorithm in ARMS.values():
            for _, metric, phase, _ in COLUMNS.values():
                mean, deviation = published(theirs, algorithm, metric, phase)
                assert mean >= 0
                assert deviation >= 0


def test_our_rows_and_published_rows_have_the_same_unit():
    rows = [("monte_carlo", seed, "done", 0.6 + 0.1 * seed, 0.0) for seed in range(3)]
    table = beside_published(frame_of(*rows, task="antmaze-umaze-diverse"))
    ours, theirs = table.text.to_dict("records")
    assert (ours["Source"], ours["n"], ours["Score, offline end"].split()[0]) == ("ours", "3", "0.70")
    # CORL's table: 32.00 +- 27.79 offline, 98.50 +- 1.12 online.
    assert theirs == {"Task": "antmaze-umaze-diverse", "Arm": "Cal-QL", "Source": "CORL", "n": "4",
                      "Score, offline end": "0.32 (SD 0.28)", "Score, online end": "0.98 (SD 0.01)",
                      "regret_train": theirs["regret_train"]}  # fmt: skip
    numbers = table.numbers.set_index(["source", "metric"])
    assert numbers.loc[("ours", "offline_score"), "mean"] == pytest.approx(0.7)
    assert numbers.loc[("CORL", "offline_score"), "mean"] == pytest.approx(0.32)
    assert pd.isna(numbers.loc[("CORL", "offline_score"), "low"])


def test_what_does_not_match_is_not_shown():
    row = ("cql", 0, "done", 0.5, 0.0)
    assert beside_published(frame_of(row, task="pen")) is None
    assert beside_published(frame_of(row, task="pointmaze-umaze")) is None
    assert beside_published(frame_of(("inflated_1", 0, "done", 0.5, 0.0), task="antmaze-umaze")) is None


def test_the_file_names_its_source():
    assert FILE.name in (FILE.parent / "README.md").read_text()
    assert set(TASKS.values()) <= set(pd.read_csv(FILE)["task"])
