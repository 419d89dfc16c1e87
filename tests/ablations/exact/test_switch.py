"""The switch from a fixed point: values worked by hand, and the closed form of the threshold."""

from math import exp, sqrt

import pytest
import torch

from ablations.exact.switch import (
    GOOD,
    OFFLINE,
    STEP_SIZE,
    TRIED,
    Switch,
    batch,
    offline_end,
    tables,
    threshold,
    wrong_time,
)


def test_the_threshold_worked_by_hand():
    """With alpha 20 and a gap of 5 the condition is 1 / b - 1 / (1 - b) = 1, so b^2 - 3 b + 1 = 0."""
    assert threshold(20.0) == pytest.approx((3.0 - sqrt(5.0)) / 2.0)
    for alpha in (0.1, 1.0, 5.0, 50.0, 1e4):
        share = threshold(alpha)
        assert alpha / 4.0 * (1.0 / share - 1.0 / (1.0 - share)) == pytest.approx(GOOD - TRIED, rel=1e-6)
    assert threshold(1e9) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("alpha", [1.0, 5.0, 20.0])
def test_the_offline_end_satisfies_the_condition_of_a_fixed_point(alpha):
    """Q(a) = return(a) - alpha / 2 (pi(a) / beta(a) - 1) for CQL; the mean over the data is that of the returns."""
    values, beta = offline_end()["CQL", alpha], torch.tensor(OFFLINE, dtype=torch.float64)
    returns = torch.tensor([GOOD, TRIED], dtype=torch.float64)
    torch.testing.assert_close(values, returns - alpha / 2.0 * (values.softmax(-1) / beta - 1.0), rtol=1e-5, atol=1e-5)
    assert float(beta @ values) == pytest.approx(float(beta @ returns), abs=1e-5)


def test_a_batch_has_the_offline_share_of_good_actions():
    assert [int((batch(share) == 0).sum()) for share in (0.0, 0.25, 1.0)] == [0, 14, 56]


def test_without_the_regulariser_values_approach_the_returns_at_the_rate_of_their_share():
    """dQ/dt = share (return - Q), here in Euler steps: a factor (1 - step * share) per step."""
    start = torch.tensor([[[-30.0, -40.0]]], dtype=torch.float64)
    online = tables([Switch("CQL", 0.0, "off")], [batch(0.5)], start)
    for _ in range(50):
        online.step(STEP_SIZE * online.share)
    good, tried = online.values[0, 0].tolist()
    assert good == pytest.approx(GOOD + (-30.0 - GOOD) * (1.0 - STEP_SIZE * 28 / 64) ** 50)
    assert tried == pytest.approx(TRIED + (-40.0 - TRIED) * (1.0 - STEP_SIZE * 36 / 64) ** 50)


def test_a_shifted_critic_without_offline_data_is_wrong_from_the_crossing_on():
    """The good action stays at its value; the tried one passes it after ln(distance ratio) backups."""
    (time,) = wrong_time([Switch("CQL", 20.0, "off", -20.0)], [0.0])["wrong_time"]
    good, tried = (offline_end()["CQL", 20.0] - 20.0).tolist()
    crossing = -torch.tensor((TRIED - good) / (TRIED - tried)).log().item()
    assert exp(-crossing) == pytest.approx((TRIED - good) / (TRIED - tried))
    assert 60.0 - time == pytest.approx(crossing, abs=STEP_SIZE)


def test_shares_are_learned_independently_of_each_other():
    switches = [Switch("CQL", 5.0, "on", -5.0), Switch("Cal-QL", 20.0, "decayed")]
    together = wrong_time(switches, [0.0, 0.25]).set_index(["algorithm", "share"])["wrong_time"]
    for share in (0.0, 0.25):
        alone = wrong_time(switches, [share]).set_index(["algorithm", "share"])["wrong_time"]
        assert (together[alone.index] - alone).abs().max() < 1e-9
