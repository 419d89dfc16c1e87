"""No figure has clipped or overlapping text, a legend that leaves it, or an axis without a unit."""

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from ablations.claims import CLAIMS
from ablations.grids import runs_of
from harness.settings import with_settings
from results.figures.claims import claim_figure
from results.figures.curves import tasks_and_arms
from results.figures.effects import dose_response, effects_figure
from results.figures.learned_floor import learned_floor
from results.frame import done, evaluations, runs
from results.frame.per_run import per_run
from results.reports.contents import aggregate_figures, task_figures
from results.reports.exact import FIGURES
from results.style import STYLE
from results.tables.effects import effects
from results.tables.pooled import pooled
from results.tables.scores import differences
from results.tuning.figures import searches, tuning_figures
from results.tuning.ledger import read_ledger
from results.verdicts.runs import judge_runs, measured
from results.verdicts.table import by_claim
from tests.results.figures.conftest import TINY
from tests.results.tables.test_effects import ARMS, frame
from tests.results.tuning.test_report import write_ledger
from tests.support import exact_frames
from tests.support.figure_layout import faults
from tests.support.run_folder_factory import write_done


def test_the_figures_of_a_task(frames):
    all_runs, curves, _ = frames
    of_task = all_runs[all_runs["task"] == "winding-road"]
    numbers = differences(of_task).numbers
    drawings = task_figures(of_task, curves[curves["task"] == "winding-road"], numbers)
    assert len(drawings) == 5
    assert {drawing.name: faults(drawing.figure) for drawing in drawings if faults(drawing.figure)} == {}


def test_the_figures_over_tasks(frames):
    all_runs, curves, numbers = frames
    drawings = [tasks_and_arms(all_runs, curves), learned_floor(numbers)]
    drawings += aggregate_figures(done(all_runs), pooled(all_runs))
    several = frame(arms={**ARMS, "inflated_1": (1.0, 40.0, 10.0, 0.1)})
    drawings += [effects_figure(effects(several)), dose_response(effects(several), several)]
    assert {drawing.name: problems for drawing in drawings if (problems := faults(drawing.figure))} == {}


def test_the_figures_of_claims(frames):
    all_runs, curves, numbers = frames
    verdicts = by_claim(judge_runs(CLAIMS, all_runs, curves))
    # One claim per kind of figure: levels, differences with margins, several arms, doses, and the longest axis label.
    names = ("cql-scale-mismatch", "learned-floor-score", "floor-lifts-scale", "inflation-binds",
             "inflation-lifts-unseen-actions", "every-dose-lifts-unseen-actions")  # fmt: skip
    claims = {claim.id: claim for claim in CLAIMS}
    drawings = [claim_figure(verdicts[name], measured(claims[name], numbers)) for name in names]
    assert {drawing.name: problems for drawing in drawings if (problems := faults(drawing.figure))} == {}


def test_figures_with_long_names_of_arms(tmp_path):
    """Variants with several settings: legends below curves, rows of differences and of claims."""
    grid = [run for run in runs_of("remedies") if run.task.data_seed < 4]
    write_done(tmp_path, [with_settings(run, {"schedule.log_spaced_evaluations": 2, **TINY}) for run in grid])
    tables = runs([tmp_path]), evaluations([tmp_path])
    numbers = per_run(*tables)
    drawings = task_figures(*tables, differences(tables[0]).numbers)
    verdicts = by_claim(judge_runs(CLAIMS, *tables))
    claims = {claim.id: claim for claim in CLAIMS}
    for name in ("critics-first-prevent-fall-with-floor", "new-critics-prevent-fall-without-push-down",
                 "new-critics-harm", "policy-data-over-offline-data"):  # fmt: skip
        drawings.append(claim_figure(verdicts[name], measured(claims[name], numbers)))
    assert {drawing.name: problems for drawing in drawings if (problems := faults(drawing.figure))} == {}
    widths = {drawing.name: min(panel.get_position().width for panel in drawing.figure.axes) for drawing in drawings}
    assert min(widths.values()) > 0.15, widths


def test_the_figures_of_searches(tmp_path):
    ledger = read_ledger(write_ledger(tmp_path))
    drawings = [*tuning_figures(ledger), searches([ledger] * 3)]
    assert {drawing.name: problems for drawing in drawings if (problems := faults(drawing.figure))} == {}


@pytest.mark.parametrize("draw", FIGURES)
def test_the_figures_of_the_exact_lab(draw):
    assert faults(draw(exact_frames.frames()[draw.__name__]).figure) == []


def test_faults_are_found():
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2, 1.5))
        panel = figure.add_axes((0.3, 0.3, 0.6, 0.6))
        panel.plot([0, 1], [0, 1], label="a label that is much too long for the panel")
        panel.set(xlabel="Return (mapped)", ylabel="Score")
        panel.text(0.5, 0.5, "one text")
        panel.text(0.52, 0.5, "another text")
        panel.legend(loc="upper left", bbox_to_anchor=(0.2, 1.0))
    problems = faults(figure)
    assert "overlapping: 'one text' and 'another text'" in problems
    assert "legend outside" in problems
    assert any(fault.startswith("clipped: 'a label") for fault in problems)
    assert any(fault.startswith("no unit: ['Score'") for fault in problems)
