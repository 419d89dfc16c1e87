"""Clusters for tests. A test that breaks something on a shared cluster repairs it before it ends."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.data.dataset import ensure_dataset
from harness.training.timing import CHECKPOINT_VARIABLE
from tests.support.slurm.grids import FORTY, SMOKE, Grid, compute_here
from tests.support.testcluster import packages
from tests.support.testcluster.cluster import FOREIGN_VARIABLES, Cluster, take_down_abandoned
from tests.support.testcluster.configuration import Settings


@pytest.fixture(scope="session")
def installed() -> None:
    """Skip tests with a warning if SLURM is missing; stop clusters of killed sessions."""
    if missing := packages.missing():
        reason = f"SKIPPED: this test needs SLURM; missing: {' '.join(missing)}; install with make slurm-test"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    take_down_abandoned()


@pytest.fixture
def folder(installed, tmp_path_factory) -> Iterator[Path]:
    """A directory for a test's cluster, with a short name as sockets require."""
    folder = tmp_path_factory.mktemp("own")
    yield folder
    Cluster(folder).down()


@pytest.fixture(scope="session")
def cluster(installed, tmp_path_factory) -> Iterator[Cluster]:
    """A cluster of two nodes, each with 8 processors and 4 GPUs, with accounting."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def cluster_without_accounting(installed, tmp_path_factory) -> Iterator[Cluster]:
    """Another cluster without accounting; arrays have at most 10 tasks."""
    with Cluster(tmp_path_factory.mktemp("plain"), Settings(accounting=False, max_array_size=10)) as cluster:
        yield cluster


@pytest.fixture
def at_cluster(cluster, monkeypatch) -> None:
    """Select the cluster for SLURM's commands."""
    for name in os.environ:
        if name.startswith(FOREIGN_VARIABLES):
            monkeypatch.delenv(name)
    for name, value in cluster.variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def at_this_cluster(cluster) -> Iterator[None]:
    """Select the cluster for the tests of a module, with frequent checkpoints."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**cluster.variables, CHECKPOINT_VARIABLE: "0.1"}.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(
    scope="session",
    params=[pytest.param(SMOKE, id=SMOKE.name), pytest.param(FORTY, id=FORTY.name, marks=pytest.mark.slow)],
)
def grid(request) -> Grid:
    """The grid of a scenario."""
    return request.param


@pytest.fixture(scope="session")
def reference(installed, grid, minari_folder, tmp_path_factory) -> dict[str, bytes]:
    """The metrics of the grid from the local pool."""
    ensure_dataset(grid.runs[0].task)
    return compute_here(grid.runs, tmp_path_factory.mktemp("reference"))
