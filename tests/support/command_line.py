"""Run floorbench as a user does."""

import signal
import subprocess
import sys
from unittest.mock import patch

import pytest

import floorbench
from harness.folders.run_folder import run_folders

FLOORBENCH = [sys.executable, "-m", "floorbench"]

# Settings for runs of about a second.
SHORT = [
    "--set", "schedule.offline_steps=30", "--set", "schedule.online_steps=30", "--set", "schedule.offline_interval=15",
    "--set", "schedule.evaluation_episodes=1",
]  # fmt: skip


def call(*arguments, code=0):
    done = subprocess.run([*FLOORBENCH, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done


def call_here(capsys, *arguments, code=0):
    """Call floorbench in this process, which is faster; not for commands that start processes. `code=None`: any."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with patch.object(sys, "argv", ["floorbench", *map(str, arguments)]), pytest.raises(SystemExit) as ended:
            floorbench.main()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    done = subprocess.CompletedProcess(arguments, ended.value.code, *capsys.readouterr())
    assert code in (None, done.returncode), f"{done.stdout}\n{done.stderr}"
    return done


def metrics(root):
    return {folder.id: (folder.path / "metrics.jsonl").read_bytes() for folder in run_folders(root)}


def states(root):
    return [folder.status()["state"] for folder in run_folders(root)]


def only_line(done):
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("floorbench: error: ")
    return lines[0]
