"""What a process may use of its machine: cores and memory by affinity, and by the limits of containers and batch jobs.

Linux limits groups of processes (cgroups), in version 1 by a hierarchy per resource and in version 2 by a single one. A
group is limited by itself and by all groups above it. A container may see its group as the root, or a mount whose top
is that group, while paths are those of the host.
"""

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# Memory limits from here on mean "unlimited" in version 1.
UNLIMITED_MEMORY = 2**60

# Upper bound of the memory of one worker with a demo pack, in bytes.
WORKER_MEMORY = 1_000_000_000


@dataclass(frozen=True)
class Limits:
    """The limits of the process's groups.

    Attributes:
        cores: processor time per second; None: unlimited.
        memory: bytes that all processes of the group may use; None: unlimited.
        used: bytes that they use, without the part of the page cache that can be freed at once.
    """

    cores: float | None = None
    memory: int | None = None
    used: int = 0


def read_limits(root: Path = Path("/")) -> Limits:
    """The limits of this process in a file system `root` with `/proc` and `/sys`; none where they cannot be read."""
    quotas, memory = [], []
    for mount, path in _groups(root):
        for folder in _upwards(mount, path):
            quotas += _quota(folder)
            memory += _memory(folder)
    limit, used = min(memory, key=lambda pair: pair[0] - pair[1], default=(None, 0))
    return Limits(min(quotas, default=None), limit, used)


def usable_cores(root: Path = Path("/")) -> int:
    """The number of cores that this process may keep busy, at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = read_limits(root).cores
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


def usable_memory(root: Path = Path("/")) -> int | None:
    """Bytes of memory that this process and its children may still use; None without a limit."""
    limits = read_limits(root)
    return None if limits.memory is None else max(0, limits.memory - limits.used)


def _groups(root: Path) -> Iterator[tuple[Path, PurePosixPath]]:
    """The mounted hierarchies that limit processors or memory, with the process's group as a path below the mount."""
    mounts = list(_mounts(root))
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, group = line.split(":", 2)
        for limited, top, mount in mounts:
            if limited & set(controllers.split(",")):
                path = PurePosixPath(group)
                below = path.relative_to(top) if path.is_relative_to(top) and ".." not in path.parts else None
                yield mount, below or PurePosixPath()


def _mounts(root: Path) -> Iterator[tuple[set[str], str, Path]]:
    """The mounts of cgroups: the resources that they limit ("" for version 2), the group at the top, and the place."""
    for line in (_text(root / "proc/self/mountinfo") or "").splitlines():
        mount, _, system = line.partition(" - ")
        # Blanks in paths are written as \040.
        top, place = (re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), text) for text in mount.split()[3:5])
        if system.startswith("cgroup"):
            kind, *_, options = system.split()
            limited = {""} if kind == "cgroup2" else {"cpu", "memory"} & set(options.split(","))
            yield limited, top, root / place.lstrip("/")


def _upwards(mount: Path, path: PurePosixPath) -> Iterator[Path]:
    """The folders of a group and of all groups above it, as far as they are visible."""
    folder = mount / path
    while folder != mount and mount in folder.parents:
        if folder.is_dir():
            yield folder
        folder = folder.parent
    yield mount


def _quota(folder: Path) -> list[float]:
    words = (_text(folder / "cpu.max") or "").split()
    if not words:
        words = [_text(folder / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period")]
    if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]):
        return [int(words[0]) / int(words[1])]
    return []


def _memory(folder: Path) -> list[tuple[int, int]]:
    # Above `memory.high` a group is slowed down until it hardly runs.
    for limit_files, used_file, freed in (
        (("memory.max", "memory.high"), "memory.current", "inactive_file"),
        (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
    ):
        texts, used = [_text(folder / name) or "" for name in limit_files], _text(folder / used_file) or "0"
        limit = min((int(text) for text in texts if text.isdigit()), default=UNLIMITED_MEMORY)
        if limit < UNLIMITED_MEMORY:
            stat = dict(line.split(" ", 1) for line in (_text(folder / "memory.stat") or "").splitlines())
            return [(limit, max(0, int(used) - int(stat.get(freed, 0))))]
    return []


def _text(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except OSError:
        return None
