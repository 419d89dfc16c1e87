"""The expected time of packs: by finished runs, a measurement or defaults; and the makespan of jobs."""

import pytest

from ablations.grids import runs_of
from algorithms.kernels import gpu
from algorithms.kernels.speed import Speed
from harness.environments.families import family
from harness.folders.run_folder import RunFolder
from harness.launching.cost import SHAPE, Costs, expected, finished_costs, makespan, measured_cost, work_of
from harness.launching.defaults import (
    COLLECTED,
    COMMAND,
    FIT,
    MAZE_INPUTS,
    MAZE_STEP,
    PROCESS,
    REFERENCE,
    UPDATES,
    Cost,
    Slowness,
    Work,
    default_cost,
)
from harness.settings import prefix_of, total_updates, with_settings
from tests.support.run_folder_factory import fail, spend, write_done

RUNS = runs_of("smoke")
# Of a machine as fast as the one on which the defaults were measured.
SAME = Slowness.of(REFERENCE)
# Of every smoke run: 400 + 600 updates, 600 environment steps, evaluations at 0, 200, 400 and 150, 300, 600.
WORK = Work(1000, 600, 6)


def test_work_by_hand():
    run = RUNS[0]
    assert total_updates(run) == 1000
    assert work_of(run) == WORK
    assert work_of(run, offline=False) == Work(600, 600, 3)
    assert work_of(prefix_of(run)) == Work(400, 0, 3)
    assert work_of(run, progress=0.75) == Work(250, 150, 1.5)
    # A run that starts from a prefix has 40% of its updates when it begins.
    assert work_of(run, offline=False, progress=0.4) == Work(600, 600, 3)
    started = with_settings(run, {"online.start": "0" * 12})
    assert work_of(started) == Work(600, 600, 3)


def test_log_spaced_evaluations_are_counted():
    run = with_settings(RUNS[0], {"schedule.log_spaced_evaluations": 5})
    assert work_of(run).evaluations == 3 + 5


def test_the_parts_of_a_cost_add_up():
    assert Cost(3.0, 0.5, 0.25, 2.0, pack=2, source="").of(Work(10, 4, 3)) == 3 + 5 + 1 + 6


def test_costs_come_from_finished_runs_of_equal_shape(tmp_path):
    """One pack of two runs, of which a core was busy for half of 80 s: every part counts twice."""
    seconds = {"update": 10.0, "environment": 3.0, "evaluation": 1.2, "checkpoint": 2.0}
    for folder in write_done(tmp_path, RUNS[:2]):
        spend(folder, wall=80.0, pack=2, seconds=seconds, processor=40.0)
    costs = Costs(RUNS, tmp_path, speed=REFERENCE)
    cost = costs.cost(RUNS[0], 2)
    start = 40 - sum(seconds.values())
    expected_cost = Cost(PROCESS + 2 * start, 2 * 12 / 1000, 2 * 3 / 600, 2 * 1.2 / 6, 2, costs.sources[0])
    for name in ("start", "update", "step", "evaluation"):
        assert getattr(cost, name) == pytest.approx(getattr(expected_cost, name)), name
    assert costs.sources == [f"2 finished runs in {tmp_path}, in packs of 2"]
    assert costs.seconds(RUNS[:2], [WORK] * 2) == pytest.approx(PROCESS + 80)
    # Twice as many runs: twice the steps and updates, one start.
    assert costs.seconds(RUNS, [WORK] * 4) == pytest.approx(PROCESS + 2 * start + 2 * (80 - 2 * start))


def test_the_nearest_pack_size_is_used(tmp_path):
    for run, pack, update in ((RUNS[0], 1, 10.0), (RUNS[1], 3, 60.0)):
        (folder,) = write_done(tmp_path, [run])
        spend(folder, wall=update, pack=pack, seconds={"update": update}, processor=update)
    fail(tmp_path, RUNS[2], "of something")
    costs = Costs(RUNS, tmp_path, speed=REFERENCE)
    for pack, update in {1: 0.01, 2: 2 * 0.01, 3: 0.06, 4: 0.08}.items():
        assert costs.cost(RUNS[0], pack).update == pytest.approx(update)


def test_a_run_that_started_from_a_prefix_counts_without_it(tmp_path):
    (folder,) = write_done(tmp_path, RUNS[:1])
    spend(folder, wall=60.0, pack=1, seconds={"update": 60.0}, processor=60.0)
    folder.write_prefix({"prefix": "0" * 12})
    ((_, cost, work),) = finished_costs(tmp_path, {SHAPE(RUNS[0])})
    assert (work, cost.update) == (Work(600, 600, 3), pytest.approx(0.1))


def test_other_shapes_only_adjust_the_defaults(tmp_path):
    other = with_settings(RUNS[1], {"algorithm.batch_size": 16})
    (folder,) = write_done(tmp_path, [other])
    before = default_cost(other, 1, SAME).of(WORK)
    spend(folder, wall=3 * before - PROCESS, pack=1, seconds={"update": 1.0}, processor=1.0)
    costs = Costs(RUNS, tmp_path, speed=REFERENCE)
    assert costs.seconds(RUNS[:1], [WORK]) == pytest.approx(3 * default_cost(RUNS[0], 1, SAME).of(WORK), rel=0.01)
    assert costs.sources == [f"defaults, adjusted by the finished runs in {tmp_path}"]


