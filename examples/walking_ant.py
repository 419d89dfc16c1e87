"""An extension: the training of the ant that collects the data of `antmaze-*-collected`.

The ant learns to walk in a direction that changes every 100 steps, with SAC, in ten minutes on a core: 500,000 steps,
after which its episodes have a mean return of 513 (seed 0). The command exports its policy in the form of
harness/environments/walking_ant.npz, which is that export, byte for byte:

floorbench run --extension examples/walking_ant.py --task walking-ant --arm sac_online --seed 0
floorbench export-walking-ant --extension examples/walking_ant.py runs/<id> walking_ant.npz
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar

import gymnasium
import numpy as np
import typer
from gymnasium.envs.mujoco.ant_v4 import AntEnv

from algorithms.settings import AlgorithmSettings
from floorbench import register
from harness.environments.ants import save_policy, seen_along
from harness.errors import UserError
from harness.settings import DataSettings, Schedule, Task
from harness.tasks.recipes import Recipe
from harness.training.policies import load_policy

# Environment steps after which another direction is drawn.
TURN = 100
# Speed in metres per second from which on more is not rewarded.
SPEED = 1.5


class WalkingAnt(AntEnv):
    """Gymnasium's ant, which sees its state [27] along the direction in which it must walk; any orientation is good.

    The reward of a step is the speed in this direction, up to `SPEED`, less half the speed across it and a tenth of the
    squared action, plus 0.5. An ant that falls or jumps ends the episode.
    """

    def reset_model(self) -> np.ndarray:
        """Draw a direction, an orientation and noise."""
        self._steps = 0
        self._direction = self.np_random.uniform(-np.pi, np.pi)
        half = 0.5 * self.np_random.uniform(-np.pi, np.pi)
        positions = self.init_qpos + self.np_random.uniform(-0.1, 0.1, size=self.model.nq)
        positions[3:7] = np.cos(half), 0.0, 0.0, np.sin(half)
        self.set_state(positions, self.init_qvel + 0.1 * self.np_random.standard_normal(self.model.nv))
        return self._seen()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take an action [8]; never truncates."""
        before = self.data.qpos[:2].copy()
        self.do_simulation(action, self.frame_skip)
        velocity = (self.data.qpos[:2] - before) / self.dt
        ahead = np.array([np.cos(self._direction), np.sin(self._direction)])
        along, across = velocity @ ahead, abs(velocity[0] * ahead[1] - velocity[1] * ahead[0])
        reward = min(float(along), SPEED) - 0.5 * float(across) - 0.1 * float(np.square(action).sum()) + 0.5
        self._steps += 1
        if self._steps % TURN == 0:
            self._direction = self.np_random.uniform(-np.pi, np.pi)
        return self._seen(), reward, not self.is_healthy, False, {"success": False}

    def _seen(self) -> np.ndarray:
        return seen_along(np.concatenate((self.data.qpos[2:], self.data.qvel)), self._direction)


# By name: a dataset records how its environment can be made again.
gymnasium.register("WalkingAnt-v0", entry_point=f"{__name__}:WalkingAnt")


class RandomActions:
    """Collects the dataset that every task has; SAC without offline data does not use it."""

    name: ClassVar[str] = "uniform random actions"
    packages: ClassVar[tuple[str, ...]] = ("gymnasium", "mujoco", "numpy")

    def __init__(self, environment: gymnasium.Env, noise: float, generator: np.random.Generator):
        self._generator = generator

    def begin(self, observation: np.ndarray) -> None:
        """Do nothing."""

    def action(self, observation: np.ndarray) -> np.ndarray:
        """A random action [8]."""
        return self._generator.uniform(-1.0, 1.0, size=8).astype(np.float32)


register.controller("WalkingAnt", RandomActions)

register.task(
    Recipe(
        Task(
            name="walking-ant",
            environment="WalkingAnt-v0",
            horizon=500,
            # Standing still scores 0.25.
            reference_returns=(0.0, 1000.0),
            data=DataSettings(transitions=2_000),
        ),
        AlgorithmSettings(
            policy_hidden=(128, 128),
            critic_hidden=(128, 128),
            batch_size=128,
            n_actions=1,
            alpha=0.0,
            max_backup="off",
            policy_learning_rate=5e-4,
            critic_learning_rate=5e-4,
            entropy_temperature_initial=0.2,
            entropy_learning_rate=5e-4,
        ),
        Schedule(
            offline_steps=0,
            online_steps=500_000,
            mixing_ratio=0.0,
            evaluation_episodes=10,
            online_interval=25_000,
            dense_steps=0,
        ),
    )
)


def export_walking_ant(
    run: Annotated[Path, typer.Argument(help="folder of a finished run of walking-ant")],
    file: Annotated[Path, typer.Argument(help="file to write")],
) -> None:
    """Write the policy of a run as the way-point controller of AntMaze reads it."""
    if file.exists():
        raise UserError(f"{file}: exists; name another file")
    save_policy(load_policy(run).layers(), file)


register.command("export-walking-ant", export_walking_ant)
