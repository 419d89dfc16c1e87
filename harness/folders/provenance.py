"""Provenance of a run: code, packages, machine, data and launcher."""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import one_line
from harness.extensions import loaded
from harness.files import read_json, write_json
from harness.folders.limits import usable_cores

PROJECT = Path(__file__).resolve().parents[2]

# In a snapshot of the project, which is not a git checkout: the `code_version` of the original.
CODE_FILE = "code.json"

# In an installed wheel: `code_version` of the source that it was built from (setup.py writes it).
BUILT_FILE = Path("harness", "built.json")

# Packages that can affect metrics.
PACKAGES = (
    "torch", "numpy", "scipy", "mujoco", "gymnasium", "gymnasium-robotics", "minari", "h5py", "pydantic", "pandas",
)  # fmt: skip

# Vector instructions, widest first: name in /proc/cpuinfo and usual name.
VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "asimd": "NEON"}

# The packages of the code, and files that count as code.
CODE_PACKAGES = ("algorithms", "harness", "ablations", "results", "slurm")
CODE = ("*.py", "*.cpp", "*.h")

# Files outside the checkout that git would read.
USER_FILES = ("excludesFile", "attributesFile", "hooksPath")

# Set by the launcher of a worker.
LAUNCHER_VARIABLE = "FLOORBENCH_LAUNCHER"


def provenance(dataset_hash: str, repairs: Sequence[str] = ()) -> dict[str, Any]:
    """The contents of `provenance.json`: everything that can affect metrics, with a line per repair of the data."""
    return {
        **code_version(),
        "lock": file_hash(PROJECT / "requirements.lock"),
        "packages": package_versions(),
        "machine": machine(),
        "gpus": gpus(),
        "threads": torch_threads(),
        "dataset": dataset_hash,
        "repairs": list(repairs),
        **({"extensions": loaded()} if loaded() else {}),
    }


def attempt_details() -> dict[str, Any]:
    """The details of an attempt that are known before anything large is imported."""
    return {
        "launcher": os.environ.get(LAUNCHER_VARIABLE, "by hand"),
        **slurm_job(),
        **code_version(),
        "packages": package_versions(),
        "machine": machine(),
    }


@cache
def code_version() -> dict[str, str | None]:
    """The code: commit, hash of uncommitted changes (None without changes), installed version, hash of its files.

    In a snapshot those of the original, with the snapshot's name; in an installed wheel those of the source that it was
    built from. `commit` and `difference` are None where that was no checkout, or git cannot read it; `build` identifies
    the code there.
    """
    taken = read_json(PROJECT / CODE_FILE)
    if taken is not None:
        return {**taken, "snapshot": PROJECT.name}
    build = _build()
    commit, difference = _checkout() if git_obstacle() is None else _built(build)
    return {"commit": commit, "difference": difference, "version": _version(), "build": build}


def _built(build: str) -> tuple[str | None, str | None]:
    """Commit and hash of changes of an installed wheel; files changed since it was built count as changes."""
    values = read_json(PROJECT / BUILT_FILE) or {}
    commit = values.get("commit")
    changed = commit is not None and values.get("build") != build
    return commit, build if changed else values.get("difference")


def write_built(file: Path) -> None:
    """Record the code in the folder of a wheel that is being built."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {name: value for name, value in code_version().items() if name != "version"})


@cache
def git_obstacle() -> str | None:
    """Why the commit of the code is unknown; None if git tracks it."""
    this_file = str(Path(__file__).resolve().relative_to(PROJECT))
    # A copy installed inside another checkout must not report the commit of that checkout.
    tracked = _git("ls-files", "--error-unmatch", this_file)
    if isinstance(tracked, bytes):
        return None
    if "did not match any file" in tracked or not (PROJECT / ".git").exists():
        return "built from a source without git" if (PROJECT / BUILT_FILE).exists() else "not a git checkout"
    return f"git cannot read {PROJECT}: {tracked}"


def _checkout() -> tuple[str | None, str | None]:
    """The commit, and a hash of the names and contents of all changed tracked files and new code files."""
    commit = _git("rev-parse", "HEAD")
    # Only the names are git's: the text of a diff depends on the user's configuration.
    changed = _git("diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--ignore-submodules=none", "HEAD")
    new = _git("ls-files", "--others", "--exclude-per-directory=.gitignore", "-z", *CODE)
    names = sorted({name for output in (changed, new) if isinstance(output, bytes) for name in output.split(b"\0")})
    difference = hashlib.sha256()
    for name in filter(None, names):
        file = PROJECT / os.fsdecode(name)
        content = file.read_bytes() if file.is_file() else b""
        difference.update(b"%s\0%d\0%s" % (name, len(content) if file.is_file() else -1, content))
    return (
        commit.decode().strip() if isinstance(commit, bytes) else None,
        difference.hexdigest()[:16] if any(names) else None,
    )


def _version() -> str | None:
    try:
        return importlib.metadata.version("floorbench")
    except importlib.metadata.PackageNotFoundError:
        return None


def _build() -> str:
    """A hash of the code's files, the same for a checkout and a package built from it."""
    files = (file for package in CODE_PACKAGES for pattern in CODE for file in (PROJECT / package).rglob(pattern))
    total = hashlib.sha256()
    for file in sorted([*files, PROJECT / "floorbench.py"]):
        if file.is_file() and not file.name.startswith("."):
            content = file.read_bytes()
            total.update(f"{file.relative_to(PROJECT)}\0{len(content)}\0".encode() + content)
    return total.hexdigest()[:16]


