"""The same update in JAX, tuned for a CPU. Runs in a separate environment with JAX; needs NumPy and JAX only.

Many updates per call (`scan`), the policy evaluated once per state, one product for the first layer of both critics,
and random numbers drawn for all updates of a call at once. With `--check FILE` it makes one update of what
`test_jax_side.py` has written, instead of serving.
"""

import os
import sys

# A worker computes with one thread.
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from math import log, pi
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.benchmarks.peers.sizes import BATCHES, SIZES, Size
from tests.benchmarks.peers.stopwatch import serve

Array = jax.Array
Tree = Any

DISCOUNT, TAU = 0.99, 0.005
ALPHA, TARGET_ACTION_GAP = 5.0, 0.8
LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
RATES = {"policy": 1e-4, "critics": 3e-4, "log_temperature": 1e-4, "raw_multiplier": 3e-4}

# Updates per call, by name of the size, divided among the runs of a pack; calls before the first measurement.
UPDATES = {"demo": 256, "reference": 16}
WARM_UP = 2


def perceptron(layers: Sequence[tuple[Array, Array]], inputs: Array) -> Array:
    """Weights [in, out] and biases [out] with ReLU between the layers."""
    for weight, bias in layers[:-1]:
        inputs = jax.nn.relu(inputs @ weight + bias)
    weight, bias = layers[-1]
    return inputs @ weight + bias


def policy_output(policy: Tree, states: Array) -> tuple[Array, Array]:
    """Means and log standard deviations [B, A] at states [B, S]."""
    mean, raw = jnp.split(perceptron(policy["layers"], states), 2, axis=-1)
    return mean, jnp.clip(policy["multiplier"] * raw + policy["offset"], LOG_STD_MIN, LOG_STD_MAX)


def sample(output: tuple[Array, Array], noise: Array) -> tuple[Array, Array]:
    """Actions [B, n, A] and log-probabilities [B, n] from noise [B, n, A]."""
    mean, log_std = (part[:, None] for part in output)
    raw = mean + jnp.exp(log_std) * noise
    log_jacobian = 2 * (log(2) - raw - jax.nn.softplus(-2 * raw))
    density = -0.5 * noise**2 - log_std - 0.5 * log(2 * pi) - log_jacobian
    return jnp.tanh(raw), density.sum(-1)


def critic_values(critics: Tree, states: Array, actions: Array) -> Array:
    """Values [2, B, K] of actions [B, K, A]; the state's part of the first layer is computed once per state."""
    batch, count, _ = actions.shape
    first = critics["state_weight"].shape[-1]
    of_states = states @ critics["state_weight"].transpose(1, 0, 2).reshape(-1, 2 * first)
    weight = critics["action_weight"].transpose(1, 0, 2).reshape(-1, 2 * first)
    of_actions = (actions.reshape(batch * count, -1) @ weight).reshape(batch, count, 2, first)
    hidden = of_states.reshape(batch, 1, 2, first) + of_actions + critics["bias_0"]
    hidden = jax.nn.relu(hidden).reshape(batch * count, 2, first).transpose(1, 0, 2)
    for weight, bias in critics["layers"][:-1]:
        hidden = jax.nn.relu(jnp.matmul(hidden, weight) + bias[:, None])
    weight, bias = critics["layers"][-1]
    return (jnp.matmul(hidden, weight) + bias[:, None]).reshape(2, batch, count)


