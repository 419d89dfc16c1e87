"""Cal-QL for a single run as PyTorch code is usually written: a module per network, autograd, one optimizer each.

The policy is evaluated on repeated states, and every logged number is fetched with `.item()` at every update. The
formulas are those of `algorithms.critic_loss` with importance sampling (a test holds them against it).
"""

import copy
import sys
from math import log

import torch
from torch import Tensor, nn
from torch.distributions import Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform
from torch.nn import functional

from tests.benchmarks.peers.sizes import SIZES, Size
from tests.benchmarks.peers.stopwatch import serve

DISCOUNT, TAU, ALPHA, GAP = 0.99, 0.005, 5.0, 0.8
POLICY_RATE, CRITIC_RATE = 1e-4, 3e-4


def network(inputs: int, hidden: tuple[int, ...], outputs: int) -> nn.Sequential:
    """A perceptron with ReLU between its layers."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


class Policy(nn.Module):
    """A tanh-Gaussian policy."""

    def __init__(self, size: Size):
        super().__init__()
        self.body = network(size.state_dim, size.hidden, 2 * size.action_dim)
        self.multiplier = nn.Parameter(torch.tensor(1.0))
        self.offset = nn.Parameter(torch.tensor(-1.0))

    def forward(self, states: Tensor, repeat: int | None = None) -> tuple[Tensor, Tensor]:
        """Sampled actions [..., A] and their log-probabilities; with `repeat`, so many at each state."""
        if repeat is not None:
            states = states.unsqueeze(1).repeat(1, repeat, 1)
        mean, log_std = self.body(states).chunk(2, dim=-1)
        log_std = (self.multiplier * log_std + self.offset).clamp(-20, 2)
        distribution = TransformedDistribution(Normal(mean, log_std.exp()), TanhTransform(cache_size=1))
        actions = distribution.rsample()
        return actions, distribution.log_prob(actions).sum(-1)


class Critic(nn.Module):
    """A critic of states and actions, of any number of actions per state."""

    def __init__(self, size: Size):
        super().__init__()
        self.body = network(size.state_dim + size.action_dim, size.hidden, 1)

    def forward(self, states: Tensor, actions: Tensor) -> Tensor:
        """Values [B] of actions [B, A], or [B, K] of actions [B, K, A]."""
        if actions.ndim == 3:
            states = states.unsqueeze(1).repeat(1, actions.shape[1], 1)
        return self.body(torch.cat([states, actions], dim=-1)).squeeze(-1)


def push_down_minus_push_up(
    at_data: Tensor, at_uniform: Tensor, at_current: Tensor, at_following: Tensor,
    current_density: Tensor, following_density: Tensor, floor: Tensor, action_dim: int,
) -> Tensor:  # fmt: skip
    """One critic's difference [B]: the soft maximum over sampled actions [B, n] under the floor [B], minus Q(s, a)."""
    at_current = torch.maximum(at_current, floor.unsqueeze(1))
    at_following = torch.maximum(at_following, floor.unsqueeze(1))
    weighted = torch.cat(
        [at_uniform - action_dim * log(0.5), at_following - following_density, at_current - current_density], dim=1
    )
    return torch.logsumexp(weighted, dim=1) - at_data


