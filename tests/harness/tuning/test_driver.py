"""Drivers use exactly the budget, alone, together and when killed."""

import random
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from harness.errors import UserError
from harness.files import read_json
from harness.folders import attempts
from harness.folders.run_folder import RunFolder, run_folders
from harness.tuning.storage import acquire_leases
from tests.support.made_study import BEST_ALPHA, STUDY, compute, make_driver, outcome, score, write_run
from tests.support.waiting import wait_until


def start(root, trials=12):
    command = [sys.executable, "-m", "tests.support.made_study", str(root), str(trials)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The study of a driver that is not interrupted."""
    driver = make_driver(tmp_path_factory.mktemp("uninterrupted"))
    assert driver.run(compute)
    return driver


def test_every_arm_has_its_budget_and_the_values_are_means_over_seeds(uninterrupted):
    for arm, search in uninterrupted.searches.items():
        trials = search.trials()
        assert len(trials) == len(search.study.trials) == 12
        assert {trial.state.name for trial in trials} == {"COMPLETE"}
        assert trials[0].params == {"algorithm.alpha": 20.0, "algorithm.backup_entropy": False}
        for trial in trials:
            scores = [score(run) for run in STUDY.runs_of_trial(arm, trial.params)]
            assert trial.value == pytest.approx(sum(scores) / 2)
        assert 0.5 < search.best().params["algorithm.alpha"] / BEST_ALPHA < 2.0


def test_a_larger_budget_continues_and_a_finished_study_computes_nothing(tmp_path):
    make_driver(tmp_path, trials=3).run(compute)
    begun = outcome(make_driver(tmp_path))
    driver = make_driver(tmp_path, trials=5)
    driver.run(compute)
    assert {arm: trials[:3] for arm, trials in outcome(driver).items()} == begun
    assert {arm: len(trials) for arm, trials in outcome(driver).items()} == {"cql": 5, "monte_carlo": 5}

    def refuse(runs, root, watch):
        raise AssertionError("nothing is left to compute")

    assert make_driver(tmp_path, trials=5).run(refuse)


def test_a_failed_run_fails_its_trial_and_the_search_continues(tmp_path):
    def diverge(runs, root, watch):
        for run in runs:
            if run.algorithm.alpha > 10.0 and run.seed == 1001:
                folder = RunFolder.of(root, run)
                folder.create(run)
                folder.write_status("failed", reason="parameters not finite at update 3")
            else:
                write_run(root, run)

    driver = make_driver(tmp_path)
    assert driver.run(diverge)
    for search in driver.searches.values():
        states = {trial.params["algorithm.alpha"] > 10.0: trial.state.name for trial in search.trials()}
        assert states == {True: "FAIL", False: "COMPLETE"}
        assert len(search.trials()) == 12


def test_unfinished_runs_are_left_to_the_next_driver(tmp_path, uninterrupted):
    def half(runs, root, watch):
        compute(runs[: len(runs) // 2], root, watch)

    assert not make_driver(tmp_path).run(half)
    driver = make_driver(tmp_path)
    assert driver.run(compute)
    assert outcome(driver) == outcome(uninterrupted)


def test_the_ledger_has_a_row_per_trial(uninterrupted):
    ledger = read_json(uninterrupted.folder / "trials.json")
    assert (ledger["study"], ledger["budget"], ledger["objective"]) == ("made", 12, "final_score")
    assert [(row["arm"], row["number"]) for row in ledger["trials"]] == [
        (arm, number) for arm in ("cql", "monte_carlo") for number in range(12)
    ]
    assert {len(row["runs"]) for row in ledger["trials"]} == {2}
    # 400 gradient steps offline and 600 online, two seeds.
    assert {row["updates"] for row in ledger["trials"]} == {2000}


def test_another_definition_in_the_same_folder_is_an_error(uninterrupted):
    root = uninterrupted.folder.parent.parent
    with pytest.raises(UserError, match=r"was created with different arms, seeds; choose another --root"):
        make_driver(root, replace(STUDY, seeds=(1000, 1002)))


def test_a_lease_has_one_living_driver(tmp_path):
    (first,) = acquire_leases(tmp_path)
    (second,) = acquire_leases(tmp_path)
    assert (first.folder.parent.name, second.folder.parent.name) == ("1", "2")
    first.end("done")
    second.end("done")
    again = acquire_leases(tmp_path)
    assert [lease.folder.parent.name for lease in again] == ["1", "2"]
    assert all(attempts.latest_attempt(lease.folder.parent).is_alive(time.time()) for lease in again)


def disturb(root, kills, seed):
    """Kill drivers at random times, then let one finish; returns it and the number of kills during work."""
    rng, killed = random.Random(seed), 0
    while killed < kills:
        process = start(root)
        process.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.6))
        process.kill()
        killed += process.wait() == -9
        process.stdout.close()
        if process.returncode == 0:
            break
    driver = make_driver(root)
    assert driver.run(compute)
    return driver, killed


def check_same(driver, uninterrupted):
    assert outcome(driver) == outcome(uninterrupted)
    computed = [folder.id for folder in run_folders(driver.runs_root)]
    wanted = [
        id
        for search in driver.searches.values()
        for trial in search.trials()
        for id in trial.user_attrs["marks"]["runs"]
    ]
    assert sorted(computed) == sorted(wanted)
    assert len(set(wanted)) == 2 * 2 * 12
    for folder in run_folders(driver.runs_root):
        assert folder.status()["state"] == "done"
        # No done run was started again; its last owner may have been killed before it ended its attempt.
        *before, last = [attempt["reason"] for attempt in attempts.history(folder.path)]
        assert "done" not in before
        assert last == "done" or last.startswith("lost")


def test_killed_drivers_lose_nothing_and_count_nothing_twice(tmp_path, uninterrupted):
    driver, killed = disturb(tmp_path, kills=3, seed=0)
    assert killed >= 1
    check_same(driver, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 21))
def test_killed_drivers_lose_nothing_twenty_times(tmp_path, uninterrupted, seed):
    check_same(disturb(tmp_path, kills=3, seed=seed)[0], uninterrupted)


def test_two_drivers_share_a_study(tmp_path):
    """Exactly the budget is used, no run is computed twice, and both leases have trials."""
    processes = [start(tmp_path, trials=15) for _ in range(2)]
    wait_until(lambda: all(process.poll() is not None for process in processes), 240)
    for process in processes:
        process.stdout.close()
    assert [process.returncode for process in processes] == [0, 0]
    driver = make_driver(tmp_path)
    leases = set()
    for search in driver.searches.values():
        assert len(search.trials()) == len(search.study.trials) == 15
        assert {trial.state.name for trial in search.trials()} == {"COMPLETE"}
        leases |= {trial.user_attrs["marks"]["seat"] for trial in search.trials()}
    assert leases == {1, 2}
    folders = list(run_folders(driver.runs_root))
    assert len(folders) == 2 * 15 * 2
    assert all(len(attempts.history(folder.path)) == 1 for folder in folders)