def gradients(learned: Tree, targets: Tree, batch: Tree, noise: Tree, size: Size) -> Tree:
    """The gradients of all losses at the parameters before the step."""
    n, action_dim = size.n_actions, size.action_dim
    temperature = jnp.exp(learned["log_temperature"])
    output, policy_backward = jax.vjp(lambda policy: policy_output(policy, batch["states"]), learned["policy"])
    current, current_density = sample(output, noise["state"][:, 1:])
    following, following_density = sample(policy_output(learned["policy"], batch["next_states"]), noise["following"])
    next_value = critic_values(targets, batch["next_states"], following[:, n:]).min(0).max(-1)
    target = batch["rewards"] + (1 - batch["terminals"]) * DISCOUNT * next_value
    uniform_density = jnp.full(current_density.shape, action_dim * log(0.5))
    density = jnp.concatenate([uniform_density, current_density, following_density[:, :n]], 1)
    actions = jnp.concatenate([batch["actions"][:, None], noise["uniform"], current, following[:, :n]], 1)
    floor = jnp.concatenate(
        [jnp.full((len(target), n), -jnp.inf), jnp.broadcast_to(batch["floor"][:, None], (len(target), 2 * n))], 1
    )
    multiplier = jnp.minimum(jnp.exp(learned["raw_multiplier"]), 1e6) if size.lagrange else 1.0
    gap = ALPHA * TARGET_ACTION_GAP if size.lagrange else 0.0

    def critic_loss(critics: Tree) -> tuple[Array, Array]:
        values = critic_values(critics, batch["states"], actions)
        data, sampled = values[..., 0], values[..., 1:]
        push_down = jax.nn.logsumexp(jnp.where(sampled > floor, sampled, floor) - density, axis=-1)
        excess = (ALPHA * (push_down - data).mean(-1) - gap).sum()
        return ((data - target) ** 2).mean(-1).sum() + multiplier * excess, excess

    def policy_loss(output: tuple[Array, Array]) -> tuple[Array, Array]:
        action, log_prob = sample(output, noise["state"][:, :1])
        value = critic_values(learned["critics"], batch["states"], action).min(0)
        return (temperature * log_prob - value).mean(), log_prob.mean()

    critics, excess = jax.grad(critic_loss, has_aux=True)(learned["critics"])
    of_output, log_prob = jax.grad(policy_loss, has_aux=True)(output)
    return {
        "policy": policy_backward(of_output)[0],
        "critics": critics,
        "log_temperature": -temperature * (log_prob - action_dim),
        "raw_multiplier": -0.5 * multiplier * excess if size.lagrange else jnp.zeros(()),
    }


def adam(parameters: Tree, first: Tree, second: Tree, gradient: Tree, step: Array) -> tuple[Tree, Tree, Tree]:
    """One step for everything that is learned."""
    first = jax.tree.map(lambda m, g: m + (1 - BETA_1) * (g - m), first, gradient)
    second = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, second, gradient)
    scale = jnp.sqrt(1 - BETA_2**step)
    factor = scale / (1 - BETA_1**step)

    def moved(name: str) -> Tree:
        rate = RATES[name] * factor
        return jax.tree.map(
            lambda p, m, v: p - rate * m / (jnp.sqrt(v) + EPSILON * scale), parameters[name], first[name], second[name]
        )

    return {name: moved(name) for name in parameters}, first, second


def update(state: Tree, batch: Tree, noise: Tree, size: Size) -> Tree:
    """One update of a run."""
    learned, targets, first, second, step = state
    gradient = gradients(learned, targets, batch, noise, size)
    learned, first, second = adam(learned, first, second, gradient, step + 1.0)
    targets = jax.tree.map(lambda t, p: t + TAU * (p - t), targets, learned["critics"])
    return learned, targets, first, second, step + 1.0


def started(learned: Tree) -> Tree:
    """The state before the first update."""
    zeros = jax.tree.map(jnp.zeros_like, learned)
    return learned, jax.tree.map(jnp.copy, learned["critics"]), zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros(())


