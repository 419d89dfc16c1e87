"""The Debian packages of a test cluster."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UserError

# Directories of daemons, which are not on the PATH of ordinary users.
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")

# Required programs or file patterns, and the packages that provide them.
SCHEDULER = {
    "munged": "munge",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
}
ACCOUNTING = {
    "slurmdbd": "slurmdbd",
    "/usr/lib/*/slurm*/accounting_storage_mysql.so": "slurm-wlm-mysql-plugin",
    "mariadbd": "mariadb-server-core",
    "mariadb-install-db": "mariadb-server-core",
    # Called by mariadb-install-db.
    "my_print_defaults": "mariadb-client-core",
}

# Debian packages start their daemons at installation unless this script exits with 101.
START_POLICY = Path("/usr/sbin/policy-rc.d")

# Seconds to wait for each of the two apt commands.
TIMEOUT = 300.0


def search_path() -> str:
    """PATH, extended by the directories of daemons."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*folders, *(folder for folder in SYSTEM_FOLDERS if folder not in folders)])


def missing(accounting: bool = True) -> tuple[str, ...]:
    """The missing packages that a cluster needs."""
    needed = SCHEDULER | ACCOUNTING if accounting else SCHEDULER
    return tuple(dict.fromkeys(package for thing, package in needed.items() if not _is_present(thing)))


def require(accounting: bool = True) -> None:
    """Raise UserError if packages are missing."""
    if names := missing(accounting):
        raise UserError(
            f"SLURM: {' '.join(names)} missing; install with: python -m tests.support.testcluster install "
            "(as root, on a system with apt)"
        )


def install(accounting: bool = True) -> tuple[str, ...]:
    """Install missing packages and return their names; UserError if that is impossible here."""
    names = missing(accounting)
    if not names:
        return ()
    if shutil.which("apt-get") is None:
        raise UserError(f"SLURM: cannot be installed without apt-get; missing: {' '.join(names)}")
    if os.geteuid() != 0:
        raise UserError(
            f"SLURM: only root can install it; run: sudo apt-get install --no-install-recommends {' '.join(names)}"
        )
    with _without_starting_daemons():
        _apt("update")
        _apt("install", "--yes", "--no-install-recommends", *names)
    if left := missing(accounting):
        raise UserError(f"SLURM: {' '.join(left)} still missing after the installation")
    return names


def _is_present(file: str) -> bool:
    if file.startswith("/"):
        return any(Path("/").glob(file.removeprefix("/")))
    return shutil.which(file, path=search_path()) is not None


def _apt(*arguments: str) -> None:
    """Run apt-get; its first error becomes the message."""
    command = ["apt-get", "-q", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise UserError(f"SLURM: apt-get {arguments[0]} did not finish within {TIMEOUT:.0f} s") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or ["E: no reason given"]
        raise UserError(f"SLURM: apt-get {arguments[0]} failed: {lines[0].removeprefix('E:').strip()}")


@contextlib.contextmanager
def _without_starting_daemons() -> Iterator[None]:
    """Keep newly installed daemons from starting; an existing policy of the system is left unchanged."""
    try:
        with open(START_POLICY, "x") as stream:
            stream.write("#!/bin/sh\nexit 101\n")
    except FileExistsError:
        yield
        return
    try:
        START_POLICY.chmod(0o755)
        yield
    finally:
        START_POLICY.unlink()
