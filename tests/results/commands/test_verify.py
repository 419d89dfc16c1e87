"""`floorbench verify` repeats runs that started from a prefix or another run as ordinary runs."""

import shutil

import pytest

from ablations.grids import runs_of
from harness.data.dataset import ensure_dataset
from harness.errors import UserError
from harness.folders.run_folder import run_folders
from harness.launching.planner import commit
from harness.settings import prefix_of, with_settings
from harness.training.training import train_pack
from results.commands.verify import in_folders, verify_grid

TINY = {"schedule.offline_steps": 20, "schedule.online_steps": 20, "schedule.evaluation_episodes": 1}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that started from its prefix, and one that started from the networks of another run."""
    root = tmp_path_factory.mktemp("root")
    run = with_settings(runs_of("smoke")[0], TINY)
    prefix = prefix_of(run)
    started = with_settings(run, {"arm": "started", "online.start": prefix.id, "seed": 7})
    ensure_dataset(run.task)
    train_pack(commit([prefix], root))
    folder, other = commit([run, started], root)
    folder.write_prefix({"prefix": prefix.id})
    train_pack([folder])
    train_pack([other])
    return root, [run, started]


def test_both_are_recomputed_and_agree(finished, capsys):
    root, runs = finished
    assert verify_grid(in_folders(runs, root), 2, 0, workers=1) == 0
    out = capsys.readouterr().out
    assert "2 of 2 agree" in out
    assert "compared byte for byte" in out


def test_a_difference_before_the_switch_is_found(finished, capsys):
    """The repetition has the prefix of the settings, not the one in the root."""
    root, runs = finished
    folder = next(folder for folder in run_folders(root) if folder.id == runs[0].id)
    first, *others = folder.metrics_file.read_text().splitlines(keepends=True)
    changed = first.replace('"score": 0.0', '"score": 1.0')
    assert changed != first
    folder.metrics_file.write_text("".join([changed, *others]))
    folder.finish({name: value for name, value in folder.summary().items() if name != "metrics"})
    assert verify_grid(in_folders(runs[:1], root), 1, 0, workers=1) == 1
    assert "row 1, score: originally 1.0" in capsys.readouterr().out


def test_a_missing_start_is_refused(finished, tmp_path):
    root, (run, started) = finished
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    shutil.rmtree(copy / prefix_of(run).id)
    with pytest.raises(UserError, match="no run of this id in"):
        verify_grid(in_folders([started], copy), 1, 0, workers=1)
