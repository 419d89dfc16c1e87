"""Training a pack: rows, summaries, and byte-identical metrics in any pack."""

import time
from dataclasses import replace

import pytest
import torch

from ablations.grids import runs_of
from algorithms.learner import Learner
from harness.data.dataset import ensure_dataset
from harness.errors import UserError
from harness.folders.run_folder import RunFolder
from harness.folders.usage import PARTS, WORKERS_VARIABLE, parts
from harness.launching.planner import commit
from harness.settings import Schedule, with_settings
from harness.training import kernels
from harness.training.floor_columns import FloorColumns
from harness.training.online import Actors
from harness.training.recording import Recorder
from harness.training.timing import CHECKPOINT_VARIABLE, Stop, Stopped, offline_marks, online_marks
from harness.training.training import train_pack
from tests.support.packs import SHORT


def folders(root, arms=("none", "monte_carlo", "learned"), seeds=(0, 1), **changes):
    first = runs_of("smoke")[0]
    made = []
    for seed in seeds:
        for base in arms:
            run = with_settings(first, {**SHORT, "floor.base": base, "arm": base, "seed": seed, **changes})
            made.append(RunFolder.of(root, run))
            made[-1].create(run)
    ensure_dataset(first_task(made))
    return made


def first_task(folders):
    return folders[0].run().task


def test_marks():
    schedule = Schedule(
        offline_steps=50, offline_interval=20, online_steps=70, dense_interval=10, dense_steps=20, online_interval=30
    )
    assert sorted(offline_marks(schedule)) == [0, 20, 40, 50]
    assert sorted(online_marks(schedule)) == [10, 20, 30, 60, 70]
    assert offline_marks(replace(schedule, offline_steps=0)) == {0}
    assert online_marks(replace(schedule, online_steps=0)) == set()


def test_log_spaced_evaluations_replace_the_intervals():
    schedule = Schedule(online_steps=1_600, dense_interval=100, log_spaced_evaluations=5)
    assert sorted(online_marks(schedule)) == [100, 200, 400, 800, 1_600]
    assert sorted(online_marks(replace(schedule, log_spaced_evaluations=4))) == [100, 252, 635, 1_600]
    assert sorted(online_marks(replace(schedule, online_steps=50))) == [50], "never after the end"
    assert online_marks(replace(schedule, online_steps=0)) == set()


@pytest.mark.parametrize("kernel", ["fused", "torch"])
def test_metrics_are_byte_identical_in_any_pack(tmp_path, kernel):
    packed, alone = (folders(tmp_path / name, **{"algorithm.kernel": kernel}) for name in ("packed", "alone"))
    train_pack(packed)
    for folder in alone:
        train_pack([folder])
    for one, other in zip(packed, alone, strict=True):
        assert (one.path / "metrics.jsonl").read_bytes() == (other.path / "metrics.jsonl").read_bytes()
        assert one.summary() == other.summary()


def test_one_dimensional_metrics_are_byte_identical_in_any_pack(tmp_path):
    """States and actions of one number make matrix products of width 1, which torch may compute otherwise in a pack."""
    changes = {**SHORT, "task.horizon": 60, "schedule.offline_steps": 200}
    runs = [with_settings(run, changes) for run in runs_of("truth") if run.seed < 2 and run.arm in ("cql", "exact")]
    ensure_dataset(runs[0].task)
    packed, alone = commit(runs, tmp_path / "packed"), commit(runs, tmp_path / "alone")
    train_pack(packed)
    for folder in alone:
        train_pack([folder])
    for one, other in zip(packed, alone, strict=True):
        assert (one.path / "metrics.jsonl").read_bytes() == (other.path / "metrics.jsonl").read_bytes()
        assert one.metrics()[-1]["policy_gap_exact"] > 0.0


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    made = folders(tmp_path_factory.mktemp("runs"), seeds=(0,))
    train_pack(made)
    return made


def test_there_is_a_row_at_every_mark(trained):
    for folder in trained:
        marks = [(row["phase"], row["offline_step"], row["online_step"]) for row in folder.metrics()]
        offline = [("offline", step, 0) for step in (0, 40, 60)]
        assert marks == [*offline, *(("online", 60, step) for step in (20, 40, 80))]
        assert [row["updates"] for row in folder.metrics()] == [0, 40, 60, 80, 100, 140]
        assert folder.status()["state"] == "done"


