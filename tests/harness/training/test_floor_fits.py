"""Fits of learned floors that runs share."""

import threading
from dataclasses import replace

import pytest
import torch

from harness.settings import Run, Task, with_settings
from harness.training.floor_columns import FloorColumns
from harness.training.floor_fits import FitStore, FloorFit, fit_key
from harness.training.transitions import Transitions
from tests.support.trajectories import dataset, trajectory

TASK = Task(name="hand-made", environment="none", horizon=10, failure_reward=-1.0, discount=0.5)
DATA = dataset(*(trajectory(start, 5, terminated=start % 4 != 0) for start in range(40)))
RUN = with_settings(Run(TASK, "arm", 0), {"floor.base": "learned", "behaviour_value.max_steps": 60})


def run_of(seed=0, **settings):
    return with_settings(RUN, {"seed": seed, **{name.replace("__", "."): value for name, value in settings.items()}})


def columns_of(*runs, store=None):
    """The floors [R, N] of the dataset."""
    transitions = Transitions(DATA, len(runs), capacity=10)
    floors = FloorColumns(runs, DATA, transitions, store=store)
    return transitions.floor[:, : transitions.offline], floors.fit_reports


def zeros(store, run):
    """Store parameters of 0 as the fit of a run: its floor is then the mean return everywhere."""
    key = fit_key(run, DATA.content_hash)
    fit = store.load([key])[key]
    store.save({key: FloorFit(torch.zeros_like(fit.parameters), replace(fit.report, steps=0))})


@pytest.mark.parametrize("estimator", ["regression", "out_of_fold", "td", "ensemble", "success_only"])
def test_a_shared_fit_has_the_bytes_of_a_runs_own(tmp_path, estimator):
    store, run = FitStore(tmp_path), run_of(behaviour_value__estimator=estimator)
    alone, reports = columns_of(run)
    columns_of(run_of(1, behaviour_value__estimator=estimator), run, store=store)
    shared, shared_reports = columns_of(run, store=store)
    assert torch.equal(shared, alone)
    assert shared_reports == reports


def test_runs_of_a_pack_share_a_fit_and_other_packs_use_it(tmp_path):
    store = FitStore(tmp_path)
    plain, inflated = run_of(), run_of(arm="other", floor__inflation=0.25)
    (first, second, _), reports = columns_of(plain, inflated, run_of(1), store=store)
    assert len(list(store.folder.iterdir())) == 2
    assert reports[0] == reports[1] != reports[2]
    raised = float((second - first).mean())
    assert torch.allclose(second - first, torch.tensor(raised))
    zeros(store, plain)
    (used, fitted), _ = columns_of(inflated, run_of(2), store=store)
    assert used.unique().numel() == 1, "the stored fit"
    assert fitted.unique().numel() > 1


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"behaviour_value.max_steps": 61},
        {"behaviour_value.trajectories": 0.5},
        {"floor.truncation": "sum"},
        {"task.discount": 0.6},
        {"task.failure_reward": -2.0},
    ],
)
def test_another_fit_has_another_key(changes):
    assert fit_key(with_settings(RUN, changes), "data") != fit_key(RUN, "data")


def test_what_does_not_affect_the_fit_is_not_in_its_key():
    changes = {"arm": "other", "floor.inflation": 1.0, "floor.keeps_learning": True, "algorithm.alpha": 1.0}
    assert fit_key(with_settings(RUN, changes), "data") == fit_key(RUN, "data")
    assert fit_key(RUN, "other data") != fit_key(RUN, "data")


@pytest.mark.parametrize("content", [b"", b"not a fit", None])
def test_a_damaged_or_unfinished_fit_is_repeated(tmp_path, content):
    store = FitStore(tmp_path)
    column, _ = columns_of(RUN, store=store)
    (file,) = store.folder.glob("*/*.ckpt")
    intact = file.read_bytes()
    file.write_bytes(intact[:-20] if content is None else content)
    assert torch.equal(columns_of(RUN, store=store)[0], column)
    assert file.read_bytes() == intact


def test_a_worker_waits_for_the_fit_of_another(tmp_path):
    """The other worker stores a recognisable fit while this one waits, so that a second fit would be seen."""
    store, columns = FitStore(tmp_path), []
    columns_of(RUN, store=store)
    with store.reserved([fit_key(RUN, DATA.content_hash)]):
        worker = threading.Thread(target=lambda: columns.append(columns_of(RUN, store=store)[0]))
        worker.start()
        worker.join(0.2)
        zeros(store, RUN)
    worker.join()
    assert columns[0].unique().numel() == 1


def test_without_a_writable_folder_every_worker_fits_its_own(tmp_path):
    (tmp_path / "file").touch()
    assert torch.equal(columns_of(RUN, store=FitStore(tmp_path / "file"))[0], columns_of(RUN)[0])