def random_learned(size: Size, random: np.random.Generator) -> Tree:
    """Random networks."""

    def layer(inputs: int, outputs: int, *stacked: int) -> tuple[Array, Array]:
        weight = random.normal(size=(*stacked, inputs, outputs)) / np.sqrt(inputs)
        return jnp.asarray(weight, jnp.float32), jnp.zeros((*stacked, outputs))

    widths, action_dim = size.hidden, size.action_dim
    state_weight, bias = layer(size.state_dim, widths[0], 2)
    policy_widths, critic_widths = (size.state_dim, *widths, 2 * action_dim), (*widths, 1)
    return {
        "policy": {
            "layers": [layer(*pair) for pair in pairwise(policy_widths)],
            "multiplier": jnp.ones(()),
            "offset": -jnp.ones(()),
        },
        "critics": {
            "state_weight": state_weight,
            "action_weight": layer(action_dim, widths[0], 2)[0],
            "bias_0": bias,
            "layers": [layer(*pair, 2) for pair in pairwise(critic_widths)],
        },
        "log_temperature": jnp.zeros(()),
        "raw_multiplier": jnp.ones(()),
    }


def random_batch(size: Size, random: np.random.Generator) -> Tree:
    """Random transitions."""
    rows = size.batch_size
    arrays = {
        "states": random.normal(size=(rows, size.state_dim)),
        "actions": random.uniform(-1, 1, size=(rows, size.action_dim)),
        "rewards": -np.ones(rows),
        "next_states": random.normal(size=(rows, size.state_dim)),
        "terminals": random.random(rows) < 0.01,
        "floor": -50 * random.random(rows),
    }
    return {name: jnp.asarray(array, jnp.float32) for name, array in arrays.items()}


def draw(key: Array, updates: int, size: Size) -> Tree:
    """The random numbers of some updates."""
    n, width, (first, second, third) = size.n_actions, size.action_dim, jax.random.split(key, 3)
    rows, following = size.batch_size, n + (n if size.max_backup else 1)
    return {
        "uniform": jax.random.uniform(first, (updates, rows, n, width), minval=-1.0),
        "state": jax.random.normal(second, (updates, rows, 1 + n, width)),
        "following": jax.random.normal(third, (updates, rows, following, width)),
    }


def updates_of_pack(size: Size, updates: int, runs: int) -> Callable[[], int]:
    """Some updates of `runs` runs in one call; each returns how many it made."""
    random = np.random.default_rng(0)
    states = [started(random_learned(size, random)) for _ in range(runs)]
    stack = partial(jax.tree.map, lambda *arrays: jnp.stack(arrays))
    batches = [stack(*(random_batch(size, random) for _ in range(BATCHES))) for _ in range(runs)]

    def of_run(state: Tree, batches: Tree, key: Array) -> tuple[Tree, Array]:
        key, used = jax.random.split(key)

        def step(state: Tree, noise: Tree) -> tuple[Tree, None]:
            number = state[-1].astype(int) % BATCHES
            batch = jax.tree.map(lambda column: column[number], batches)
            return update(state, batch, noise, size), None

        return jax.lax.scan(step, state, draw(used, updates, size))[0], key

    function = of_run if runs == 1 else jax.vmap(of_run)
    compiled = jax.jit(function, donate_argnums=(0, 2))
    keys = jax.random.split(jax.random.key(0, impl="rbg"), runs)
    state, batch, key = (states[0], batches[0], keys[0]) if runs == 1 else (stack(*states), stack(*batches), keys)

    def call() -> int:
        nonlocal state, key
        state, key = compiled(state, batch, key)
        jax.block_until_ready(state)
        return runs * updates

    return call


def check(file: str) -> None:
    """Make one update of the state in `file` (numpy), and write the parameters after it to the same file."""
    learned, batch, noise, size = np.load(file, allow_pickle=True)["inputs"].item().values()
    to_arrays = partial(jax.tree.map, jnp.asarray)
    after = jax.jit(update, static_argnums=3)(
        started(to_arrays(learned)), to_arrays(batch), to_arrays(noise), Size(**size)
    )
    np.savez(file, outputs=np.array(jax.tree.map(np.asarray, after[:2]), dtype=object))


def main() -> None:
    """Serve the named size and number of runs."""
    if sys.argv[1] == "--check":
        check(sys.argv[2])
        return
    name, runs = sys.argv[1], int(sys.argv[2])
    serve(updates_of_pack(SIZES[name], max(1, UPDATES[name] // runs), runs), WARM_UP)


if __name__ == "__main__":
    main()
