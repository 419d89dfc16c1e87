"""Which runs can be averaged over tasks: arms are only compared where each of them has runs."""

import pandas as pd

from results.style import in_order


def common(finished: pd.DataFrame, baseline: str | None = None, fewest: int = 1) -> tuple[list[str], list[str]]:
    """Tasks and arms such that every arm has finished runs on each of the tasks; empty lists where there are none.

    Of the sets of tasks that an arm has (with `baseline`: shares with it), of at least `fewest` tasks, that which
    takes in most pairs of a task and an arm, and of several such the one of most tasks: grids of other tasks and arms
    in the same folder do not narrow what is compared. With `baseline`, that arm is one of the arms.
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
