"""Tables of scores and of differences between arms."""

import math

import pandas as pd
import pytest
from rich.console import Console

from harness.errors import UserError
from results.tables.scores import LINES, differences, result_lines, scores
from tests.support.made_frames import frame_of, number


def test_scores_by_hand():
    # 0.2, 0.4, 0.6: mean 0.4, standard error 0.2/sqrt 3; t(0.975, 2) = 4.302653, half width 0.4968.
    table = scores(frame_of(*[("cql", seed, "done", 0.2 + 0.2 * seed, -70.0) for seed in range(3)]))
    row = number(table, "cql", "offline_score")
    assert row["mean"] == pytest.approx(0.4)
    assert row["high"] == pytest.approx(0.4 + 4.302653 * 0.2 / math.sqrt(3), abs=1e-6)
    assert (row["n"], row["method"]) == (3, "t, 95%")
    text = table.text.iloc[0]
    assert text["Score, offline end"] == "0.40 [0.00, 0.90]"
    # Q(s, pi(s)) -70 against a mean return-to-go of -50.
    assert text["Calibration of Q(s, pi(s))"] == "-20.0 [-20.0, -20.0]"
    assert text["Arm"] == "CQL"
    assert text["n"] == "3"


def test_the_note_on_the_dip_says_where_it_is_measured():
    frame = frame_of(*[("cql", seed, "done", 0.2, -70.0) for seed in range(3)])
    (note,) = [note for note in scores(frame).notes if note.startswith("Dip")]
    assert "in the first 2,000 environment steps, evaluated every 500; 0" in note
    # The window reaches beyond the online phase.
    spaced = frame.assign(**{"dip_window": 20_000.0, "schedule.log_spaced_evaluations": 6})
    (note,) = [note for note in scores(spaced).notes if note.startswith("Dip")]
    assert "in the first 6,000 environment steps, evaluated at log-spaced steps; 0" in note


def test_several_data_seeds_are_the_unit_of_replication():
    """Means by data seed 0.2, 0.4 and 0.6, whose interval is that of three seeds; differences likewise."""
    rows = [(arm, seed, "done", score, -70.0)
            for arm, shift in (("cql", 0.0), ("learned", 0.1))
            for seed, score in enumerate(shift + value for value in (0.1, 0.3, 0.3, 0.5, 0.6, 0.6))]  # fmt: skip
    frame = frame_of(*rows, data_seed=[0, 0, 1, 1, 2, 2] * 2)
    table = scores(frame)
    row = number(table, "cql", "offline_score")
    assert (row["n"], row["mean"]) == (3, pytest.approx(0.4))
    assert row["high"] == pytest.approx(0.4 + 4.302653 * 0.2 / math.sqrt(3), abs=1e-6)
    assert table.text["n"].tolist() == ["3 (6 runs)"] * 2
    assert "n counts data seeds" in " ".join(table.notes)
    difference = number(differences(frame), "learned", "offline_score")
    assert (difference["n"], difference["mean"], difference["p_value"]) == (3, pytest.approx(0.1), 0.25)


def test_unfinished_runs_are_counted_and_not_averaged():
    frame = frame_of(("new_arm", 0, "done", 0.5, 0.0), ("new_arm", 1, "failed", math.nan, math.nan))
    text = scores(frame).text.iloc[0]
    assert text["Score, offline end"] == "0.50"
    assert text["n"] == "1 of 2"
    assert text["Arm"] == "new_arm"


def test_an_arm_without_a_finished_run_keeps_its_row():
    frame = frame_of(("cql", 0, "done", 0.5, 0.0), ("learned", 0, "lost", math.nan, math.nan))
    text = scores(frame).text.set_index("Arm").loc["Cal-QL, learned floor"]
    assert (text["n"], text["Score, offline end"], text["Recovery"]) == ("0 of 1", "-", "0 of 0")


def test_recovery_counts_runs_with_a_dip():
    rows = [("cql", seed, "done", 0.5, 0.0) for seed in range(4)]
    table = scores(frame_of(*rows, dip=[0.0, 0.2, 0.1, 0.3], recovery_steps=[0.0, 1000.0, 2000.0, math.nan]))
    assert table.text.iloc[0]["Recovery"] == "2 of 3 [1,500 steps]"
    assert number(table, "cql", "recovery_steps")["n"] == 2


def test_definitions_name_window_and_spacing():
    notes = " ".join(scores(frame_of(("cql", 0, "done", 0.5, 0.0))).notes)
    assert "in the first 2,000 environment steps, evaluated every 500" in notes
    for metric in ("regret_eval", "regret_train", "Dip", "Recovery", "Calibration"):
        assert f"{metric}" in notes


def test_without_finished_runs_the_error_is_one_line():
    with pytest.raises(UserError, match=r"no run is done yet \(1 running\)"):
        scores(frame_of(("cql", 0, "running", math.nan, math.nan)))


