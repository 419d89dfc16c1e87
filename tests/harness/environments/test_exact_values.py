"""Exact values of the winding road: finer quadratures, rollouts in the real environment, cases computed by hand."""

import dataclasses

import numpy as np
import pytest
from scipy.special import ndtr

from harness.environments.exact_values import RoadValues, noisy_actions
from harness.environments.families import exact_values
from harness.environments.winding_road import HEADING_BIAS, ROAD, Road, Traveller, WindingRoad
from harness.errors import UserError

STATES = np.linspace(0.0, 1.0, 101)[:, None]


@pytest.fixture(scope="module")
def values(road_task):
    return RoadValues(road_task)


def askew(states: np.ndarray) -> np.ndarray:
    """A smooth policy with a detour: it neither fails nor is optimal."""
    return 0.3 * np.sin(5.0 * states) + 0.1


def test_doubling_the_nodes_changes_nothing(road_task, values):
    finer = RoadValues(road_task, nodes=512)
    np.testing.assert_allclose(finer.behaviour(STATES), values.behaviour(STATES), rtol=0, atol=1e-9)
    np.testing.assert_allclose(finer.optimal(STATES), values.optimal(STATES), rtol=0, atol=1e-9)
    np.testing.assert_allclose(finer.of_policy(askew, STATES), values.of_policy(askew, STATES), rtol=0, atol=1e-9)


def test_kinks_of_a_policy_cost_little(road_task, values):
    def kinked(states):
        return np.tanh(6.0 * np.maximum(states - 0.3, 0.0) - 12.0 * np.maximum(states - 0.6, 0.0) + 0.1)

    finest = RoadValues(road_task, nodes=1200).of_policy(kinked, STATES)
    np.testing.assert_allclose(values.of_policy(kinked, STATES), finest, rtol=0, atol=5e-3)


def discounted(rewards: np.ndarray, discount: float) -> float:
    return float(np.sum(rewards * discount ** np.arange(len(rewards))))


