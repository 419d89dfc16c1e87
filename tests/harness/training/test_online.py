"""Actors: whole episodes come out when they end, and the next begins."""

from dataclasses import replace

import numpy as np
import torch

from algorithms.learner import Learner
from algorithms.settings import AlgorithmSettings
from harness.environments.environment import Environment
from harness.settings import Run
from harness.training.online import Actor, Actors
from harness.training.streams import generator, normal_source, reset_seed

SETTINGS = AlgorithmSettings(policy_hidden=(8,), critic_hidden=(8,))


def episodes_of(tiny_task, horizon, steps, seed=5):
    task = replace(tiny_task, horizon=horizon)
    actor = Actor(Environment(task), seed)
    actor.reset()
    rng = np.random.default_rng(0)
    ended = [actor.step(rng.uniform(-1, 1, 2).astype(np.float32)) for _ in range(steps)]
    return task, actor, [episode for episode in ended if episode]


def test_a_truncated_episode_is_whole_and_not_terminal(tiny_task):
    task, actor, episodes = episodes_of(tiny_task, horizon=7, steps=22)
    assert actor.episodes == len(episodes) == 3
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


def test_a_run_acts_the_same_in_any_company(tiny_task):
    def trace(seeds, run):
        actors = Actors([Run(tiny_task, "arm", seed) for seed in seeds])
        pack = learner(seeds)
        for step in range(20):
            actors.step(pack, step)
        return np.stack(actors.actors[run].observations)

    np.testing.assert_array_equal(trace([1, 2, 3], 1), trace([2], 0))


def test_a_diverged_run_does_not_stop_its_neighbours(tiny_task):
    pack, actors = learner([1, 2]), Actors([Run(tiny_task, "arm", seed) for seed in (1, 2)])
    pack.policy_parameters.flat[0] = torch.nan
    for step in range(3):
        actors.step(pack, step)
    assert np.isfinite(np.stack(actors.actors[1].observations)).all()
