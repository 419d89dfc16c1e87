"""Training with the kernels for GPUs, on emulated CUDA graphs: the same bytes in any pack, whole and interrupted.

Blocks have 8 updates instead of 32, because an emulated recording runs every operation in Python.
"""

from itertools import count

import pytest

from ablations.grids import runs_of
from algorithms import device_replay, draws, learner
from algorithms.captured_update import CapturedUpdate
from algorithms.device_replay import DeviceReplay
from algorithms.kernels import gpu
from harness.data.dataset import ensure_dataset
from harness.folders.run_folder import RunFolder
from harness.launching.planner import commit
from harness.settings import with_settings
from harness.training import streams
from harness.training.evaluation import Evaluator
from harness.training.timing import CHECKPOINT_VARIABLE, Stop, Stopped
from harness.training.training import PackTraining, train_pack
from tests.support.packs import SHORT, interrupt
from tests.support.recorded_graphs import emulated_gpu

ARMS = ("none", "learned")

# Evaluations after 10 and 20 updates; then two episodes.
SHORTER = {**SHORT, "schedule.offline_steps": 20, "schedule.offline_interval": 10, "schedule.online_steps": 30,
           "schedule.online_interval": 30, "schedule.dense_steps": 0, "task.horizon": 15,
           "schedule.probe_states": 16}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def short_blocks():
    with pytest.MonkeyPatch.context() as patch:
        for module in (device_replay, draws, gpu, learner, streams):
            assert module.BLOCK == 32
            patch.setattr(module, "BLOCK", 8)
        yield


def folders(root, arms=ARMS, **changes) -> list[RunFolder]:
    first = runs_of("smoke")[0]
    changes = {**SHORTER, "algorithm.kernel": "cuda", **changes}
    runs = [with_settings(first, {**changes, "floor.base": base, "arm": base}) for base in arms]
    ensure_dataset(runs[0].task)
    return commit(runs, root)


def metrics(made):
    return [(folder.metrics_file.read_bytes(), folder.summary()) for folder in made]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, short_blocks):
    """Every run alone, its updates recorded and replayed."""
    made = folders(tmp_path_factory.mktemp("alone"))
    for folder in made:
        with emulated_gpu() as graphs:
            train_pack([folder])
            # Updates 0 to 7 and 8 to 9, before an evaluation, to 15, and to 19 and 49; draws of blocks 1 to 6.
            assert [graph.replays for graph in graphs] == [1, 6, 50 - 8]
    return made


def test_a_recorded_pack_has_the_bytes_of_its_runs_alone(tmp_path, alone):
    with emulated_gpu():
        packed = folders(tmp_path)
        train_pack(packed)
    assert metrics(packed) == metrics(alone)


def test_updates_that_are_not_recorded_have_the_same_bytes(tmp_path, alone, monkeypatch):
    monkeypatch.setattr(CapturedUpdate, "__call__", lambda captured, compute, *inputs: compute(*inputs))
    with emulated_gpu():
        eager = folders(tmp_path)
        train_pack(eager)
    assert metrics(eager) == metrics(alone)


def test_batches_of_the_cpu_have_the_same_bytes(tmp_path, alone, monkeypatch):
    """As where the transitions do not fit into the memory of the GPU."""
    monkeypatch.setattr(gpu, "has_room_for_replay", lambda size: False)
    with emulated_gpu() as graphs:
        made = folders(tmp_path)
        train_pack(made)
    assert metrics(made) == metrics(alone)
    assert [graph.replays for graph in graphs] == [50]
    for folder in made:
        line = "GB, more than 25% of the free memory of the GPU: the CPU sends batches"
        assert line in folder.log.read_text()


@pytest.mark.parametrize("update", [9, 31])
def test_an_interrupted_pack_goes_on_in_new_graphs(tmp_path, alone, monkeypatch, update):
    """In the offline and in the online phase."""
    stop = Stop()
    interrupt(monkeypatch, update, lambda: stop.request("SIGTERM"))
    with emulated_gpu():
        made = folders(tmp_path)
        with pytest.raises(Stopped):
            train_pack(made, stop)
        train_pack(made)
    assert metrics(made) == metrics(alone)


def test_the_rest_of_a_pack_goes_on_in_new_graphs(tmp_path, alone, monkeypatch):
    """One of two runs is cancelled."""
    monkeypatch.setenv(CHECKPOINT_VARIABLE, "0")
    monkeypatch.setattr("harness.training.pack.STATUS_INTERVAL", 0.0)
    with emulated_gpu() as graphs:
        made = folders(tmp_path)
        interrupt(monkeypatch, 12, lambda: made[0].cancel("somebody"))
        train_pack(made)
    assert metrics(made)[1] == metrics(alone)[1]
    assert [folder.status()["state"] for folder in made] == ["cancelled", "done"]
    # A draw, one update and a whole block; in the smaller pack no whole block is left.
    assert len(graphs) == 5


@pytest.fixture
def during_evaluations(monkeypatch):
    """The numbers of the first updates of the calls that were made during an evaluation."""
    numbers, running = [], []
    evaluate, update = Evaluator.evaluate, PackTraining.update

    def evaluated(*arguments):
        running.append(True)
        try:
            return evaluate(*arguments)
        finally:
            running.pop()

    def updated(training, *arguments, **named):
        if running:
            numbers.append(training.pack.updates)
        update(training, *arguments, **named)

    monkeypatch.setattr(Evaluator, "evaluate", evaluated)
    monkeypatch.setattr(PackTraining, "update", updated)
    return numbers


@pytest.mark.parametrize(("period", "expected"), [(1, [0, 8, 10, 16]), (9, [0, 10, 16]), (100, [])])
def test_updates_beside_evaluations_change_no_byte(tmp_path, alone, monkeypatch, during_evaluations, period, expected):
    """Whether the GPU has room always, at every ninth of the 15 steps of an evaluation, or never."""
    steps = count(1)
    monkeypatch.setattr(DeviceReplay, "has_room", property(lambda replay: next(steps) % period == 0))
    with emulated_gpu():
        made = folders(tmp_path)
        train_pack(made)
    assert metrics(made) == metrics(alone)
    assert during_evaluations == expected


@pytest.mark.parametrize(("update", "mark"), [(8, "000000000"), (16, "000000010")])
def test_an_evaluation_that_is_stopped_is_repeated(tmp_path, alone, monkeypatch, during_evaluations, update, mark):
    """The checkpoint is that of the mark, without the updates that were made meanwhile."""
    stop = Stop()
    interrupt(monkeypatch, update, lambda: stop.request("SIGTERM"))
    with emulated_gpu():
        made = folders(tmp_path)
        with pytest.raises(Stopped):
            train_pack(made, stop)
        assert during_evaluations[-1] == update
        assert {folder.newest_checkpoint for folder in made} == {f"{mark}-000000000-0.ckpt"}
        train_pack(made)
    assert metrics(made) == metrics(alone)
