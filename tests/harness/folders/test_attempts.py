"""A run has at most one owner at a time, and every attempt is recorded; tested with real processes."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from harness.errors import UserError
from harness.folders import attempts
from harness.folders.attempts import HEARTBEAT_LIMIT, Heartbeat, TakenOver, acquire, history, latest_attempt
from tests.support.waiting import wait_until

RACERS, ROUNDS = 8, 20

HOLD = """
import sys, time
from pathlib import Path
from harness.folders.attempts import acquire
assert acquire(Path(sys.argv[1]), {"launcher": "other"})
print("taken", flush=True)
time.sleep(60)
"""

# Writes a line for every line on stdin while it owns the run.
WRITE = """
import sys
from pathlib import Path
from harness.folders.attempts import TakenOver, acquire
folder = Path(sys.argv[1])
owner = acquire(folder, {})
for line in sys.stdin:
    try:
        owner.check()
    except TakenOver as error:
        sys.exit(f"stopped: {error}")
    with open(folder / "metrics.jsonl", "a") as file:
        file.write("old owner\\n")
    print("written", flush=True)
"""


def start(code, folder):
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=pipe, stdout=pipe, stderr=pipe, text=True, bufsize=1
    )


@pytest.fixture
def holder(tmp_path):
    """Another process that owns the run of `tmp_path`."""
    with start(HOLD, tmp_path) as process:
        assert process.stdout.readline() == "taken\n"
        yield process
        process.kill()


def forge(folder, age=0.0, **changes):
    """Change the file of the newest attempt and the age of its heartbeat."""
    file = latest_attempt(folder).file
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    os.utime(file, (time.time() - age,) * 2)


def test_attempts_are_numbered_and_recorded(tmp_path):
    first = acquire(tmp_path, {"launcher": "by hand"})
    assert first.number == 1
    assert acquire(tmp_path, {}) is None
    first.check()
    first.end("failed: no")
    second = acquire(tmp_path, {"launcher": "pool"})
    assert second.number == 2
    assert latest_attempt(tmp_path) == second
    with pytest.raises(TakenOver, match=r"attempts/000002.json: another process has taken the run over"):
        first.check()
    second.check()
    second.end("done")
    attempts = history(tmp_path)
    assert [attempt["launcher"] for attempt in attempts] == ["by hand", "pool"]
    assert [attempt["reason"] for attempt in attempts] == ["failed: no", "done"]
    assert all(0.0 <= attempt["ended"] - attempt["started"] < 60.0 for attempt in attempts)
    assert {attempt["process"] for attempt in attempts} == {os.getpid()}
    assert sorted(os.listdir(tmp_path / "attempts")) == ["000001.json", "000002.json"]


def test_a_new_folder_has_no_attempts(tmp_path):
    assert latest_attempt(tmp_path) is None
    assert history(tmp_path) == []
    with pytest.raises(FileNotFoundError, match="attempts"):
        acquire(tmp_path / "nowhere", {})


def race(folders, barrier, results):
    """One of several processes that acquire a run at the same moment; none ends before all have tried."""
    for folder in folders:
        barrier.wait(timeout=300)
        attempt = acquire(folder, {})
        results.put((folder.name, attempt and attempt.number))
        barrier.wait(timeout=300)


def winners(folders):
    """The numbers of the attempts that racing processes acquired, by folder."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(RACERS), context.Queue()
    racers = [context.Process(target=race, args=(folders, barrier, results)) for _ in range(RACERS)]
    for racer in racers:
        racer.start()
    answers = [results.get(timeout=300) for _ in range(RACERS * len(folders))]
    for racer in racers:
        racer.join(timeout=300)
        assert racer.exitcode == 0
    got = {folder.name: [] for folder in folders}
    for name, number in answers:
        if number is not None:
            got[name].append(number)
    return got


def test_exactly_one_of_many_processes_acquires_a_run(tmp_path):
    """Half of the runs are new; the others belong to an owner on another machine without a recent heartbeat."""
    folders = [tmp_path / str(number) for number in range(2 * ROUNDS)]
    for folder in folders:
        folder.mkdir()
    for folder in folders[ROUNDS:]:
        acquire(folder, {})
        forge(folder, age=HEARTBEAT_LIMIT + 5, boot="another")
    expected = {folder.name: [1] for folder in folders[:ROUNDS]} | {folder.name: [2] for folder in folders[ROUNDS:]}
    assert winners(folders) == expected
    assert [len(history(folder)) for folder in folders] == [1] * ROUNDS + [2] * ROUNDS
    assert all(len(os.listdir(folder / "attempts")) == len(history(folder)) for folder in folders)


