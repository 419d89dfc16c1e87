"""A search counts every trial once and continues identically after an interruption."""

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


def interrupt(settings):
    raise KeyboardInterrupt


def advance(search, count):
    """Run trials of (x - 0.3)^2; returns x of all trials."""
    for _ in range(count):
        trial = search.ask(lambda settings: {"x": settings["x"]})
        search.tell(trial.number, (trial.params["x"] - 0.3) ** 2)
    return [trial.params["x"] for trial in search.trials()]


def test_the_first_trial_has_the_default_settings():
    assert advance(make_search(first={"x": 0.7}), 3)[0] == 0.7


def test_a_driver_killed_before_it_asks_for_the_enqueued_trial_leaves_it_to_the_next():
    search = make_search(first={"x": 0.7})
    search.study.enqueue_trial({"x": 0.7})
    assert search.discard_unassigned() == 0
    assert advance(search, 3) == advance(make_search(first={"x": 0.7}), 3)
    assert len(search.study.trials) == 3


def test_the_seed_determines_the_trials():
    first = advance(make_search(), 14)
    assert advance(make_search(), 14) == first
    assert advance(make_search(seed=1), 14) != first
    assert len(set(first)) == 14


@pytest.mark.parametrize("first", [None, {"x": 0.7}])
def test_a_trial_whose_driver_was_killed_while_asking_fails_and_is_asked_for_again(first):
    uninterrupted = advance(make_search(first=first), 12)
    search = make_search(first=first)
    for place in range(12):
        if place in (0, 5, 11):
            # A driver that is killed before it writes the assignment.
            with pytest.raises(KeyboardInterrupt):
                search.ask(interrupt)
            assert search.discard_unassigned() == 1
            assert search.discard_unassigned() == 0
        advance(search, 1)
    assert advance(search, 0) == uninterrupted
    states = [trial.state for trial in search.study.trials]
    assert (states.count(TrialState.COMPLETE), states.count(TrialState.FAIL)) == (12, 3)


def test_open_trials_are_found_with_their_assignments():
    storage = InMemoryStorage()
    search = make_search(storage)
    trial = search.ask(lambda settings: {"runs": ["a"], "x": settings["x"]})
    (stored,) = make_search(storage).open_trials()
    assert stored.number == trial.number
    assert stored.user_attrs["marks"] == {"runs": ["a"], "x": trial.params["x"]}
    search.tell(trial.number, 1.0)
    assert make_search(storage).open_trials() == []


def test_the_first_result_of_a_trial_is_kept():
    search = make_search()
    advance(search, 1)
    value = search.trial(0).value
    assert not search.tell(0, 17.0)
    assert not search.tell(0, None)
    assert search.trial(0).value == value


def test_the_best_trial_is_complete_and_the_first_of_equals():
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
    with pytest.raises(UserError, match=r"study s: was created with different seeds; choose another --root"):
        make_search(storage, definition={"seeds": [2], "goal": "a"})


def test_successive_halving_keeps_the_best_third():
    """Rungs after 1 and 3 evaluations; a trial continues if it is in the best third of those that reached the rung."""
    search = make_search(pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3))
    numbers = [search.ask(lambda settings: {}).number for _ in range(4)]
    assert not search.should_stop(numbers[0], 1, 0.5)
    assert search.should_stop(numbers[1], 1, 0.6)
    assert not search.should_stop(numbers[2], 1, 0.4)
    assert search.should_stop(numbers[3], 1, 0.45)
    # Not yet at the second rung.
    assert not search.should_stop(numbers[2], 2, 0.9)
    assert search.trial(numbers[2]).intermediate_values == {1: 0.4, 2: 0.9}
