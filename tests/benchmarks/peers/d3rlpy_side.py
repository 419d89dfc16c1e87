"""d3rlpy's CalQL at the same size. Runs in a separate environment; imports only `sizes` and `stopwatch`."""

import sys
import warnings
from itertools import cycle

import d3rlpy
import numpy as np
import torch
from d3rlpy.algos import CalQLConfig
from d3rlpy.models import VectorEncoderFactory

from tests.benchmarks.peers.sizes import BATCHES, SIZES
from tests.benchmarks.peers.stopwatch import serve

# Transitions of the random dataset, from which batches are drawn.
TRANSITIONS = 10_000


def main() -> None:
    """Serve the named size."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    size = SIZES[sys.argv[1]]
    encoder = VectorEncoderFactory(hidden_units=list(size.hidden))
    algorithm = CalQLConfig(
        batch_size=size.batch_size,
        n_action_samples=size.n_actions,
        actor_encoder_factory=encoder,
        critic_encoder_factory=encoder,
        max_q_backup=size.max_backup,
        # A learning rate of zero disables the Lagrange form.
        alpha_learning_rate=3e-4 if size.lagrange else 0.0,
    ).create(device=False)
    random = np.random.default_rng(0)
    terminals = np.zeros(TRANSITIONS, dtype=np.float32)
    terminals[99::100] = 1
    dataset = d3rlpy.dataset.MDPDataset(
        random.normal(size=(TRANSITIONS, size.state_dim)).astype(np.float32),
        random.uniform(-1, 1, size=(TRANSITIONS, size.action_dim)).astype(np.float32),
        -np.ones(TRANSITIONS, dtype=np.float32),
        terminals,
    )
    algorithm.build_with_dataset(dataset)
    batches = cycle([dataset.sample_transition_batch(size.batch_size) for _ in range(BATCHES)])

    def update() -> int:
        algorithm.update(next(batches))
        return 1

    serve(update)


if __name__ == "__main__":
    main()
