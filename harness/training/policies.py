"""Policies of finished runs: actions for states, and episodes with other seeds. Run folders are only read."""

import contextlib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike

from algorithms.kernels.kernel import KERNELS
from algorithms.parameters import Parameters
from algorithms.policy_network import PolicyNetwork
from harness.environments.environment import Environment
from harness.environments.families import view_of
from harness.errors import UserError
from harness.folders.checkpoint import LEARNER, Checkpoints
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.settings import Run
from harness.training.episodes import Episodes, roll_out
from harness.training.kernels import provide_kernels
from harness.training.streams import generator, reset_seed

# An observation of Gymnasium (a mapping for goal environments), or states as datasets hold them, [S] or [B, S].
Observation = Mapping[str, ArrayLike] | ArrayLike


class Policy:
    """A policy pi(a|s).

    Attributes:
        run: the settings of the run that trained it.
        state_dim: S, dimension of a state.
        action_dim: A, dimension of an action.
    """

    def __init__(self, run: Run, parameters: np.ndarray, state_dim: int, action_dim: int):
        """`parameters` [1, P] as a checkpoint holds them."""
        self.run, self.state_dim, self.action_dim = run, state_dim, action_dim
        provide_kernels([] if run.algorithm.on_gpu else [run])
        self._network = PolicyNetwork.of(state_dim, action_dim, run.algorithm)
        self._parameters = Parameters.zeros(self._network.shapes(), 1, torch.float32, "cpu")
        if parameters.shape != tuple(self._parameters.flat.shape):
            raise UserError(f"run {run.id}: its policy has {parameters.size:,} parameters, not the "
                            f"{self._parameters.flat.numel():,} that its settings need")  # fmt: skip
        self._parameters.flat.copy_(torch.from_numpy(parameters))

    def __call__(self, observation: Observation) -> np.ndarray:
        """The deterministic actions, the modes of pi(.|s), float32 [A] or [B, A] in (-1, 1).

        On the CPU they are bit-identical to those of the run's evaluations; a run on a GPU differs in the last digits.
        """
        states = self.states(observation)
        return self._actions(states, np.zeros((*states.shape[:-1], self.action_dim), np.float32))

    def sample(self, observation: Observation, seed: int | np.random.Generator) -> np.ndarray:
        """Actions drawn from pi(.|s), float32 [A] or [B, A]; equal seeds give equal actions."""
        states = self.states(observation)
        noise = np.random.default_rng(seed).standard_normal((*states.shape[:-1], self.action_dim), dtype=np.float32)
        return self._actions(states, noise)

    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weight [I, O] and bias [O] of every layer; the last one gives the deterministic action before its tanh.

        Raises a UserError for a network with layer normalisation.
        """
        if self._network.layer_norm:
            raise UserError(f"policy of run {self.run.id}: has layer normalisation, so it is more than linear layers")
        widths = (self.state_dim, *self._network.hidden, self.action_dim)
        return [
            (self._tensor(f"weight_{layer}")[:inputs, :outputs], self._tensor(f"bias_{layer}")[0, :outputs])
            for layer, (inputs, outputs) in enumerate(pairwise(widths))
        ]

    def _tensor(self, name: str) -> np.ndarray:
        return self._parameters[name][0].numpy()

    def states(self, observation: Observation) -> np.ndarray:
        """The states float32 [S] or [B, S] that the networks see: goals concatenated, scaled as the task demands.

        Arrays are states already. Raises a UserError for another dimension.
        """
        if isinstance(observation, Mapping):
            states = view_of(self.run.task).flat({name: np.asarray(part) for name, part in observation.items()})
        else:
            states = np.asarray(observation, dtype=np.float32)
        if states.ndim not in (1, 2) or states.shape[-1] != self.state_dim:
            raise UserError(f"policy of run {self.run.id}: states have shape {states.shape}; "
                            f"[{self.state_dim}] or [B, {self.state_dim}] is needed")  # fmt: skip
        return states

    def _actions(self, states: np.ndarray, noise: np.ndarray) -> np.ndarray:
        kernel = KERNELS[self.run.algorithm.kernel]
        batch = torch.from_numpy(np.ascontiguousarray(np.atleast_2d(states)))[None]
        noises = torch.from_numpy(np.atleast_2d(noise))[None].unsqueeze(2)
        with one_thread():
            actions = kernel.samples(self._network, self._parameters, batch, noises).action.squeeze(2)[0].numpy()
        return actions.reshape(*states.shape[:-1], self.action_dim)


def load_policy(run: RunFolder | Path | str) -> Policy:
    """The final policy of a finished run, by its folder; from the last checkpoint, without executing anything in it.

    Raises a UserError if the run is not done or keeps no checkpoint.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(Path(run))
    settings = folder.run()
    if folder.state is not RunState.DONE:
        raise UserError(f"run {folder.id}: is {folder.state}, not done; its policy is not final")
    checkpoints = Checkpoints(folder.checkpoints)
    positions = checkpoints.positions()
    if not positions:
        raise UserError(f"run {folder.id}: keeps no checkpoint, so its policy is gone; repeat it in another root")
    parameters = checkpoints.load(positions[0]).arrays[f"{LEARNER}policy"]
    environment = Environment(settings.task)
    return Policy(settings, parameters, environment.observation_dim, environment.action_dim)


def evaluation_seeds(run: Run, episodes: int, seed: int | None = None) -> list[int]:
    """Reset seeds of episodes: those of the run's evaluations, or with `seed` others, which training has never seen."""
    if seed is None:
        return [reset_seed(run.seed, "evaluation", episode) for episode in range(episodes)]
    return [reset_seed(seed, "rollout", episode) for episode in range(episodes)]


def evaluate_policy(
    policy: Policy,
    episodes: int | None = None,
    seed: int | None = None,
    sampled: bool = False,
    environment: Environment | None = None,
) -> Episodes:
    """Run episodes of a policy, deterministic or `sampled`; by default as many as an evaluation of its run has.

    Without `seed` they are the episodes of the run's evaluations: the mean of the scores is the run's final score. As
    many episodes as an evaluation has are stepped together, so that the bits are the same; with `environment`, for
    example one that is filmed, one after the other in it.
    """
    together = policy.run.schedule.evaluation_episodes if environment is None else 1
    seeds = evaluation_seeds(policy.run, episodes or policy.run.schedule.evaluation_episodes, seed)
    rng = generator(policy.run.seed if seed is None else seed, "rollout_actions") if sampled else None
    count = min(together, len(seeds))
    environments = [Environment(policy.run.task) for _ in range(count)] if environment is None else [environment]

    def act(states: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(policy(states.numpy()) if rng is None else policy.sample(states.numpy(), rng))

    chunks = [seeds[start : start + together] for start in range(0, len(seeds), together)]
    parts = [roll_out(environments[: len(chunk)], chunk, act) for chunk in chunks]
    return Episodes(
        np.concatenate([part.starts for part in parts]),
        [rewards for part in parts for rewards in part.rewards],
        [terminated for part in parts for terminated in part.terminated],
        [score for part in parts for score in part.scores],
    )


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread in the block, as workers do: with more, sums may be rounded differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
