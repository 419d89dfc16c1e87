"""Exact values of tasks, here of the winding road, to the accuracy of a quadrature.

A value is the expected discounted mapped reward over an infinite horizon. It solves V = r + discount * K V, where
K, the distribution of the next position, has a Gaussian density between wall and goal and an atom at the wall; arrivals
at the goal are lost. Nystrom's method evaluates K on Gauss-Legendre nodes and the wall, solves the linear system there,
and evaluates V elsewhere by inserting the solution into the right-hand side (Atkinson, The Numerical Solution of
Integral Equations of the Second Kind, 1997, chapter 4).
"""

from collections.abc import Callable
from functools import cached_property
from math import pi, sqrt

import numpy as np
import torch
from numpy.polynomial import Chebyshev
from numpy.polynomial.legendre import leggauss
from scipy.special import ndtr

from harness.environments.winding_road import HEADING_BIAS, ROAD, Road
from harness.settings import Task

# Quadrature nodes between wall and goal, five per gust. Doubling them changes the values of the traveller and of the
# optimal policy by less than 1e-10, and those of learned policies, which have kinks, by less than 1e-4.
NODES = 256

# Degree of the Chebyshev interpolant of V_mu.
DEGREE = 128

# Quadrature nodes for the Gaussian noise of the traveller's action, and their range in standard deviations.
ACTION_NODES = 64
REACH = 9.0

# Actions [N, 1] of a deterministic policy at states [N, 1].
Policy = Callable[[np.ndarray], np.ndarray]


class RoadValues:
    """Values of the travellers on one task's road, float64 [N] at states [N, 1], the positions."""

    def __init__(self, task: Task, road: Road = ROAD, nodes: int = NODES):
        self._task, self._road = task, road
        inner, weights = leggauss(nodes)
        # States [nodes, 1]; the wall is the first node.
        self.nodes = np.append(0.0, 0.5 * (inner + 1.0))[:, None]
        self._weights = 0.5 * weights

    def behaviour(self, states: np.ndarray) -> np.ndarray:
        """V_mu [N] of the traveller that collects the data.

        It observes positions rounded to float32, which changes its next position by less than 1e-8. V_mu is smooth, so
        Nystrom's interpolation is evaluated once, at Chebyshev nodes, and their interpolant everywhere else.
        """
        return self._behaviour_polynomial(states[:, 0])

    def optimal(self, states: np.ndarray) -> np.ndarray:
        """V* [N]: the value of following the road.

        Following the road is optimal: under the same gusts its expected next position x + speed is the largest possible
        and increases with x, so no other policy is ever ahead, and earlier arrivals are worth more.
        """
        return self.of_policy(self._road.direction, states)

    def of_policy(self, policy: Policy, states: np.ndarray) -> np.ndarray:
        """V_pi [N] of a deterministic policy."""
        return self.action_values(policy, states, policy(states))

    def action_values(self, policy: Policy, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Q_pi [N] of actions [N, 1], followed by a deterministic policy."""
        at_nodes = self._solve(*self._step(self.nodes, policy(self.nodes)))
        return self._backup(at_nodes, *self._step(states, actions))

    @cached_property
    def _behaviour_polynomial(self) -> Chebyshev:
        at_nodes = self._solve(*self._behaviour_step(self.nodes))

        def nystrom(positions: np.ndarray) -> np.ndarray:
            return self._backup(at_nodes, *self._behaviour_step(positions[:, None]))

        return Chebyshev.interpolate(nystrom, DEGREE, domain=[0.0, 1.0])

    def _behaviour_step(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Like `_step`, averaged over the traveller's noisy action."""
        actions, weights = noisy_actions(self._road.direction(states) + HEADING_BIAS, self._task.collected.action_noise)
        kernel, reward = self._step(states[:, None], actions[..., None])
        return np.einsum("ij,ijk->ik", weights, kernel), (weights * reward).sum(-1)

    def _step(self, states: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights [..., nodes] of the next position on wall and nodes, and the expected mapped reward [...].

        States and actions are [..., 1].
        """
        aim, gust = self._road.aim(states, actions), self._road.gust
        wall = ndtr((0.0 - aim) / gust)
        density = np.exp(-0.5 * ((self.nodes[1:, 0] - aim) / gust) ** 2) / (sqrt(2.0 * pi) * gust)
        arrival = ndtr((aim[..., 0] - 1.0) / gust)
        kernel = np.concatenate((wall, density * self._weights), axis=-1)
        return kernel, self._task.reward_bias + self._task.reward_scale * arrival

    def _solve(self, kernel: np.ndarray, reward: np.ndarray) -> np.ndarray:
        """Values [nodes] from the step at the nodes; with torch, which respects the worker's single thread."""
        system = np.eye(len(reward)) - self._task.discount * kernel
        return torch.linalg.solve(torch.from_numpy(system), torch.from_numpy(reward)).numpy()

    def _backup(self, at_nodes: np.ndarray, kernel: np.ndarray, reward: np.ndarray) -> np.ndarray:
        return reward + self._task.discount * (kernel @ at_nodes)


def noisy_actions(means: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights [N, K] for an average over clip(mean + noise * normal, -1, 1), at means [N, 1] in (-1, 1).

    The first two nodes are -1 and 1, weighted with the probability of being clipped to them.
    """
    if noise == 0.0:
        return means, np.ones_like(means)
    low, high = np.maximum(-1.0, means - REACH * noise), np.minimum(1.0, means + REACH * noise)
    inner, weights = leggauss(ACTION_NODES)
    between = low + 0.5 * (high - low) * (inner + 1.0)
    density = np.exp(-0.5 * ((between - means) / noise) ** 2) / (sqrt(2.0 * pi) * noise)
    ends = np.broadcast_to([-1.0, 1.0], (len(means), 2))
    clipped = ndtr(-np.abs(ends - means) / noise)
    nodes = np.concatenate((ends, between), axis=-1)
    return nodes, np.concatenate((clipped, 0.5 * (high - low) * weights * density), axis=-1)
