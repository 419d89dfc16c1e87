"""The trials of a study: read from its ledger, summarised in a table, and the importance of settings."""

import json
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
import pandas as pd
from optuna.distributions import json_to_distribution
from optuna.importance import PedAnovaImportanceEvaluator

from harness.errors import UserError
from harness.files import DamagedFileError, atomic_write, read_json
from results.style import in_order, label
from results.tables import Table
from results.tables.table import NONE, number

# Path of ledgers in a root.
LEDGERS = "studies/*/trials.json"

# Prefix of searched settings in the frame.
SETTING = "setting."


@dataclass(frozen=True)
class Ledger:
    """A study and its trials."""

    study: str
    # The optimised metric, and "maximize" or "minimize".
    objective: str
    direction: Literal["maximize", "minimize"]
    # Trials per arm.
    budget: int
    seeds: tuple[int, ...]
    # Searched settings: name and attributes of the distribution, as Optuna writes them.
    space: dict[str, dict[str, Any]]
    # A row per trial: arm, number, state (complete, pruned, fail, running), value (NaN without), "setting.*", runs (how
    # many), updates (gradient steps), core_hours, gpu_hours, wall_hours.
    trials: pd.DataFrame

    @property
    def arms(self) -> list[str]:
        return list(self.trials["arm"].unique())

    def is_logarithmic(self, path: str) -> bool:
        """Whether a setting was searched on a logarithmic scale."""
        return bool(self.space[path]["attributes"].get("log"))

    def complete(self, arm: str | None = None) -> pd.DataFrame:
        """The complete trials, of one arm or of all."""
        return self.trials[(self.trials["state"] == "complete") & ((self.trials["arm"] == arm) | (arm is None))]

    def best_first(self, complete: pd.DataFrame) -> pd.DataFrame:
        """Complete trials in the order of their values, the earlier of equals first."""
        return complete.sort_values(["value", "number"], ascending=[self.direction == "minimize", True])


def read_ledger(file: Path) -> Ledger:
    """Read a ledger; a damaged file raises a UserError."""
    values = read_json(file)
    try:
        assert values is not None
        trials = pd.DataFrame([_row(trial) for trial in values["trials"]])
        return Ledger(
            values["study"], values["objective"], values["direction"], values["budget"], tuple(values["seeds"]),
            values["space"], trials.assign(value=pd.to_numeric(trials["value"]).astype(float)),
        )  # fmt: skip
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise DamagedFileError(f"{file}: is damaged ({error}); floorbench tune writes it again") from None


def ledgers_in(roots: Iterable[Path]) -> list[Ledger]:
    """The ledgers of all studies in some roots."""
    return [read_ledger(file) for root in roots for file in sorted(Path(root).glob(LEDGERS))]


def export_ledgers(roots: Iterable[Path], folder: Path) -> list[Path]:
    """Copy the ledgers of all studies in some roots into a folder, where `ledgers_in` finds them; returns the copies.

    Raises UserError if one is damaged, if a study occurs twice, or if the folder cannot be written.
    """
    files = [file for root in roots for file in sorted(Path(root).glob(LEDGERS))]
    copies = [Path(folder) / LEDGERS.replace("*", read_ledger(file).study) for file in files]
    twice = [copy for copy in copies if copies.count(copy) > 1]
    if twice:
        raise UserError(f"study {twice[0].parent.name}: found in more than one root; name one of them")
    for file, copy in zip(files, copies, strict=True):
        try:
            copy.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(copy) as stream:
                stream.write(file.read_bytes())
        except OSError as error:
            raise UserError(f"{copy}: cannot be written ({error.strerror}); choose another folder") from None
    return copies


def _row(trial: dict[str, Any]) -> dict[str, Any]:
    kept = ("arm", "number", "state", "value", "updates", "core_hours", "gpu_hours", "wall_hours")
    settings = {f"{SETTING}{path}": value for path, value in trial["settings"].items()}
    return {**{name: trial[name] for name in kept}, "runs": len(trial["runs"]), **settings}


# Fewest complete trials of an arm for the importance of its settings.
FEWEST = 10


