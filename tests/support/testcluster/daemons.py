"""The daemons of a cluster: start, readiness and stop."""

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

# Seconds to wait until a daemon listens, and until it stops.
START_PERIOD = 60.0
STOP_PERIOD = 10.0


@dataclass(frozen=True)
class Daemon:
    """A foreground program and its address: a port on the loopback address, or a Unix socket."""

    name: str
    command: tuple[str, ...]
    address: int | Path

    def start(self, folder: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """Start the daemon in `folder/run` and wait until it listens; UserError with its reason if it exits."""
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
            raise UserError(f"{self.name}: does not listen after {START_PERIOD:.0f} s; its log is {output}")
        if process.poll() is not None:
            raise UserError(f"{self.name}: exited at start: {log_tail(output)}")
        return process

    def is_listening(self) -> bool:
        """Whether its address accepts connections."""
        family = socket.AF_INET if isinstance(self.address, int) else socket.AF_UNIX
        address = (LOOPBACK, self.address) if isinstance(self.address, int) else str(self.address)
        with socket.socket(family) as attempt, contextlib.suppress(OSError):
            attempt.connect(address)
            return True
        return False


def daemons(folder: Path, settings: Settings, first_port: int) -> dict[str, Daemon]:
    """The daemons of a cluster by name, in starting order."""
    etc, run, log = folder / "etc", folder / "run", folder / "log"
    munged = (
        "munged", "--foreground", "--force", "--num-threads=2", f"--key-file={etc}/munge.key",
        f"--socket={run}/munge.socket", f"--pid-file={run}/munged.pid", f"--seed-file={run}/munged.seed",
        f"--log-file={log}/munged.log",
    )  # fmt: skip
    result = [Daemon("munged", munged, run / "munge.socket")]
    if settings.accounting:
        result += [
            Daemon("mariadbd", ("mariadbd", f"--defaults-file={etc}/my.cnf"), run / "mysqld.sock"),
            Daemon("slurmdbd", ("slurmdbd", "-D"), first_port + DATABASE),
        ]
    result.append(Daemon("slurmctld", ("slurmctld", "-D"), first_port + CONTROLLER))
    for place, node in enumerate(node_names(settings.nodes)):
        result.append(Daemon(f"slurmd.{node}", ("slurmd", "-D", "-N", node), first_port + NODES + place))
    return {daemon.name: daemon for daemon in result}


def prepare_database(folder: Path, environment: Mapping[str, str]) -> None:
    """Create MariaDB's system tables in `folder/mysql`, with password-free access for this user."""
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
    """Stop all processes of a cluster: daemons in order, then job steps and jobs at once.

    They are identified by environment variables, so the directory may be damaged or missing.
    """
    for names in (("slurmctld", "slurmd."), ("slurmdbd",), ("mariadbd",), ("munged",)):
        matching = [process for process in processes.of_cluster(folder) if process.daemon.startswith(names)]
        processes.end(matching, STOP_PERIOD)
    # Repeated, as a killed process may just have started another.
    if not processes.wait_until(lambda: not processes.kill(processes.of_cluster(folder)), STOP_PERIOD):
        left = ", ".join(f"{process.program} ({process.number})" for process in processes.of_cluster(folder))
        raise UserError(f"{folder}: these processes cannot be killed: {left}")


def kill(folder: Path, name: str) -> None:
    """Kill one daemon, as in a crash, and wait until it has ended; job steps keep running."""
    matching = [process for process in processes.of_cluster(folder) if process.daemon == name]
    if not matching:
        raise UserError(f"{name}: not running in {folder}")
    processes.kill(matching)
    processes.wait_until(lambda: not any(processes.is_alive(process.number) for process in matching), STOP_PERIOD)


def log_tail(output: Path) -> str:
    """The last two errors in a daemon's log, or its last line, in one line."""
    lines = [line.strip() for line in output.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "fatal" in line.lower() or "error" in line.lower()]
    return "; ".join(errors[-2:] or lines[-1:]) or "no output"