def described_version() -> str:
    """Version, commit and build in one line: "0.1.0, commit 0123456 with changes, build 0123456789abcdef"."""
    code = code_version()
    changed = " with changes" if code.get("difference") else ""
    known = code.get("commit")
    commit = f"commit {known[:12]}{changed}" if known else f"no commit ({git_obstacle()})"
    return f"{code.get('version') or 'of unknown version'}, {commit}, build {code.get('build') or 'unknown'}"


def slurm_job() -> dict[str, Any]:
    """Inside a SLURM job: its id, the raw id that accounting uses, its restart count and node; else empty."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return {}
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return {
        "slurm": {
            "job": f"{array}_{task}" if array else job,
            "raw_job": job,
            "restart": int(os.environ.get("SLURM_RESTART_COUNT", 0)),
            "node": os.environ.get("SLURMD_NODENAME"),
        }
    }


@cache
def package_versions() -> dict[str, str | None]:
    """The installed version of each package in `PACKAGES`; None if it is not installed."""
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


@cache
def machine() -> dict[str, Any]:
    """Processor, usable cores, operating system and Python version."""
    return {
        "processor": processor(),
        "cores": usable_cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def processor() -> str:
    """The CPU: model name, family and model, widest vector instructions.

    Cloud names such as "AMD EPYC" cover several generations, which may round sums differently.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return described_processor(lines) or platform.machine()


def described_processor(lines: Sequence[str]) -> str:
    """The first processor in the lines of /proc/cpuinfo: "AMD EPYC, family 25 model 1, AVX2"."""
    first: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        first.setdefault(name.strip(), value.strip())
    flags = set(first.get("flags", first.get("Features", "")).split())
    known = [first.get("model name", "")]
    if "cpu family" in first:
        known.append(f"family {first['cpu family']} model {first.get('model', 'unknown')}")
    known += [name for flag, name in VECTORS.items() if flag in flags][:1]
    return ", ".join(filter(None, known))


def torch_threads() -> int:
    """The number of threads that torch uses in this process."""
    import torch

    return torch.get_num_threads()


def gpus() -> str | None:
    """The names of the GPUs that torch sees, or None."""
    import torch

    return ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())) or None


@cache
def file_hash(file: Path) -> str | None:
    """The first 16 hexadecimal digits of a file's SHA-256, or None if it does not exist."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else None


def _git(*arguments: str) -> bytes | str:
    """The output of a git command in the project, or in one line why there is none.

    Nothing of the user's environment or configuration takes part, so that a hook's variables do not lead to another
    checkout. The project may belong to another user: its code runs already.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_OPTIONAL_LOCKS": "0"}
    options = [
        f"safe.directory={PROJECT}",
        "core.fsmonitor=false",
        *(f"core.{name}={os.devnull}" for name in USER_FILES),
    ]
    command = ["git", "-C", str(PROJECT), *(word for option in options for word in ("-c", option)), *arguments]
    try:
        done = subprocess.run(command, env={**environment, "LC_ALL": "C"}, capture_output=True, timeout=30)
    except FileNotFoundError:
        return "git is not installed"
    except (OSError, subprocess.TimeoutExpired) as error:
        return one_line(error)
    if done.returncode == 0:
        return done.stdout
    return (done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}").splitlines()[0]
