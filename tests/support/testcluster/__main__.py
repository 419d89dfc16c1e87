"""The command line of the test cluster: python -m tests.support.testcluster up|down|env|install."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.errors import PLACE_ERRORS, UserError, one_line
from tests.support.testcluster import packages
from tests.support.testcluster.cluster import Cluster
from tests.support.testcluster.configuration import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A real SLURM cluster on this machine: two nodes with fake GPUs, on the loopback address only.",
)

Folder = Annotated[
    Path, typer.Argument(help="Directory of the cluster: a new one, or one of a former cluster.", metavar="DIR")
]
Accounting = Annotated[bool, typer.Option(help="With slurmdbd and MariaDB.")]
DEFAULT = Settings()


@app.command()
def up(
    folder: Folder,
    accounting: Accounting = DEFAULT.accounting,
    nodes: Annotated[int, typer.Option(help="Number of nodes.")] = DEFAULT.nodes,
    cpus: Annotated[int, typer.Option(help="Processors per node; may exceed those of the machine.")] = DEFAULT.cpus,
    gpus: Annotated[int, typer.Option(help="Fake GPUs per node.")] = DEFAULT.gpus,
) -> None:
    """Start a new cluster, which keeps running."""
    cluster = Cluster(folder, Settings(accounting=accounting, nodes=nodes, cpus=cpus, gpus=gpus))
    cluster.up(outlives=True)
    print(f"running, with the nodes {', '.join(cluster.nodes)}; to use it in a shell:")
    print(f'eval "$({Path(sys.executable).name} -m tests.support.testcluster env {shlex.quote(str(folder))})"')


@app.command()
def down(folder: Folder) -> None:
    """Stop all processes of a cluster, jobs included."""
    Cluster(folder).down()


@app.command()
def env(folder: Folder) -> None:
    """Print shell commands that select a cluster for SLURM's commands."""
    for name, value in Cluster(folder).variables.items():
        print(f"export {name}={shlex.quote(value)}")


@app.command()
def install(accounting: Accounting = True) -> None:
    """Install missing packages with apt."""
    if names := packages.missing(accounting):
        print(f"SLURM: {len(names)} packages are missing; installing them takes about 10 s", file=sys.stderr)
    packages.install(accounting)


def main() -> None:
    """Run a command; exit code 2 and a one-line error if it is impossible here."""
    try:
        app()
    except UserError as error:
        fail(str(error))
    except OSError as error:
        if error.errno not in PLACE_ERRORS:
            raise
        fail(one_line(error))


def fail(message: str) -> None:
    """Print a one-line error and exit."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
