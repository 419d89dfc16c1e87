"""One update in JAX equals ours, if the environment with JAX has been created (`make bench-peers`)."""

import subprocess
from dataclasses import asdict

import numpy as np
import pytest

from algorithms.kernels.build import load_library
from algorithms.learner import Learner
from harness.training.streams import UpdateStreams, generator, normal_source
from tests.benchmarks.peers.plain import DISCOUNT, random_batch, settings_of
from tests.benchmarks.peers.sizes import SIZES
from tests.benchmarks.peers.stopwatch import PROJECT

PYTHON = PROJECT / ".venv-jax" / "bin" / "python"


def as_in_jax(learner, size):
    """The policy and the critics or targets of a pack of one run, in the structure of `jax_side.py`."""
    actions, layers = size.action_dim, range(len(size.hidden) + 1)

    def numbers(tensor):
        return tensor.numpy().copy()

    def critics(parameters):
        hidden = [
            (numbers(parameters[f"weight_{layer}"]), numbers(parameters[f"bias_{layer}"][:, 0]))
            for layer in layers[1:-1]
        ]
        last = numbers(parameters["output_weight"].transpose(1, 2)), numbers(parameters["output_bias"][:, 0])
        return {
            "state_weight": numbers(parameters["state_weight"]),
            "action_weight": numbers(parameters["action_weight"][:, :actions]),
            "bias_0": numbers(parameters["bias_0"][:, 0]),
            "layers": [*hidden, last],
        }

    policy = learner.policy_parameters
    widths = (*size.hidden, 2 * actions)
    learned = {
        "policy": {
            "layers": [
                (numbers(policy[f"weight_{layer}"][0, :, :width]), numbers(policy[f"bias_{layer}"][0, 0, :width]))
                for layer, width in enumerate(widths)
            ],
            "multiplier": numbers(policy["log_std_multiplier"].squeeze()),
            "offset": numbers(policy["log_std_offset"].squeeze()),
        },
        "critics": critics(learner.critic_parameters),
        "log_temperature": numbers(learner.scalars.log_temperature[0]),
        "raw_multiplier": numbers(learner.scalars.raw_multiplier[0]),
    }
    return learned, critics(learner.target_parameters)


def leaves(tree):
    """All arrays of nested lists, tuples and dicts."""
    if isinstance(tree, dict):
        tree = [tree[name] for name in sorted(tree)]
    return [leaf for part in tree for leaf in leaves(part)] if isinstance(tree, (list, tuple)) else [tree]


@pytest.mark.skipif(not PYTHON.exists(), reason="no environment with JAX; make bench-peers creates it")
@pytest.mark.parametrize("name", SIZES)
def test_an_update_in_jax_equals_ours(name, tmp_path):
    load_library()
    size = SIZES[name]
    settings = settings_of(size)
    source = normal_source(generator(1, "init"))
    learner = Learner([settings], size.state_dim, size.action_dim, [DISCOUNT], [source])
    batch = random_batch(size)
    streams = UpdateStreams(range(1), settings, size.action_dim)
    noise = streams.at(0)[1]

    def of_run(inputs):
        return {name: value[0].numpy() for name, value in vars(inputs).items()}

    inputs = {
        "learned": as_in_jax(learner, size)[0],
        "batch": of_run(batch),
        "noise": of_run(noise),
        "size": asdict(size),
    }
    before = leaves(inputs["learned"])
    np.savez(tmp_path / "update.npz", inputs=np.array(inputs, dtype=object))
    command = [PYTHON, "-m", "tests.benchmarks.peers.jax_side", "--check", tmp_path / "update.npz"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    learner.update(batch, noise)
    theirs = np.load(tmp_path / "update.npz", allow_pickle=True)["outputs"].tolist()
    ours = as_in_jax(learner, size)
    assert any(not np.array_equal(old, new) for old, new in zip(before, leaves(ours[0]), strict=True))
    for expected, actual in zip(leaves(ours), leaves(theirs), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=3e-6)
