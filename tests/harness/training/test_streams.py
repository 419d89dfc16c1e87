"""Random streams depend on seed, name and step only."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from algorithms.settings import AlgorithmSettings
from harness.training.streams import BLOCK, ResetSeeds, StepStreams, UpdateStreams, generator, reset_seed

SETTINGS = AlgorithmSettings(batch_size=4, n_actions=3, max_backup="off")


def streams(seeds):
    return UpdateStreams(seeds, SETTINGS, action_dim=2)


def test_streams_differ_by_seed_name_and_block():
    draws = {generator(*key).random() for key in [(0, "batch", 0), (1, "batch", 0), (0, "policy", 0), (0, "batch", 1)]}
    assert len(draws) == 4
    assert generator(5, "init").random() == generator(5, "init").random()


@pytest.mark.parametrize("kernel", ["fused", "cuda"])
def test_a_run_draws_the_same_numbers_in_any_pack(kernel):
    settings = replace(SETTINGS, critics=4, target_critics=2, kernel=kernel)
    rows, noise = UpdateStreams([7], settings, 2).at(BLOCK + 3)
    packed_rows, packed_noise = UpdateStreams([1, 7], settings, 2).at(BLOCK + 3)
    np.testing.assert_array_equal(packed_rows[1], rows[0])
    for name, values in vars(noise).items():
        assert torch.equal(getattr(packed_noise, name)[1], values[0])


def chosen_critics(settings, updates=100 * BLOCK, seeds=(3,)):
    """Critics that give the targets of many updates, [updates, runs, k]."""
    drawn = UpdateStreams(seeds, settings, action_dim=2)
    return torch.stack([drawn.at(update)[1].target_critics.clone() for update in range(updates)])


def test_all_critics_give_the_target_without_a_subset():
    assert (chosen_critics(replace(SETTINGS, critics=3), 2 * BLOCK) == torch.arange(3)).all()


@pytest.mark.parametrize("kernel", ["fused", "cuda"])
def test_distinct_critics_are_equally_likely_pairs(kernel):
    """Of 4 critics there are 12 ordered pairs, each in a twelfth of 3,200 updates: within 5 standard deviations."""
    chosen = chosen_critics(replace(SETTINGS, critics=4, target_critics=2, kernel=kernel))[:, 0]
    pairs, counts = torch.unique(chosen, dim=0, return_counts=True)
    assert len(pairs) == 12
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert ((counts - 3200 / 12).abs() < 5 * (3200 / 12) ** 0.5).all()


@pytest.mark.parametrize("kernel", ["fused", "cuda"])
def test_with_replacement_a_critic_can_be_drawn_twice(kernel):
    """Of 4 critics the 16 ordered pairs are equally likely, 4 of them with one critic twice."""
    settings = replace(SETTINGS, critics=4, target_critics=2, target_replacement=True, kernel=kernel)
    chosen = chosen_critics(settings)[:, 0]
    pairs, counts = torch.unique(chosen, dim=0, return_counts=True)
    assert len(pairs) == 16
    assert ((counts - 200).abs() < 5 * 200**0.5).all()


def test_subsets_depend_on_the_seed_only_and_leave_the_noise_alone():
    subset = replace(SETTINGS, critics=6, target_critics=2)
    alone, packed = chosen_critics(subset, 50, [7]), chosen_critics(subset, 50, [1, 7])
    assert torch.equal(packed[:, 1], alone[:, 0])
    assert not torch.equal(packed[:, 0], alone[:, 0])
    noise, other = UpdateStreams([7], subset, 2).at(40)[1], streams([7]).at(40)[1]
    assert all(torch.equal(getattr(noise, name), getattr(other, name)) for name in ("state", "following", "uniform"))


def test_an_update_can_be_drawn_out_of_order():
    fresh, used = streams([2]), streams([2])
    for update in (0, 1, BLOCK, 3 * BLOCK):
        used.at(update)
    assert torch.equal(used.at(5)[1].state, fresh.at(5)[1].state)


def test_shapes_and_ranges():
    rows, noise = streams([0, 1]).at(0)
    assert rows.shape == (2, 4)
    assert noise.uniform.shape == (2, 4, 3, 2)
    assert noise.state.shape == noise.following.shape == (2, 4, 4, 2)
    assert noise.uniform.abs().max() <= 1.0
    many = torch.cat([streams([0]).at(update)[1].uniform.flatten() for update in range(0, 40 * BLOCK, BLOCK)])
    assert abs(many.mean()) < 0.06
    assert abs(many.var() - 1 / 3) < 0.03


def test_noise_on_a_gpu_is_independent_of_the_pack(monkeypatch):
    """Drawn here on the CPU."""
    on_cpu = streams([7]).at(BLOCK + 3)[1]
    monkeypatch.setattr("harness.training.streams.CPU", None)
    alone, packed = streams([7]).at(BLOCK + 3)[1], streams([1, 7]).at(BLOCK + 3)[1]
    assert torch.equal(alone.target_critics, on_cpu.target_critics)
    for name in ("state", "following", "uniform"):
        values = getattr(alone, name)
        assert torch.equal(getattr(packed, name)[1], values[0])
        assert not torch.equal(getattr(packed, name)[0], values[0])
        assert values.shape == getattr(on_cpu, name).shape
        assert not torch.equal(values, getattr(on_cpu, name))
    assert not torch.equal(streams([7]).at(3)[1].state, alone.state)


def test_updates_and_steps_never_repeat():
    run_streams = streams([0])
    seen = {float(run_streams.at(update)[1].state.flatten()[0]) for update in range(3 * BLOCK)}
    assert len(seen) == 3 * BLOCK
    steps = StepStreams([0], "exploration", 2)
    assert len({float(steps.at(step)[0, 0]) for step in range(3000)}) > 2990


def test_reset_seeds_are_shared_between_arms_and_differ_between_episodes():
    assert reset_seed(4, "evaluation", 2) == reset_seed(4, "evaluation", 2)
    assert len({reset_seed(4, "evaluation", episode) for episode in range(100)}) == 100
    assert reset_seed(4, "environment", 2) != reset_seed(4, "evaluation", 2)


def test_reset_seeds_drawn_some_at_a_time_are_those_of_the_episodes():
    """Also from the middle of a block on, and for a run that has finished more episodes than another."""
    seeds = ResetSeeds([3, 4], "environment", block=4)
    for run, episode in [(0, 6), (0, 7), (1, 0), (0, 8), (1, 1), (0, 9), (1, 5), (1, 2)]:
        assert seeds.at(run, episode) == reset_seed([3, 4][run], "environment", episode)
