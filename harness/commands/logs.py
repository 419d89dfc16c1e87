"""`floorbench logs`: what a run's workers said, and where its cluster's own words lie."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from harness.commands.output import remark_console
from harness.commands.queue import QueueView
from harness.commands.selection import one_run
from harness.folders.run_folder import RunFolder, tail

# Seconds between two looks at a log that is followed.
FOLLOW_INTERVAL = 0.5


def show_logs(name: str, root: Path, follow: bool) -> None:
    """Print the log of a run on stdout; with `follow` until the run has ended. Remarks go to stderr."""
    folder, console = one_run(name, root), remark_console()
    output = task_output(folder)
    if output is not None:
        console.print(f"SLURM's own output of its task: {output}")
    if follow:
        for piece in followed(folder.log, lambda: is_over(folder)):
            _print(piece)
    elif folder.log.exists():
        _print(folder.log.read_bytes())
    if not folder.log.exists() or not folder.log.stat().st_size:
        console.print(f"{folder.log}: the run's workers have said nothing (state: {folder.status()['state']})")
        if output is not None and (text := tail(output)):
            _print(text.encode())


def task_output(folder: RunFolder) -> Path | None:
    """The file of what the newest SLURM task of a run prints; None if it was never submitted."""
    from slurm.submissions import FOLDER, task_of

    root = folder.path.parent
    place = task_of(root, folder.id) if (root / FOLDER).is_dir() else None
    return place.log if place else None


def is_over(folder: RunFolder) -> bool:
    """Whether the run says nothing more unless somebody starts it again."""
    state = folder.state
    if state.is_under_way or state.is_terminal:
        return state.is_terminal
    return folder.id not in QueueView(folder.path.parent).now()


def followed(file: Path, is_over) -> Iterator[bytes]:
    """What a file holds and what is added to it, until `is_over` and all is told; a replaced file is told anew."""
    told, number = 0, None
    while True:
        # Asked before the file is read: what was said until then must not be missed.
        over = is_over()
        if file.exists():
            with open(file, "rb") as stream:
                stat = os.fstat(stream.fileno())
                if stat.st_ino != number or stat.st_size < told:
                    told, number = 0, stat.st_ino
                stream.seek(told)
                piece = stream.read()
            told += len(piece)
            if piece:
                yield piece
        if over:
            return
        time.sleep(FOLLOW_INTERVAL)


def _print(data: bytes) -> None:
    sys.stdout.write(data.decode(errors="replace"))
    sys.stdout.flush()
