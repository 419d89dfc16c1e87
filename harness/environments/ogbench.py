"""OGBench's single-task environments: names, registration, and episodes that depend on their seed only.

OGBench (github.com/seohongpark/ogbench) is an optional dependency. The reward and the end of an episode depend on the
state *before* the action (`success_timing="pre"`, since version 1.2.0): a step from a state that solves the task has
the reward 0 and terminates; every other step has minus the number of unsolved subtasks (1 in the mazes).
"""

import contextlib
import functools
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from harness.errors import UserError


def is_single_task(environment_id: str) -> bool:
    """Whether a Gymnasium id names a single-task environment of OGBench."""
    return "-singletask-" in environment_id


def make_single_task(environment_id: str, **options: Any) -> gymnasium.Env:
    """Make a single-task environment with `gymnasium.make`, with episodes that depend on their seed only."""
    _register()
    with warnings.catch_warnings():
        # The robot arms define float32 action bounds in float64, and dm_control searches for a display.
        warnings.filterwarnings("ignore", message=".*precision lowered")
        warnings.filterwarnings("ignore", module="glfw")
        return SeededReset(gymnasium.make(environment_id, **options))


@functools.cache
def _register() -> None:
    """Register OGBench's environments with Gymnasium; raises UserError if OGBench is not installed."""
    try:
        import ogbench.locomaze
        import ogbench.manipspace  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"ogbench: cannot be imported ({error}); install it with: pip install -c requirements.lock -e '.[ogbench]'"
        ) from None


class SeededReset(gymnasium.Wrapper, RecordConstructorArgs):
    """Make the episodes of an OGBench environment depend only on the seed of their reset.

    OGBench draws starts and teleports from NumPy's global generator, and the actions that settle a scene from an action
    space that is never seeded. The wrapper seeds both at a reset and restores the global generator.
    """

    def __init__(self, env: gymnasium.Env):
        RecordConstructorArgs.__init__(self)
        gymnasium.Wrapper.__init__(self, env)
        raw = cast(Any, env.unwrapped)
        self._actions = raw.action_space
        # The robot arms create an action space at every access; a class attribute overrides that property.
        raw.__class__ = type(type(raw).__name__, (type(raw),), {"action_space": self._actions})
        self._global_state = np.random.RandomState(0).get_state()
        self._steps_draw = getattr(raw, "_teleport_info", None) is not None
        if hasattr(raw, "fullpath"):
            _remove_temporary(Path(raw.fullpath))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment; without a seed the random streams of the previous episode continue."""
        if seed is not None:
            self._actions.seed(seed)
            self._global_state = np.random.RandomState(seed).get_state()
        with self._local_generator():
            return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step."""
        if not self._steps_draw:
            return self.env.step(action)
        with self._local_generator():
            return self.env.step(action)

    @contextlib.contextmanager
    def _local_generator(self) -> Iterator[None]:
        """Replace NumPy's global random state with that of this environment during a block."""
        outer = np.random.get_state()
        np.random.set_state(self._global_state)
        try:
            yield
        finally:
            self._global_state = np.random.get_state()
            np.random.set_state(outer)


def _remove_temporary(model_file: Path) -> None:
    """Remove the temporary model file of a maze, which is no longer needed once it is loaded."""
    if model_file.parent == Path(tempfile.gettempdir()):
        model_file.unlink(missing_ok=True)
