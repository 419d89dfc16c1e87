"""Golden run ids and metrics: a refactoring must change neither.

`golden_runs/` holds the metrics of one tiny run per arm and kernel. Regenerate the files with
`python -m tests.harness.training.test_golden_runs`, and only when the numbers are meant to change.
"""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import pandas as pd
import pytest

from ablations.arms import with_arm
from ablations.grids import GRIDS, runs_of
from harness.data.dataset import ensure_dataset
from harness.folders.provenance import machine
from harness.folders.run_folder import RunFolder
from harness.settings import Run, with_settings
from harness.training.training import train_pack
from harness.watching.row_differences import difference_beyond_tolerances, difference_of_bytes
from results.publishing.published_runs import PUBLISHED

GOLDEN = Path(__file__).parent / "golden_runs"
KERNELS = ("fused", "torch")
ARMS = ("cql", "monte_carlo", "learned_online", "official")


def golden_run(arm: str, kernel: str) -> Run:
    """A run of the grid `smoke` with another arm and kernel."""
    run = with_arm(runs_of("smoke")[0], arm)
    return with_settings(run, {"algorithm.kernel": kernel}, source="golden run")


def train(arm: str, kernel: str, root: Path) -> bytes:
    """The metrics of a golden run, trained now."""
    run = golden_run(arm, kernel)
    ensure_dataset(run.task)
    folder = RunFolder.of(root, run)
    folder.create(run)
    folder.begin_attempt({"launcher": "test"})
    train_pack([folder])
    return folder.metrics_file.read_bytes()


def processor() -> str:
    """The type of this machine's processor."""
    return str(machine()["processor"])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("arm", ARMS)
def test_metrics_match_the_golden_files(arm, kernel, tmp_path):
    golden = (GOLDEN / f"{arm}.{kernel}.jsonl").read_bytes()
    metrics = train(arm, kernel, tmp_path)
    if processor() == (GOLDEN / "processor.txt").read_text().strip():
        assert difference_of_bytes(golden, metrics) is None
    else:
        rows = [[json.loads(line) for line in text.splitlines()] for text in (golden, metrics)]
        assert difference_beyond_tolerances(*rows) is None


@pytest.mark.parametrize("grid", ["study", "floors", "truncation", "implementation"])
def test_run_ids_match_the_published_runs(grid):
    published = pd.read_parquet(PUBLISHED / "runs.parquet")
    arm_of = dict(zip(published["run"], published["arm"], strict=True))
    runs = runs_of(grid)
    assert {run.id: run.arm for run in runs}.items() <= arm_of.items()


def test_run_ids_of_every_grid_match_the_golden_file():
    golden = json.loads((GOLDEN / "ids.json").read_text())
    assert {name: ids_of(name) for name in golden} == golden


def ids_of(grid_and_scale: str) -> str:
    """A hash of the ids of a grid's runs, in their order."""
    grid, scale = grid_and_scale.split("/")
    return hashlib.sha256(" ".join(run.id for run in runs_of(grid, scale)).encode()).hexdigest()[:16]


def write() -> None:
    """Replace all golden files."""
    shutil.rmtree(GOLDEN, ignore_errors=True)
    GOLDEN.mkdir()
    (GOLDEN / "processor.txt").write_text(processor() + "\n")
    ids = {f"{grid}/{scale}": ids_of(f"{grid}/{scale}") for grid in GRIDS for scale in ("demo", "paper")}
    (GOLDEN / "ids.json").write_text(json.dumps(ids, indent=1) + "\n")
    for kernel in KERNELS:
        for arm in ARMS:
            with tempfile.TemporaryDirectory() as root:
                (GOLDEN / f"{arm}.{kernel}.jsonl").write_bytes(train(arm, kernel, Path(root)))


if __name__ == "__main__":
    write()
