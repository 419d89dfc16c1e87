"""Runs that start from a prefix or from `online.start` end as if they had trained everything themselves."""

import hashlib
import json
from dataclasses import replace
from shutil import copyfile

import pytest

from ablations.arms import SWITCH_ARMS, with_arm
from ablations.grids import runs_of
from harness.data.dataset import ensure_dataset
from harness.errors import UserError
from harness.folders.checkpoint import Checkpoints
from harness.folders.run_folder import RunFolder
from harness.launching.planner import commit
from harness.launching.preflight import checkpoint_bytes
from harness.settings import ONLINE_ONLY, OnlineSettings, pack_key, prefix_of, with_settings
from harness.training.starts import check_starts, copy_starts
from harness.training.training import train_pack
from harness.watching.verification import original_in
from tests.support.packs import SHORT

SHORT_FIT = {**SHORT, "behaviour_value.check_interval": 10}

# Another value for every setting of which a run's prefix does not depend.
OTHER = {
    "floor.keeps_learning": True, "floor.active_online": False, "schedule.updates_per_step": 2,
    "schedule.update_block": None, "schedule.mixing_ratio": 0.25, "schedule.online_interval": 30,
    "schedule.dense_interval": 10, "schedule.dense_steps": 20, "schedule.log_spaced_evaluations": 3,
    "schedule.online_steps": 50, "online.alpha": 0.0, "online.alpha_decay": 0.5, "online.mixing_ratio": 0.1,
    "online.mixing_decay": 0.5, "online.mixing_by_size": True, "online.policy_interval": 2,
    "online.warmup_horizons": 1, "online.critic_shift": 0.5, "online.recalibrate": True,
    "online.new_critics": True, "online.critic_updates": 5,
}  # fmt: skip
NEEDED = {"online.alpha_decay": {"online.alpha": 0.0}, "online.mixing_decay": {"online.mixing_ratio": 0.1}}


@pytest.fixture(scope="module")
def base():
    run = with_settings(runs_of("smoke")[0], {**SHORT_FIT, "floor.base": "learned", "floor.noise": 0.0, "arm": "base"})
    ensure_dataset(run.task)
    return run


def last_checkpoint(folder):
    checkpoints = Checkpoints(folder.checkpoints)
    (position,) = checkpoints.positions()
    return checkpoints.file(position).read_bytes()


def results(folder):
    return folder.metrics_file.read_bytes(), last_checkpoint(folder), folder.summary()


def train_with_prefixes(root, runs):
    prefixes = list({prefix_of(run).id: prefix_of(run) for run in runs}.values())
    for prefix in prefixes:
        train_pack(commit([prefix], root))
    folders = commit(runs, root)
    for folder, run in zip(folders, runs, strict=True):
        folder.write_prefix({"prefix": prefix_of(run).id})
    return prefixes, folders


def train_alone(root, run):
    folder = commit([run], root)[0]
    train_pack([folder])
    return folder


@pytest.mark.parametrize("setting", OTHER)
def test_a_prefix_depends_on_no_setting_of_the_online_phase(base, setting):
    changed = with_settings(base, {setting: OTHER[setting], "arm": "other"})
    assert changed.id != base.id
    assert prefix_of(changed) == prefix_of(base)


def test_every_online_setting_is_tested():
    online = {f"{group}.{name}" for group, names in ONLINE_ONLY.items() for name in names}
    online |= {f"online.{name}" for name in OnlineSettings.__dataclass_fields__} | {"schedule.online_steps"}
    assert set(OTHER) == online - {"online.start"}


@pytest.mark.parametrize(
    "changes",
    [
        {"floor.inflation": 0.5}, {"algorithm.alpha": 1.0}, {"seed": 7}, {"schedule.offline_steps": 61},
        {"schedule.offline_interval": 20}, {"schedule.evaluation_episodes": 2}, {"schedule.probe_states": 32},
        {"task.horizon": 31}, {"behaviour_value.max_steps": 51},
    ],
)  # fmt: skip
def test_a_prefix_depends_on_every_setting_that_acts_offline(base, changes):
    assert prefix_of(with_settings(base, changes)) != prefix_of(base)


def test_runs_with_one_phase_have_no_prefix(base):
    for changes in ({"schedule.offline_steps": 0}, {"schedule.online_steps": 0}, {"online.start": "0123456789ab"}):
        assert prefix_of(with_settings(base, changes)) is None


@pytest.mark.parametrize("setting", OTHER)
def test_results_from_a_prefix_are_byte_identical(base, setting, tmp_path):
    """With every setting of the online phase changed alone."""
    run = with_settings(base, {setting: OTHER[setting], **NEEDED.get(setting, {})})
    (prefix,), (folder,) = train_with_prefixes(tmp_path / "shared", [run])
    train_pack([folder])
    assert results(folder) == results(train_alone(tmp_path / "alone", run))
    offline = RunFolder.of(tmp_path / "shared", prefix).metrics_file.read_bytes()
    assert folder.metrics_file.read_bytes().startswith(offline)


def test_arms_of_the_switch_in_one_pack_are_byte_identical(base, tmp_path):
    """Arms that differ after the switch and share a pack, with noisy floors; one trains its own offline phase."""
    plain = with_settings(base, {"floor.base": "monte_carlo", "floor.noise": 0.25})
    arms = [with_arm(plain, arm) for arm in SWITCH_ARMS]
    runs = [replace(run, floor=replace(run.floor, noise=0.25)) for run in arms if pack_key(run) == pack_key(arms[0])]
    prefixes, folders = train_with_prefixes(tmp_path / "shared", runs)
    assert len(prefixes) == 2, "CQL and Cal-QL"
    assert len(runs) >= 8
    folders[0].write_prefix(None)
    train_pack(folders)
    for folder, run in zip(folders, runs, strict=True):
        assert results(folder) == results(train_alone(tmp_path / "alone", run)), run.arm


