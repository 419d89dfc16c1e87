"""The daemons of a cluster: how each is started, and when it is ready."""

import contextlib
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from tests.support.testcluster import processes
from tests.support.testcluster.configuration import CONTROLLER, DATABASE, NODES, Settings, node_names, user_name
from tests.support.testcluster.ports import LOOPBACK

# Seconds that a daemon may take until it listens, and to end when asked to.
START_PERIOD = 60.0
STOP_PERIOD = 10.0


@dataclass(frozen=True)
class Daemon:
    """A program that stays in the foreground, and where it listens: a port of the loopback address or a socket."""

    name: str
    command: tuple[str, ...]
    address: int | Path

    def start(self, folder: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """Start it in `folder/run` and wait until it listens; `UserError` with its own reason if it ends instead."""
        output = folder / "log" / f"{self.name}.out"
        marks = {processes.FOLDER_VARIABLE: str(folder), processes.DAEMON_VARIABLE: self.name}
        with open(output, "wb") as stream:
            process = subprocess.Popen(
                self.command,
                env={**environment, **marks},
                cwd=folder / "run",
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if not processes.wait_until(lambda: self.is_listening() or process.poll() is not None, START_PERIOD):
            raise UserError(f"{self.name}: does not listen after {START_PERIOD:.0f} s; what it said is in {output}")
        if process.poll() is not None:
            raise UserError(f"{self.name}: ended at its start: {log_tail(output)}")
        return process

    def is_listening(self) -> bool:
        """Whether somebody answers at its address."""
        family = socket.AF_INET if isinstance(self.address, int) else socket.AF_UNIX
        address = (LOOPBACK, self.address) if isinstance(self.address, int) else str(self.address)
        with socket.socket(family) as attempt, contextlib.suppress(OSError):
            attempt.connect(address)
            return True
        return False


def daemons(folder: Path, settings: Settings, first_port: int) -> dict[str, Daemon]:
    """The daemons of a cluster by name, in the order in which they are started."""
    etc, run, log = folder / "etc", folder / "run", folder / "log"
    munged = (
        "munged", "--foreground", "--force", "--num-threads=2", f"--key-file={etc}/munge.key",
        f"--socket={run}/munge.socket", f"--pid-file={run}/munged.pid", f"--seed-file={run}/munged.seed",
        f"--log-file={log}/munged.log",
    )  # fmt: skip
    found = [Daemon("munged", munged, run / "munge.socket")]
    if settings.accounting:
        found += [
            Daemon("mariadbd", ("mariadbd", f"--defaults-file={etc}/my.cnf"), run / "mysqld.sock"),
            Daemon("slurmdbd", ("slurmdbd", "-D"), first_port + DATABASE),
        ]
    found.append(Daemon("slurmctld", ("slurmctld", "-D"), first_port + CONTROLLER))
    for place, node in enumerate(node_names(settings.nodes)):
        found.append(Daemon(f"slurmd.{node}", ("slurmd", "-D", "-N", node), first_port + NODES + place))
    return {daemon.name: daemon for daemon in found}


def prepare_database(folder: Path, environment: Mapping[str, str]) -> None:
    """Make MariaDB's own tables in `folder/mysql`; this user is let in without a password."""
    command = [
        "mariadb-install-db", f"--defaults-file={folder}/etc/my.cnf", "--skip-test-db",
        "--auth-root-authentication-method=socket", f"--auth-root-socket-user={user_name()}",
    ]  # fmt: skip
    output = folder / "log" / "mariadb-install-db.out"
    with open(output, "wb") as stream:
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
    if done.returncode != 0:
        raise UserError(f"mariadb-install-db: failed: {log_tail(output)}")


def stop(folder: Path) -> None:
    """End every process of the cluster in `folder`: daemons in order, then job steps and jobs, at once.

    They are found by their marks, so the folder may be damaged or gone.
    """
    for names in (("slurmctld", "slurmd."), ("slurmdbd",), ("mariadbd",), ("munged",)):
        found = [process for process in processes.of_cluster(folder) if process.daemon.startswith(names)]
        processes.end(found, STOP_PERIOD)
    # More than once: what is killed may just have started something.
    if not processes.wait_until(lambda: not processes.kill(processes.of_cluster(folder)), STOP_PERIOD):
        left = ", ".join(f"{process.program} ({process.number})" for process in processes.of_cluster(folder))
        raise UserError(f"{folder}: these processes cannot be killed: {left}")


def kill(folder: Path, name: str) -> None:
    """Kill one daemon as a crash would; job steps live on. Returns when it is dead."""
    found = [process for process in processes.of_cluster(folder) if process.daemon == name]
    if not found:
        raise UserError(f"{name}: does not run in {folder}")
    processes.kill(found)
    processes.wait_until(lambda: not any(processes.is_alive(process.number) for process in found), STOP_PERIOD)


def log_tail(output: Path) -> str:
    """Of a daemon's output the lines that tell best why it ended: its last two complaints, in one line."""
    lines = [line.strip() for line in output.read_text(errors="replace").splitlines() if line.strip()]
    complaints = [line for line in lines if "fatal" in line.lower() or "error" in line.lower()]
    return "; ".join(complaints[-2:] or lines[-1:]) or "it said nothing"
