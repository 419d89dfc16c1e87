"""A file from a stranger runs no code, writes nothing outside its folder and reads nothing else: a test per door."""

import hashlib
import io
import json
import pickle
import sys
import tarfile
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest

import floorbench
from ablations.commands.logs import show_logs
from ablations.grid_files import read
from ablations.grids import runs_of
from harness.command_line import FittedTable, remark_console, result_console
from harness.data.dataset import ensure_dataset, load_dataset
from harness.data.files import dataset_folder
from harness.data.hosting import unpack
from harness.errors import UserError
from harness.folders.checkpoint import read_checkpoint
from harness.folders.run_folder import RunFolder
from harness.settings import with_settings
from harness.tuning.storage import open_storage
from results.frame import gather
from results.frame.frames import export, load
from slurm.profile import load as load_profile
from tests.support.run_folder_factory import fail, write_done


class Trap:
    """Leaves a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


@pytest.fixture
def trap(tmp_path):
    """A file that appears only if code of a stranger runs or writes outside its folder."""
    file = tmp_path / "sprung"
    yield file
    assert not file.exists()


@pytest.fixture
def data(tiny_task, tmp_path, monkeypatch):
    """The data folder of a dataset that a test may change."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    ensure_dataset(tiny_task)
    return dataset_folder(tiny_task) / "data"