def importance(ledger: Ledger) -> pd.DataFrame:
    """Importance of every setting within every arm with enough trials, summing to 1. Columns: arm, setting, importance.

    PED-ANOVA (Watanabe et al., IJCAI 2023): distance between the densities of the settings of the best tenth of the
    trials and of all. It needs two settings, and trials that differ.
    """
    rows = []
    for arm in in_order(ledger.arms):
        complete = ledger.complete(arm)
        if len(ledger.space) < 2 or len(complete) < FEWEST or complete["value"].nunique() < 2:
            continue
        weights = _importances(ledger, complete)
        rows += [{"arm": arm, "setting": path, "importance": weights[path]} for path in ledger.space]
    return pd.DataFrame(rows, columns=["arm", "setting", "importance"])


def _importances(ledger: Ledger, complete: pd.DataFrame) -> dict[str, float]:
    distributions = {path: json_to_distribution(json.dumps(each)) for path, each in ledger.space.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(direction=ledger.direction)
        for _, row in complete.iterrows():
            settings = {path: row[SETTING + path] for path in distributions}
            study.add_trial(optuna.trial.create_trial(params=settings, distributions=distributions, value=row["value"]))
        return optuna.importance.get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())


STATES = {"complete": "Complete", "pruned": "Pruned", "fail": "Failed"}


def effort(ledger: Ledger) -> Table:
    """A row per arm. Numbers: arm, trials, complete, pruned, fail, untuned, best, best_trial, "setting.*" of the best,
    runs, updates, core_hours, gpu_hours, wall_hours."""
    numbers = pd.DataFrame([_line(ledger, arm) for arm in ledger.arms])
    settings = [column for column in numbers.columns if column.startswith(SETTING)]
    text = pd.DataFrame(
        {
            "Arm": numbers["arm"].map(label),
            "Trials": numbers["trials"].map(str),
            **{title: numbers[state].map(str) for state, title in STATES.items()},
            "Untuned": numbers["untuned"].map(lambda value: number(value, 3)),
            "Best": numbers["best"].map(lambda value: number(value, 3)),
            **{column.removeprefix(SETTING): numbers[column].map(plain) for column in settings},
            "Run-updates": numbers["updates"].map(lambda value: f"{value:,}"),
            "Core-hours": numbers["core_hours"].map(lambda value: number(value, 2)),
            "GPU-hours": numbers["gpu_hours"].map(lambda value: number(value, 2)),
        }
    )
    given = numbers["trials"].unique()
    equal = f"equal: {given[0]} trials each" if len(given) == 1 else "unequal: " + ", ".join(map(str, given))
    notes = (
        f"Objective: {ledger.objective} ({'larger' if ledger.direction == 'maximize' else 'smaller'} is better), mean "
        f"over tasks and the tuning seeds {', '.join(map(str, ledger.seeds))}, which are not reported.",
        f"Effort: {equal}, of a budget of {ledger.budget}. The first trial of every arm has the default settings.",
        "Best: the value by which the trial was selected, which is biased; the scores of these settings on new seeds "
        "are in the table of scores.",
        "Cost: of all trials, including pruned and failed ones, with the gradient steps that their runs made.",
    )
    return Table(f"tuning_{ledger.study}", f"Tuning: {ledger.study}", numbers, text, notes, group="Arm")


def plain(value: object) -> str:
    """A setting with a few digits."""
    if value is None or value != value:
        return NONE
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _line(ledger: Ledger, arm: str) -> dict:
    own = ledger.trials[ledger.trials["arm"] == arm]
    first, best = own[own["number"] == own["number"].min()], ledger.best_first(ledger.complete(arm)).head(1)
    return {
        "arm": arm,
        "trials": len(own),
        **{state: int((own["state"] == state).sum()) for state in STATES},
        "untuned": first["value"].where(first["state"] == "complete").iloc[0],
        "best": best["value"].iloc[0] if len(best) else float("nan"),
        "best_trial": int(best["number"].iloc[0]) if len(best) else None,
        **{name: best[name].iloc[0] if len(best) else None for name in (SETTING + path for path in ledger.space)},
        **{name: int(own[name].sum()) for name in ("runs", "updates")},
        **{name: float(own[name].sum()) for name in ("core_hours", "gpu_hours", "wall_hours")},
    }
