"""What can be compared: arms on common tasks, runs that must not be averaged, and remarks for the reader."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from harness.errors import UserError
from harness.metrics import SUMMARY, names
from results.frame.frames import PAIRING, Frames, done, settings_columns
from results.style import in_order, label

# Numbers that every finished run should have; others may not apply, such as the recovery of a run that never recovered.
EXPECTED = tuple(
    name for name in names(SUMMARY) if name not in ("recovery_steps", "dip_window", "offline_return_to_go")
)

# Largest number of names in a line.
LISTED = 12


def common(finished: pd.DataFrame, baseline: str | None = None, fewest: int = 1) -> tuple[list[str], list[str]]:
    """Tasks and arms such that every arm has finished runs on every task; empty lists if there are none.

    The candidates are each arm's set of tasks (with `baseline`: those it has in common with the baseline) of at least
    `fewest` tasks. The one with the most pairs of a task and an arm is chosen, then the one with the most tasks, so
    that another grid in the same root does not narrow the comparison. The baseline is one of the arms.
    """
    tasks_of = {str(arm): frozenset(tasks) for arm, tasks in finished.groupby("arm", sort=False)["task"]}
    if baseline is not None:
        shared = tasks_of.get(baseline, frozenset())
        tasks_of = {arm: tasks & shared for arm, tasks in tasks_of.items()}
    best: frozenset[str] = frozenset()
    most = (0, 0)
    for tasks in [*tasks_of.values(), frozenset.intersection(*tasks_of.values())] if tasks_of else []:
        pairs = len(tasks) * sum(tasks <= others for others in tasks_of.values())
        if len(tasks) >= fewest and (pairs, len(tasks)) > most:
            best, most = tasks, (pairs, len(tasks))
    if not best:
        return [], []
    arms = in_order(arm for arm, tasks in tasks_of.items() if best <= tasks)
    return [task for task in finished["task"].unique() if task in best], arms


def refuse_mixed_settings(runs: pd.DataFrame) -> None:
    """Raise a UserError if runs of one task and arm differ in a setting other than the seeds.

    Every seed may start from another run, but not some of them.
    """
    for column in settings_columns(runs):
        values = runs[column].notna() if column == "online.start" else runs[column].map(repr)
        if values.nunique() == 1:
            continue
        for (task, arm), group in values.groupby([runs["task"], runs["arm"]], sort=False):
            if group.nunique() > 1:
                first, other = runs.loc[group.drop_duplicates().index[:2], ["run", column]].to_numpy().tolist()
                raise UserError(
                    f"runs {first[0]} and {other[0]} are both {task} / {arm} but differ in {column} ({first[1]} and "
                    f"{other[1]}); report them separately: name a grid, or keep them in separate roots"
                )


def refuse_mixed_data(frames: Frames) -> None:
    """Raise a UserError if runs of one task and data seed were trained on datasets of different content."""
    if "dataset" not in frames.provenance:
        return
    data = frames.runs.merge(frames.provenance[["run", "dataset"]], on="run").dropna(subset="dataset")
    for (task, _), group in data.groupby(["task", "data_seed"], sort=False):
        different = group.drop_duplicates("dataset")
        if len(different) > 1:
            (first, one), (other, two) = different[["run", "dataset"]].to_numpy().tolist()[:2]
            raise UserError(
                f"runs {first} and {other} are both of {task} but were computed on data of different content "
                f"({one[:12]} and {two[:12]}); keep them in separate roots and report them separately"
            )


def remarks(frames: Frames) -> list[str]:
    """Gaps and differences a reader should know of, one line each.

    Missing arms and seeds, arms with one seed, missing numbers, unequal evaluation steps, several versions of the code,
    runs of others that are not shown.
    """
    return [
        *_missing_arms(frames),
        *_missing_seeds(frames.runs),
        *_single_seeds(frames.runs),
        *_missing_numbers(frames),
        *_unequal_steps(frames.evaluations),
        *_commits(frames.provenance),
        *_unmatched_sources(frames),
    ]


# Floors that exist only where the values of the task are known.
OF_KNOWN_VALUES = ("exact", "optimal")


def _missing_arms(frames: Frames) -> Iterator[str]:
    """Arms that a task lacks though other tasks have them in addition to all of its arms.

    Two tasks that each have an arm the other lacks belong to different grids, and lack nothing. An exact floor is not
    missing where no values are known.
    """
    runs = frames.runs
    exact = set(runs["arm"][runs["floor.base"].isin(OF_KNOWN_VALUES)]) if "floor.base" in runs else set()
    known = frames.evaluations.get("calibration_exact", pd.Series(dtype=float)).notna()
    with_values = set(frames.evaluations["task"][known]) if known.any() else set()
    present = {str(task): set(arms) for task, arms in runs.groupby("task", sort=False)["arm"]}
    lacking: dict[tuple[str, ...], list[str]] = {}
    for task, arms in present.items():
        others = set().union(*(more for more in present.values() if arms < more)) - arms
        others -= set() if task in with_values else exact
        if others:
            lacking.setdefault(tuple(label(arm) for arm in in_order(others)), []).append(task)
    for absent, tasks in lacking.items():
        yield f"{listed(tasks)}: no runs of {listed(absent)}, which other tasks have"


def _missing_seeds(runs: pd.DataFrame) -> Iterator[str]:
    """Seeds that arms lack though other arms of the task have them; arms that lack the same seeds share a line."""
    for task, of_task in runs.groupby("task", sort=False):
        seeds = _pairs(of_task)
        lacking: dict[tuple[tuple[int, int], ...], list[str]] = {}
        for arm, group in of_task.groupby("arm", sort=False):
            if absent := sorted(seeds - _pairs(group)):
                lacking.setdefault(tuple(absent), []).append(label(arm))
        for absent_seeds, arms in lacking.items():
            named = _seeds(absent_seeds)
            yield f"{task}: {named} {'are' if named.startswith('seeds') else 'is'} missing for {listed(arms)}"


def _single_seeds(runs: pd.DataFrame) -> Iterator[str]:
    """Arms with a single finished run."""
    for task, of_task in done(runs).groupby("task", sort=False):
        counts = of_task["arm"].value_counts(sort=False)
        if alone := [label(arm) for arm in counts.index[counts == 1]]:
            yield f"{task}: one finished seed, so no interval, for {listed(alone)}"


def _missing_numbers(frames: Frames) -> Iterator[str]:
    """Finished runs that lack a number which other runs of the task have."""
    finished = done(frames.runs)
    for task, of_task in finished.groupby("task", sort=False):
        for name in EXPECTED:
            lacking = of_task[of_task[name].isna()]
            if 0 < len(lacking) < len(of_task):
                yield f"{task}: {_count(lacking)} no {name}, its mean is without them: {_runs(lacking)}"
    if "score" in frames.evaluations:
        missing = frames.evaluations[frames.evaluations["score"].isna()]
        for task, group in missing.drop_duplicates("run").groupby("task", sort=False):
            yield f"{task}: {_count(group)} evaluations without a score: {_runs(group)}"


def _unequal_steps(evaluations: pd.DataFrame) -> Iterator[str]:
    """Runs evaluated at other steps than most runs of their task."""
    for task, of_task in evaluations.groupby("task", sort=False):
        steps = of_task.groupby("run", sort=False)["step"].agg(lambda column: hash(column.to_numpy().tobytes()))
        usual = steps.mode().iloc[0]
        if (steps != usual).any():
            others = of_task[of_task["run"].isin(steps.index[steps != usual])].drop_duplicates("run")
            yield f"{task}: {len(others)} of {len(steps)} runs were evaluated at other steps than most: {_runs(others)}"


def _commits(provenance: pd.DataFrame) -> Iterator[str]:
    """The versions of the code, if there are several; uncommitted changes count as a version."""
    if "commit" not in provenance:
        return
    difference = provenance["difference"] if "difference" in provenance else pd.Series(None, provenance.index)
    changed = np.where(difference.isna(), "", " with changes " + difference.astype(str).str[:6])
    build = "build " + provenance["build"].str[:7] if "build" in provenance else pd.Series(None, provenance.index)
    known = provenance["commit"].str[:7].fillna(build).fillna("unknown")
    versions: pd.Series = (known + changed).value_counts()
    if len(versions) > 1:
        yield f"computed by {len(versions)} versions of the code: " + listed(
            [f"{version} ({count} run{'s' if count > 1 else ''})" for version, count in versions.items()]
        )


def _unmatched_sources(frames: Frames) -> Iterator[str]:
    """Tasks of others that none of our finished runs have."""
    others = frames.foreign[~frames.foreign["task"].isin(done(frames.runs)["task"])]
    for source, rows in others.groupby("source", sort=False):
        yield f"runs of {source} on {listed(list(rows['task'].unique()))} are not shown: no finished run has that task"


def listed(names: Sequence[str]) -> str:
    """Names separated by commas, or by semicolons if a name contains a comma; long lists are cut."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ("; " if any(", " in name for name in names) else ", ").join(names[:LISTED]) + more


