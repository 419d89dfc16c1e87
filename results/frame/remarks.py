"""What a reader of the frames must know before believing a mean: gaps and differences that do not forbid one."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from results.frame.columns import done
from results.frame.store import Frames
from results.style import in_order, label

# Numbers that every finished run should have. Others may not apply: recovery to a run that never came back.
EXPECTED = ("offline_score", "final_score", "regret_eval", "regret_train", "dip", "offline_q_data", "offline_q_policy")

# Names that a line lists, at most.
LISTED = 12


def remarks(frames: Frames) -> list[str]:
    """One line each: arms and seeds that are missing, arms of one seed, numbers that finished runs lack, evaluations at
    unequal steps, more than one commit."""
    return [
        *_missing_arms(frames.runs),
        *_missing_seeds(frames.runs),
        *_single_seeds(frames.runs),
        *_missing_numbers(frames),
        *_unequal_steps(frames.evaluations),
        *_commits(frames.provenance),
    ]


def _missing_arms(runs: pd.DataFrame) -> Iterator[str]:
    """Arms that other tasks have beside all those of a task, a line for all the tasks that lack the same.

    Tasks of which each has arms of its own are of different grids, and neither lacks any.
    """
    present = {str(task): set(arms) for task, arms in runs.groupby("task", sort=False)["arm"]}
    lacking: dict[tuple[str, ...], list[str]] = {}
    for task, own in present.items():
        others = set().union(*(arms for arms in present.values() if own < arms)) - own
        if others:
            lacking.setdefault(tuple(label(arm) for arm in in_order(others)), []).append(task)
    for absent, tasks in lacking.items():
        yield f"{listed(tasks)}: no run of {listed(absent)}; other tasks have {'them' if len(absent) > 1 else 'it'}"


def _missing_seeds(runs: pd.DataFrame) -> Iterator[str]:
    """Seeds that other arms of the task have."""
    for task, of_task in runs.groupby("task", sort=False):
        seeds = set(of_task["seed"])
        for arm, group in of_task.groupby("arm", sort=False):
            if absent := sorted(seeds - set(group["seed"])):
                yield f"{task}, {label(arm)}: no run of {_seeds(absent)}, which other arms have"


def _single_seeds(runs: pd.DataFrame) -> Iterator[str]:
    """Arms whose means rest on one run."""
    for task, of_task in done(runs).groupby("task", sort=False):
        counts = of_task["arm"].value_counts(sort=False)
        if alone := [label(arm) for arm in counts.index[counts == 1]]:
            yield f"{task}: one finished seed, so no interval, of {listed(alone)}"


def _missing_numbers(frames: Frames) -> Iterator[str]:
    """Finished runs without a number that other runs of the task have."""
    finished = done(frames.runs)
    for task, of_task in finished.groupby("task", sort=False):
        for name in EXPECTED:
            lacking = of_task[of_task[name].isna()]
            if 0 < len(lacking) < len(of_task):
                yield f"{task}: {_count(lacking)} no {name} and not in its mean: {_runs(lacking)}"
    if "score" in frames.evaluations:
        missing = frames.evaluations[frames.evaluations["score"].isna()]
        for task, group in missing.drop_duplicates("run").groupby("task", sort=False):
            yield f"{task}: {_count(group)} evaluations without a score: {_runs(group)}"


def _unequal_steps(evaluations: pd.DataFrame) -> Iterator[str]:
    """Runs of a task that were evaluated at other steps than most."""
    for task, of_task in evaluations.groupby("task", sort=False):
        steps = of_task.groupby("run", sort=False)["step"].agg(lambda column: hash(column.to_numpy().tobytes()))
        usual = steps.mode().iloc[0]
        if (steps != usual).any():
            others = of_task[of_task["run"].isin(steps.index[steps != usual])].drop_duplicates("run")
            yield f"{task}: {len(others)} of {len(steps)} runs were evaluated at other steps than most: {_runs(others)}"


def _commits(provenance: pd.DataFrame) -> Iterator[str]:
    """Versions of the code, a changed checkout being one of its own."""
    if "commit" not in provenance:
        return
    difference = provenance["difference"] if "difference" in provenance else pd.Series(None, provenance.index)
    changed = np.where(difference.isna(), "", " with changes " + difference.astype(str).str[:6])
    versions: pd.Series = (provenance["commit"].fillna("unknown").str[:7] + changed).value_counts()
    if len(versions) > 1:
        yield f"computed by {len(versions)} versions of the code: " + listed(
            [f"{version} ({count} runs)" for version, count in versions.items()]
        )


def listed(names: Sequence[str]) -> str:
    """Names with commas, or semicolons where a name has a comma of its own; of many the first and how many more."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ("; " if any(", " in name for name in names) else ", ").join(names[:LISTED]) + more


def _seeds(seeds: Iterable[int]) -> str:
    names = [str(seed) for seed in seeds]
    return f"seed{'s' if len(names) > 1 else ''} {listed(names)}"


def _count(runs: pd.DataFrame) -> str:
    return f"{len(runs)} finished run{'s have' if len(runs) > 1 else ' has'}"


def _runs(runs: pd.DataFrame) -> str:
    return listed([f"{row.run} ({label(row.arm)}, seed {row.seed})" for row in runs.itertuples()])