def refusal(call, *arguments):
    with pytest.raises(UserError) as error:
        call(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_metadata_of_a_dataset_start_no_environment(tiny_task, data, trap, tmp_path, monkeypatch):
    """Without spaces Minari makes the environment that the file names, which may be any function of any module."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code/stranger.py").write_text(f"open({str(trap)!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path / "code")
    metadata = json.loads((data / "metadata.json").read_text())
    del metadata["observation_space"]
    specification = json.loads(metadata["env_spec"])
    metadata["env_spec"] = json.dumps({**specification, "entry_point": "stranger:anything"})
    (data / "metadata.json").write_text(json.dumps(metadata))
    assert "observation_space is None; text is needed" in refusal(load_dataset, tiny_task)
    assert "stranger" not in sys.modules


@pytest.mark.parametrize("kind", ["link", "link of a group", "virtual", "external"])
def test_a_dataset_reads_no_other_file(tiny_task, data, tmp_path, kind):
    other = tmp_path / "secret.hdf5"
    with h5py.File(data / "main_data.hdf5", "r+") as stored:
        rewards = stored["episode_1/rewards"][:]
        with h5py.File(other, "w") as secret:
            secret["rewards"] = rewards
        if kind == "link of a group":
            del stored["episode_1"]
            stored["episode_1"] = h5py.ExternalLink(str(other), "/")
        else:
            del stored["episode_1/rewards"]
        if kind == "link":
            stored["episode_1/rewards"] = h5py.ExternalLink(str(other), "rewards")
        elif kind == "virtual":
            layout = h5py.VirtualLayout(rewards.shape, rewards.dtype)
            layout[:] = h5py.VirtualSource(str(other), "rewards", rewards.shape)
            stored.create_virtual_dataset("episode_1/rewards", layout)
        elif kind == "external":
            place = [(str(other), 0, rewards.nbytes)]
            stored.create_dataset("episode_1/rewards", rewards.shape, rewards.dtype, external=place)
    line = refusal(load_dataset, tiny_task)
    expected = "is a link to the file" if kind.startswith("link") else "takes its data from other files"
    assert (
        f"data/main_data.hdf5: cannot be read (episode_1{'' if kind == 'link of a group' else '/rewards'} {expected}"
        in line
    )


@pytest.mark.parametrize("kind", ["zip", "tar", "link", "device"])
def test_an_archive_writes_nothing_outside_its_folder(tmp_path, trap, kind):
    folder, archive = tmp_path / "in/folder", tmp_path / f"archive.{'zip' if kind == 'zip' else 'tar'}"
    folder.mkdir(parents=True)
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as content:
            content.writestr("../../sprung", "x")
    else:
        with tarfile.open(archive, "w") as content:
            member = tarfile.TarInfo("../../sprung" if kind == "tar" else "member")
            member.type = {"tar": tarfile.REGTYPE, "link": tarfile.SYMTYPE, "device": tarfile.CHRTYPE}[kind]
            member.linkname = str(tmp_path) if kind == "link" else ""
            content.addfile(member, io.BytesIO())
            if kind == "link":
                content.addfile(tarfile.TarInfo("member/sprung"), io.BytesIO())
    with pytest.raises((OSError, tarfile.TarError)):
        unpack(archive, folder)
    assert list(folder.rglob("*")) == []


def test_checkpoints_hold_no_pickles(tmp_path, trap):
    """Neither as a whole nor in one of their arrays."""
    array = np.array([Trap(trap)], dtype=object)
    buffer = io.BytesIO()
    np.savez(buffer, **{"learner.weight": array})
    for content in (pickle.dumps(Trap(trap)), buffer.getvalue()):
        file = tmp_path / "1.ckpt"
        file.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        assert "is not a checkpoint" in refusal(read_checkpoint, file)


def test_a_journal_and_a_database_run_no_code(tmp_path, trap):
    (tmp_path / "journal.log").write_bytes(pickle.dumps(Trap(trap)) + b"\n{}\n")
    assert "damaged: " in refusal(open_storage, tmp_path)
    (tmp_path / "trials.db").write_bytes(pickle.dumps(Trap(trap)))
    assert "--storage sqlite" in refusal(open_storage, tmp_path, f"sqlite:///{tmp_path / 'trials.db'}")


def test_a_maze_holds_no_markup():
    """The rows become part of the XML that MuJoCo reads."""
    for row in ("#&x;#", '#"/>#', "#r g#"):
        line = refusal(with_settings, runs_of("smoke")[0], {"task.maze": ["#####", row, "#####"]}, "--set")
        assert line.startswith("--set: setting task.maze") or "task.maze" in line


@pytest.mark.parametrize(
    "text", ["a=" + "[" * 100_000, "a=" + "{a=" * 20_000, "x = 1\n" * 500_000, "seeds = " + "9" * 5_000, "\xff"]
)
@pytest.mark.parametrize("load", [load_profile, read])
def test_a_profile_and_a_grid_file_are_no_bombs(tmp_path, load, text):
    file = tmp_path / "bomb.toml"
    file.write_text(text, encoding="latin-1")
    assert str(file) in refusal(load, str(file))


@pytest.mark.parametrize(
    "name",
    [
        "../../sprung",
        "<script>alert(1)</script>",
        'x" onload="alert(1)',
        "$\\input{x}$",
        ".x",
        "=1+1",
        "@x",
        "a|b",
        "\x1b[2J",
    ],
)
@pytest.mark.parametrize("column", ["task", "arm"])
def test_a_name_in_exported_frames_reaches_no_path_and_no_page(tmp_path, column, name):
    write_done(tmp_path / "runs", runs_of("smoke")[:2])
    export(gather(tmp_path / "runs"), tmp_path / "frames")
    for file in ("runs", "evaluations"):
        path = tmp_path / "frames" / f"{file}.parquet"
        frame = pd.read_parquet(path)
        frame[column] = name
        frame.to_parquet(path)
    assert f"{column} {name!r}: " in refusal(load, tmp_path / "frames")


def test_a_name_in_a_run_folder_reaches_no_path(tmp_path):
    run = with_settings(runs_of("smoke")[0], {"arm": "../../sprung"}, "test")
    write_done(tmp_path / "runs", [run])
    assert "arm '../../sprung': contains '/'" in refusal(gather, tmp_path / "runs")


def test_a_run_folder_that_is_a_bomb_is_damaged(tmp_path):
    run = runs_of("smoke")[0]
    folder = RunFolder.of(tmp_path, run)
    folder.create(run)
    for text in ("[" * 100_000, '{"a": ' * 100_000, '{"schema_version": ' + "9" * 100_000 + "}"):
        (folder.path / "config.json").write_text(text)
        assert "config.json" in refusal(folder.run)


# Sets the title, clears the screen and hides the line.
ESCAPES = "\x1b]0;title\x1b\\\x1b[2J\x9b8m"


def test_texts_of_a_run_folder_send_nothing_to_the_terminal(tmp_path, monkeypatch):
    """Its reason and its log may hold escape sequences, which `status` and `logs` show as text."""
    run = runs_of("smoke")[0]
    folder = fail(tmp_path, run, f"broken {ESCAPES}")
    folder.log.write_text(f"\x1b[31mred\x1b[0m {ESCAPES}\n")
    terminal = Terminal()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, terminal)
    show_logs(run.id, tmp_path, follow=False)
    result_console().print(FittedTable([{"reason": read_status(folder.path / "status.json")}]))
    remark_console().print(f"broken {ESCAPES}")
    with pytest.raises(SystemExit):
        floorbench.fail(f"broken {ESCAPES}")
    text = terminal.getvalue()
    harmless = r"\x1b]0;title\x1b\\x1b[2J\x9b8m"
    assert (text.count(f"red {harmless}"), text.count(f"broken {harmless}")) == (1, 3)
    assert not [part for part in ("\x1b]", "\x1b\\", "\x1b[2J", "\x9b") if part in text]


def read_status(file):
    return json.loads(file.read_text())["reason"]


class Terminal(io.StringIO):
    """A terminal."""

    def isatty(self):
        return True
