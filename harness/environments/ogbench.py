"""OGBench's single-task environments: names, registration, and episodes that depend on nothing but their seed.

OGBench (github.com/seohongpark/ogbench) is an optional dependency. The reward and the end of an episode depend on the
state *before* the action (`success_timing="pre"`, since version 1.2.0): a step from a state that solves the task has
the reward 0 and terminates, every other step has minus the number of subtasks still open (1 in the mazes).
"""

import contextlib
import functools
import re
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from harness.errors import UserError

# Namespace of the Minari sets that OGBench's files are converted to.
NAMESPACE = "ogbench/"

_DATASET = re.compile(r"(?P<environment>.+)-(?P<kind>[a-z]+)-singletask(?P<task>-task[1-5])?-v0")


class SingleTask(NamedTuple):
    """The names that belong to one of OGBench's single tasks."""

    # Gymnasium id of the environment.
    environment: str
    # Dataset, which the five tasks of an environment share.
    dataset: str


def single_task(name: str) -> SingleTask | None:
    """Return the names behind `antmaze-large-navigate-singletask-task1-v0`, or None for any other name.

    The rules are those of `ogbench.make_env_and_datasets`.
    """
    match = _DATASET.fullmatch(name)
    if match is None:
        return None
    environment, kind, task = match["environment"], match["kind"], match["task"] or ""
    return SingleTask(f"{environment}-singletask{task}-v0", f"{environment}-{kind}-v0")


def is_single_task(environment_id: str) -> bool:
    """Return whether a Gymnasium id names a single-task environment of OGBench."""
    return "-singletask-" in environment_id


def make_single_task(environment_id: str, **options: Any) -> gymnasium.Env:
    """Make a single-task environment with `gymnasium.make`, so that its episodes depend on their seed alone."""
    _register()
    with warnings.catch_warnings():
        # The arms give the bounds of their float32 actions in float64, and dm_control looks for a display.
        warnings.filterwarnings("ignore", message=".*precision lowered")
        warnings.filterwarnings("ignore", module="glfw")
        return SeededReset(gymnasium.make(environment_id, **options))


@functools.cache
def _register() -> None:
    """Register OGBench's environments with Gymnasium; raise a UserError where OGBench is not installed."""
    try:
        import ogbench.locomaze
        import ogbench.manipspace  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"ogbench: cannot be imported ({error}); install it with: pip install -c requirements.lock -e '.[ogbench]'"
        ) from None


class SeededReset(gymnasium.Wrapper, RecordConstructorArgs):
    """Make the episodes of an OGBench environment depend on the seed of their reset alone.

    OGBench draws starts and teleports from NumPy's global generator, and the actions that settle a scene from an action
    space that is never seeded. Both get the seed of the reset here; the global generator is left as it was.
    """

    def __init__(self, env: gymnasium.Env):
        RecordConstructorArgs.__init__(self)
        gymnasium.Wrapper.__init__(self, env)
        raw = cast(Any, env.unwrapped)
        self._actions = raw.action_space
        # The arms make a new action space at each access; a class attribute replaces that property.
        raw.__class__ = type(type(raw).__name__, (type(raw),), {"action_space": self._actions})
        self._global_state = np.random.RandomState(0).get_state()
        self._steps_draw = getattr(raw, "_teleport_info", None) is not None
        if hasattr(raw, "fullpath"):
            _remove_temporary(Path(raw.fullpath))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment; without a seed the episode continues the random streams of the one before."""
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
        """Put this environment's random state in the place of NumPy's global one."""
        outer = np.random.get_state()
        np.random.set_state(self._global_state)
        try:
            yield
        finally:
            self._global_state = np.random.get_state()
            np.random.set_state(outer)


def _remove_temporary(model_file: Path) -> None:
    """Remove the model file of a maze, which has been read and would stay behind, one for each environment."""
    if model_file.parent == Path(tempfile.gettempdir()):
        model_file.unlink(missing_ok=True)
