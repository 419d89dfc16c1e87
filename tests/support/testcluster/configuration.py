"""The files that a cluster's daemons read."""

import os
import pwd
import random
import socket
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.errors import UserError
from tests.support.testcluster.ports import BLOCK

# SLURM sets CUDA_VISIBLE_DEVICES only for devices that are characters in the kernel's eyes; anybody has these.
CHARACTER_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")

# Ports of a block, counted from its first; that one stays free.
CONTROLLER, DATABASE, NODES = 1, 2, 3

# The account whose name a job may use; the only one besides SLURM's own "root".
ACCOUNT = "research"

# A job id that no cluster began with lately: results of another cluster's jobs are not taken for this one's.
# SLURM counts up to 67 million.
FIRST_JOB_IDS = range(1_000, 60_000_000, 1_000)

LONGEST_NODE_NAME = 20

# Bytes that the name of a socket may have, and those of the longest name below the folder of a node:
# "<node>_<job>.<step>".
SOCKET_LENGTH = 107
STEP_LENGTH = len("_67108863.4294967295")


@dataclass(frozen=True)
class Settings:
    """What tests choose about a cluster."""

    accounting: bool = True  # slurmdbd with MariaDB; without it sacct answers nothing
    nodes: int = 2  # slurmd processes
    cpus: int = 8  # per node; SLURM is told so, whatever the machine has
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
                raise UserError(f"{name}: is {getattr(self, name)}, and should be from {least} to {most}")


def node_names(count: int) -> tuple[str, ...]:
    """Names of nodes. The first two are names of this machine that resolve, as those of a real cluster do.

    The host's own name must come first: slurmd refuses a list in which it follows another. A long one is left out:
    names of sockets have a node's name in them twice.
    """
    host = host_name()
    names = ["localhost"] if host == "localhost" or len(host) > LONGEST_NODE_NAME else [host, "localhost"]
    return tuple([*names, *(f"node{number}" for number in range(len(names) + 1, count + 1))][:count])


def host_name() -> str:
    """The name of this machine as SLURM sees it."""
    return socket.gethostname().partition(".")[0]


def user_name() -> str:
    """Whose cluster it is, and whose jobs run on it: this user's."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise UserError(f"user {os.geteuid()}: has no name on this machine, and SLURM asks for one") from None


def write_configuration(folder: Path, settings: Settings, first_port: int) -> None:
    """Write `folder/etc`: SLURM's files, MariaDB's, and a key that only this cluster has."""
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
    """Raise `UserError` if the names of a cluster's sockets in `folder` would be too long for the system."""
    node = max(node_names(nodes), key=len)
    excess = len(os.fsencode(folder / "spool" / node / node)) + STEP_LENGTH - SOCKET_LENGTH
    if excess > 0:
        raise UserError(f"{folder}: its name is too long for sockets in it by {excess} bytes; name another folder")
    if any(character.isspace() or character in "#%,=\\\"'" for character in str(folder)):
        raise UserError(f"{folder}: SLURM's files cannot hold its name; name one of letters, digits and -_./")


def _write_private(file: Path, data: bytes) -> None:
    """SLURM refuses a slurmdbd.conf, and MUNGE a key, that others may read."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as stream:
        stream.write(data)
