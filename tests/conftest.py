"""What all tests share: one thread, as workers have; a Minari folder of their own; tiny tasks."""

import pytest
import torch

from algorithms.kernels.build import build_folder
from harness.environments.families import WINDING_ROAD
from harness.settings import DataSettings, Task

torch.set_num_threads(1)

# The file that takes longest. Files are given to processes whole and in order: what comes last is waited for.
LONGEST = "test_durability.py"


def pytest_collection_modifyitems(items):
    """Begin with the longest file."""
    items.sort(key=lambda item: item.path.name != LONGEST)


@pytest.fixture(scope="session", autouse=True)
def minari_folder(tmp_path_factory):
    """No test reads or writes the user's datasets."""
    folder = tmp_path_factory.mktemp("minari")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """No test reads or writes what the user's programs remember, but for the kernels, which take long to build."""
    folder = tmp_path_factory.mktemp("cache")
    kernels = build_folder().parent
    kernels.mkdir(parents=True, exist_ok=True)
    (folder / "floorbench").mkdir()
    (folder / "floorbench" / "kernels").symlink_to(kernels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def tiny_task() -> Task:
    """PointMaze with a few hundred transitions: rewards -1 until the goal, 0 there."""
    return Task(
        name="tiny",
        environment="PointMaze_UMaze-v3",
        horizon=300,
        reward_bias=-1.0,
        failure_reward=-1.0,
        data=DataSettings(transitions=400, action_noise=0.3, seed=3),
    )


@pytest.fixture(scope="session")
def road_task() -> Task:
    """The winding road with a few hundred transitions: rewards -1 until the goal, 0 there."""
    return Task(
        name="tiny-road",
        environment=WINDING_ROAD,
        horizon=160,
        reward_bias=-1.0,
        failure_reward=-1.0,
        data=DataSettings(transitions=300, action_noise=0.4, seed=3),
    )
