"""Where a run was computed: code, packages, machine, data, launcher."""

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

# In a snapshot of the project, which lies in no checkout: what `code_version` said where it was taken.
CODE_FILE = "code.json"

# Packages that can move a run's numbers.
PACKAGES = (
    "torch", "numpy", "scipy", "mujoco", "gymnasium", "gymnasium-robotics", "minari", "h5py", "pydantic", "pandas",
)  # fmt: skip

# Vector instructions, the widest first: what the system calls them, and everybody else.
VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "asimd": "NEON"}

# Files whose content counts although git does not know them yet.
CODE = ("*.py", "*.cpp", "*.h")

# Set by whoever starts a worker, so that its runs can say who did.
LAUNCHER_VARIABLE = "FLOORBENCH_LAUNCHER"


def provenance(dataset_hash: str, repairs: Sequence[str] = ()) -> dict[str, Any]:
    """What `provenance.json` holds: whatever can move a run's numbers, with a line on each repair of the data.

    Without git, or outside its checkout, `commit` and `difference` are None; nothing here fails for want of a tool.
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
    """What an attempt at a run says of itself: what is known before anything large is imported or loaded."""
    return {
        "launcher": os.environ.get(LAUNCHER_VARIABLE, "by hand"),
        **slurm_job(),
        **code_version(),
        "packages": package_versions(),
        "machine": machine(),
    }


@cache
def code_version() -> dict[str, str | None]:
    """The commit, and a hash of what differs from it (None: nothing does); in a snapshot what was so when it was taken.

    A snapshot adds its own name.
    """
    taken = read_json(PROJECT / CODE_FILE)
    if taken is not None:
        return {**taken, "snapshot": PROJECT.name}
    own_file = Path(__file__).resolve().relative_to(PROJECT)
    # A copy installed inside somebody else's checkout must not borrow that checkout's commit.
    if _git("ls-files", "--error-unmatch", str(own_file)) is None:
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
    """Inside a SLURM job: its id as users see it, the id by which SLURM counts it, which start it is, the node."""
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
    """Processor, cores this process may use, system and Python."""
    return {
        "processor": processor(),
        "cores": usable_cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def processor() -> str:
    """The CPU as the system tells it: model name, family and model, widest vector instructions.

    Under the model names that clouds give, "AMD EPYC", run several generations, which may round sums differently.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return described_processor(lines) or platform.machine()


def described_processor(lines: Sequence[str]) -> str:
    """What the lines of /proc/cpuinfo say of the first processor: "AMD EPYC, family 25 model 1, AVX2"."""
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
    """Cores this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def torch_threads() -> int:
    """Threads torch computes with in this process."""
    import torch

    return torch.get_num_threads()


def gpus() -> str | None:
    """Names of the GPUs that torch sees, or None."""
    import torch

    return ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())) or None


@cache
def file_hash(file: Path) -> str | None:
    """The first 16 hexadecimal digits of a file's SHA-256, or None if there is no such file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else None


def _git(*arguments: str) -> bytes | None:
    """The output of a git command in the project, or None if git is not there or refuses."""
    try:
        done = subprocess.run(["git", "-C", str(PROJECT), *arguments], capture_output=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
