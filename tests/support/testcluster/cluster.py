"""A SLURM cluster in a folder, from the first daemon to the last process."""

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Self

from harness.errors import UserError
from harness.files import read_json, write_json
from harness.folders.processes import has_ended, this_process
from tests.support.testcluster import daemons, packages, ports, processes
from tests.support.testcluster.configuration import (
    ACCOUNT,
    Settings,
    check_folder,
    node_names,
    user_name,
    write_configuration,
)

# What a cluster leaves in its folder. By the last one a folder is known as a cluster's; it names the owner.
PARTS = ("etc", "log", "run", "spool", "state", "mysql")
OWNER = "testcluster.json"

# Beginnings of the variables by which SLURM's commands can be told otherwise, as they are inside a job.
FOREIGN_VARIABLES = ("SLURM", "SBATCH", "SALLOC", "SRUN", "SQUEUE", "SINFO", "SACCT", "SCANCEL")

# Seconds until all nodes are idle, and for one command.
READY_PERIOD = 60.0
COMMAND_PERIOD = 60.0


class Cluster:
    """A cluster in `folder`: up between `up` and `down`, or inside `with`.

    Everything it starts listens on 127.0.0.1 and belongs to this user; the files stay until the next `up` there.
    """

    def __init__(self, folder: Path, settings: Settings | None = None):
        self.folder = Path(folder).resolve()
        self.settings = settings or Settings()
        self._daemons: dict[str, daemons.Daemon] = {}
        self._children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    # Up and down ---------------------------------------------------------------------------------------------------

    def up(self, outlives: bool = False) -> None:
        """Bring up a fresh cluster and wait until every node is idle; `UserError` with a daemon's reason if one fails.

        It belongs to this process: `take_down_abandoned` ends it once this process has ended, unless it `outlives` it.
        """
        packages.demand(self.settings.accounting)
        check_folder(self.folder, self.settings.nodes)
        self._claim(outlives)
        try:
            with ports.block() as block:
                write_configuration(self.folder, self.settings, block.first)
                if self.settings.accounting:
                    daemons.prepare_database(self.folder, self.environment)
                block.hand_over()
                self._daemons = daemons.daemons(self.folder, self.settings, block.first)
                for name in self._daemons:
                    self.start(name)
            self.wait_until_idle()
            if self.settings.accounting:
                self._open_account()
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """End every process of the cluster, jobs included; does nothing if there is none."""
        daemons.stop(self.folder)
        for child in self._children:
            child.wait()
        self._children.clear()

    # Talking to it ---------------------------------------------------------------------------------------------------

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables by which SLURM's commands find this cluster."""
        return {
            "SLURM_CONF": str(self.folder / "etc" / "slurm.conf"),
            "MYSQL_UNIX_PORT": str(self.folder / "run" / "mysqld.sock"),
            "PATH": packages.search_path(),
        }

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment for this cluster: nothing in it speaks of another cluster or of a job."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_VARIABLES)}
        return own | self.variables

    def run(self, *command: str) -> str:
        """What a command prints; `UserError` with what it complains of if it fails."""
        done = subprocess.run(
            command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_PERIOD,
        )
        if done.returncode != 0:
            lines = (done.stderr or done.stdout).split("\n")
            raise UserError(f"{command[0]}: {lines[0] or f'ended with {done.returncode}'}")
        return done.stdout

    @property
    def nodes(self) -> tuple[str, ...]:
        return node_names(self.settings.nodes)

    def node_state(self, node: str) -> str:
        """What SLURM says of a node, for example IDLE, MIXED, ALLOCATED, DOWN, DOWN*, IDLE+DRAIN."""
        states = re.findall(r"\bState=(\S+)", self.run("scontrol", "show", "node", "--oneliner", node))
        return states[0]

    def wait_until_idle(self) -> None:
        """Wait until every node is up and has no job; `UserError` if that takes too long."""
        if not processes.wait_until(lambda: all(self.node_state(node) == "IDLE" for node in self.nodes), READY_PERIOD):
            states = ", ".join(f"{node} {self.node_state(node)}" for node in self.nodes)
            raise UserError(f"{self.folder}: nodes are not ready after {READY_PERIOD:.0f} s: {states}; see log/ there")

    # Mishaps ---------------------------------------------------------------------------------------------------------

    def set_down(self, node: str) -> None:
        """As an administrator does it: the node's jobs are requeued, while their processes live a little longer."""
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def resume(self, node: str) -> None:
        """Undo `set_down`."""
        self.run("scontrol", "update", f"nodename={node}", "state=resume")

    def kill(self, daemon: str) -> None:
        """Kill a daemon (slurmctld, slurmdbd, slurmd.<node>, ...) as a crash does; job steps live on."""
        daemons.kill(self.folder, daemon)

    def start(self, daemon: str) -> None:
        """Start a daemon of this object's cluster and wait until it listens."""
        self._children.append(self._daemons[daemon].start(self.folder, self.environment))

    def restart(self, daemon: str) -> None:
        """Kill a daemon and start it again."""
        self.kill(daemon)
        self.start(daemon)

    # The steps of `up` -----------------------------------------------------------------------------------------------

    def _claim(self, outlives: bool) -> None:
        """Make the folder an empty one of this process; `UserError` if it is anything but an old cluster's."""
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"{self.folder}: is no folder; name a new one")
        if self.folder.exists() and any(self.folder.iterdir()) and not (self.folder / OWNER).exists():
            raise UserError(f"{self.folder}: has something else in it; name a new folder")
        if processes.of_cluster(self.folder):
            if not _is_abandoned(self.folder):
                raise UserError(f"{self.folder}: a cluster is up in it; take it down first")
            self.down()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.folder}: cannot be made ({error.strerror}); name another folder") from error
        write_json(self.folder / OWNER, {"owner": None if outlives else this_process()})
        for part in PARTS:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self.folder / part)
            (self.folder / part).mkdir()
        for node in self.nodes:
            (self.folder / "spool" / node).mkdir()

    def _open_account(self) -> None:
        """Without an account nobody may submit a job."""
        self.run("sacctmgr", "--immediate", "add", "account", ACCOUNT)
        self.run(
            "sacctmgr", "--immediate", "add", "user", user_name(), f"account={ACCOUNT}", f"defaultaccount={ACCOUNT}"
        )


def take_down_abandoned() -> list[Path]:
    """Take down this user's clusters whose owners have ended without doing so; returns their folders."""
    found = sorted(folder for folder in processes.folders_of_clusters() if _is_abandoned(folder))
    for folder in found:
        Cluster(folder).down()
    return found


def _is_abandoned(folder: Path) -> bool:
    """Whether nobody will take down the cluster in this folder."""
    claim = read_json(folder / OWNER)
    return claim is None or (claim["owner"] is not None and has_ended(claim["owner"]))