@pytest.mark.parametrize("start", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("whose", ["behaviour", "askew", "optimal"])
def test_roll_outs_of_the_environment_agree(road_task, values, start, whose):
    """Mean discounted return of 600 episodes from a state, within 4 standard errors."""
    environment = WindingRoad()
    traveller = Traveller(environment, road_task.data.action_noise, np.random.default_rng(1))
    act, exact = {
        "behaviour": (traveller.action, values.behaviour),
        "askew": (askew, lambda states: values.of_policy(askew, states)),
        "optimal": (ROAD.direction, values.optimal),
    }[whose]
    returns = []
    for episode in range(600):
        observation, _ = environment.reset(seed=episode, options={"position": start})
        rewards, over = [], False
        while not over:
            observation, reward, over, _, _ = environment.step(act(observation))
            rewards.append(reward * road_task.reward_scale + road_task.reward_bias)
        returns.append(discounted(np.array(rewards), road_task.discount))
    error = np.std(returns, ddof=1) / np.sqrt(len(returns))
    assert abs(np.mean(returns) - exact(np.array([[start]]))[0]) < 4.0 * error


def test_the_discrete_bellman_equation(road_task, values):
    """The value at a node is its reward plus the discounted values at the nodes, computed without the solver."""
    nodes, weights = values.nodes, values._weights
    at_nodes = values.of_policy(askew, nodes)
    for start in (0, 40, 200):
        aim = ROAD.aim(nodes[start, 0], askew(nodes[start, 0]))
        density = np.exp(-((nodes[1:, 0] - aim) ** 2) / (2 * ROAD.gust**2)) / np.sqrt(2 * np.pi * ROAD.gust**2)
        wall, arrival = ndtr(-aim / ROAD.gust), ndtr((aim - 1.0) / ROAD.gust)
        assert wall + weights @ density + arrival == pytest.approx(1.0, abs=1e-12)
        backup = arrival - 1.0 + road_task.discount * (wall * at_nodes[0] + (weights * density) @ at_nodes[1:])
        assert at_nodes[start] == pytest.approx(backup, abs=1e-10)


def test_behaviour_is_the_average_over_its_noise(road_task):
    """Without noise V_mu is the value of the biased heading; the polynomial agrees with Nystrom's interpolation."""
    quiet = dataclasses.replace(road_task, data=dataclasses.replace(road_task.data, action_noise=0.0))
    values = RoadValues(quiet)
    biased = values.of_policy(lambda states: ROAD.direction(states) + HEADING_BIAS, STATES)
    np.testing.assert_allclose(values.behaviour(STATES), biased, rtol=0, atol=1e-9)


def test_noisy_actions_average_over_a_clipped_gaussian():
    actions, weights = noisy_actions(np.array([[0.0], [0.6]]), 0.4)
    np.testing.assert_allclose(weights.sum(-1), 1.0, atol=1e-12)
    # Mean of clip(0.6 + 0.4 z, -1, 1) with its closed form, E min(1, y) over the upper end; the lower is 4 sd away.
    distance = (1.0 - 0.6) / 0.4
    upper = 0.6 - 0.4 * (np.exp(-(distance**2) / 2) / np.sqrt(2 * np.pi) - distance * ndtr(-distance))
    assert (weights[1] * actions[1]).sum() == pytest.approx(upper, abs=1e-5)
    assert (weights[0] * actions[0]).sum() == pytest.approx(0.0, abs=1e-12)
    assert weights[1, 1] == pytest.approx(ndtr(-distance))


def test_without_wind_the_optimal_value_counts_steps(road_task):
    """Steps of 0.05 along the road: all but the last cost 1."""
    calm = RoadValues(road_task, Road(speed=0.05, gust=0.001), nodes=2000)
    starts, steps = np.array([[0.525], [0.925], [0.975], [0.125]]), np.array([10, 2, 1, 18])
    expected = -(1.0 - road_task.discount ** (steps - 1)) / (1.0 - road_task.discount)
    np.testing.assert_allclose(calm.optimal(starts), expected, atol=1e-6)


def test_without_arrival_the_value_is_that_of_permanent_failure(road_task):
    """Against the road with hardly any noise: -1 per step, -1 / (1 - 0.99) in total."""
    calm = RoadValues(road_task, Road(speed=0.05, gust=0.005), nodes=600)
    lost = calm.of_policy(lambda states: ROAD.direction(states) + 1.0, np.array([[0.0], [0.5]]))
    np.testing.assert_allclose(lost, -100.0, atol=1e-6)


def test_mapped_rewards_map_values(road_task, values):
    """The values of rewards r and r - 1 differ by the discounted steps; both together give that of 10 r - 5."""
    scaled = RoadValues(dataclasses.replace(road_task, reward_scale=10.0, reward_bias=-5.0))
    raw = RoadValues(dataclasses.replace(road_task, reward_bias=0.0))
    arrival, steps = raw.behaviour(STATES), raw.behaviour(STATES) - values.behaviour(STATES)
    np.testing.assert_allclose(scaled.behaviour(STATES), 10.0 * arrival - 5.0 * steps, atol=1e-8)


def test_no_action_is_better_than_heading_the_road(values):
    best = values.optimal(STATES)
    for action in np.linspace(-1.0, 1.0, 41):
        other = values.action_values(ROAD.direction, STATES, np.full_like(STATES, action))
        assert (other <= best + 1e-9).all()
    assert (values.of_policy(askew, STATES) < best).all()
    assert (values.behaviour(STATES) < best).all()
    assert (np.diff(best) > 0.0).all(), "the value grows along the road"


def test_rewards_that_pay_for_staying_are_refused(road_task):
    staying = dataclasses.replace(road_task, reward_bias=0.5)
    with pytest.raises(UserError, match=r"task.reward_bias = 0.5: staying .* must be below 0.0101"):
        exact_values(staying)


def test_the_road_is_solved_once(road_task):
    known = exact_values(road_task)
    assert isinstance(known, RoadValues)
    assert exact_values(dataclasses.replace(road_task)) is known


def test_tasks_have_separate_values(road_task):
    state = np.array([[0.2]])
    impatient = exact_values(dataclasses.replace(road_task, discount=0.9))
    assert impatient.behaviour(state) > exact_values(road_task).behaviour(state)


def test_mazes_have_no_exact_values(tiny_task):
    assert exact_values(tiny_task) is None