def test_runs_without_recorded_seconds_and_damaged_folders_are_passed_over(tmp_path):
    write_done(tmp_path, RUNS[:2])
    (RunFolder.of(tmp_path, RUNS[0]).path / "status.json").write_text("{")
    assert finished_costs(tmp_path, {SHAPE(RUNS[0])}) == []


def test_defaults_grow_with_what_is_computed():
    run = runs_of("floors")[0]
    seconds = default_cost(run, 1, SAME).of(work_of(run))
    for changes in ({"algorithm.critic_hidden": (256, 256)}, {"schedule.offline_steps": 100_000},
                    {"schedule.evaluation_episodes": 100}, {"algorithm.kernel": "torch"}):  # fmt: skip
        changed = with_settings(run, changes)
        assert default_cost(changed, 1, SAME).of(work_of(changed)) > seconds
    # Packs share what happens once.
    assert default_cost(run, 8, SAME).of(work_of(run)) < 8 * seconds


def test_defaults_follow_the_speed_of_the_machine():
    """Half as fast in arithmetic, a quarter as fast in all else."""
    slow = Speed(REFERENCE.arithmetic / 2, REFERENCE.interpreter / 4)
    run = runs_of("floors")[0]
    usual, slower = default_cost(run, 2, SAME), default_cost(run, 2, Slowness.of(slow))
    for name in ("start", "step", "evaluation"):
        assert getattr(slower, name) == pytest.approx(4 * getattr(usual, name)), name
    _, per_run, _ = UPDATES[run.algorithm.kernel]
    assert slower.update == pytest.approx(2 * (usual.update - 2 * per_run) + 4 * 2 * per_run)
    assert "0.5 times as fast in arithmetic, 0.25 times in Python" in slower.source
    costs = Costs([run], None, speed=slow)
    assert costs.preparation([]) == pytest.approx(4 * COMMAND)
    assert costs.cost(run, 2) == slower


def test_without_kernels_only_python_is_adjusted():
    run = runs_of("floors")[0]
    unknown = Slowness.of(Speed(None, REFERENCE.interpreter / 2))
    assert (unknown.arithmetic, unknown.other) == (1.0, 2.0)
    assert "unknown in arithmetic until the kernels are built" in default_cost(run, 1, unknown).source


def test_every_family_has_a_default(tmp_path):
    for grid in ("paper", "ogbench", "switch", "truth"):
        for run in runs_of(grid)[::7]:
            assert default_cost(run, 8, SAME).of(work_of(run)) > 1, family(run.task)


def test_a_learned_floor_is_fitted(tmp_path):
    learned = with_settings(RUNS[0], {"arm": "learned", "floor.base": "learned"})
    costs = Costs([learned], None, speed=REFERENCE)
    assert costs.seconds([learned], [WORK]) == pytest.approx(costs.seconds(RUNS[:1], [WORK]) + FIT)


def test_updates_on_a_gpu_are_estimated_from_its_rates(tmp_path):
    """Without a measurement there are assumed rates, which say so; runs on the CPU do not adjust them."""
    on_gpu = with_settings(RUNS[0], {"algorithm.kernel": "cuda"})
    for folder in write_done(tmp_path, RUNS[:1]):
        spend(folder, wall=500.0, pack=1, seconds={"update": 1.0}, processor=1.0)
    costs = Costs([on_gpu], tmp_path, speed=REFERENCE)
    rates = gpu.known_rates()
    assert costs.cost(on_gpu, 64).update == gpu.estimated_update_seconds(on_gpu.algorithm, MAZE_INPUTS, 64, rates)
    assert costs.sources == [rates.source]


def test_unknown_shapes_are_measured_on_request(tmp_path):
    cost = measured_cost(RUNS[0], 2, SAME, seconds=0.1)
    assert cost.pack == 2
    assert "short measurement on one core" in cost.source
    assert 0 < cost.update < 10
    assert 0 < cost.step < 10


def test_the_expected_time_of_packs_by_hand(tmp_path):
    """Packs of 1, 2 and 3 s on two workers: the third starts after 1 s."""
    for folder, wall in zip(write_done(tmp_path, RUNS[:1]), (1.0,), strict=True):
        spend(folder, wall=wall, pack=1, seconds={"update": 1.0}, processor=1.0)
    costs = Costs(RUNS, tmp_path, speed=REFERENCE)
    packs = [RUNS[:1], RUNS[1:2], RUNS[2:3]]
    result = expected(packs, 2, costs, before=5.0)
    one = 1 + PROCESS
    assert (result.seconds, result.core_seconds) == (pytest.approx(5 + 2 * one), pytest.approx(5 + 3 * one))
    half = expected(packs[:1], 2, costs, progress={RUNS[0].id: 0.5})
    assert half.seconds == pytest.approx(PROCESS + 0.5)


def test_missing_data_are_collected_first(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    task = RUNS[0].task
    costs = Costs([], None, speed=REFERENCE)
    assert costs.preparation([task]) == pytest.approx(COMMAND + 600 * (MAZE_STEP + COLLECTED))
    assert costs.preparation([]) == COMMAND


@pytest.mark.parametrize(
    ("seconds", "places", "end"),
    [([], 3, 0), ([5, 1, 1, 1], 1, 8), ([5, 1, 1, 1], 2, 5), ([3, 3, 3], 2, 6), ([1, 2, 3, 4], 9, 4)],
)
def test_makespan_by_hand(seconds, places, end):
    assert makespan(seconds, places) == end