def test_arms_of_a_seed_start_equal_and_diverge_through_their_floors(trained):
    cql, calibrated, learned = (folder.metrics() for folder in trained)
    assert cql[0]["score"] == calibrated[0]["score"]
    assert cql[0]["q_data"] == calibrated[0]["q_data"] == learned[0]["q_data"]
    assert cql[2]["q_data"] != calibrated[2]["q_data"]
    assert cql[2]["bound_rate_current"] == 0.0


def test_the_learned_floors_error_is_in_the_summary(trained):
    cql, _, learned = (folder.summary() for folder in trained)
    assert cql["learned_floor"] is None
    assert learned["learned_floor"]["held_out_rmse"] > 0.0


def test_a_learned_floor_can_keep_learning(tmp_path):
    """The floor is inflated so far that it binds within these few updates."""

    def rows(name, keeps_learning, seeds):
        changes = {"floor.keeps_learning": keeps_learning, "floor.inflation": 1.0}
        made = folders(tmp_path / name, arms=("learned",), seeds=seeds, **changes)
        train_pack(made)
        return made[0].metrics()

    packed, alone, frozen = rows("packed", True, (0, 1)), rows("alone", True, (0,)), rows("frozen", False, (0,))
    assert alone == packed
    assert alone[:3] == frozen[:3]
    assert alone[-1]["q_data"] != frozen[-1]["q_data"]


def test_packs_of_a_root_share_the_fit_of_a_learned_floor(tmp_path):
    def metrics(name, **changes):
        (folder,) = folders(tmp_path / name, arms=("learned",), seeds=(0,), **changes)
        train_pack([folder])
        return folder.metrics_file.read_bytes()

    alone = metrics("alone", **{"floor.inflation": 0.5})
    metrics("shared")
    assert metrics("shared", **{"floor.inflation": 0.5}) == alone
    assert len(list((tmp_path / "shared" / "learned_floors").iterdir())) == 1


def test_a_floor_can_end_with_the_offline_phase(tmp_path, trained):
    made = folders(tmp_path, arms=("monte_carlo",), seeds=(0,), **{"floor.active_online": False})
    train_pack(made)
    rows, kept = made[0].metrics(), trained[1].metrics()
    assert rows[2]["q_data"] == kept[2]["q_data"]
    assert kept[-1]["bound_rate_current"] > 0.0
    assert rows[-1]["bound_rate_current"] == 0.0
    assert rows[-1]["floor_mean"] is None


@pytest.mark.parametrize(
    ("block", "updates"),
    # Every step; after 50 steps and at the end; after episodes of 30 steps, none of which reaches the goal.
    [(1, [80, 100, 140]), (50, [60, 60, 140]), (None, [60, 90, 140])],
)
def test_updates_can_be_made_in_blocks(tmp_path, block, updates):
    made = folders(tmp_path, arms=("none",), seeds=(0,), **{"schedule.update_block": block})
    train_pack(made)
    rows = made[0].metrics()
    assert rows[-1]["train_successes"] == 0
    assert [row["updates"] for row in rows if row["phase"] == "online"] == updates
    assert (rows[-3]["td_error"] is None) == (block != 1), "no updates since the last row"


def test_batches_can_be_sampled_from_all_transitions(tmp_path, trained):
    made = folders(tmp_path, arms=("none",), seeds=(0,), **{"schedule.mixing_ratio": None})
    train_pack(made)
    rows, half = made[0].metrics(), trained[0].metrics()
    assert rows[:3] == half[:3]
    assert rows[-1]["q_data"] != half[-1]["q_data"]


def test_runs_that_train_alone_are_not_packed(tmp_path):
    with pytest.raises(UserError, match=r"schedule.update_block = none: such runs train alone"):
        train_pack(folders(tmp_path, arms=("none",), **{"schedule.update_block": None}))


def test_a_diverged_run_fails_alone(tmp_path):
    healthy = folders(tmp_path / "healthy", arms=("none",), seeds=(0,))
    train_pack(healthy)
    mixed = folders(tmp_path / "mixed", arms=("none",), seeds=(0,))
    doomed = folders(tmp_path / "mixed", arms=("none",), seeds=(1,), **{"algorithm.critic_learning_rate": 1e30})
    train_pack(mixed + doomed)
    assert doomed[0].status()["state"] == "failed"
    assert "not finite" in doomed[0].status()["reason"]
    assert doomed[0].summary() is None
    assert (mixed[0].path / "metrics.jsonl").read_bytes() == (healthy[0].path / "metrics.jsonl").read_bytes()


