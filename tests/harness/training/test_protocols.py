"""WSRL, RLPD's protocol and SAC from scratch: byte-identical alone, in a pack and after interruptions."""

import pytest

from ablations.arms import with_arm
from ablations.grids import runs_of
from harness.data.dataset import ensure_dataset
from harness.folders.run_folder import RunFolder
from harness.launching.planner import commit
from harness.launching.preflight import check_settings
from harness.settings import with_settings
from harness.training.training import train_pack
from tests.harness.training.test_recording import train_in_pieces
from tests.harness.training.test_training import SHORT

# An episode of warm-up leaves 50 of 80 steps with updates.
TINY = {**SHORT, "online.warmup_horizons": 1}


def folders(root, arm, seeds=(0,)) -> list[RunFolder]:
    """Folders of short runs of an arm."""
    runs = []
    for seed in seeds:
        run = with_arm(runs_of("smoke")[0], arm)
        offline = {"schedule.offline_steps": run.schedule.offline_steps and TINY["schedule.offline_steps"]}
        runs.append(with_settings(run, {**TINY, **offline, "seed": seed}))
    check_settings(runs)
    ensure_dataset(runs[0].task)
    return commit(runs, root)


@pytest.fixture(scope="module", params=["wsrl", "rlpd_like", "sac_online"])
def trained(request, tmp_path_factory):
    """An arm and a finished run of it."""
    made = folders(tmp_path_factory.mktemp("runs"), request.param)
    train_pack(made)
    return request.param, made[0]


def test_updates_start_after_the_warmup_and_come_in_blocks(trained):
    arm, folder = trained
    rows = folder.metrics()
    offline = 60 if arm == "wsrl" else 0
    per_step = 1 if arm == "sac_online" else 4
    updates = [row["updates"] - offline for row in rows if row["phase"] == "online"]
    assert updates == [0, 10 * per_step, 50 * per_step]
    last = rows[-1]
    assert last["policy_loss"] is not None
    assert last["entropy_temperature"] < 1.0
    assert folder.summary()["final_score"] is not None


def test_sac_from_scratch_begins_with_the_evaluation_of_an_untrained_policy(trained):
    arm, folder = trained
    phases = [row["phase"] for row in folder.metrics()]
    assert phases.count("offline") == (3 if arm == "wsrl" else 1)


def test_metrics_are_byte_identical_in_any_pack_and_after_interruptions(trained, tmp_path):
    arm, folder = trained
    packed = folders(tmp_path / "packed", arm, seeds=(1, 0))
    train_pack(packed)
    assert packed[1].metrics_file.read_bytes() == folder.metrics_file.read_bytes()
    assert packed[1].summary() == folder.summary()
    assert packed[0].metrics_file.read_bytes() != folder.metrics_file.read_bytes()
    (resumed,) = folders(tmp_path / "resumed", arm)
    assert train_in_pieces([resumed], [60, 47, 19]) == 3
    assert resumed.metrics_file.read_bytes() == folder.metrics_file.read_bytes()
    assert resumed.summary() == folder.summary()
