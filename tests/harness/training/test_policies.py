"""A loaded policy acts as the run's evaluations did, bit for bit, and reads the run folder only."""

import numpy as np
import pytest
import torch

from ablations.grids import runs_of
from harness.data.dataset import ensure_dataset
from harness.environments.ants import WalkingPolicy
from harness.environments.environment import Environment, gymnasium_environment
from harness.environments.families import view_of
from harness.errors import UserError
from harness.folders.checkpoint import Checkpoints
from harness.folders.run_folder import RunFolder
from harness.launching.planner import commit
from harness.settings import with_settings
from harness.training.policies import evaluate_policy, evaluation_seeds, load_policy
from harness.training.training import PackTraining, train_pack
from tests.support.run_folder_factory import begin, write_done

SHORT = {
    "schedule.offline_steps": 100, "schedule.online_steps": 40, "schedule.evaluation_episodes": 3, "task.horizon": 80,
    "task.data.transitions": 300,
}  # fmt: skip


# Networks and kernel of the finished runs.
TRAINED = (
    {"algorithm.kernel": "fused"},
    {"algorithm.kernel": "torch"},
    {"algorithm.kernel": "fused", "algorithm.layer_norm": "all", "algorithm.critics": 3, "algorithm.target_critics": 2},
)


@pytest.fixture(scope="module", params=TRAINED)
def finished(request, tmp_path_factory):
    """Two finished runs, trained in one pack, and their learner."""
    runs = [with_settings(run, {**SHORT, **request.param}) for run in runs_of("smoke")[:2]]
    ensure_dataset(runs[0].task)
    learners = []

    class Watched(PackTraining):
        def finish(self):
            learners.append(self.learner)
            super().finish()

    folders = commit(runs, tmp_path_factory.mktemp("finished"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.training.training.PackTraining", Watched)
        train_pack(folders)
    return folders, learners[0]


def test_actions_are_bit_identical_to_those_of_the_trainer(finished):
    folders, learner = finished
    states = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)
    for number, folder in enumerate(folders):
        expected = learner.act(torch.from_numpy(states)[None], run=number)[0].numpy()
        policy = load_policy(folder)
        np.testing.assert_array_equal(policy(states), expected)
        assert policy(states[0]).shape == (2,)
        np.testing.assert_allclose(policy(states[0]), expected[0], rtol=1e-5)
    assert not np.array_equal(load_policy(folders[0])(states), load_policy(folders[1])(states))


def test_layers_give_the_deterministic_actions(finished):
    folders, _ = finished
    policy = load_policy(folders[0])
    if policy.run.algorithm.layer_norm != "none":
        with pytest.raises(UserError, match="has layer normalisation"):
            policy.layers()
        return
    states = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)
    np.testing.assert_allclose(WalkingPolicy(policy.layers())(states), policy(states), atol=1e-5)


def test_the_episodes_of_the_evaluations_have_their_score(finished):
    for folder in finished[0]:
        files = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
        played = evaluate_policy(load_policy(str(folder.path)))
        last = folder.metrics()[-1]
        assert np.mean(played.scores) == last["score"] == folder.summary()["final_score"]
        assert np.mean(played.returns) == last["episode_return"]
        assert np.mean(played.lengths) == last["episode_length"]
        assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == files


def test_other_seeds_give_other_episodes_in_any_number(finished):
    policy = load_policy(finished[0][0])
    four, same, other = (evaluate_policy(policy, 4, seed) for seed in (1, 1, 2))
    assert len(four.scores) == 4
    np.testing.assert_array_equal(four.starts, same.starts)
    assert four.rewards == same.rewards
    assert not np.array_equal(four.starts, other.starts)
    evaluation = evaluation_seeds(policy.run, 3)
    assert not set(evaluation) & set(evaluation_seeds(policy.run, 100, policy.run.seed))
    # One after the other in an environment that the caller provides.
    alone = evaluate_policy(policy, 4, 1, environment=Environment(policy.run.task))
    np.testing.assert_array_equal(alone.starts, four.starts)


def test_samples_follow_the_policys_distribution(finished):
    policy = load_policy(finished[0][0])
    state = np.zeros(6, np.float32)
    np.testing.assert_array_equal(policy.sample(state, seed=3), policy.sample(state, seed=3))
    drawn = np.arctanh(policy.sample(np.zeros((20_000, 6)), seed=0).astype(float))
    mean = np.arctanh(policy(state).astype(float))
    # The median of tanh(u) is tanh(mean): 5 standard errors of a median.
    error = 5 * 1.2533 * drawn.std(axis=0) / np.sqrt(len(drawn))
    assert (np.abs(np.median(drawn, axis=0) - mean) < error).all()
    assert (drawn.std(axis=0) > 0.01).all()
    played = [evaluate_policy(policy, 1, 0, sampled=sampled).rewards for sampled in (True, True, False)]
    assert played[0] == played[1]


def test_observations_are_prepared_as_for_training(finished):
    policy = load_policy(finished[0][0])
    environment = gymnasium_environment(policy.run.task)
    observation, _ = environment.reset(seed=5)
    state = Environment(policy.run.task).reset(seed=5)
    np.testing.assert_array_equal(policy.states(observation), state)
    np.testing.assert_array_equal(policy(observation), policy(state))


def test_a_goal_observation_is_scaled(monkeypatch, finished):
    """Fetch's positions are shifted and scaled: mappings are raw observations, arrays are states already."""
    policy = load_policy(finished[0][0])
    task = with_settings(policy.run, {"task.environment": "FetchReach-v4"}).task
    monkeypatch.setattr(policy, "run", with_settings(policy.run, {"task.environment": "FetchReach-v4"}))
    monkeypatch.setattr(policy, "state_dim", 13)
    raw = {"observation": np.arange(10.0), "achieved_goal": np.zeros(3), "desired_goal": np.full(3, 2.0)}
    np.testing.assert_array_equal(policy.states(raw), view_of(task).flat(raw))
    assert policy.states(raw)[0] == pytest.approx(-13.4)
    np.testing.assert_array_equal(policy.states(np.arange(13.0)), np.arange(13.0))


def test_wrong_states_and_runs_are_refused_in_one_line(finished, tmp_path):
    policy = load_policy(finished[0][0])
    with pytest.raises(UserError, match=r"states have shape \(5,\); \[6\] or \[B, 6\] is needed"):
        policy(np.zeros(5))
    run = policy.run
    begin(tmp_path / "a", run)
    with pytest.raises(UserError, match=f"run {run.id}: is running, not done; its policy is not final"):
        load_policy(RunFolder.of(tmp_path / "a", run))
    write_done(tmp_path / "b", [run])
    with pytest.raises(UserError, match=f"run {run.id}: keeps no checkpoint, so its policy is gone; repeat it"):
        load_policy(RunFolder.of(tmp_path / "b", run))
    with pytest.raises(UserError, match=r"config.json: is missing; this is not a run folder"):
        load_policy(tmp_path)


def test_a_damaged_checkpoint_is_refused(finished, tmp_path):
    source = finished[0][0]
    folder = commit([source.run()], tmp_path)[0]
    folder.finish({})
    checkpoints = Checkpoints(source.checkpoints)
    (position,) = checkpoints.positions()
    folder.checkpoints.mkdir()
    content = bytearray(checkpoints.file(position).read_bytes())
    content[-1] ^= 1
    Checkpoints(folder.checkpoints).file(position).write_bytes(content)
    with pytest.raises(UserError, match="is damaged: its checksum does not match"):
        load_policy(folder)
