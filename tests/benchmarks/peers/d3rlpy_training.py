"""Offline training by d3rlpy's CQL or CalQL on given transitions. Runs in a separate environment.

`python -m tests.benchmarks.peers.d3rlpy_training INPUT OUTPUT`: INPUT is a file of np.savez with the dataset and the
settings as JSON; OUTPUT gets the weights of the policy and of the critics at every mark.
"""

import json
import sys
import warnings
from typing import Any

import d3rlpy
import numpy as np
import torch
from d3rlpy.algos import CalQLConfig, CQLConfig
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.models import VectorEncoderFactory


def configured(settings: dict[str, Any]) -> Any:
    """d3rlpy's algorithm with our settings, without the Lagrange form (learning rate 0)."""
    config = CalQLConfig if settings["calibrated"] else CQLConfig
    return config(
        batch_size=settings["batch_size"],
        gamma=settings["discount"],
        tau=settings["tau"],
        actor_learning_rate=settings["policy_learning_rate"],
        critic_learning_rate=settings["critic_learning_rate"],
        temp_learning_rate=settings["entropy_learning_rate"],
        initial_temperature=settings["entropy_temperature_initial"],
        initial_alpha=1.0,
        alpha_learning_rate=0.0,
        conservative_weight=settings["alpha"],
        n_action_samples=settings["n_actions"],
        actor_encoder_factory=VectorEncoderFactory(hidden_units=settings["policy_hidden"]),
        critic_encoder_factory=VectorEncoderFactory(hidden_units=settings["critic_hidden"]),
    ).create(device=False)


def weights(algorithm: Any) -> dict[str, np.ndarray]:
    """Weights and biases of the layers of the policy (up to the mean) and of every critic, in order."""
    modules = algorithm.impl.modules
    layers = {"policy": [*linears(modules.policy._encoder), modules.policy._mu]}
    for number, critic in enumerate(modules.q_funcs):
        layers[f"critic_{number}"] = [*linears(critic._encoder), critic._fc]
    return {
        f"{network}.{layer}.{name}": getattr(module, name).detach().numpy().copy()
        for network, modules_of_network in layers.items()
        for layer, module in enumerate(modules_of_network)
        for name in ("weight", "bias")
    }


def linears(module: torch.nn.Module) -> list[torch.nn.Linear]:
    """The linear layers of a module, in order."""
    return [part for part in module.modules() if isinstance(part, torch.nn.Linear)]


def main() -> None:
    """Train from the input file, and write the output file."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    inputs = np.load(sys.argv[1])
    settings = json.loads(str(inputs["settings"]))
    d3rlpy.seed(settings["seed"])
    names = ("observations", "actions", "rewards", "terminals", "timeouts")
    dataset = d3rlpy.dataset.MDPDataset(**{name: inputs[name] for name in names})
    algorithm = configured(settings)
    algorithm.build_with_dataset(dataset)
    kept = {f"0.{name}": values for name, values in weights(algorithm).items()}

    def keep(trained: Any, epoch: int, step: int) -> None:
        if step % settings["interval"] == 0:
            kept.update({f"{step}.{name}": values for name, values in weights(trained).items()})

    algorithm.fit(
        dataset,
        n_steps=settings["steps"],
        n_steps_per_epoch=settings["steps"],
        callback=keep,
        show_progress=False,
        logger_adapter=NoopAdapterFactory(),
    )
    np.savez(sys.argv[2], **kept)


if __name__ == "__main__":
    main()
