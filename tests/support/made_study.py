"""A study with synthetic runs: their scores follow from their settings, so a search takes a second.

`python -m tests.support.made_study ROOT TRIALS [URL]` is a driver of it, slow enough to be killed in the middle.
"""

import sys
import time
from collections.abc import Callable, Sequence
from math import log10
from pathlib import Path

from optuna.distributions import CategoricalDistribution, FloatDistribution

from ablations.studies import runs_of_arms
from harness.folders.run_folder import RunFolder
from harness.settings import Run
from harness.tuning.driver import Driver
from harness.tuning.storage import folder_of, open_storage
from harness.tuning.study import Study

STUDY = Study(
    name="made",
    runs=runs_of_arms("smoke", "demo", "cql", "monte_carlo"),
    space={
        "algorithm.alpha": FloatDistribution(0.1, 100.0, log=True),
        "algorithm.backup_entropy": CategoricalDistribution([False, True]),
    },
    seeds=(1000, 1001),
    trials=12,
)

# Alpha with the best score.
BEST_ALPHA = 3.0


def score(run: Run) -> float:
    """Best at an alpha of 3, the same order for every seed."""
    return 1.0 - 0.3 * abs(log10(run.algorithm.alpha / BEST_ALPHA)) + 0.01 * (run.seed % 10)


def write_run(root: Path, run: Run) -> None:
    """Begin and finish a run, unless it is done."""
    folder = RunFolder.of(root, run)
    folder.create(run)
    if folder.status()["state"] == "done":
        return
    assert folder.begin_attempt({"launcher": "made"})
    folder.write_status("running", progress=0.0)
    folder.finish({"final_score": score(run)})
    folder.write_status("done", progress=1.0)
    folder.end_attempt("done")


def compute(runs: Sequence[Run], root: Path, watch: Callable[[], None], pause: float = 0.0) -> None:
    """Write the folders of runs."""
    for run in runs:
        time.sleep(pause)
        write_run(root, run)
        watch()


def make_driver(
    root: Path, study: Study = STUDY, batch: int = 4, trials: int | None = None, url: str | None = None
) -> Driver:
    """A driver with the study's journal, or a database."""
    return Driver(study, root, open_storage(folder_of(root, study.name), url), trials, batch)


def outcome(driver: Driver) -> dict[str, list[tuple]]:
    """The settings and values of the counted trials, by arm, in order."""
    return {
        arm: [(trial.state.name, trial.value, *trial.params.values()) for trial in search.trials()]
        for arm, search in driver.searches.items()
    }


if __name__ == "__main__":
    slow = make_driver(Path(sys.argv[1]), trials=int(sys.argv[2]), url=next(iter(sys.argv[3:]), None))
    print("driving", flush=True)
    sys.exit(0 if slow.run(lambda runs, place, watch: compute(runs, place, watch, pause=0.01)) else 1)