def test_a_number_that_a_finished_run_lacks_is_counted():
    rows = [("cql", seed, "done", 0.5, 0.0) for seed in range(3)]
    table = scores(frame_of(*rows, regret_train=[0.5, math.nan, 0.5]))
    assert table.text.iloc[0]["regret_train"] == "0.50 [0.50, 0.50] (n = 2)"
    assert table.text.iloc[0]["Score, offline end"] == "0.50 [0.50, 0.50]"
    assert table.text.iloc[0]["n"] == "3"
    assert number(table, "cql", "regret_train")["n"] == 2


def test_differences_pair_seeds_that_both_have():
    # Seed 2 failed for cql: pairs 0.5 - 0.1 and 0.7 - 0.2, mean 0.45; correlation of two points is 1.
    frame = frame_of(
        ("cql", 0, "done", 0.1, 0.0), ("cql", 1, "done", 0.2, 0.0), ("cql", 2, "failed", math.nan, math.nan),
        ("monte_carlo", 2, "done", 0.9, 0.0), ("monte_carlo", 1, "done", 0.7, 0.0),
        ("monte_carlo", 0, "done", 0.5, 0.0),
    )  # fmt: skip
    table = differences(frame)
    row = number(table, "monte_carlo", "offline_score")
    assert row["mean"] == pytest.approx(0.45)
    assert (row["n"], row["method"]) == (2, "paired t, 95%")
    assert row["correlation"] == pytest.approx(1.0)
    assert table.text.iloc[0]["Score, offline end"].startswith("+0.45 [")
    assert differences(frame[frame["arm"] == "monte_carlo"]) is None


def test_implementations_are_compared_with_their_reference():
    rows = [
        (arm, seed, "done", 0.1 + place, 0.0) for place, arm in enumerate(("reference", "official")) for seed in (0, 1)
    ]
    table = differences(frame_of(*rows))
    assert table.title == "Difference to Cal-QL, reference, paired by seed"
    row = number(table, "official", "offline_score")
    assert (row["baseline"], row["mean"]) == ("reference", pytest.approx(1.0))
    both = differences(frame_of(*rows, ("cql", 0, "done", 0.1, 0.0)))
    assert set(both.numbers["baseline"]) == {"cql"}


def test_only_what_the_sign_flip_test_rejects_is_marked_after_holm():
    # Six seeds, one arm always better by another amount: p = 2/64 = 0.031; with a second arm twice that, with one alone
    # below 0.05.
    rows = [("cql", seed, "done", 0.1, 0.0) for seed in range(6)]
    rows += [("monte_carlo", seed, "done", 0.3 + 0.05 * seed, 0.0) for seed in range(6)]
    alone = differences(frame_of(*rows))
    row = number(alone, "monte_carlo", "offline_score")
    assert (row["p_value"], row["p_holm"]) == (pytest.approx(2 / 64), pytest.approx(2 / 64))
    assert alone.text.iloc[0]["Score, offline end"].endswith("]*")
    assert not alone.text.iloc[0]["Score, online end"].endswith("*")
    with_second = differences(frame_of(*rows, *[("learned", seed, "done", 0.1, 0.0) for seed in range(6)]))
    assert number(with_second, "monte_carlo", "offline_score")["p_holm"] == pytest.approx(4 / 64)
    assert not with_second.text["Score, offline end"].str.endswith("*").any()


def test_pairs_without_a_number_are_counted():
    rows = [(arm, seed, "done", 0.5, 0.0) for arm in ("cql", "monte_carlo") for seed in range(3)]
    table = differences(frame_of(*rows, regret_train=[0.5, 0.5, 0.5, math.nan, 0.4, 0.4]))
    assert table.text.iloc[0]["regret_train"] == "-0.10 [-0.10, -0.10] (n = 2)"
    assert list(table.text.columns)[-2:] == ["r", "n"]
    assert table.text.iloc[0]["n"] == "3"


# In a terminal --------------------------------------------------------------------------------------------------------

ROWS = [(arm, seed, "done", 0.5, -40.0) for arm in ("cql", "inflated_0.25") for seed in (0, 1)]


def printed(runs: pd.DataFrame, width: int) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(result_lines(runs))
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_line_per_arm_fits_the_terminal(width):
    title, heading, cql, inflated = printed(frame_of(*ROWS), width)
    assert title.startswith("maze: means over seeds")
    assert heading.split() == ["arm", "offline", "online", "regret", "dip", "runs"]
    assert cql.split() == ["cql", "0.50", "1.00", "0.25", "0.00", "2"]
    assert inflated.split()[0] == "inflated_0.25"
    assert max(map(len, (title, heading, cql, inflated))) <= width


def test_many_tasks_are_averaged():
    frames = [frame_of(*ROWS, task=f"task-{place}", final_score=float(place % 2)) for place in range(LINES)]
    lines = printed(pd.concat(frames, ignore_index=True), 80)
    assert lines[0].startswith(f"means over {LINES} tasks")
    assert " ".join(lines[-1].split()) == f"inflated_0.25 0.50 0.50 0.25 0.00 {2 * LINES}"
