"""`floorbench grids` and `floorbench arms`: what there is to run, with sizes and expected times."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from algorithms.kernels.speed import machine_speed
from harness.command_line import FittedTable, Json, Scale, print_json, remark_console, result_console
from harness.launching.cost import Costs, expected
from harness.launching.defaults import Slowness
from harness.launching.planner import packs
from harness.launching.preflight import data_of
from harness.launching.progress import duration
from harness.settings import Run, prefix_of
from harness.training.kernels import PACK_LIMIT

# Cores for which times are given.
CORES = 2


def grids(scale: Scale = "demo", json: Json = False) -> None:
    """List the grids with their numbers of runs and the expected time."""
    from ablations.grids import GRIDS, runs_of

    lines = []
    for name, function in GRIDS.items():
        runs = runs_of(name, scale)
        about = (function.__doc__ or "").strip().splitlines()[0].rstrip(".")
        lines.append({"grid": name, **size_of(runs), "about": about})
    if json:
        print_json({"scale": scale, "cores": CORES, "grids": lines})
        return
    for line in lines:
        line["time"] = duration(float(str(line["seconds"])))
        line["runs"] = f"{line['runs']:,}"
    order = ("grid", "tasks", "arms", "seeds", "runs", "time", "about")
    shown = [{name: line[name] for name in order} for line in lines]
    result_console().print(FittedTable(shown, ("seeds", "arms", "tasks"), flexible="about"))
    remark_console().print(
        f"time: on {CORES} cores, by {Slowness.of(machine_speed()).source}; once runs have finished here, "
        f"`floorbench plan` estimates it from them; run one with: floorbench run GRID --scale {scale}"
    )


def size_of(runs: Sequence[Run]) -> dict[str, object]:
    """The numbers of tasks, arms, seeds and runs, and the expected seconds on `CORES` cores and core-seconds."""
    prefixes = {run: prefix for run in runs if (prefix := prefix_of(run))}
    users = Counter(prefixes.values())
    shared = {run.id for run, prefix in prefixes.items() if users[prefix] > 1}
    parts = ([prefix for prefix, count in users.items() if count > 1], [run for run in runs if run.id not in shared],
             [run for run in runs if run.id in shared])  # fmt: skip
    costs = Costs(runs, None)
    time = expected([pack for part in parts for pack in packs(part, PACK_LIMIT, CORES)], CORES, costs,
                    shared, before=costs.preparation(data_of(runs)))  # fmt: skip
    return {
        "tasks": len({run.task.name for run in runs}),
        "arms": len({run.arm for run in runs}),
        "seeds": len({run.seed for run in runs}),
        "runs": len(runs),
        "seconds": round(time.seconds),
        "core_seconds": round(time.core_seconds),
    }


def arms(
    group: Annotated[
        str | None, typer.Argument(help="Only the groups whose name contains this word.", metavar="GROUP")
    ] = None,
    json: Json = False,
) -> None:
    """List the arms with the settings that they change."""
    from ablations.arms import ARMS, GROUPS

    shown = {title: names for title, names in GROUPS.items() if (group or "").lower() in title.lower()}
    lines = [
        {
            "arm": name,
            "label": ARMS[name].label,
            "group": title,
            "settings": _text(ARMS[name].settings),
        }
        for title, names in shown.items()
        for name in names
    ]
    if json:
        print_json({"arms": lines})
        return
    for line in lines:
        line["settings"] = beside_reference(line["arm"])
    result_console().print(FittedTable(lines, ("group", "label"), ("group",), "settings"))


def beside_reference(arm: str) -> str:
    """The settings of an arm; of an implementation, only those in which it differs from the closest reference arm."""
    from ablations.arms import ARMS, REFERENCE_ARMS

    settings = ARMS[arm].settings
    changes = {
        name: {setting: value for setting, value in settings.items() if reference.settings.get(setting, ...) != value}
        for name, reference in REFERENCE_ARMS.items()
        if set(reference.settings) <= set(settings)
    }
    if not changes or arm in REFERENCE_ARMS:
        return _text(settings)
    closest = min(changes, key=lambda name: len(changes[name]))
    return f"{closest}, but {_text(changes[closest])}"


def _text(settings: Mapping[str, object]) -> str:
    shown = {setting: f"{value:.4g}" if isinstance(value, float) else value for setting, value in settings.items()}
    return " ".join(f"{setting}={value}" for setting, value in shown.items())
