"""The Debian packages that a test cluster needs."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UserError

# Programs of daemons lie here; the search path of an ordinary user does not name these folders.
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")

# What must be there, and the package that brings it: a program, or a pattern of files.
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

# Read by Debian's packages: daemons are started at the installation unless it ends with 101.
START_POLICY = Path("/usr/sbin/policy-rc.d")

# Seconds that apt may take for each of its two steps.
PATIENCE = 300.0


def search_path() -> str:
    """The search path of programs, with the folders of daemons in it."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*folders, *(folder for folder in SYSTEM_FOLDERS if folder not in folders)])


def missing(accounting: bool = True) -> tuple[str, ...]:
    """Names of the packages without which no cluster can be brought up, or none with accounting."""
    needed = SCHEDULER | ACCOUNTING if accounting else SCHEDULER
    return tuple(dict.fromkeys(package for thing, package in needed.items() if not _is_there(thing)))


def demand(accounting: bool = True) -> None:
    """Raise `UserError` if anything is missing."""
    if names := missing(accounting):
        raise UserError(
            f"SLURM: {' '.join(names)} missing; install with: python -m tests.support.testcluster install "
            "(as root, on a system with apt)"
        )


def install(accounting: bool = True) -> tuple[str, ...]:
    """Install what is missing and return its names; `UserError` if that is not possible here."""
    names = missing(accounting)
    if not names:
        return ()
    if shutil.which("apt-get") is None:
        raise UserError(f"SLURM: cannot be installed, this system has no apt-get; it lacks {' '.join(names)}")
    if os.geteuid() != 0:
        raise UserError(
            f"SLURM: only root can install it: sudo apt-get install --no-install-recommends {' '.join(names)}"
        )
    with _without_starting_daemons():
        _apt("update")
        _apt("install", "--yes", "--no-install-recommends", *names)
    if left := missing(accounting):
        raise UserError(f"SLURM: {' '.join(left)} should be there after the installation, and is not")
    return names


def _is_there(thing: str) -> bool:
    if thing.startswith("/"):
        return any(Path("/").glob(thing.removeprefix("/")))
    return shutil.which(thing, path=search_path()) is not None


def _apt(*arguments: str) -> None:
    """Run apt-get; its first error becomes the message."""
    command = ["apt-get", "-q", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise UserError(f"SLURM: apt-get {arguments[0]} did not end within {PATIENCE:.0f} s") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or ["E: no reason given"]
        raise UserError(f"SLURM: apt-get {arguments[0]} failed: {lines[0].removeprefix('E:').strip()}")


@contextlib.contextmanager
def _without_starting_daemons() -> Iterator[None]:
    """While this lasts, installed daemons stay down: a system's own policy is left as it is."""
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
