"""Building the C++ kernels: once per machine type and user, at the installation or at the first use.

`python -m algorithms.kernels.build` builds them, or says in one line why they cannot be built (exit code 1). They lie
in the user's cache (`XDG_CACHE_HOME`, else `~/.cache`) in a folder named by everything that decides what is compiled:
a home folder that different machines share holds one for each.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import torch
from filelock import FileLock

SOURCES = Path(__file__).parent / "source"
NAME = "floorbench_kernels"

# The instructions of this very machine, products and sums in one rounding, but nothing that changes what infinity and
# NaN mean. Only loops marked so become vectors: of others the compiler would make several versions that round otherwise
# and choose by the addresses of the data, and a run's bits would depend on its company.
FLAGS = (
    "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fno-tree-vectorize",
    "-fno-tree-slp-vectorize", "-fopenmp-simd", "-Wno-ignored-attributes",
)  # fmt: skip


class KernelUnavailableError(Exception):
    """Why there are no C++ kernels here, in one line."""


@cache
def load_library() -> Path:
    """Make `torch.ops.floorbench` known, built first if need be; returns the library. Raises KernelUnavailableError."""
    folder = build_folder()
    try:
        if not is_built():
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_suffix(".lock")):
                if not is_built():
                    _build(folder)
        torch.ops.load_library(library())
    except OSError as error:
        raise KernelUnavailableError(f"{folder}: {error.strerror or error}; remove that folder and try again") from None
    return library()


def library() -> Path:
    """Where the library is or will be."""
    return build_folder() / f"{NAME}.so"


def is_built() -> bool:
    """Whether the library is there and whole."""
    return (build_folder() / "complete").exists()


def obstacle() -> str | None:
    """Why the library is not there and cannot be built, as far as can be told without building it; None: nothing."""
    if is_built():
        return None
    if not compiler():
        return "there is no C++ compiler; install g++"
    if not shutil.which("ninja", path=_search_path()):
        return "ninja is not there, which builds torch extensions; pip install ninja"
    return None


def compiler() -> str | None:
    """The C++ compiler that torch takes: the variable CXX, else c++."""
    return shutil.which(os.environ.get("CXX", "c++"))


def build_folder() -> Path:
    """The folder of this source for this machine, torch and set of flags."""
    cache_folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache_folder / "floorbench" / "kernels" / _key()


@cache
def _key() -> str:
    parts = [torch.__version__, platform.machine(), _instructions(), *FLAGS]
    parts += [f"{file.name}\0{file.read_text()}" for file in sorted(SOURCES.glob("[!.]*.*"))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _instructions() -> str:
    """What the processor is and can do, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.split("\t")[0].strip() in names}))


def _build(folder: Path) -> None:
    """Compile into `folder`, which no other process touches meanwhile."""
    reason = obstacle()
    if reason:
        raise KernelUnavailableError(reason)
    # What a build that was killed left behind would make torch wait for it.
    (folder / "lock").unlink(missing_ok=True)
    script, source = Path(__file__).with_name("compilation.py"), SOURCES / "operators.cpp"
    command = [sys.executable, str(script), NAME, str(source), str(folder), *FLAGS]
    environment = {**os.environ, "PATH": _search_path()}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    log = folder / "build.log"
    log.write_text(done.stdout)
    if done.returncode:
        lines = [line.strip() for line in done.stdout.splitlines()]
        said = next((line for line in lines if "error: " in line), lines[-1] if lines else "no word")
        raise KernelUnavailableError(f"the C++ kernels could not be built: {said[:200]}; see {log}")
    (folder / "complete").touch()


def _search_path() -> str:
    """Where commands are looked for: those installed beside this Python too, whether or not it is activated."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)))


def main() -> int:
    """The command line; returns its exit code."""
    if not is_built() and not obstacle():
        print("building the C++ kernels (half a minute, once)", file=sys.stderr)
    try:
        load_library()
    except KernelUnavailableError as error:
        print(f"no C++ kernels: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
