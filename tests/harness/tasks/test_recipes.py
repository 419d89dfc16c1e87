"""The tuned settings of the demo are those of the best trials in results/published/studies."""

import pytest

from ablations.grids import STUDY_TASKS
from ablations.studies import study_of
from harness.settings import configuration, with_settings
from harness.tasks.recipes import DEMO_ALGORITHM, TUNED
from harness.tasks.registry import base_run
from results.publishing.published_runs import PUBLISHED
from results.tuning.ledger import SETTING, ledgers_in

LEDGERS = {ledger.study.removeprefix("study-"): ledger for ledger in ledgers_in([PUBLISHED])}


def test_every_studied_task_was_searched_with_the_budget_and_the_seeds_of_its_study():
    assert set(LEDGERS) == set(STUDY_TASKS)
    for task, ledger in LEDGERS.items():
        study = study_of(f"study-{task}")
        assert ledger.seeds == study.seeds
        assert len(ledger.trials) >= study.trials
        assert set(ledger.space) == set(study.space)


@pytest.mark.parametrize("task", STUDY_TASKS)
def test_a_task_has_the_settings_of_its_best_trial(task):
    """The studies that every task has; a longer search of one task is left out."""
    ledger = LEDGERS[task]
    complete = ledger.complete()
    best = ledger.best_first(complete[complete["number"] < study_of(f"study-{task}").trials]).iloc[0]
    algorithm = base_run(task, "demo", seed=0).algorithm
    for path in ledger.space:
        assert getattr(algorithm, path.removeprefix("algorithm.")) == pytest.approx(best[SETTING + path], rel=5e-4)


def test_tuning_changes_only_the_searched_settings():
    for task, tuned in TUNED.items():
        assert set(tuned) == {path.removeprefix("algorithm.") for path in LEDGERS[task].space}
        settings = {f"algorithm.{name}": value for name, value in tuned.items()}
        untuned = base_run(task, "demo", seed=0, tuned=False)
        assert base_run(task, "demo", seed=0) == with_settings(untuned, settings, source="test")
    assert base_run("pointmaze-medium", "demo", seed=0).algorithm == DEMO_ALGORITHM


@pytest.mark.parametrize("task", STUDY_TASKS)
def test_the_first_trial_has_the_untuned_settings(task):
    """So that the search can be repeated."""
    ledger = LEDGERS[task]
    first = ledger.trials[ledger.trials["number"] == 0].iloc[0]
    for run in study_of(f"study-{task}").runs:
        settings = configuration(run)["algorithm"]
        assert {path: settings[path.removeprefix("algorithm.")] for path in ledger.space} == {
            path: first[SETTING + path] for path in ledger.space
        }
