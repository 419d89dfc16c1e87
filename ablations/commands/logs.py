"""`floorbench logs`: the log of a run, and where SLURM keeps the log of its array task."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from ablations.commands.selection import one_run
from harness.command_line import RUNS, Root, remark_console
from harness.files import open_file, read_bytes
from harness.folders.run_folder import RunFolder, tail
from harness.plain_values import visible
from slurm.watching import QueueView

# Seconds between two reads of a log that is followed.
FOLLOW_INTERVAL = 0.5


def logs(
    run: Annotated[str, typer.Argument(help="Run id, or a unique beginning of one.", metavar="RUN")],
    root: Root = RUNS,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing until the run ends.")] = False,
) -> None:
    """Show a run's log."""
    show_logs(run, root, follow)


def show_logs(name: str, root: Path, follow: bool) -> None:
    """Print a run's log to stdout, with `follow` until the run ends. Notes go to stderr."""
    folder, console = one_run(name, root), remark_console()
    output = task_output(folder)
    if output is not None:
        console.print(f"SLURM log of its array task: {output}")
    if follow:
        for data in followed(folder.log, lambda: is_over(folder)):
            _print(data)
    elif folder.log.exists():
        _print(read_bytes(folder.log))
    if not folder.log.exists() or not folder.log.stat().st_size:
        text = tail(output) if output is not None else ""
        # A job that ended before the run began leaves its state as it was.
        console.print(f"{folder.log}: no output{'' if text else f' (state: {folder.state})'}")
        _print(text.encode())


def task_output(folder: RunFolder) -> Path | None:
    """The log of the run's latest array task; None if the run was never submitted."""
    from slurm.submissions import FOLDER, task_of

    root = folder.path.parent
    place = task_of(root, folder.id) if (root / FOLDER).is_dir() else None
    return place.log if place else None


def is_over(folder: RunFolder) -> bool:
    """Whether the log stays as it is unless somebody restarts the run."""
    state = folder.state
    if state.is_under_way or state.is_terminal:
        return state.is_terminal
    return folder.id not in QueueView(folder.path.parent).now()


def followed(file: Path, is_over: Callable[[], bool]) -> Iterator[bytes]:
    """Yield what a file holds and what is appended until `is_over`; a replaced file is read from its start."""
    position, inode = 0, None
    while True:
        # Checked before reading, so that output written before the end is not missed.
        over = is_over()
        if file.exists():
            with open_file(file) as stream:
                stat = os.fstat(stream.fileno())
                if stat.st_ino != inode or stat.st_size < position:
                    position, inode = 0, stat.st_ino
                stream.seek(position)
                data = stream.read()
            position += len(data)
            if data:
                yield data
        if over:
            return
        time.sleep(FOLLOW_INTERVAL)


def _print(data: bytes) -> None:
    text = data.decode(errors="replace")
    sys.stdout.write(visible(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()
