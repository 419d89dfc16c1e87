"""Settings and configuration files of a cluster."""

import os
import pwd
import random
import socket
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.errors import UserError
from tests.support.testcluster.ports import BLOCK

# SLURM sets CUDA_VISIBLE_DEVICES only for character devices; these exist everywhere.
CHARACTER_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")

# Offsets of the daemons' ports in a block; the first port stays free.
CONTROLLER, DATABASE, NODES = 1, 2, 3

# The only account besides SLURM's "root".
ACCOUNT = "research"

# The first job id is random, so that jobs of different clusters are told apart. SLURM counts up to 67 million.
FIRST_JOB_IDS = range(1_000, 60_000_000, 1_000)

LONGEST_NODE_NAME = 20

# Maximum length of the name of a socket, and the longest suffix that SLURM appends to a node's directory:
# "<node>_<job>.<step>".
SOCKET_LENGTH = 107
STEP_LENGTH = len("_67108863.4294967295")


@dataclass(frozen=True)
class Settings:
    """Settings of a cluster."""

    accounting: bool = True  # slurmdbd with MariaDB; sacct fails without it
    nodes: int = 2  # slurmd processes
    cpus: int = 8  # per node; may exceed those of the machine
    gpus: int = 4  # per node; fake ones
    max_array_size: int = 1001  # largest index of an array task, plus 1

    def __post_init__(self) -> None:
        limits = {
            "nodes": (1, BLOCK - NODES),
            "cpus": (1, 1024),
            "gpus": (0, len(CHARACTER_DEVICES)),
            "max_array_size": (2, 4_000_001),
        }
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise UserError(f"{name} = {getattr(self, name)}: must be from {least} to {most}")


def node_names(count: int) -> tuple[str, ...]:
    """Names of the nodes. The first two are names of this machine that resolve, as on a real cluster.

    The host name must come first, as slurmd requires. A long one is left out, as names of sockets contain the node's
    name twice.
    """
    host = host_name()
    names = ["localhost"] if host == "localhost" or len(host) > LONGEST_NODE_NAME else [host, "localhost"]
    return tuple([*names, *(f"node{number}" for number in range(len(names) + 1, count + 1))][:count])


def host_name() -> str:
    """The host name as SLURM uses it."""
    return socket.gethostname().partition(".")[0]


def user_name() -> str:
    """The user who owns the cluster and its jobs."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise UserError(f"user {os.geteuid()}: has no name on this machine, which SLURM requires") from None


def write_configuration(folder: Path, settings: Settings, first_port: int) -> None:
    """Write `folder/etc`: the files of SLURM and MariaDB, and a unique MUNGE key."""
    values = {
        "folder": folder,
        "settings": settings,
        "user": user_name(),
        "host": host_name(),
        "nodes": node_names(settings.nodes),
        "controller_port": first_port + CONTROLLER,
        "database_port": first_port + DATABASE,
        "node_ports": (first_port + NODES, first_port + NODES + settings.nodes - 1),
        "devices": CHARACTER_DEVICES[: settings.gpus],
        "first_job_id": random.SystemRandom().choice(FIRST_JOB_IDS),
    }
    names = ["slurm.conf", "gres.conf", "cgroup.conf"]
    if settings.accounting:
        names += ["slurmdbd.conf", "my.cnf", "database.sql"]
    templates = Environment(
        loader=PackageLoader("tests.support.testcluster"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for name in names:
        _write_private(folder / "etc" / name, templates.get_template(name).render(values).encode())
    _write_private(folder / "etc" / "munge.key", random.SystemRandom().randbytes(128))


def check_folder(folder: Path, nodes: int) -> None:
    """Raise UserError if names of sockets in `folder` would be too long, or SLURM cannot handle the path."""
    node = max(node_names(nodes), key=len)
    excess = len(os.fsencode(folder / "spool" / node / node)) + STEP_LENGTH - SOCKET_LENGTH
    if excess > 0:
        raise UserError(f"{folder}: the path is {excess} bytes too long for sockets; name another directory")
    if any(character.isspace() or character in "#%,=\\\"'" for character in str(folder)):
        raise UserError(f"{folder}: not a path that SLURM can handle; use letters, digits and -_./")


def _write_private(file: Path, data: bytes) -> None:
    """Write a file that only its owner can read, as slurmdbd and MUNGE require."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as stream:
        stream.write(data)
