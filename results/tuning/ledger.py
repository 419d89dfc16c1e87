"""The trials of a study: reading its ledger, the table of its cost and results, and the importance of settings."""

import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
import pandas as pd
from optuna.distributions import json_to_distribution
from optuna.importance import PedAnovaImportanceEvaluator

from harness.errors import UserError, reason
from harness.files import DamagedFileError, atomic_write, read_bytes, read_json
from results.style import in_order, label
from results.tables import Table
from results.tables.table import NONE, number

# Path of ledgers within a root.
LEDGERS = "studies/*/trials.json"

# Prefix of the columns of searched settings.
SETTING = "setting."


@dataclass(frozen=True)
class Ledger:
    """A study and its trials."""

    study: str
    # Name of the optimised metric.
    objective: str
    direction: Literal["maximize", "minimize"]
    # Trials per arm.
    budget: int
    seeds: tuple[int, ...]
    # Searched settings by path: name and attributes of the distribution, as serialised by Optuna.
    space: dict[str, dict[str, Any]]
    # A row per trial: arm, number, state (complete, pruned, fail, running), value (NaN if none), "setting.*", runs
    # (their number), updates (gradient steps), core_hours, gpu_hours, wall_hours.
    trials: pd.DataFrame

    @property
    def arms(self) -> list[str]:
        return list(self.trials["arm"].unique())

    def is_logarithmic(self, path: str) -> bool:
        """Whether a setting was searched on a logarithmic scale."""
        return bool(self.space[path]["attributes"].get("log"))

    def complete(self, arm: str | None = None) -> pd.DataFrame:
        """The complete trials of one arm, or of all."""
        return self.trials[(self.trials["state"] == "complete") & ((self.trials["arm"] == arm) | (arm is None))]

    def best_first(self, complete: pd.DataFrame) -> pd.DataFrame:
        """Complete trials from the best value to the worst; of equal values the earlier trial comes first."""
        return complete.sort_values(["value", "number"], ascending=[self.direction == "minimize", True])