def test_a_pack_that_exhausts_the_gpu_goes_on_in_halves(tmp_path, trained, monkeypatch):
    """Memory for two runs is exhausted in the online phase: 3 runs become 2 and 1, from their checkpoints."""
    sizes = []
    update = Learner.update

    def scarce(learner, batch, noise, with_policy):
        runs = len(batch.states)
        sizes.append(runs)
        if runs > 2 and learner.counters["updates"] > 80:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return update(learner, batch, noise, with_policy)

    monkeypatch.setattr(Learner, "update", scarce)
    monkeypatch.setenv(CHECKPOINT_VARIABLE, "0")
    made = folders(tmp_path, seeds=(0,))
    train_pack(made)
    assert (sizes.count(3), sizes.count(2), sizes.count(1)) == (82, 140 - 81, 140 - 81)
    for folder, alone in zip(made, trained, strict=True):
        assert folder.metrics_file.read_bytes() == alone.metrics_file.read_bytes()
        assert "the memory of the GPU is exhausted with 3 runs; going on with 2" in folder.log.read_text()


def test_environments_in_processes_change_no_byte(tmp_path, trained, monkeypatch):
    """Also after an interruption in the middle of an online episode."""
    monkeypatch.setenv(WORKERS_VARIABLE, "1")
    monkeypatch.setattr(kernels, "is_quick", lambda task: False)
    monkeypatch.setattr(kernels, "usable_cores", lambda: 2)
    made, stop = folders(tmp_path, seeds=(0,)), Stop()
    step, steps = Actors.step, []

    def interrupted(actors, learner, number):
        assert actors._environments.processes == 2
        steps.append(number)
        if number == 45:
            stop.request("SIGTERM")
        return step(actors, learner, number)

    monkeypatch.setattr(Actors, "step", interrupted)
    with pytest.raises(Stopped):
        train_pack(made, stop)
    train_pack(made)
    assert steps == list(range(80))
    for folder, alone in zip(made, trained, strict=True):
        assert folder.metrics_file.read_bytes() == alone.metrics_file.read_bytes()


def test_a_single_run_that_exhausts_the_gpu_is_left(tmp_path, monkeypatch):
    def scarce(learner, batch, noise, with_policy):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Learner, "update", scarce)
    with pytest.raises(torch.OutOfMemoryError):
        train_pack(folders(tmp_path, arms=("none",), seeds=(0,)))


def test_runs_of_other_shapes_are_refused(tmp_path):
    made = folders(tmp_path, arms=("none",), seeds=(0,))
    made += folders(tmp_path, arms=("none",), seeds=(1,), **{"algorithm.batch_size": 16})
    with pytest.raises(UserError, match="equal shapes"):
        train_pack(made)


ONLINE = {
    "push-down off": {"online.alpha": 0.0},
    "decay": {"online.alpha": 0.5, "online.alpha_decay": 0.5},
    "shift": {"online.critic_shift": 0.25},
    "recalibration": {"online.recalibrate": True},
    "new critics": {"online.new_critics": True},
}


def test_online_settings_are_byte_identical_in_any_pack(tmp_path):
    """Runs whose online settings differ share a pack, and resume, without changing each other."""
    runs = [folders(tmp_path / "runs", arms=("none",), seeds=(0,))[0].run()]
    runs += [with_settings(runs[0], {**changes, "arm": arm.replace(" ", "-")}) for arm, changes in ONLINE.items()]
    packed, alone = commit(runs, tmp_path / "packed"), commit(runs, tmp_path / "alone")
    train_pack(packed)
    for folder in alone:
        train_pack([folder])
    for one, other in zip(packed, alone, strict=True):
        assert (one.path / "metrics.jsonl").read_bytes() == (other.path / "metrics.jsonl").read_bytes()
    metrics = [folder.metrics() for folder in packed]
    offline = [[row for row in rows if row["phase"] == "offline"] for rows in metrics]
    assert all(rows == offline[0] for rows in offline)
    assert len({folder.metrics_file.read_bytes() for folder in packed}) == len(packed)


def test_a_shift_moves_all_values_by_its_dose(tmp_path):
    """Without updates after the switch, every value is higher by the dose times the return range."""
    still = {"schedule.updates_per_step": 0, "online.critic_shift": 0.5}
    (folder,) = folders(tmp_path, arms=("monte_carlo",), seeds=(0,), **still)
    train_pack([folder])
    rows = folder.metrics()
    switch, last = [row for row in rows if row["phase"] == "offline"][-1], rows[-1]
    shift = last["q_data"] - switch["q_data"]
    assert shift > 1.0
    for name in ("q_policy", "q_uniform", "calibration_policy"):
        assert last[name] - switch[name] == pytest.approx(shift, abs=1e-3)