class PlainCalQL:
    """One run."""

    def __init__(self, size: Size):
        self.size = size
        self.policy = Policy(size)
        self.critics = [Critic(size), Critic(size)]
        self.targets = copy.deepcopy(self.critics)
        self.log_temperature = nn.Parameter(torch.tensor(0.0))
        self.log_multiplier = nn.Parameter(torch.tensor(1.0))
        critic_parameters = [parameter for critic in self.critics for parameter in critic.parameters()]
        self.policy_optimizer = torch.optim.Adam(self.policy.parameters(), lr=POLICY_RATE)
        self.critic_optimizer = torch.optim.Adam(critic_parameters, lr=CRITIC_RATE)
        self.temperature_optimizer = torch.optim.Adam([self.log_temperature], lr=POLICY_RATE)
        self.multiplier_optimizer = torch.optim.Adam([self.log_multiplier], lr=CRITIC_RATE)

    def update(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """One gradient step of everything; returns what is logged."""
        states = batch["states"]
        actions, density = self.policy(states)
        temperature_loss = -(self.log_temperature * (density - self.size.action_dim).detach()).mean()
        temperature = self.log_temperature.exp().detach()
        value = torch.minimum(*(critic(states, actions) for critic in self.critics))
        policy_loss = (temperature * density - value).mean()
        critic_loss, logged = self._critic_loss(batch)

        if self.size.lagrange:
            multiplier_loss = -logged["multiplied"] / 2
            self.multiplier_optimizer.zero_grad()
            multiplier_loss.backward(retain_graph=True)
            self.multiplier_optimizer.step()
        self.temperature_optimizer.zero_grad()
        temperature_loss.backward()
        self.temperature_optimizer.step()
        self.policy_optimizer.zero_grad()
        policy_loss.backward()
        self.critic_optimizer.zero_grad()
        critic_loss.backward()
        self.policy_optimizer.step()
        self.critic_optimizer.step()
        with torch.no_grad():
            for critic, target in zip(self.critics, self.targets, strict=True):
                for own, slow in zip(critic.parameters(), target.parameters(), strict=True):
                    slow.mul_(1 - TAU).add_(own, alpha=TAU)
        logged |= {"policy_loss": policy_loss, "density": density.mean(), "temperature": temperature}
        return {name: number.item() for name, number in logged.items()}

    def _critic_loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        states, following, floor, n = batch["states"], batch["next_states"], batch["floor"], self.size.n_actions
        with torch.no_grad():
            candidates, _ = self.policy(following, n if self.size.max_backup else 1)
            best = torch.minimum(*(target(following, candidates) for target in self.targets)).max(dim=1).values
            backup = batch["rewards"] + (1 - batch["terminals"]) * DISCOUNT * best
            uniform = torch.rand(len(states), n, self.size.action_dim, device=states.device) * 2 - 1
            current, current_density = self.policy(states, n)
            next_actions, next_density = self.policy(following, n)
        loss, difference, bound, error, multiplied = torch.zeros(5, device=states.device)
        for critic in self.critics:
            at_data, at_current = critic(states, batch["actions"]), critic(states, current)
            own = push_down_minus_push_up(
                at_data, critic(states, uniform), at_current, critic(states, next_actions),
                current_density, next_density, floor, self.size.action_dim,
            ).mean()  # fmt: skip
            squared = functional.mse_loss(at_data, backup)
            if self.size.lagrange:
                multiplier = self.log_multiplier.exp().clamp(0, 1e6)
                multiplied = multiplied + multiplier * ALPHA * (own.detach() - GAP)
                weighted = multiplier.detach() * ALPHA * (own - GAP)
            else:
                weighted = ALPHA * own
            loss = loss + squared + weighted
            error, difference = error + squared, difference + own
            bound = bound + (at_current < floor.unsqueeze(1)).float().mean() / 2
        logged = {"critic_loss": loss, "td_error": error, "difference": difference, "bound_rate": bound}
        return loss, {**logged, "multiplied": multiplied}


def random_batch(size: Size) -> dict[str, Tensor]:
    """Transitions of made-up data."""
    torch.manual_seed(0)
    return {
        "states": torch.randn(size.batch_size, size.state_dim),
        "actions": torch.randn(size.batch_size, size.action_dim).tanh(),
        "rewards": -torch.ones(size.batch_size),
        "next_states": torch.randn(size.batch_size, size.state_dim),
        "terminals": (torch.rand(size.batch_size) < 0.01).float(),
        "floor": -50 * torch.rand(size.batch_size),
    }


def main() -> None:
    """Serve the size that is named."""
    torch.set_num_threads(1)
    size = SIZES[sys.argv[1]]
    run, batch = PlainCalQL(size), random_batch(size)

    def update() -> int:
        run.update(batch)
        return 1

    serve(update)


if __name__ == "__main__":
    main()