def _pairs(runs: pd.DataFrame) -> set[tuple[int, int]]:
    return set(runs[PAIRING].itertuples(index=False, name=None))


def seed_name(data_seed: int, seed: int) -> str:
    """The name of a pair of seeds: "3", or "3 on data 1" with a data seed other than 0."""
    return f"{seed} on data {data_seed}" if data_seed else f"{seed}"


def _seeds(pairs: Iterable[tuple[int, int]]) -> str:
    """Pairs of data seed and seed: "seed 301 on data 1 to 10"; seeds with the same data seeds are named together."""
    data_of: dict[int, list[int]] = {}
    for data_seed, seed in sorted(pairs):
        data_of.setdefault(seed, []).append(data_seed)
    seeds_on: dict[str, list[int]] = {}
    for seed, data_seeds in sorted(data_of.items()):
        seeds_on.setdefault(ranges(data_seeds), []).append(seed)
    return " and ".join(
        f"seed{'s' if len(seeds) > 1 else ''} {ranges(seeds)}" + (f" on data {data}" if data != "0" else "")
        for data, seeds in seeds_on.items()
    )


def ranges(numbers: Sequence[int]) -> str:
    """Ascending whole numbers, three or more in a row as a range: "0 to 4, 7, 8"."""
    pieces: list[list[int]] = []
    for number in numbers:
        if pieces and number == pieces[-1][-1] + 1:
            pieces[-1].append(number)
        else:
            pieces.append([number])
    return listed([
        name
        for piece in pieces
        for name in ([f"{piece[0]} to {piece[-1]}"] if len(piece) > 2 else [str(number) for number in piece])
    ])  # fmt: skip


def _count(runs: pd.DataFrame) -> str:
    return f"{len(runs)} finished run{'s have' if len(runs) > 1 else ' has'}"


def _runs(runs: pd.DataFrame) -> str:
    columns = zip(runs["run"], runs["arm"], runs["data_seed"], runs["seed"], strict=True)
    return listed([f"{run} ({label(arm)}, seed {seed_name(*seeds)})" for run, arm, *seeds in columns])
