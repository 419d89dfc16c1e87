"""Searches count every trial once, whatever their processes did, and go the same way after an interruption."""

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from harness.errors import UserError
from harness.tuning.search import Search

SPACE = {"x": FloatDistribution(-1.0, 1.0)}


def make_search(storage=None, seed=0, **named):
    return Search(storage or InMemoryStorage(), "s", SPACE, "minimize", seed, **named)


def advance(search, count):
    """Ask and tell trials of (x - 0.3)^2."""
    for _ in range(count):
        trial = search.ask(lambda settings: {"x": settings["x"]})
        search.tell(trial.number, (trial.params["x"] - 0.3) ** 2)
    return [trial.params["x"] for trial in search.trials()]


def test_the_first_trial_has_the_settings_without_tuning():
    assert advance(make_search(first={"x": 0.7}), 3)[0] == 0.7


def test_equal_seeds_ask_the_same_and_others_do_not():
    first = advance(make_search(), 14)
    assert advance(make_search(), 14) == first
    assert advance(make_search(seed=1), 14) != first
    assert len(set(first)) == 14


def test_a_trial_that_was_left_while_it_was_asked_for_is_told_as_failed_and_asked_for_again():
    storage = InMemoryStorage()
    undisturbed = advance(make_search(), 12)
    search = make_search(storage)
    for place in range(12):
        if place in (0, 5, 11):
            # A process that is killed before it writes its marks.
            search.study.sampler = search._sampler(len(search.trials()))
            search.study.ask(SPACE)
            assert search.correct() == 1
            assert search.correct() == 0
        advance(search, 1)
    assert advance(search, 0) == undisturbed
    states = [trial.state for trial in search.study.trials]
    assert (states.count(TrialState.COMPLETE), states.count(TrialState.FAIL)) == (12, 3)


def test_marks_are_there_and_open_trials_are_found():
    storage = InMemoryStorage()
    search = make_search(storage)
    trial = search.ask(lambda settings: {"runs": ["a"], "x": settings["x"]})
    (found,) = make_search(storage).open_trials()
    assert found.number == trial.number
    assert found.user_attrs["marks"] == {"runs": ["a"], "x": trial.params["x"]}
    search.tell(trial.number, 1.0)
    assert make_search(storage).open_trials() == []


def test_what_was_told_stays():
    search = make_search()
    advance(search, 1)
    value = search.trial(0).value
    assert not search.tell(0, 17.0)
    assert not search.tell(0, None)
    assert search.trial(0).value == value


def test_the_best_is_complete_and_the_first_of_equals():
    search = make_search()
    for value in (None, 2.0, 1.0, 1.0):
        search.tell(search.ask(lambda settings: {}).number, value)
    stopped = search.ask(lambda settings: {})
    search.should_stop(stopped.number, 1, 0.0)
    search.tell(stopped.number, None, pruned=True)
    assert search.trial(stopped.number).state == TrialState.PRUNED
    assert search.best().number == 2


def test_another_definition_is_refused():
    storage = InMemoryStorage()
    make_search(storage, definition={"seeds": [1], "goal": "a"})
    make_search(storage, definition={"seeds": [1], "goal": "a"})
    with pytest.raises(UserError, match=r"study s: was begun with other seeds; name another --root"):
        make_search(storage, definition={"seeds": [2], "goal": "a"})


def test_halving_lets_a_third_go_on():
    """By hand: rungs after 1 and 3 evaluations; a trial goes on if it is in the best third of those that came there."""
    search = make_search(pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3))
    numbers = [search.ask(lambda settings: {}).number for _ in range(4)]
    assert not search.should_stop(numbers[0], 1, 0.5)
    assert search.should_stop(numbers[1], 1, 0.6)
    assert not search.should_stop(numbers[2], 1, 0.4)
    assert search.should_stop(numbers[3], 1, 0.45)
    # Asked again it is still at the second rung.
    assert not search.should_stop(numbers[2], 2, 0.9)
    assert search.trial(numbers[2]).intermediate_values == {1: 0.4, 2: 0.9}
