"""The frame of an ant, the policy of its controller, and the recipe by which it was trained."""

from dataclasses import replace
from math import cos, pi, sin, sqrt
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from harness.environments.ants import (
    WEIGHTS,
    AntController,
    WalkingPolicy,
    WanderingAnt,
    load_policy,
    save_policy,
    seen_along,
)
from harness.environments.environment import Environment, gymnasium_environment
from harness.environments.mazes import free_cells
from harness.folders.run_folder import run_folders
from harness.tasks.registry import DEMO, PAPER
from tests.support.command_line import call, only_line

TASK = DEMO["antmaze-umaze-collected"].task
EXAMPLE = Path(__file__).parents[3] / "examples" / "walking_ant.py"

angles = st.floats(-10.0, 10.0)


def ant_state(turned: float = 0.0, velocity=(0.0, 0.0)) -> np.ndarray:
    """An upright ant that is turned by an angle; all other numbers are different."""
    state = np.arange(27.0)
    state[1:5] = cos(turned / 2), 0.0, 0.0, sin(turned / 2)
    state[13:15] = velocity
    return state


def test_along_the_y_axis_an_ant_is_turned_to_the_right_and_moves_ahead():
    seen = seen_along(ant_state(velocity=(0.0, 3.0)), pi / 2)
    assert_allclose(seen[1:5], [sqrt(0.5), 0.0, 0.0, -sqrt(0.5)], atol=1e-15)
    assert_allclose(seen[13:15], [3.0, 0.0], atol=1e-15)
    others = [index for index in range(27) if index not in (1, 2, 3, 4, 13, 14)]
    assert seen[others].tolist() == ant_state()[others].tolist()


def test_an_ant_that_faces_the_direction_is_upright_and_straight():
    assert_allclose(seen_along(ant_state(turned=1.2), 1.2)[1:5], [1.0, 0.0, 0.0, 0.0], atol=1e-15)


@given(angles, angles, st.integers(0, 1000))
def test_two_turns_are_one(first, second, seed):
    state = np.random.default_rng(seed).normal(size=27)
    state[1:5] /= np.linalg.norm(state[1:5])
    twice, once = seen_along(seen_along(state, first), second), seen_along(state, first + second)
    if abs(once[1]) < 1e-9:  # either sign of the quaternion is right
        twice[1:5] *= np.sign(twice[1:5] @ once[1:5])
    assert_allclose(twice, once, atol=1e-9)


def test_a_policy_has_relus_in_between_and_a_tanh_at_the_end():
    # max(2 * 1 - 1, 0) = 1 and max(-2 * 1 - 1, 0) = 0; tanh(0.5 * 1 + 7 * 0 + 0.25).
    first = np.array([[2.0, -2.0]]), np.array([-1.0, -1.0])
    second = np.array([[0.5], [7.0]]), np.array([0.25])
    assert_allclose(WalkingPolicy([first, second])(np.array([1.0])), np.tanh([0.75]))


def test_a_saved_policy_is_the_same(tmp_path):
    generator = np.random.default_rng(0)
    layers = [(generator.normal(size=(3, 4)), generator.normal(size=4)), (generator.normal(size=(4, 2)), np.zeros(2))]
    save_policy(layers, tmp_path / "policy")
    state = generator.normal(size=3)
    assert load_policy(tmp_path / "policy")(state).tolist() == WalkingPolicy(layers)(state).tolist()


def test_the_controller_walks_to_the_goal():
    """In 7 of 8 episodes at least; it did in 39 of 40."""
    environment = gymnasium_environment(TASK)
    controller = AntController(environment, 0.2, np.random.default_rng(0))
    successes = 0
    for seed in range(8):
        observation, _ = environment.reset(seed=seed)
        controller.begin(observation)
        over = False
        while not over:
            action = controller.action(observation)
            assert action.dtype == np.float32
            observation, _, terminated, truncated, _ = environment.step(action)
            over = terminated or truncated
        successes += terminated
    assert successes >= 7


def test_a_wandering_ant_starts_in_random_cells_and_chooses_a_new_target_at_the_last():
    environment = gymnasium_environment(replace(TASK, horizon=400))
    ant = WanderingAnt(environment, 0.1, np.random.default_rng(0))
    maze = environment.unwrapped.maze
    starts, reached = [], 0
    for seed in range(4):
        observation, _ = environment.reset(seed=seed, options=ant.start())
        starts.append(tuple(maze.cell_xy_to_rowcol(observation["achieved_goal"])))
        ant.begin(observation)
        targets, over = [ant.way_points[-1]], False
        while not over:
            near = np.linalg.norm(observation["achieved_goal"] - targets[-1]) <= ant.reached
            action = ant.action(observation)
            if ant.way_points[-1] is not targets[-1]:
                assert near
                assert tuple(maze.cell_xy_to_rowcol(ant.way_points[-1])) in free_cells(maze.maze_map)
                targets.append(ant.way_points[-1])
            observation, _, terminated, truncated, _ = environment.step(action)
            over = terminated or truncated
        reached += len(targets) > 1
    assert reached > 0
    assert len(set(starts)) > 1
    assert tuple(maze.cell_xy_to_rowcol(observation["desired_goal"])) not in starts


def test_rewards_are_a_fifth_of_those_of_the_papers():
    environment = Environment(replace(TASK, horizon=1))
    environment.reset(seed=0)
    _, reward, terminated, truncated = environment.step(np.zeros(8, np.float32))
    assert (reward, terminated, truncated) == (-1.0, False, True)
    paper = PAPER["antmaze-umaze"].task
    assert (paper.reward_bias, paper.reward_scale) == (5 * TASK.reward_bias, 5 * TASK.reward_scale)
    assert (paper.horizon, paper.maze) == (TASK.horizon, TASK.maze)


def test_the_recipe_trains_a_policy_and_exports_it(tmp_path):
    """A hundred updates of the real training, after the warm-up."""
    root, file = tmp_path / "runs", tmp_path / "policy.npz"
    settings = ("--set", "schedule.online_steps=2600", "--set", "schedule.evaluation_episodes=1")
    call("run", "--extension", EXAMPLE, "--task", "walking-ant", "--arm", "sac_online", "--seed", 0, "--root", root,
         *settings)  # fmt: skip
    (folder,) = run_folders(root)
    assert folder.metrics()[-1]["updates"] > 0
    call("export-walking-ant", "--extension", EXAMPLE, folder.path, file)
    again = call("export-walking-ant", "--extension", EXAMPLE, folder.path, file, code=2)
    assert "exists; name another file" in only_line(again)
    with np.load(file) as trained, np.load(WEIGHTS) as published:
        assert {name: array.shape for name, array in trained.items()} == {
            name: array.shape for name, array in published.items()
        }
    action = load_policy(file)(ant_state())
    assert action.shape == (8,)
    assert np.abs(action).max() < 1.0