def test_recalibration_removes_the_bias_at_first_states(tmp_path):
    still = {"schedule.updates_per_step": 0, "online.recalibrate": True}
    (folder,) = folders(tmp_path, arms=("none",), seeds=(0,), **still)
    train_pack([folder])
    rows = folder.metrics()
    switch = [row for row in rows if row["phase"] == "offline"][-1]
    assert abs(switch["calibration_policy"]) > 1.0
    assert rows[-1]["calibration_policy"] == pytest.approx(0.0, abs=1e-3)


def test_new_critics_begin_near_zero_with_the_same_policy(tmp_path):
    """Output weights are small (gain 0.01), so that new critics know nothing, while the policy and its score stay."""
    still = {"schedule.updates_per_step": 0, "online.new_critics": True}
    (folder,) = folders(tmp_path, arms=("none",), seeds=(0,), **still)
    train_pack([folder])
    rows = folder.metrics()
    switch = [row for row in rows if row["phase"] == "offline"][-1]
    assert abs(switch["q_policy"]) > 1.0
    assert abs(rows[-1]["q_policy"]) < 0.1
    assert rows[-1]["episode_return"] == switch["episode_return"]


def test_critics_can_be_updated_alone_after_the_switch(tmp_path):
    """Of 40 online updates, 30 leave the policy as it is: its evaluations repeat until then."""
    alone = {"online.critic_updates": 30, "schedule.online_interval": 10, "schedule.dense_interval": 10}
    (folder,) = folders(tmp_path, arms=("none",), seeds=(0,), **{**alone, "schedule.online_steps": 40})
    train_pack([folder])
    rows = folder.metrics()
    switch = [row for row in rows if row["phase"] == "offline"][-1]
    online = {row["online_step"]: row for row in rows if row["phase"] == "online"}
    assert [online[step]["updates"] - switch["updates"] for step in (10, 30, 40)] == [10, 30, 40]
    returns = [online[step]["episode_return"] for step in (10, 20, 30)]
    assert returns == [switch["episode_return"]] * 3
    assert online[10]["q_policy"] != switch["q_policy"]
    assert online[30]["policy_loss"] is None
    assert online[40]["policy_loss"] is not None
    assert online[40]["episode_return"] != switch["episode_return"]


def test_no_updates_during_the_warmup(tmp_path):
    (folder,) = folders(tmp_path, arms=("none",), seeds=(0,), **{"online.warmup_horizons": 2})
    train_pack([folder])
    updates = {row["online_step"]: row["updates"] for row in folder.metrics() if row["phase"] == "online"}
    assert (updates[40], updates[80]) == (60, 80)


def test_an_attempt_records_what_its_time_was_spent_on(tmp_path):
    made = folders(tmp_path, arms=("none",), seeds=(0, 1))
    for folder in made:
        assert folder.begin_attempt({"pack_size": 2})
    train_pack(made)
    for folder in made:
        folder.end_attempt("done")
        [account] = folder.provenance()["attempts"]
        spent = account["seconds"]
        assert set(spent) == {"update", "environment", "evaluation", "checkpoint"}
        assert 0.0 < sum(spent.values()) < account["ended"] - account["started"]
        assert account["processor_seconds"] > 0.0
        assert set(parts([account])) == set(PARTS)


def test_finishing_episodes_counts_for_the_environment_and_writing_them_for_checkpoints(tmp_path, monkeypatch):
    """By a clock that advances by a second for each episode, and by a hundred for each time that they are written."""
    now = [0.0]
    monkeypatch.setattr(time, "process_time", lambda: now[0])

    def let_pass(seconds, owner, name):
        method = getattr(owner, name)

        def timed(*arguments):
            now[0] += seconds
            return method(*arguments)

        monkeypatch.setattr(owner, name, timed)

    let_pass(1.0, FloorColumns, "append")
    let_pass(100.0, Recorder, "append_transitions")
    made = folders(tmp_path, arms=("none",), seeds=(0, 1))
    train_pack(made)
    episodes = sum(folder.metrics()[-1]["train_episodes"] for folder in made)
    assert episodes >= 4
    expected = {"update": 0.0, "environment": episodes, "evaluation": 0.0, "checkpoint": 200.0}
    assert [folder.effort.seconds for folder in made] == [expected] * 2