def read_ledger(file: Path) -> Ledger:
    """Read a ledger. Raises DamagedFileError if the file is damaged."""
    values = read_json(file)
    if values is None:
        raise DamagedFileError(f"{file}: is missing; to write it again, run: floorbench tune")
    try:
        trials = pd.DataFrame([_row(trial) for trial in values["trials"]])
        return Ledger(
            values["study"], values["objective"], values["direction"], values["budget"], tuple(values["seeds"]),
            values["space"], trials.assign(value=pd.to_numeric(trials["value"]).astype(float)),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFileError(
            f"{file}: is damaged ({reason(error)}); to write it again, run: floorbench tune"
        ) from None


def ledgers_in(roots: Iterable[Path]) -> list[Ledger]:
    """The ledgers of all studies in some roots."""
    return [read_ledger(file) for root in roots for file in sorted(Path(root).glob(LEDGERS))]


def export_ledgers(roots: Iterable[Path], folder: Path) -> list[Path]:
    """Copy the ledgers of all studies in some roots into a folder that `ledgers_in` can read; return the copies.

    Raises UserError if a ledger is damaged, two belong to the same study, or the folder cannot be written.
    """
    files = [file for root in roots for file in sorted(Path(root).glob(LEDGERS))]
    copies = [Path(folder) / LEDGERS.replace("*", read_ledger(file).study) for file in files]
    duplicates = [copy for copy in copies if copies.count(copy) > 1]
    if duplicates:
        raise UserError(f"study {duplicates[0].parent.name}: has trials in more than one root; name one of them")
    for file, copy in zip(files, copies, strict=True):
        try:
            copy.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(copy) as stream:
                stream.write(read_bytes(file))
        except OSError as error:
            raise UserError(f"{copy}: cannot be written ({error.strerror}); choose another folder") from None
    return copies


def _row(trial: dict[str, Any]) -> dict[str, Any]:
    columns = ("arm", "number", "state", "value", "updates", "core_hours", "gpu_hours", "wall_hours")
    settings = {f"{SETTING}{path}": value for path, value in trial["settings"].items()}
    return {**{name: trial[name] for name in columns}, "runs": len(trial["runs"]), **settings}


# Smallest number of complete trials of an arm for which importances are computed.
FEWEST = 10


def importance(ledger: Ledger) -> pd.DataFrame:
    """Importance of the settings for every arm with enough trials, summing to 1. Columns: arm, setting, importance.

    PED-ANOVA (Watanabe et al., IJCAI 2023): the divergence between the densities of a setting in the best tenth of the
    trials and in all trials. Needs at least two settings and two different values.
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
    distributions = {path: json_to_distribution(json.dumps(values)) for path, values in ledger.space.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(direction=ledger.direction)
        for _, row in complete.iterrows():
            settings = {path: row[SETTING + path] for path in distributions}
            study.add_trial(optuna.trial.create_trial(params=settings, distributions=distributions, value=row["value"]))
        return optuna.importance.get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())


STATES = {"complete": "Complete", "pruned": "Pruned", "fail": "Failed"}


def effort(ledger: Ledger) -> Table:
    """Trials, best settings and cost of a study by arm.

    Numbers: arm, trials, complete, pruned, fail, untuned, best, best_trial, "setting.*" of the best trial, runs,
    updates, core_hours, gpu_hours, wall_hours.
    """
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
    counts = numbers["trials"].unique()
    equal = f"{counts[0]} trials per arm" if len(counts) == 1 else "unequal so far, " + ", ".join(map(str, counts))
    notes = (
        f"Objective: {ledger.objective} ({'higher' if ledger.direction == 'maximize' else 'lower'} is better), mean "
        f"over tasks and the tuning seeds {', '.join(map(str, ledger.seeds))}, which the reported runs do not use.",
        f"Effort: {equal}, of a budget of {ledger.budget}. The first trial of every arm has the default settings.",
        "Best: the value by which the trial was selected, hence optimistic; the table of scores has the results of the "
        "selected settings on new seeds.",
        "Cost: includes pruned and failed trials, with the gradient steps that their runs made.",
    )
    return Table(f"tuning_{ledger.study}", f"Tuning: {ledger.study}", numbers, text, notes, group="Arm")


def searches_table(ledgers: Sequence[Ledger]) -> Table:
    """Trials, values, chosen settings and cost of several studies, a row per study and arm.

    Numbers: study, and the columns of `effort`.
    """
    tables = [effort(ledger) for ledger in ledgers]
    numbers = pd.concat(
        [table.numbers.assign(study=ledger.study) for ledger, table in zip(ledgers, tables, strict=True)],
        ignore_index=True,
    )
    text = pd.concat(
        [table.text.assign(Study=ledger.study) for ledger, table in zip(ledgers, tables, strict=True)],
        ignore_index=True,
    ).fillna(NONE)
    # Columns without a number say nothing.
    empty = [name for name in text if set(text[name]) <= {"0", "0.00", NONE}]
    text = text[["Study", *text.columns.drop(["Study", *empty])]]
    notes = tuple(dict.fromkeys(note for table in tables for note in table.notes))
    return Table("searches", "Searches for settings", numbers, text, notes, group="Study")


def plain(value: object) -> str:
    """A setting with three significant digits."""
    if value is None or value != value:
        return NONE
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _line(ledger: Ledger, arm: str) -> dict:
    trials = ledger.trials[ledger.trials["arm"] == arm]
    first, best = trials[trials["number"] == trials["number"].min()], ledger.best_first(ledger.complete(arm)).head(1)
    return {
        "arm": arm,
        "trials": len(trials),
        **{state: int((trials["state"] == state).sum()) for state in STATES},
        "untuned": first["value"].where(first["state"] == "complete").iloc[0],
        "best": best["value"].iloc[0] if len(best) else float("nan"),
        "best_trial": int(best["number"].iloc[0]) if len(best) else None,
        **{name: best[name].iloc[0] if len(best) else None for name in (SETTING + path for path in ledger.space)},
        **{name: int(trials[name].sum()) for name in ("runs", "updates")},
        **{name: float(trials[name].sum()) for name in ("core_hours", "gpu_hours", "wall_hours")},
    }
