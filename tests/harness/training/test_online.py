"""Actors return complete episodes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from algorithms.learner import Learner
from algorithms.settings import AlgorithmSettings
from harness.environments.environment import Environment
from harness.settings import OnlineSettings, Run, Schedule, total_updates, updates_due
from harness.training.online import Actors, OnlineSchedule
from harness.training.streams import generator, normal_source, reset_seed

SETTINGS = AlgorithmSettings(policy_hidden=(8,), critic_hidden=(8,))


class Scripted:
    """Acts at random, whatever it observes."""

    def __init__(self):
        self.drawn = np.random.default_rng(0)

    def act(self, states, noise):
        return torch.from_numpy(self.drawn.uniform(-1, 1, noise.shape).astype(np.float32))


def episodes_of(tiny_task, horizon, steps, seed=5):
    task = replace(tiny_task, horizon=horizon)
    actors, policy = Actors([Run(task, "arm", seed)]), Scripted()
    ended = [episode for step in range(steps) for _, episode in actors.step(policy, step)]
    return task, actors, ended


def test_a_truncated_episode_is_complete_and_not_terminal(tiny_task):
    task, actors, episodes = episodes_of(tiny_task, horizon=7, steps=22)
    assert actors.episodes == [len(episodes)] == [3]
    for number, episode in enumerate(episodes):
        assert episode.observations.shape == (8, 6)
        assert episode.actions.shape == (7, 2)
        assert episode.truncated.tolist() == [False] * 6 + [True]
        assert not episode.terminated.any()
        first = Environment(task).reset(reset_seed(5, "environment", number))
        np.testing.assert_array_equal(episode.observations[0], first)


def test_an_episode_replays_from_its_seed_and_actions(tiny_task):
    task, _, (episode, *_) = episodes_of(tiny_task, horizon=30, steps=30)
    environment = Environment(task)
    observations = [environment.reset(reset_seed(5, "environment", 0))]
    rewards = []
    for action in episode.actions:
        observation, reward, *_ = environment.step(action)
        observations.append(observation)
        rewards.append(reward)
    np.testing.assert_array_equal(episode.observations, observations)
    np.testing.assert_array_equal(episode.rewards, np.float32(rewards))


def learner(seeds):
    sources = [normal_source(generator(seed, "init")) for seed in seeds]
    return Learner([SETTINGS] * len(seeds), 6, 2, [0.99] * len(seeds), sources)


def test_a_run_acts_identically_in_any_pack(tiny_task):
    def trace(seeds, run):
        actors = Actors([Run(tiny_task, "arm", seed) for seed in seeds])
        pack = learner(seeds)
        for step in range(20):
            actors.step(pack, step)
        return np.append(*actors.in_progress(run))

    np.testing.assert_array_equal(trace([1, 2, 3], 1), trace([2], 0))


def test_a_diverged_run_does_not_stop_its_pack_mates(tiny_task):
    pack, actors = learner([1, 2]), Actors([Run(tiny_task, "arm", seed) for seed in (1, 2)])
    pack.policy_parameters.flat[0] = torch.nan
    for step in range(3):
        actors.step(pack, step)
    actions, observation = actors.in_progress(1)
    assert actions.shape == (3, 2)
    assert np.isfinite(np.append(actions, observation)).all()


def test_an_episode_is_resumed_anywhere_in_the_ring(road_task):
    """After 23 steps with a horizon of 10: the episode in progress of an actor that has never been interrupted."""
    runs, policy = [Run(replace(road_task, horizon=10), "arm", seed) for seed in (1, 2)], Scripted()
    actors = Actors(runs)
    for step in range(23):
        actors.step(policy, step)
    resumed = Actors(runs)
    for number in range(2):
        resumed.resume(number, actors.episodes[number], actors.successes[number], *actors.in_progress(number))
    following = [Scripted(), Scripted()]
    for step in range(23, 40):
        ended, again = (one.step(learner, step) for one, learner in zip((actors, resumed), following, strict=True))
        assert [number for number, _ in ended] == [number for number, _ in again]
        for (_, episode), (_, same) in zip(ended, again, strict=True):
            for name, values in vars(episode).items():
                np.testing.assert_array_equal(values, vars(same)[name])
    assert (resumed.episodes, resumed.successes) == (actors.episodes, actors.successes)


@pytest.mark.parametrize("steps", [3, 11])
def test_a_replay_that_ends_elsewhere_is_an_error(road_task, steps):
    """At another observation, and beyond the end of the episode."""
    actors = Actors([Run(replace(road_task, horizon=10), "arm", 1)])
    backwards, elsewhere = np.ones((steps, 1), np.float32), np.array([0.9], np.float32)
    with pytest.raises(RuntimeError, match="diverged" if steps < 10 else "call reset first"):
        actors.resume(0, 0, 0, backwards, elsewhere)


def test_a_run_whose_environment_raises_is_not_stepped_again(road_task):
    actors, policy = Actors([Run(road_task, "arm", seed) for seed in (1, 2, 3)]), Scripted()
    actors.step(policy, 0)
    vector = actors._environments._stepper
    vector._over[1] = True
    ((number, error),) = actors.step(policy, 1)
    assert number == 1
    assert isinstance(error, RuntimeError)
    vector._over[1] = False
    for step in range(2, 5):
        assert all(number != 1 for number, _ in actors.step(policy, step))
    assert vector._steps.tolist() == [5, 1, 5]


def online_run(task, online, alpha=4.0, mixing_ratio=0.5, online_steps=100):
    return Run(
        task,
        "arm",
        0,
        algorithm=AlgorithmSettings(alpha=alpha),
        schedule=Schedule(online_steps=online_steps, mixing_ratio=mixing_ratio),
        online=online,
    )


def test_alpha_moves_linearly_to_its_online_value(tiny_task):
    unchanged = online_run(tiny_task, OnlineSettings())
    at_once = online_run(tiny_task, OnlineSettings(alpha=0.0))
    decayed = online_run(tiny_task, OnlineSettings(alpha=1.0, alpha_decay=0.5))
    schedule = OnlineSchedule([unchanged, at_once, decayed])
    assert schedule.alpha(1).tolist() == [4.0, 0.0, pytest.approx(4.0 - 3.0 / 50)]
    assert schedule.alpha(25).tolist() == [4.0, 0.0, 2.5]
    assert schedule.alpha(50).tolist() == schedule.alpha(100).tolist() == [4.0, 0.0, 1.0]
    assert OnlineSchedule([unchanged]).alpha(1) is None


def test_the_offline_share_of_a_batch_can_follow_the_number_of_transitions(tiny_task):
    """Of 256: the share of 300 dataset transitions among all, rounded down: 300 / 301, 300 / 400, 300 / 700."""
    schedule = OnlineSchedule([online_run(tiny_task, OnlineSettings(mixing_by_size=True))], offline=300)
    assert [schedule.from_dataset(step) for step in (1, 100, 400)] == [255, 192, 109]
    constant = OnlineSchedule([online_run(tiny_task, OnlineSettings())], offline=300)
    assert constant.from_dataset(1) == 128
    merged = OnlineSchedule([online_run(tiny_task, OnlineSettings(), mixing_ratio=None)], offline=300)
    assert merged.from_dataset(1) is None


def test_mixing_ratio_moves_linearly_to_its_online_value(tiny_task):
    constant = OnlineSchedule([online_run(tiny_task, OnlineSettings())])
    assert [constant.mixing_ratio(step) for step in (1, 100)] == [0.5, 0.5]
    merged = OnlineSchedule([online_run(tiny_task, OnlineSettings(), mixing_ratio=None)])
    assert merged.mixing_ratio(1) is None
    falling = OnlineSchedule([online_run(tiny_task, OnlineSettings(mixing_ratio=0.1, mixing_decay=1.0))])
    assert [falling.mixing_ratio(step) for step in (50, 100)] == [pytest.approx(0.3), pytest.approx(0.1)]
    dropped = OnlineSchedule([online_run(tiny_task, OnlineSettings(mixing_ratio=0.0))])
    assert dropped.mixing_ratio(1) == 0.0


def test_critic_shifts_by_dose_and_by_roll_outs(tiny_task):
    dose = online_run(tiny_task, OnlineSettings(critic_shift=-0.5))
    recalibrated = online_run(tiny_task, OnlineSettings(recalibrate=True))
    plain = online_run(tiny_task, OnlineSettings())
    row = {"calibration_policy": 12.0}
    shifts = OnlineSchedule([dose, recalibrated, plain]).critic_shifts([40.0, 40.0, 40.0], [row, row, row])
    assert shifts.tolist() == [-20.0, -12.0, 0.0]
    assert OnlineSchedule([plain]).critic_shifts([40.0], [row]) is None


def test_the_policy_is_updated_with_the_last_of_several_updates(tiny_task):
    """200 offline updates, then every third; a warm-up shifts nothing, because updates are counted, not steps."""
    run = online_run(replace(tiny_task, horizon=30), OnlineSettings(policy_interval=3, warmup_horizons=1))
    first = run.schedule.offline_steps
    schedule = OnlineSchedule([run])
    assert [schedule.updates_policy(first + update) for update in range(7)] == [False, False, True] * 2 + [False]
    delayed = OnlineSchedule([online_run(tiny_task, OnlineSettings(policy_interval=2, critic_updates=3))])
    assert [delayed.updates_policy(first + update) for update in range(6)] == [False, False, False, True, False, True]
    every = OnlineSchedule([online_run(tiny_task, OnlineSettings())])
    assert all(every.updates_policy(first + update) for update in range(3))


def test_updates_start_after_the_warmup(tiny_task):
    run = online_run(replace(tiny_task, horizon=30), OnlineSettings(warmup_horizons=2))
    assert [updates_due(run, step) - run.schedule.offline_steps for step in (60, 61, 100)] == [0, 1, 40]
    assert total_updates(run) == run.schedule.offline_steps + 40
