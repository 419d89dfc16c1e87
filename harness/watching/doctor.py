"""Check what this machine can do and what is missing."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.data.files import minari_folder
from harness.errors import UserError, one_line
from harness.folders.limits import WORKER_MEMORY, read_limits, usable_cores, usable_memory
from harness.folders.provenance import (
    PACKAGES,
    code_version,
    git_obstacle,
    gpus,
    package_versions,
    processor,
)
from harness.folders.reader import faults
from harness.folders.run_folder import run_folders
from harness.launching.preflight import RESERVE_BYTES, check_root

OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True)
class Finding:
    """The result of one check: "ok", "note" (something optional is missing) or "problem" (the demo cannot run, or a run
    folder is damaged)."""

    name: str
    verdict: str
    text: str


# A name and a check.
Check = tuple[str, Callable[[], Finding]]


def examine(root: Path, others: Sequence[Check] = ()) -> list[Finding]:
    """Check everything the demo needs, useful optional parts and `others`; takes a few seconds."""
    checks: list[Check] = [
        ("python", python),
        ("processor", cores),
        ("memory", memory),
        ("packages", packages),
        ("clashes", clashes),
        ("torch", torch_device),
        ("pointmaze", pointmaze),
        ("runs", lambda: runs_folder(root)),
        ("datasets", datasets_folder),
        ("kernels", kernels),
        ("provenance", code),
        *others,
    ]
    findings = [guarded(name, check) for name, check in checks]
    try:
        return [*findings, *run_faults(root)]
    except OSError as error:
        return [*findings, Finding("run folder", "problem", one_line(error))]


def can_run_demo(findings: Sequence[Finding]) -> bool:
    """Whether everything that the demo needs is present."""
    return all(finding.verdict != "problem" for finding in findings)


def guarded(name: str, check: Callable[[], Finding]) -> Finding:
    """The result of a check; an exception is a problem."""
    try:
        return check()
    except Exception as error:
        return Finding(name, "problem", one_line(error))


def python() -> Finding:
    """Version and path of the interpreter."""
    verdict = "ok" if sys.version_info >= OLDEST_PYTHON else "problem"
    oldest = ".".join(map(str, OLDEST_PYTHON))
    return Finding("python", verdict, f"{platform.python_version()} at {sys.executable} (needed: {oldest} or later)")


def cores() -> Finding:
    """Cores this process may use."""
    quota = read_limits().cores
    limit = "" if quota is None else f", limited to {quota:.3g} cores' time by a container or batch job"
    return Finding("processor", "ok", f"{usable_cores()} usable of {os.cpu_count()} cores{limit}, {processor()}")


def memory() -> Finding:
    """Available memory, compared with one worker per core."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return Finding("memory", "note", "unknown on this system")
    values = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    total, limit, free = values["MemTotal"], read_limits().memory, usable_memory()
    available, needed = values["MemAvailable"], usable_cores() * WORKER_MEMORY
    text = ""
    if limit is not None and free is not None and limit < total:
        total, available, text = limit, min(free, available), " allowed by a container or batch job"
    text = f"{available / 1e9:.1f} GB available of {total / 1e9:.1f} GB{text}"
    if available < needed:
        return Finding("memory", "note", f"{text}; use fewer --workers, about {available // WORKER_MEMORY or 1}")
    return Finding("memory", "ok", text)


def packages() -> Finding:
    """Versions of the packages that can affect metrics."""
    versions = package_versions()
    missing = [name for name in PACKAGES if versions[name] is None]
    if missing:
        return Finding("packages", "problem", f"not installed: {', '.join(missing)}; make setup installs them")
    return Finding("packages", "ok", ", ".join(f"{name} {versions[name]}" for name in PACKAGES))


def clashes() -> Finding:
    """Incompatible packages, from `pip check`."""
    if importlib.util.find_spec("pip") is None:
        return Finding("clashes", "note", "not checked: pip is not installed in this environment")
    check = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, timeout=120)
    lines = [line for line in check.stdout.splitlines() if line.strip()]
    if check.returncode == 0:
        return Finding("clashes", "ok", "none")
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return Finding("clashes", "note", f"{lines[0] if lines else check.stderr.strip()}{more}")


def torch_device() -> Finding:
    """Threads and GPUs of torch; by default runs use the CPU, with one thread per worker."""
    import torch

    from algorithms.kernels import gpu

    threads, reason = f"{torch.get_num_threads()} threads by default", gpu.obstacle()
    if reason:
        return Finding("torch", "ok", f"{threads}; no GPU: {reason}")
    text = f"{threads}; GPUs: {gpus()}; use them with --set algorithm.kernel=cuda"
    if reason := gpu.compiler_obstacle():
        return Finding("torch", "note", f"{text}; the kernels cuda_compiled and triton cannot be used: {reason}")
    return Finding("torch", "ok", text)


def kernels() -> Finding:
    """Whether the C++ kernels are built or can be; builds nothing."""
    from algorithms.kernels.build import compiler, is_built, library, obstacle

    reason = obstacle()
    if reason:
        return Finding("kernels", "note", f"{reason}; use --set algorithm.kernel=torch, which is slower")
    if is_built():
        return Finding("kernels", "ok", f"built, {library()}")
    return Finding("kernels", "ok", f"not built yet; the first run builds them with {compiler()}")


def pointmaze() -> Finding:
    """Whether MuJoCo can step a PointMaze."""
    import numpy

    from harness.environments.environment import Environment
    from harness.tasks.registry import base_run

    environment = Environment(base_run("pointmaze-umaze", "demo", seed=0).task)
    environment.reset(seed=0)
    environment.step(numpy.zeros(environment.action_dim))
    return Finding("pointmaze", "ok", "starts and steps with mujoco")


def runs_folder(root: Path) -> Finding:
    """Whether run folders can be written, and the free space."""
    existing = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    check_root(existing)
    return Finding("runs", "ok", f"{root} is writable, {_free(existing)}")


def run_faults(root: Path) -> list[Finding]:
    """The faults of the run folders in `root`."""
    folders = list(run_folders(root)) if root.is_dir() else []
    problems = [Finding("run folder", "problem", fault) for folder in folders for fault in faults(folder)]
    return problems or [Finding("run folder", "ok", f"{len(folders)} in {root}, no faults")]


def datasets_folder() -> Finding:
    """Whether datasets can be written, and the free space."""
    folder = minari_folder()
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); set MINARI_DATASETS_PATH") from None
    verdict = "ok" if shutil.disk_usage(folder).free > RESERVE_BYTES else "problem"
    return Finding("datasets", verdict, f"{folder} is writable, {_free(folder)}")


def code() -> Finding:
    """How provenance identifies the code."""
    known = code_version()
    changes = f" with uncommitted changes {known['difference']}" if known["difference"] else ""
    text = f"version {known.get('version') or 'unknown'}, build {known.get('build') or 'unknown'}"
    if known["commit"]:
        return Finding("provenance", "ok", f"commit {known['commit']}{changes}, {text}")
    return Finding("provenance", "note", f"names no commit ({git_obstacle()}), but {text}")


def _free(folder: Path) -> str:
    return f"{shutil.disk_usage(folder).free / 1e9:.1f} GB free"
