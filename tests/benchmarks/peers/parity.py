"""Whether this project's kernels, the plain baseline and d3rlpy train the same data to the same curves.

All sides train offline with the settings of a run and are evaluated by this project's `Evaluator`: same probe
transitions, same episodes. The plain baseline has the run's initial weights, batches and noise; d3rlpy has its own.
`python -m tests.benchmarks.peers.parity --d3rlpy PYTHON` prints the tables of results/published/PARITY.md.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ablations.arms import with_arm
from algorithms.learner import Learner
from algorithms.reference import ReferenceLearner
from algorithms.settings import AlgorithmSettings
from harness.data.dataset import Dataset, ensure_dataset
from harness.launching.planner import commit
from harness.settings import Run, with_settings
from harness.tasks.registry import base_run
from harness.training.evaluation import Evaluator
from harness.training.floor_columns import FloorColumns
from harness.training.streams import UpdateStreams, generator, normal_source
from harness.training.training import train_pack
from harness.training.transitions import Transitions
from results.statistics.equivalence import MarginTest, equivalent_samples

PROJECT = Path(__file__).parents[3]

# Arms with d3rlpy's options.
ARMS = {"CQL": "d3rlpy_like_cql", "Cal-QL": "d3rlpy_like"}

# Metrics with the margin of their equivalence: 2% of the range of returns-to-go (53.4), a tenth of the episodes.
RETURN_RANGE = 53.4
METRICS = {"q_data": 0.02 * RETURN_RANGE, "q_policy": 0.02 * RETURN_RANGE, "score": 0.1}


def offline_run(arm: str, seed: int, **changes: Any) -> Run:
    """A run of the demo on the winding road without an online phase."""
    run = with_arm(base_run("winding-road", "demo", seed), ARMS[arm])
    return with_settings(run, {"schedule.online_steps": 0, **changes})


class Trained:
    """Networks of one run as `Evaluator` reads a learner: modes of the policy, values of the critics."""

    acts_by_row = False

    def __init__(
        self,
        shape: AlgorithmSettings,
        mode: Callable[[Tensor], Tensor],
        critics: Iterable[Callable[[Tensor, Tensor], Tensor]],
    ):
        self.shape, self._mode, self._critics = shape, mode, list(critics)

    @torch.no_grad()
    def act(self, states: Tensor, run: int | None = None) -> Tensor:
        """Actions [1, B, A] at states [1, B, S]."""
        return self._mode(states[0]).unsqueeze(0)

    @torch.no_grad()
    def values(self, states: Tensor, actions: Tensor, run: int | None = None) -> Tensor:
        """Values [1, C, B, K] of actions [1, B, K, A] at states [1, B, S]."""
        return torch.stack([critic(states[0], actions[0]) for critic in self._critics]).unsqueeze(0)

    def take_logged(self) -> dict[str, Tensor]:
        """Nothing is logged."""
        return {}


class Curve:
    """Evaluations of one run at its offline marks."""

    def __init__(self, run: Run, dataset: Dataset):
        self.run = run
        self.transitions = Transitions(dataset, 1, 0)
        self.floors = FloorColumns([run], dataset, self.transitions, [None])
        self._evaluator = Evaluator([run], self.transitions)
        self.rows: list[dict[str, Any]] = []

    def is_due(self, step: int) -> bool:
        """Whether a step is a mark."""
        return step % self.run.schedule.offline_interval == 0

    def append(self, step: int, trained: Trained) -> None:
        """Evaluate."""
        (row,) = self._evaluator.evaluate(trained, [0])
        assert isinstance(row, dict)
        self.rows.append({"step": step, **{name: row[name] for name in METRICS}})


def ours(run: Run, root: Path) -> list[dict[str, Any]]:
    """Curve of an ordinary run."""
    (folder,) = commit([run], root)
    train_pack([folder])
    return [{"step": row["offline_step"], **{name: row[name] for name in METRICS}} for row in folder.metrics()]


def plain(run: Run, dataset: Dataset, dtype: torch.dtype = torch.float32) -> tuple[Curve, ReferenceLearner]:
    """Curve of the plain baseline with the initial weights and random numbers of a run, and the trained baseline."""
    curve = Curve(run, dataset)
    settings, dimensions = run.algorithm, (dataset.observation_dim, dataset.action_dim)
    source = normal_source(generator(run.seed, "init"))
    initial = Learner([settings], *dimensions, [run.task.discount], [lambda *shape: source(*shape).to(dtype)], dtype)
    learner = ReferenceLearner(settings, *dimensions, run.task.discount)
    learner.load(initial.policy_parameters, initial.critic_parameters)
    trained = Trained(
        settings,
        lambda states: learner.policy.mode(states.to(dtype)).float(),
        [lambda states, actions, critic=critic: critic(states.to(dtype), actions.to(dtype)).float()
         for critic in learner.critics],
    )  # fmt: skip
    curve.append(0, trained)
    for update, (batch, noise) in enumerate(updates(run, curve.transitions, dtype)):
        learner.update(batch, noise)
        if curve.is_due(update + 1):
            curve.append(update + 1, trained)
    return curve, learner


def updates(run: Run, transitions: Transitions, dtype: torch.dtype) -> Iterable[tuple[Any, Any]]:
    """Batch and noise of every offline update of a run, as in training."""
    streams = UpdateStreams([run.seed], run.algorithm, transitions.action_dim)
    for update in range(run.schedule.offline_steps):
        uniform, noise = streams.at(update)
        yield tuple(
            type(inputs)(**{
                name: value.to(dtype) if value.is_floating_point() else value for name, value in vars(inputs).items()
            })
            for inputs in (transitions.batch(uniform, run.algorithm.batch_size), noise)
        )  # fmt: skip


def d3rlpy(run: Run, dataset: Dataset, python: Path) -> list[dict[str, Any]]:
    """Curve of d3rlpy with the settings of a run."""
    trajectories = dataset.trajectories
    settings = {
        **asdict(run.algorithm), "seed": run.seed, "discount": run.task.discount, "steps": run.schedule.offline_steps,
        "interval": run.schedule.offline_interval, "calibrated": run.floor.base == "monte_carlo",
    }  # fmt: skip

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(trajectory, name)[: len(trajectory)] for trajectory in trajectories])

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "input.npz", Path(folder) / "output.npz"
        np.savez(
            source,
            settings=json.dumps(settings),
            observations=joined("observations"),
            actions=joined("actions"),
            rewards=joined("rewards"),
            terminals=joined("terminated").astype(np.float32),
            timeouts=joined("truncated").astype(np.float32),
        )
        command = [str(python), "-m", "tests.benchmarks.peers.d3rlpy_training", str(source), str(target)]
        subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
        weights = dict(np.load(target))
    curve = Curve(run, dataset)
    for step in range(0, run.schedule.offline_steps + 1, run.schedule.offline_interval):
        policy, *critics = (network(weights, f"{step}.{name}") for name in ("policy", "critic_0", "critic_1"))
        curve.append(step, Trained(run.algorithm, lambda states, policy=policy: policy(states).tanh(), [
            lambda states, actions, critic=critic: of_actions(critic, states, actions) for critic in critics
        ]))  # fmt: skip
    return curve.rows


def network(weights: Mapping[str, np.ndarray], name: str) -> nn.Sequential:
    """The perceptron with the weights and biases `name`.0, `name`.1, ..."""
    layers: list[nn.Module] = []
    for number in range(sum(key.startswith(name + ".") for key in weights) // 2):
        weight, bias = (torch.from_numpy(weights[f"{name}.{number}.{part}"]) for part in ("weight", "bias"))
        linear = nn.Linear(*reversed(weight.shape))
        linear.weight.data, linear.bias.data = weight, bias
        layers += [nn.ReLU(), linear] if layers else [linear]
    return nn.Sequential(*layers)


def of_actions(critic: nn.Module, states: Tensor, actions: Tensor) -> Tensor:
    """Values [B, K] of actions [B, K, A] at states [B, S]."""
    repeated = states.unsqueeze(1).expand(-1, actions.shape[1], -1)
    value: Tensor = critic(torch.cat((repeated, actions), -1)).squeeze(-1)
    return value


def compare(seeds: int, python: Path, root: Path) -> pd.DataFrame:
    """Curves of all sides: a row per algorithm, side, seed and step."""
    rows = []
    for arm in ARMS:
        for seed in range(seeds):
            run = offline_run(arm, seed)
            dataset = ensure_dataset(run.task)
            curves = {"ours": ours(run, root), "plain": plain(run, dataset)[0].rows,
                      "d3rlpy": d3rlpy(run, dataset, python)}  # fmt: skip
            rows += [{"arm": arm, "side": side, "seed": seed, **row} for side, curve in curves.items() for row in curve]
    return pd.DataFrame(rows)


def differences_at_the_end(frame: pd.DataFrame) -> dict[tuple[str, str, str], MarginTest]:
    """By algorithm, side and metric: whether it is equivalent to ours at the last mark."""
    last = frame[frame["step"] == frame["step"].max()]
    results = {}
    for (arm, side), rows in last.groupby(["arm", "side"]):
        expected = last[(last["arm"] == arm) & (last["side"] == "ours")]
        for metric, margin in METRICS.items():
            if side != "ours":
                results[arm, side, metric] = equivalent_samples(rows[metric], expected[metric], margin)
    return results


def tables(frame: pd.DataFrame) -> str:
    """A table per algorithm: means over seeds at every mark, and the differences at the last one, in Markdown."""
    steps = sorted(frame["step"].unique())
    heading = ["| Metric | Side | " + " | ".join(f"{step:,}" for step in steps) + " | Difference [90%] |",
               "|:---|:---|" + "---:|" * len(steps) + ":---|"]  # fmt: skip
    tests = differences_at_the_end(frame)
    parts = []
    for arm in ARMS:
        lines = []
        for metric in METRICS:
            for side in ("ours", "plain", "d3rlpy"):
                rows = frame[(frame["arm"] == arm) & (frame["side"] == side)]
                means = " | ".join(number(mean) for mean in rows.groupby("step")[metric].mean())
                test = tests.get((arm, side, metric))
                difference = (
                    f"{number(test.mean, '+')} [{number(test.low, '+')}, {number(test.high, '+')}]" if test else ""
                )
                lines.append(f"| {metric} | {side} | {means} | {difference} |")
        parts.append("\n".join([f"{arm}:\n", *heading, *lines]))
    return "\n\n".join(parts)


def number(value: float, sign: str = "") -> str:
    """Two decimals, with the minus sign of tables, and without one at zero."""
    return f"{value:{sign}z.2f}".replace("-", "\u2212")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--d3rlpy", type=Path, required=True, metavar="PYTHON")
    parser.add_argument("--seeds", type=int, default=6)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root:
        frame = compare(arguments.seeds, arguments.d3rlpy.absolute(), Path(root))
    print(tables(frame))


if __name__ == "__main__":
    main()
