"""Table and figures of a study from a hand-made ledger, alone and in the report."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from ablations.grids import runs_of
from harness.errors import UserError
from results.frame import gather
from results.reports.runs import write_report
from results.tuning.figures import history, parallel_coordinates, searches, slices, tuning_figures
from results.tuning.ledger import effort, export_ledgers, importance, ledgers_in, read_ledger, searches_table
from tests.support.run_folder_factory import write_done

SPACE = {
    "algorithm.alpha": {
        "name": "FloatDistribution", "attributes": {"low": 0.1, "high": 100.0, "log": True, "step": None},
    },
    "algorithm.max_backup": {"name": "CategoricalDistribution", "attributes": {"choices": ["off", "min_then_max"]}},
}  # fmt: skip


def trial(arm, number, value, alpha=1.0, backup="off", state="complete"):
    return {
        "arm": arm, "number": number, "state": state, "value": value, "runs": ["a", "b"], "updates": 500,
        "core_hours": 0.25, "gpu_hours": 0.0, "wall_hours": 0.5,
        "settings": {"algorithm.alpha": alpha, "algorithm.max_backup": backup},
    }  # fmt: skip


TRIALS = [
    trial("cql", 0, 0.5, 10.0),
    trial("cql", 1, 0.3, state="pruned"),
    trial("cql", 2, 0.2, 1.0, "min_then_max"),
    trial("cql", 3, 0.4, 0.1),
    trial("monte_carlo", 0, None, state="fail"),
    trial("monte_carlo", 1, 0.3, 100.0),
]


def write_ledger(root, trials=TRIALS):
    file = root / "studies" / "hand" / "trials.json"
    file.parent.mkdir(parents=True)
    values = {"study": "hand", "objective": "regret_eval", "direction": "minimize", "budget": 4, "seeds": [7, 8]}
    file.write_text(json.dumps({**values, "space": SPACE, "trials": trials}))
    return file


@pytest.fixture
def ledger(tmp_path):
    return read_ledger(write_ledger(tmp_path))


def test_effort_and_outcome_by_hand(ledger):
    table = effort(ledger)
    first, second = table.numbers.to_dict("records")
    assert (first["trials"], first["complete"], first["pruned"], first["fail"]) == (4, 3, 1, 0)
    assert (first["untuned"], first["best"], first["best_trial"], first["setting.algorithm.alpha"]) == (
        0.5,
        0.2,
        2,
        1.0,
    )
    assert (first["runs"], first["updates"], first["core_hours"]) == (8, 2000, 1.0)
    assert (second["trials"], second["fail"], second["best"]) == (2, 1, 0.3)
    assert second["untuned"] != second["untuned"]
    assert "unequal so far, 4, 2, of a budget of 4" in table.notes[1]
    assert list(table.text["Arm"]) == ["CQL", "Cal-QL, Monte Carlo floor"]
    assert list(table.text["Untuned"]) == ["0.500", "-"]


def test_the_history_keeps_the_best_complete_one(ledger):
    numbers = history(ledger).numbers
    of_cql = numbers[numbers["arm"] == "cql"]
    assert list(of_cql["best_so_far"]) == [0.5, 0.5, 0.2, 0.2]
    assert "CQL: 3 complete, 1 pruned; Cal-QL, Monte Carlo floor: 1 complete, 1 failed" in history(ledger).caption


def test_only_complete_trials_are_drawn_against_their_settings(ledger):
    for drawing in (slices(ledger), parallel_coordinates(ledger)):
        assert list(drawing.numbers["number"]) == [0, 2, 3, 1]
    lines = parallel_coordinates(ledger).figure.axes[0].lines
    heights = [list(line.get_ydata()) for line in lines if len(line.get_xdata()) == 3]
    # Alpha from 0.1 to 100 by its logarithm, the choice, the value from 0.2 to 0.5.
    assert heights == [
        [pytest.approx(2 / 3), 0.0, pytest.approx(1.0)],
        [pytest.approx(1 / 3), 1.0, pytest.approx(0.0)],
        [pytest.approx(0.0), 0.0, pytest.approx(2 / 3)],
    ]


def test_the_setting_that_decides_is_the_important_one(tmp_path):
    alphas = [0.1 * 1.4**number for number in range(20)]
    trials = [trial("cql", number, abs(number - 9.0), alpha, ("off", "min_then_max")[number % 2])
              for number, alpha in enumerate(alphas)]  # fmt: skip
    shares = importance(read_ledger(write_ledger(tmp_path, trials))).set_index("setting")["importance"]
    assert shares.sum() == pytest.approx(1.0)
    assert shares["algorithm.alpha"] > 0.6


def test_few_trials_give_no_importance_of_settings(ledger):
    assert importance(ledger).empty
    assert [drawing.name.split("_")[1] for drawing in tuning_figures(ledger)] == ["history", "slices", "parallel"]


def test_one_or_two_complete_trials_are_no_figure_of_settings(tmp_path):
    ledger = read_ledger(write_ledger(tmp_path, [TRIALS[0], TRIALS[1], TRIALS[2]]))
    assert len(ledger.complete()) == 2
    assert [drawing.name.split("_")[1] for drawing in tuning_figures(ledger)] == ["history"]


def test_a_study_without_a_complete_trial_has_only_a_table(tmp_path):
    ledger = read_ledger(write_ledger(tmp_path, TRIALS[4:5]))
    assert tuning_figures(ledger) == []
    assert effort(ledger).numbers["best"].isna().all()


def test_a_damaged_ledger_gives_one_line(tmp_path):
    file = write_ledger(tmp_path)
    file.write_text('{"study": "hand"}')
    with pytest.raises(
        UserError, match=r"trials.json: is damaged \(trials is missing\); to write it again, run: floorbench tune$"
    ):
        read_ledger(file)


def test_the_report_shows_the_studies_of_its_root(tmp_path):
    write_ledger(tmp_path)
    write_done(tmp_path, [run for run in runs_of("floors") if run.seed < 2 and run.arm in ("cql", "monte_carlo")])
    out = tmp_path / "report"
    write_report(gather(tmp_path), out, tuning=ledgers_in([tmp_path]))
    text = (out / "runs.html").read_text()
    assert "Tuning: hand" in text
    assert "figures/tuning_history_hand.svg" in text
    assert (out / "tables" / "tuning_hand.tex").is_file()
    assert (out / "figures" / "tuning_parallel_hand.svg").is_file()


def test_many_studies_share_one_table_and_one_figure(tmp_path):
    ledger = read_ledger(write_ledger(tmp_path))
    ledgers = [replace(ledger, study=f"study-{name}") for name in ("a", "b", "c")]
    table = searches_table(ledgers)
    assert list(table.text["Study"]) == ["study-a"] * 2 + ["study-b"] * 2 + ["study-c"] * 2
    assert "GPU-hours" not in table.text, "a column of zeros says nothing"
    assert list(table.numbers["best"]) == [0.2, 0.3] * 3
    drawing = searches(ledgers)
    assert [tick.get_text() for tick in drawing.figure.axes[0].get_yticklabels()] == ["a", "b", "c"]
    assert drawing.numbers["chosen"].sum() == 2 * 3
    assert len(drawing.numbers) == 4 * 3
    write_done(tmp_path, [run for run in runs_of("floors") if run.seed < 2 and run.arm in ("cql", "monte_carlo")])
    write_report(gather(tmp_path), tmp_path / "report", tuning=ledgers)
    written = {path.name for path in (tmp_path / "report" / "figures").glob("*.svg")}
    assert "searches.svg" in written
    assert not any(name.startswith("tuning") for name in written)


def test_exported_ledgers_are_read_from_their_new_folder(tmp_path):
    root, folder = tmp_path / "root", tmp_path / "exported"
    write_ledger(root)
    (copy,) = export_ledgers([root, tmp_path / "none"], folder)
    assert copy == folder / "studies" / "hand" / "trials.json"
    (ours,), (theirs,) = ledgers_in([root]), ledgers_in([folder])
    pd.testing.assert_frame_equal(ours.trials, theirs.trials)


def test_two_searches_of_one_study_are_not_mixed(tmp_path):
    for root in ("a", "b"):
        write_ledger(tmp_path / root)
    with pytest.raises(UserError, match="study hand: has trials in more than one root"):
        export_ledgers([tmp_path / "a", tmp_path / "b"], tmp_path / "exported")
    assert not (tmp_path / "exported").exists()
