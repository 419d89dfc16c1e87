"""Checks of the exact values of the winding road, the task with known values on which ordinary runs are evaluated."""

from functools import cache

import numpy as np

from ablations.claim import Claim, EveryCase
from harness.environments.exact_values import NODES, RoadValues
from harness.environments.winding_road import ROAD, Traveller, WindingRoad
from harness.tasks.registry import DEMO

TOPIC = "The winding road"
TASK = DEMO["winding-road"].task

POSITIONS = np.linspace(0.0, 1.0, 51)[:, None]
# Start positions of rollouts, and episodes from each.
STARTS, EPISODES = (0.0, 0.25, 0.5, 0.75), 200


@cache
def road_values() -> RoadValues:
    """The values that runs use."""
    return RoadValues(TASK)


def change_with_finer_nodes() -> np.ndarray:
    """V_mu and V* with 1.5 times the quadrature nodes, minus those with the default nodes."""
    default, finer = road_values(), RoadValues(TASK, nodes=NODES + NODES // 2)
    behaviour = finer.behaviour(POSITIONS) - default.behaviour(POSITIONS)
    return np.concatenate((behaviour, finer.optimal(POSITIONS) - default.optimal(POSITIONS)))


def advantage_of_other_actions() -> np.ndarray:
    """Q* - V* for 101 actions at every position."""
    values = road_values()
    states = np.repeat(POSITIONS, 101, axis=0)
    actions = np.tile(np.linspace(-1.0, 1.0, 101), len(POSITIONS))[:, None]
    return values.action_values(ROAD.direction, states, actions) - values.optimal(states)


def rollout_deviations() -> list[float]:
    """Mean discounted return of the data's controller minus V_mu, in standard errors, by start position."""
    environment, values = WindingRoad(), road_values()
    traveller = Traveller(environment, TASK.collected.action_noise, np.random.default_rng(0))
    deviations = []
    for start in STARTS:
        returns = []
        for episode in range(EPISODES):
            observation, _ = environment.reset(seed=episode, options={"position": start})
            total, weight, terminated = 0.0, 1.0, False
            while not terminated:
                observation, reward, terminated, _, _ = environment.step(traveller.action(observation))
                total += weight * (reward * TASK.reward_scale + TASK.reward_bias)
                weight *= TASK.discount
            returns.append(total)
        error = np.std(returns, ddof=1) / np.sqrt(EPISODES)
        deviations.append(float((np.mean(returns) - values.behaviour(np.array([[start]]))[0]) / error))
    return deviations


CLAIMS = (
    Claim(
        "the-quadrature-has-converged", TOPIC,
        "V_mu and V* of the winding road do not change under a finer quadrature.", "check of the lab",
        "values with 1.5 times the nodes - values; 51 positions",
        change_with_finer_nodes, EveryCase(-1e-9, 1e-9),
    ),
    Claim(
        "heading-the-road-is-optimal", TOPIC,
        "Heading along the road is optimal.", "derived",
        "Q* - V*; 101 actions at 51 positions", advantage_of_other_actions, EveryCase(at_most=1e-9),
    ),
    Claim(
        "roll-outs-have-the-computed-value", TOPIC,
        "Episodes of the environment with the data's controller have a mean return equal to the computed V_mu.",
        "check of the lab",
        f"(mean return - V_mu) in standard errors; {EPISODES} episodes from each of {len(STARTS)} positions",
        rollout_deviations, EveryCase(-4.0, 4.0),
    ),
)  # fmt: skip