def test_the_run_of_a_killed_owner_is_free_immediately(tmp_path, holder):
    assert acquire(tmp_path, {}) is None
    holder.kill()
    holder.wait()
    assert "lost" in history(tmp_path)[0]["reason"]
    assert acquire(tmp_path, {}).number == 2
    killed, current = history(tmp_path)
    assert killed["reason"] == "lost: no end recorded"
    assert killed["started"] - 1.0 < killed["ended"] == os.stat(tmp_path / "attempts" / "000001.json").st_mtime
    assert "reason" not in current


def test_a_zombie_owner_has_ended(tmp_path, holder):
    holder.kill()
    wait_until(lambda: acquire(tmp_path, {}) is not None)
    assert holder.returncode is None


def test_on_other_machines_only_the_heartbeat_counts(tmp_path, holder):
    forge(tmp_path, boot="another")
    holder.kill()
    holder.wait()
    forge(tmp_path, age=HEARTBEAT_LIMIT - 10)
    assert acquire(tmp_path, {}) is None
    forge(tmp_path, age=HEARTBEAT_LIMIT + 5)
    assert acquire(tmp_path, {}).number == 2


def test_a_reused_process_id_is_not_the_owner(tmp_path, holder):
    forge(tmp_path, process_started=latest_attempt(tmp_path).details["process_started"] - 1)
    assert acquire(tmp_path, {}).number == 2


def test_the_clock_of_the_file_system_is_used(tmp_path, holder, monkeypatch):
    """A machine whose clock is an hour ahead must not consider every run lost."""
    forge(tmp_path, boot="another")
    ahead = time.time() + 3600
    monkeypatch.setattr(attempts.time, "time", lambda: ahead)
    assert acquire(tmp_path, {}) is None


def test_a_suspended_owner_stops_writing_after_a_takeover(tmp_path):
    rows = tmp_path / "metrics.jsonl"
    with start(WRITE, tmp_path) as owner:
        owner.stdin.write("go\n")
        assert owner.stdout.readline() == "written\n"
        owner.send_signal(signal.SIGSTOP)
        assert acquire(tmp_path, {}) is None
        forge(tmp_path, age=HEARTBEAT_LIMIT + 5)
        taker = acquire(tmp_path, {})
        assert taker.number == 2
        rows.write_text("new owner\n")
        owner.stdin.write("go\n")
        owner.send_signal(signal.SIGCONT)
        _, errors = owner.communicate(timeout=300)
    assert owner.returncode == 1
    assert errors.startswith("stopped: ")
    assert "000002.json: another process has taken the run over" in errors
    assert rows.read_text() == "new owner\n"
    taker.check()


def test_heartbeats_are_written_until_the_block_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(attempts, "HEARTBEAT_INTERVAL", 0.01)
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    leases = [acquire(folder, {}) for folder in folders]
    leases[0].file.rename(tmp_path / "moved")
    forge(folders[1], age=1000.0)
    before = threading.active_count()
    with Heartbeat(leases):
        # The heartbeat of the first cannot be written, which must not affect the second.
        wait_until(lambda: time.time() - latest_attempt(folders[1]).heartbeat < 5.0)
    assert threading.active_count() == before
    forge(folders[1], age=1000.0)
    time.sleep(0.1)
    assert time.time() - latest_attempt(folders[1]).heartbeat > 900.0


def test_temporary_files_are_not_attempts(tmp_path):
    """The file that a process leaves when it is killed before linking it."""
    acquire(tmp_path, {}).end("done")
    for name in (".0123456789abcdef", "..0123456789abcdef.01234567", ".000001.json.01234567", "000009.txt"):
        (tmp_path / "attempts" / name).write_text("{")
    assert acquire(tmp_path, {}).number == 2


@pytest.mark.parametrize("text", ['{"host"', "[]", "\xff"])
def test_damage_is_named_by_file(tmp_path, text):
    acquire(tmp_path, {}).end("done")
    latest_attempt(tmp_path).file.write_text(text, encoding="latin-1")
    for look in (latest_attempt, history, lambda folder: acquire(folder, {})):
        with pytest.raises(UserError, match=r"attempts/000001.json: is damaged \((not JSON|a JSON object should)"):
            look(tmp_path)


def test_a_lost_reply_of_a_file_server_does_not_lose_the_run(tmp_path, monkeypatch):
    """Over NFS a link can be created while the reply is lost; the second try then finds it."""

    def link_twice(source, target, link=os.link):
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", link_twice)
    assert acquire(tmp_path, {}).number == 1


def test_a_file_system_without_hard_links_is_an_error(tmp_path, monkeypatch):
    def refuse(source, target):
        raise PermissionError(1, "Operation not permitted", str(source))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(UserError, match=r"attempts: its file system has no hard links.*choose another --root"):
        acquire(tmp_path, {})
    assert os.listdir(tmp_path / "attempts") == []
