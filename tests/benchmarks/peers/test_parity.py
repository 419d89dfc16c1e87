"""Our kernels, the plain baseline and d3rlpy are the same algorithm on the same data."""

from pathlib import Path

import pytest
import torch

from algorithms.learner import Learner
from harness.data.dataset import ensure_dataset
from harness.training.streams import generator, normal_source
from tests.benchmarks.peers.parity import ARMS, METRICS, compare, differences_at_the_end, offline_run, plain, updates

PYTHON = Path(__file__).parents[3] / ".venv-peers" / "bin" / "python"

SHORT = {
    "task.data.transitions": 2_000,
    "schedule.offline_steps": 200,
    "schedule.offline_interval": 100,
    "schedule.evaluation_episodes": 1,
}


@pytest.mark.parametrize("kernel", ["fused", "torch"])
@pytest.mark.parametrize("arm", ARMS)
def test_the_plain_baseline_has_the_numbers_of_our_kernels(arm, kernel):
    """200 updates in float64 on the data of a task, from the same weights, batches and noise."""
    run = offline_run(arm, 0, **SHORT, **{"algorithm.kernel": kernel})
    dataset = ensure_dataset(run.task)
    curve, reference = plain(run, dataset, torch.float64)
    source = normal_source(generator(run.seed, "init"))
    learner = Learner(
        [run.algorithm],
        dataset.observation_dim,
        dataset.action_dim,
        [run.task.discount],
        [lambda *shape: source(*shape).double()],
        torch.float64,
    )
    for batch, noise in updates(run, curve.transitions, torch.float64):
        learner.update(batch, noise)
    states, actions = curve.transitions.dataset_states[None, :64].double(), curve.transitions.dataset_actions[:64]
    ours = learner.values(states, actions[None, :, None].double())[0]
    plain_values = torch.stack([critic(states[0], actions[:, None].double()) for critic in reference.critics])
    assert ours.abs().max() > 1.0, "the values have left their initial range"
    torch.testing.assert_close(ours, plain_values.detach(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(learner.act(states)[0], reference.policy.mode(states[0]).detach(), rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason="no environment with d3rlpy; make bench-peers creates it")
def test_all_sides_end_at_equivalent_values_and_scores(tmp_path):
    """CQL and Cal-QL with d3rlpy's options, three seeds: values of all sides are equal within 2% of the range.

    It took 22 minutes on two busy cores.
    """
    tests = differences_at_the_end(compare(3, PYTHON, tmp_path))
    assert len(tests) == 2 * 2 * len(METRICS)
    for (arm, side, metric), test in tests.items():
        if metric == "score":
            assert abs(test.mean) <= test.margin, (arm, side, metric)
        else:
            assert -test.margin < test.low < test.high < test.margin, (arm, side, metric)
