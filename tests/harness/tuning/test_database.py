"""A study in a database: on a real PostgreSQL server, with two drivers at once and one that is killed."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.tuning.storage import open_storage
from tests.support.made_study import compute, make_driver, outcome
from tests.support.slurm.ordinary_user import ordinary_user
from tests.support.waiting import wait_until

# Where Debian puts the server's programs.
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]


def program(name):
    """The path of one of the server's programs, or None."""
    return shutil.which(name) or next((str(place / name) for place in PROGRAMS if (place / name).exists()), None)


@pytest.fixture(scope="module")
def url():
    """The URL of an empty database on a server that the test starts, by socket; skips if there is no server."""
    missing = [name for name in ("initdb", "postgres", "createdb") if program(name) is None]
    missing += [name for name in ("psycopg",) if importlib.util.find_spec(name) is None]
    if missing:
        reason = f"SKIPPED: no study has been in a database; missing: {', '.join(missing)} (apt: postgresql)"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    # The server refuses root, and its socket's name has to be short.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    os.chown(folder, ordinary_user(), -1)
    user = {"user": ordinary_user(), "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([program("initdb"), "-D", folder / "data", "-U", "tester", "-A", "trust"], check=True, **user)
    server = subprocess.Popen([program("postgres"), "-D", folder / "data", "-k", folder, "-h", ""], **user)
    try:
        create = [program("createdb"), "-h", folder, "-U", "tester", "studies"]
        wait_until(lambda: subprocess.run(create, **user).returncode == 0)
        yield f"postgresql+psycopg://tester@/studies?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(300)
        shutil.rmtree(folder)


@pytest.mark.slow
def test_drivers_share_a_database(url, tmp_path):
    """One driver is killed; two others share the remaining trials and make those of an uninterrupted search."""
    command = [sys.executable, "-m", "tests.support.made_study", str(tmp_path), "12", url]
    killed = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    killed.stdout.readline()
    wait_until(lambda: any(tmp_path.glob("studies/made/runs/*/done.json")))
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    killed.stdout.close()
    others = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(300) for process in others] == [0, 0]
    driver = make_driver(tmp_path, url=url)
    for search in driver.searches.values():
        assert [trial.state.name for trial in search.trials()] == ["COMPLETE"] * 12
    assert driver.run(compute)
    assert len(list(driver.runs_root.glob("*/done.json"))) == 2 * 12 * 2


def test_a_database_holds_what_a_journal_holds(tmp_path):
    journal = make_driver(tmp_path / "journal", trials=5)
    journal.run(compute)
    database = make_driver(tmp_path / "database", trials=5, url="sqlite://")
    database.run(compute)
    assert outcome(database) == outcome(journal)


def test_drivers_of_one_database_must_share_the_folder(tmp_path):
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    make_driver(tmp_path / "one", url=url)
    make_driver(tmp_path / "one", url=url)
    with pytest.raises(UserError, match=r"created with different folder; choose another --root, storage"):
        make_driver(tmp_path / "two", url=url)


def test_an_unreachable_database_gives_one_line(tmp_path):
    with pytest.raises(UserError, match=r"^--storage sqlite:////no/such/folder/x: ") as raised:
        open_storage(tmp_path, "sqlite:////no/such/folder/x")
    assert "\n" not in str(raised.value)


def test_a_password_is_not_repeated(tmp_path):
    with pytest.raises(UserError) as raised:
        open_storage(tmp_path, "sqlite://me:secret@host/name")
    assert "secret" not in str(raised.value)
    assert str(raised.value).startswith("--storage sqlite://me:***@host/name: ")
