"""The properties of run states are consistent."""

import json

import pytest

from harness.folders.state import RunState, counted


@pytest.mark.parametrize("state", RunState)
def test_a_state_is_terminal_or_cancellable_or_new(state):
    assert state.is_terminal + state.is_cancellable + (state is RunState.NEW) == 1


def test_only_unfinished_attempts_may_be_retried():
    assert [state for state in RunState if state.may_be_retried] == ["interrupted", "cancelled", "lost", "failed"]


def test_states_count_in_display_order_and_become_plain_json():
    counts = counted([RunState.DONE, RunState.NEW, RunState.DONE])
    assert json.dumps(counts) == '{"new": 1, "done": 2}'