def test_an_interrupted_start_is_repeated(base, tmp_path):
    (prefix,), (folder,) = train_with_prefixes(tmp_path / "shared", [base])
    # Killed before the checkpoint was written.
    folder.metrics_file.write_text('{"half": ')
    train_pack([folder])
    assert results(folder) == results(train_alone(tmp_path / "alone", base))
    assert folder.prefix.id == prefix.id
    # The machines of the prefix count among those of the run.
    (origin,) = folder.prefix_record()["records"]
    assert origin["machine"] == folder.provenance()["machine"]
    assert origin in original_in(folder).records


def test_an_unfinished_or_damaged_prefix_is_refused(base, tmp_path):
    folder = commit([base], tmp_path)[0]
    prefix = commit([prefix_of(base)], tmp_path)[0]
    folder.write_prefix({"prefix": prefix.id})
    with pytest.raises(UserError, match=f"{prefix.id}: this prefix is planned, not done"):
        train_pack([folder])
    train_pack([prefix])
    with prefix.metrics_file.open("r+") as file:
        file.write("#")
    with pytest.raises(UserError, match=r"metrics.jsonl: is damaged"):
        train_pack([folder])
    assert not folder.newest_checkpoint


# Starts by online.start


def started(base, start, **changes):
    return with_settings(base, {"online.start": start, **changes})


def test_a_start_continues_the_networks_of_a_run(base, tmp_path):
    """Started from the end of its own offline phase, a run has the same online phase, byte for byte."""
    prefix = prefix_of(base)
    source = train_alone(tmp_path, prefix)
    run = started(base, prefix.id)
    assert run.id != base.id
    check_starts([run], tmp_path)
    rows = train_alone(tmp_path, run).metrics()
    expected = train_alone(tmp_path, base).metrics()
    logged = ("critic_loss", "td_error", "difference", "bound_rate_current", "bound_rate_next", "policy_loss",
              "policy_log_prob", "entropy_temperature", "lagrange_multiplier")  # fmt: skip
    at_switch = next(row for row in expected if row["offline_step"] == 60)
    # Averages over updates are unknown for the updates of another run.
    assert rows == [{**at_switch, **dict.fromkeys(logged)}, *[row for row in expected if row["phase"] == "online"]]
    assert source.summary()["parameters_hash"] != ""


def test_a_start_may_come_from_another_arm_and_by_its_hash(base, tmp_path):
    source = train_alone(tmp_path, prefix_of(with_settings(base, {"algorithm.alpha": 0.0, "seed": 5})))
    content = last_checkpoint(source)
    digest = content.split(b"\n")[0].decode()
    assert hashlib.sha256(content.split(b"\n", 1)[1]).hexdigest() == digest
    by_id, by_hash = started(base, source.id), started(base, digest)
    with pytest.raises(UserError, match=r"not found; copy the checkpoint whose first line this is to .*/starts/"):
        check_starts([by_hash], tmp_path)
    (tmp_path / "starts").mkdir()
    copyfile(Checkpoints(source.checkpoints).file(Checkpoints(source.checkpoints).positions()[0]),
             tmp_path / "starts" / f"{digest}.ckpt")  # fmt: skip
    assert train_alone(tmp_path, by_id).metrics() == train_alone(tmp_path, by_hash).metrics()
    copy_starts([by_id, by_hash], tmp_path, tmp_path / "other")
    assert train_alone(tmp_path / "other", by_id).metrics() == RunFolder.of(tmp_path, by_id).metrics()


def test_a_wrong_start_is_refused_in_one_line(base, tmp_path):
    prefix = prefix_of(base)
    with pytest.raises(UserError, match=f"'{prefix.id}': no run of this id in"):
        check_starts([started(base, prefix.id)], tmp_path)
    folder = commit([prefix], tmp_path)[0]
    with pytest.raises(UserError, match="this run is planned, not done; finish it first"):
        check_starts([started(base, prefix.id)], tmp_path)
    train_pack([folder])
    check_starts([started(base, prefix.id, seed=9)], tmp_path)
    for changes, message in [
        ({"schedule.offline_steps": 61}, r"has 60 updates, but schedule.offline_steps is 61; set it to 60"),
        ({"algorithm.critic_hidden": [48, 48]}, r"critic has shape .* there and .* in the run; the task's dimensions"),
        ({"task.environment": "AntMaze_UMaze-v5"}, r"critic has shape"),
    ]:
        with pytest.raises(UserError, match=message) as error:
            check_starts([started(base, prefix.id, **changes)], tmp_path)
        assert "\n" not in str(error.value)
    (tmp_path / "starts").mkdir()
    wrong = "0" * 64
    (tmp_path / "starts" / f"{wrong}.ckpt").write_bytes(last_checkpoint(folder))
    with pytest.raises(UserError, match="is another checkpoint; its first line must be this hash"):
        check_starts([started(base, wrong)], tmp_path)


def test_the_size_of_a_checkpoint_is_known_before_training(base, tmp_path):
    folder = train_alone(tmp_path, prefix_of(base))
    checkpoints = Checkpoints(folder.checkpoints)
    arrays = checkpoints.load(checkpoints.positions()[0]).arrays
    assert checkpoint_bytes(base) == sum(array.nbytes for name, array in arrays.items() if name.startswith("learner."))


def test_the_start_is_part_of_the_id(base):
    ids = {started(base, start).id for start in ("0" * 12, "1" * 12, "0" * 64)}
    assert len(ids | {base.id}) == 4
    with pytest.raises(UserError, match=r"online.start = 'runs/abc'"):
        started(base, "runs/abc")
    assert "start" not in json.dumps(prefix_of(base).id)
