"""Missing packages, and reasons why they cannot be installed."""

import os
import stat

import pytest

from harness.errors import UserError
from tests.support.slurm.ordinary_user import as_ordinary_user
from tests.support.testcluster import packages


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A PATH of one empty directory, and a function that adds programs to it."""
    monkeypatch.setattr(packages, "SYSTEM_FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))

    def add(*names):
        for name in names:
            (tmp_path / name).touch(mode=0o755)

    return add


def test_missing_packages_are_named_once_and_in_order(programs):
    assert packages.missing(accounting=False) == ("munge", "slurmctld", "slurmd", "slurm-client")
    programs("munged", "slurmctld", "sbatch")
    assert packages.missing(accounting=False) == ("slurmd",)
    assert packages.missing()[:2] == ("slurmd", "slurmdbd")
    assert packages.missing().count("mariadb-server-core") == 1
    programs("slurmd")
    assert packages.missing(accounting=False) == ()


def test_a_program_that_cannot_be_run_is_missing(programs, tmp_path):
    programs("munged", "slurmctld", "slurmd")
    (tmp_path / "sbatch").touch(mode=0o644)
    assert packages.missing(accounting=False) == ("slurm-client",)


def test_require_names_missing_packages(programs):
    programs("munged", "slurmctld", "slurmd")
    with pytest.raises(UserError, match=r"^SLURM: slurm-client missing; .*testcluster install"):
        packages.require(accounting=False)


def test_nothing_is_installed_where_nothing_is_missing(programs):
    programs("munged", "slurmctld", "slurmd", "sbatch")
    assert packages.install(accounting=False) == ()


def test_without_apt_there_is_no_installation(programs):
    programs("munged", "slurmctld", "slurmd")
    with pytest.raises(UserError, match=r"without apt-get; missing: slurm-client$"):
        packages.install(accounting=False)


def test_an_ordinary_user_sees_the_command_for_root(programs, tmp_path):
    programs("munged", "slurmctld", "slurmd", "apt-get")
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            folder.chmod(0o755)
    reason = as_ordinary_user(_reason)
    assert reason == "SLURM: only root can install it; run: sudo apt-get install --no-install-recommends slurm-client"


def _reason():
    with pytest.raises(UserError) as error:
        packages.install(accounting=False)
    return str(error.value)


def test_a_failing_apt_gives_its_reason(programs, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    programs("munged", "slurmctld", "slurmd")
    (tmp_path / "apt-get").write_text(
        "#!/bin/sh\necho 'W: slow' >&2; echo 'E: Unable to fetch some archives' >&2; exit 100\n"
    )
    (tmp_path / "apt-get").chmod(0o755)
    with pytest.raises(UserError, match=r"^SLURM: apt-get update failed: Unable to fetch some archives$"):
        packages.install(accounting=False)


def test_the_search_path_ends_with_the_directories_of_daemons(monkeypatch):
    monkeypatch.setenv("PATH", "/opt/bin:/usr/sbin")
    assert packages.search_path() == "/opt/bin:/usr/sbin:/usr/local/sbin:/sbin"
