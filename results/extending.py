"""The interface of extensions: `from floorbench import register`, then `register.floor("halved", halved)` and so on.

Every function adds one entry under a new name; it raises UserError if the name is taken. These functions, and the
classes that they take, are what floorbench keeps stable for extensions:

- `floor(name, function)`: a function from `algorithms.floors.FloorInputs` to a column [T].
- `arm(name, arm)`: an `ablations.arms.Arm`, the settings that it changes with its label and colour.
- `task(recipe, scale)`: a `harness.tasks.recipes.Recipe`, at scale demo or paper.
- `controller(family, controller)`: collects the datasets of a family of environments, as
  `harness.data.collection.Controller` describes.
- `grid(name, function)`: a function from a scale to a list of runs. `study(name, function)`: to a `Study`.
- `claim(claim)`: an `ablations.claim.Claim` about runs.
- `figure(name, function)`: a function from the frames of runs and evaluations to a `results.figures.drawing.Drawing`,
  or None without data.
- `command(name, function)`: a function with Typer's annotations.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from harness import extensions

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from ablations.arms import Arm
    from ablations.claim import Claim
    from algorithms.floors import FloorInputs
    from harness.data.collection import Controller
    from harness.settings import Run
    from harness.tasks.recipes import Recipe
    from harness.tuning.study import Study
    from results.figures.drawing import Drawing


def floor(name: str, function: Callable[[FloorInputs], Tensor]) -> None:
    """Register a floor, which runs name as `floor.base`."""
    from algorithms.floors import FLOORS

    extensions.register("floor", FLOORS, name, function)


def arm(name: str, arm: Arm) -> None:
    """Register an arm; tables and figures show it after the arms before it."""
    from ablations.arms import ARMS

    extensions.register("arm", ARMS, name, arm)


def task(recipe: Recipe, scale: str = "demo") -> None:
    """Register a task under its own name, with the settings that work on it."""
    from harness.tasks.registry import DEMO, PAPER, SCALES

    known = (set(DEMO) | set(PAPER)) - {name for _, name in extensions.entries("task")}
    extensions.register("task", SCALES[scale], recipe.task.name, recipe, known)


def controller(family: str, controller: Callable[..., Controller]) -> None:
    """Register what collects the datasets of a family of environments."""
    from harness.data.collection import CONTROLLERS

    extensions.register("controller", CONTROLLERS, family, controller)


def grid(name: str, function: Callable[[str], list[Run]]) -> None:
    """Register a grid."""
    from ablations.grids import GRIDS

    extensions.register("grid", GRIDS, name, function)


def study(name: str, function: Callable[[str], Study]) -> None:
    """Register a study."""
    from ablations.studies import STUDIES

    extensions.register("study", STUDIES, name, function)


def claim(claim: Claim) -> None:
    """Register a claim about runs, which reports judge after those before it."""
    from ablations import claims

    known = {known.id: known for known in claims.CLAIMS}
    extensions.register("claim", known, claim.id, claim)
    claims.CLAIMS = tuple(known.values())


def figure(name: str, function: Callable[[pd.DataFrame, pd.DataFrame], Drawing | None]) -> None:
    """Register a figure, which reports show after the others."""
    extensions.register("figure", extensions.FIGURES, name, function)


def command(name: str, function: Callable[..., Any]) -> None:
    """Register a command of `floorbench`."""
    known = {entry.name for entry in entry_points(group="floorbench.commands")}
    extensions.register("command", extensions.COMMANDS, name, function, known)
