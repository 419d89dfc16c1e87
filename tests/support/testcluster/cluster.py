"""Start, control and stop a SLURM cluster."""

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

# Files of a cluster. `OWNER` marks a directory as a cluster's and names the owning process.
PARTS = ("etc", "log", "run", "spool", "state", "mysql")
OWNER = "testcluster.json"

# Prefixes of variables that change SLURM's commands, as inside a job.
FOREIGN_VARIABLES = ("SLURM", "SBATCH", "SALLOC", "SRUN", "SQUEUE", "SINFO", "SACCT", "SCANCEL")

# Seconds to wait until all nodes are idle, and for one command.
READY_PERIOD = 60.0
COMMAND_PERIOD = 60.0


class Cluster:
    """A cluster in `folder` that runs between `up` and `down`, or inside `with`.

    Its daemons listen on 127.0.0.1 and run as the current user; its files stay until the next `up` there.
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
        """Start a new cluster and wait until all nodes are idle; UserError with the reason if a daemon fails.

        `take_down_abandoned` stops it once this process has ended, unless `outlives` is set.
        """
        packages.require(self.settings.accounting)
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
        """Stop all processes of the cluster, jobs included."""
        daemons.stop(self.folder)
        for child in self._children:
            child.wait()
        self._children.clear()

    # Commands ------------------------------------------------------------------------------------------------------

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that select this cluster for SLURM's commands."""
        return {
            "SLURM_CONF": str(self.folder / "etc" / "slurm.conf"),
            "MYSQL_UNIX_PORT": str(self.folder / "run" / "mysqld.sock"),
            "PATH": packages.search_path(),
        }

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment for this cluster, without variables of other clusters and of jobs."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_VARIABLES)}
        return inherited | self.variables

    def run(self, *command: str) -> str:
        """The output of a command; UserError with its error message if it fails."""
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
            raise UserError(f"{command[0]}: {lines[0] or f'failed with exit code {done.returncode}'}")
        return done.stdout

    @property
    def nodes(self) -> tuple[str, ...]:
        return node_names(self.settings.nodes)

    def node_state(self, node: str) -> str:
        """SLURM's state of a node, e.g. IDLE, MIXED, ALLOCATED, DOWN, DOWN*, IDLE+DRAIN."""
        states = re.findall(r"\bState=(\S+)", self.run("scontrol", "show", "node", "--oneliner", node))
        return states[0]

    def wait_until_idle(self) -> None:
        """Wait until all nodes are up and without jobs; UserError if that takes too long."""
        if not processes.wait_until(lambda: all(self.node_state(node) == "IDLE" for node in self.nodes), READY_PERIOD):
            states = ", ".join(f"{node} {self.node_state(node)}" for node in self.nodes)
            raise UserError(f"{self.folder}: nodes are not ready after {READY_PERIOD:.0f} s: {states}; see log/ there")

    # Fault injection -----------------------------------------------------------------------------------------------

    def set_down(self, node: str) -> None:
        """Set a node down, as an administrator does: its jobs are requeued, their processes end a little later."""
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def resume(self, node: str) -> None:
        """Undo `set_down`."""
        self.run("scontrol", "update", f"nodename={node}", "state=resume")

    def kill(self, daemon: str) -> None:
        """Kill a daemon (slurmctld, slurmdbd, slurmd.<node>, ...), as in a crash; job steps keep running."""
        daemons.kill(self.folder, daemon)

    def start(self, daemon: str) -> None:
        """Start a daemon and wait until it listens."""
        self._children.append(self._daemons[daemon].start(self.folder, self.environment))

    def restart(self, daemon: str) -> None:
        """Kill a daemon and start it again."""
        self.kill(daemon)
        self.start(daemon)

    # Steps of `up` -------------------------------------------------------------------------------------------------

    def _claim(self, outlives: bool) -> None:
        """Take possession of the directory and empty it; UserError unless it is new or a former cluster's."""
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"{self.folder}: not a directory; name a new one")
        if self.folder.exists() and any(self.folder.iterdir()) and not (self.folder / OWNER).exists():
            raise UserError(f"{self.folder}: contains other files; name a new directory")
        if processes.of_cluster(self.folder):
            if not _is_abandoned(self.folder):
                raise UserError(f"{self.folder}: a cluster is running in it; stop it first")
            self.down()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.folder}: cannot be created ({error.strerror}); name another directory") from error
        write_json(self.folder / OWNER, {"owner": None if outlives else this_process()})
        for part in PARTS:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self.folder / part)
            (self.folder / part).mkdir()
        for node in self.nodes:
            (self.folder / "spool" / node).mkdir()

    def _open_account(self) -> None:
        """Create the account that is needed to submit jobs."""
        self.run("sacctmgr", "--immediate", "add", "account", ACCOUNT)
        self.run(
            "sacctmgr", "--immediate", "add", "user", user_name(), f"account={ACCOUNT}", f"defaultaccount={ACCOUNT}"
        )


def take_down_abandoned() -> list[Path]:
    """Stop this user's clusters whose owners have ended; returns their directories."""
    abandoned = sorted(folder for folder in processes.folders_of_clusters() if _is_abandoned(folder))
    for folder in abandoned:
        Cluster(folder).down()
    return abandoned


def _is_abandoned(folder: Path) -> bool:
    """Whether the owner of the cluster has ended."""
    claim = read_json(folder / OWNER)
    return claim is None or (claim["owner"] is not None and has_ended(claim["owner"]))
