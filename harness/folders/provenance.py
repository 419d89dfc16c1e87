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

from harness.files import read_json

PROJECT = Path(__file__).resolve().parents[2]

# In a snapshot of the project, which is not a git checkout: the `code_version` of the original.
CODE_FILE = "code.json"

# Packages that can affect metrics.
PACKAGES = (
    "torch", "numpy", "scipy", "mujoco", "gymnasium", "gymnasium-robotics", "minari", "h5py", "pydantic", "pandas",
)  # fmt: skip

# Vector instructions, widest first: name in /proc/cpuinfo and usual name.
VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "asimd": "NEON"}

# Untracked files that count as code.
CODE = ("*.py", "*.cpp", "*.h")

# Set by the launcher of a worker.
LAUNCHER_VARIABLE = "FLOORBENCH_LAUNCHER"


def provenance(dataset_hash: str, repairs: Sequence[str] = ()) -> dict[str, Any]:
    """The contents of `provenance.json`: everything that can affect metrics, with a line per repair of the data.

    `commit` and `difference` are None without git or outside a checkout.
    """
    return {
        **code_version(),
        "lock": file_hash(PROJECT / "requirements.lock"),
        "packages": package_versions(),
        "machine": machine(),
        "gpus": gpus(),
        "threads": torch_threads(),
        "dataset": dataset_hash,
        "repairs": list(repairs),
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
    """The commit and a hash of uncommitted changes (None without changes); in a snapshot those of the original.

    A snapshot adds its name.
    """
    taken = read_json(PROJECT / CODE_FILE)
    if taken is not None:
        return {**taken, "snapshot": PROJECT.name}
    this_file = Path(__file__).resolve().relative_to(PROJECT)
    # A copy installed inside another checkout must not report the commit of that checkout.
    if _git("ls-files", "--error-unmatch", str(this_file)) is None:
        return {"commit": None, "difference": None}
    changed = _git("diff", "HEAD", "--binary") or b""
    new_files = (_git("ls-files", "--others", "--exclude-standard", "-z", *CODE) or b"").split(b"\0")
    contents = [name + b"\0" + (PROJECT / os.fsdecode(name)).read_bytes() for name in new_files if name]
    difference = b"\0".join([changed, *contents])
    commit = _git("rev-parse", "HEAD")
    return {
        "commit": commit.decode().strip() if commit else None,
        "difference": hashlib.sha256(difference).hexdigest()[:16] if difference else None,
    }


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


def usable_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


def _git(*arguments: str) -> bytes | None:
    """The output of a git command in the project, or None if it fails."""
    try:
        done = subprocess.run(["git", "-C", str(PROJECT), *arguments], capture_output=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
