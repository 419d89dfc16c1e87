"""Studies are checked before anything is computed; errors are one line."""

from dataclasses import replace

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from ablations.studies import STUDIES, study_of
from harness.errors import UserError
from harness.settings import with_settings
from harness.tasks.registry import SCALES
from tests.support.made_study import STUDY


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", STUDIES)
def test_every_study_can_be_searched_at_every_scale(name, scale):
    study = study_of(name, scale)
    study.check()
    assert study.name == name
    assert not set(study.seeds) & {run.seed for run in study.runs}


def test_an_unknown_study_is_an_error():
    with pytest.raises(UserError, match=r"study 'moon': unknown study; choose one of smoke, "):
        study_of("moon")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": (7, 0)}, r"seed 0 is used for tuning and for reporting; use different seeds"),
        ({"goal": "fame"}, r"unknown objective 'fame'; choose one of final_score, "),
        (
            {"space": {"algorithm.alpha": FloatDistribution(0.1, 10.0)}},
            r"default algorithm.alpha = 20.0 of arm cql is outside the search space: range 0.1 to 10$",
        ),
        ({"space": {"algorithm.alhpa": FloatDistribution(0.1, 10.0)}}, r"did you mean algorithm.alpha\?"),
        ({"space": {"algorithm.alpha": FloatDistribution(-1.0, 100.0)}}, r"setting algorithm.alpha = -1.0: input"),
        (
            {"space": {"algorithm.max_backup": CategoricalDistribution(["off", "on"])}},
            r"setting algorithm.max_backup = 'on': input should be",
        ),
    ],
)  # fmt: skip
def test_an_invalid_study_is_a_one_line_error(change, message):
    with pytest.raises(UserError, match=message) as raised:
        replace(STUDY, **change).check()
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("study made: ")


def test_regret_needs_an_online_phase():
    runs = tuple(with_settings(run, {"schedule.online_steps": 0}) for run in STUDY.runs)
    replace(STUDY, runs=runs).check()
    with pytest.raises(UserError, match=r"objective 'regret_eval' needs an online phase"):
        replace(STUDY, runs=runs, goal="regret_eval").check()


def test_a_trial_is_the_arm_with_its_settings_on_the_tuning_seeds():
    runs = STUDY.runs_of_trial("cql", {"algorithm.alpha": 0.5})
    assert [(run.arm, run.seed, run.algorithm.alpha, run.floor.base) for run in runs] == [
        ("cql", 1000, 0.5, "none"),
        ("cql", 1001, 0.5, "none"),
    ]


def test_arms_tuned_together_share_a_trial():
    study = replace(STUDY, together=True)
    assert study.groups == {"cql+monte_carlo": ("cql", "monte_carlo")}
    runs = study.runs_of_trial("cql+monte_carlo", {"algorithm.alpha": 0.5})
    assert [(run.arm, run.seed, run.algorithm.alpha) for run in runs] == [
        ("cql", 1000, 0.5),
        ("cql", 1001, 0.5),
        ("monte_carlo", 1000, 0.5),
        ("monte_carlo", 1001, 0.5),
    ]
    tuned = study.tuned_runs("cql+monte_carlo", {"algorithm.alpha": 0.5})
    assert {run.arm for run in tuned} == {"cql_tuned", "monte_carlo_tuned"}
    assert len(tuned) == len(study.runs)


def test_arms_tuned_together_must_have_equal_defaults():
    runs = [with_settings(run, {"algorithm.alpha": 2.0}) if run.arm == "cql" else run for run in STUDY.runs]
    study = replace(STUDY, runs=tuple(runs), together=True)
    with pytest.raises(UserError, match=r"algorithm.alpha of cql\+monte_carlo differs between its tasks or arms"):
        study.check()


def test_the_tuned_runs_are_the_reported_ones_under_another_name():
    runs = STUDY.tuned_runs("monte_carlo", {"algorithm.alpha": 0.5})
    assert [(run.arm, run.seed, run.algorithm.alpha) for run in runs] == [
        ("monte_carlo_tuned", 0, 0.5),
        ("monte_carlo_tuned", 1, 0.5),
    ]
    reported = [run for run in STUDY.runs if run.arm == "monte_carlo"]
    assert [with_settings(run, {"arm": "monte_carlo", "algorithm.alpha": 20.0}) for run in runs] == reported
