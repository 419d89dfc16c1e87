"""Build the C++ kernels: once per machine type and user, at installation or at first use.

`python -m algorithms.kernels.build` builds them, or prints in one line why it cannot (exit code 1). The library is
stored in the user's cache (`XDG_CACHE_HOME` or `~/.cache`), in a folder named by a hash of everything that affects
compilation, so machines that share a home folder each have their own.
"""

import hashlib
import os
import platform
import runpy
import shlex
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

SOURCES = Path(__file__).parent / "source"
NAME = "floorbench_kernels"

# Seconds to wait for another process that builds the kernels, which takes half a minute.
BUILD_TIMEOUT = 600

# Use this machine's instructions and fused multiply-add, but keep the semantics of infinity and NaN. Only marked loops
# are vectorised: for others the compiler would generate several versions with different rounding and select one by the
# alignment of the data, so that a run's bits would depend on the pack. GCC avoids chains of fused multiply-adds for
# some processors (Zen) up to a certain width of registers, so that bits would depend on processor and width.
FLAGS = (
    "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fno-tree-vectorize",
    "-fno-tree-slp-vectorize", "-fopenmp-simd", "-Wno-ignored-attributes",
    "--param=avoid-fma-max-bits=0",
)  # fmt: skip

# The program that compiles the kernels; its arguments are their name, the source, the build folder and the flags. torch
# 2.11 compiles as C++17 unless told otherwise, 2.13 as C++20.
COMPILE = """
import sys
from torch.utils import cpp_extension

name, source, folder, *flags = sys.argv[1:]
flags = ["-std=c++20", *flags]
cpp_extension.load(name, [source], extra_cflags=flags, build_directory=folder, is_python_module=False)
"""


class KernelUnavailableError(Exception):
    """The C++ kernels cannot be used; the message says why in one line."""


@cache
def load_library() -> Path:
    """Load `torch.ops.floorbench`, building it if necessary; returns the library. Raises KernelUnavailableError."""
    import torch
    from filelock import FileLock, Timeout

    folder = build_folder()
    try:
        if not is_built():
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_suffix(".lock"), timeout=BUILD_TIMEOUT):
                if not is_built():
                    _build(folder)
        torch.ops.load_library(library())
    except Timeout:
        lock = folder.with_suffix(".lock")
        raise KernelUnavailableError(f"{lock}: another process has been building them for {BUILD_TIMEOUT} s") from None
    except OSError as error:
        raise KernelUnavailableError(f"{folder}: {error.strerror or error}; remove that folder and try again") from None
    return library()


def library() -> Path:
    """Path of the library, built or not."""
    return build_folder() / f"{NAME}.so"


def is_built() -> bool:
    """Whether the library has been built completely."""
    return (build_folder() / "complete").exists()


def described_build() -> str:
    """The build of the kernels in one line: "kernel 0123456789abcdef (built), torch 2.13.0"."""
    reason = obstacle()
    state = "built" if is_built() else f"not built: {reason}" if reason else "not built yet"
    return f"kernel {_key()} ({state}), torch {torch_version()}"


def obstacle() -> str | None:
    """Why the library cannot be built, as far as known without trying; None if it is built or can be."""
    if is_built():
        return None
    if not compiler():
        named = os.environ.get("CXX")
        return (
            f"CXX = {named!r}: no such program; unset it or name a C++ compiler"
            if named
            else ("no C++ compiler found; install g++")
        )
    if not shutil.which("ninja", path=_search_path()):
        return "ninja not found, which builds torch extensions; pip install ninja"
    return None


def compiler() -> str | None:
    """The program that torch compiles with: of the command $CXX, or c++; None if it does not exist."""
    return shutil.which(_compiler_command()[0])


def _compiler_command() -> list[str]:
    """The words of $CXX, as a shell splits it: a program, perhaps behind a launcher such as ccache, and its options."""
    command = os.environ.get("CXX", "")
    try:
        words = [command] if shutil.which(command) else shlex.split(command)
    except ValueError:
        words = [command]
    return words or ["c++"]


def build_folder() -> Path:
    """The build folder for this source, machine, torch version and set of flags."""
    return cache_folder() / "kernels" / _key()


def cache_folder() -> Path:
    """The user's cache folder for this program; a relative $XDG_CACHE_HOME is ignored, as its specification says."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if os.path.isabs(named) else Path.home() / ".cache") / "floorbench"


@cache
def torch_version() -> str:
    """`torch.__version__`, read from torch's folder, because importing torch takes more than a second."""
    spec = find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    return runpy.run_path(str(Path(spec.origin).with_name("version.py")))["__version__"]


@cache
def _key() -> str:
    parts = [torch_version(), platform.machine(), _instructions(), *FLAGS]
    parts += [f"{file.name}\0{file.read_text(encoding='utf-8')}" for file in sorted(SOURCES.glob("[!.]*.*"))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _instructions() -> str:
    """The processor's model and instruction sets, as far as known."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.split("\t")[0].strip() in names}))


def _build(folder: Path) -> None:
    """Compile into `folder`; the caller holds its lock."""
    reason = obstacle()
    if reason:
        raise KernelUnavailableError(reason)
    # torch would wait for the lock of a build that was killed.
    (folder / "lock").unlink(missing_ok=True)
    # A separate process: torch's builder imports setuptools, which fails if another package imported distutils before.
    command = [sys.executable, "-P", "-c", COMPILE, NAME, str(SOURCES / "operators.cpp"), str(folder), *FLAGS]
    environment = {**os.environ, "PATH": _search_path()}
    if not environment.get("CXX", "").strip():
        environment.pop("CXX", None)
    if len(words := _compiler_command()) > 1:
        # torch takes the variable for the name of one program.
        wrapper = folder / "cxx"
        wrapper.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
        wrapper.chmod(0o755)
        environment["CXX"] = str(wrapper)
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
    )
    log = folder / "build.log"
    log.write_text(done.stdout, encoding="utf-8")
    if done.returncode:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        message = next((line for line in lines if "error: " in line), lines[-1] if lines else "no output")
        raise KernelUnavailableError(f"the C++ kernels could not be built: {message[:200]}; see {log}")
    (folder / "complete").touch()


def _search_path() -> str:
    """$PATH plus the folder of this Python, whose environment may not be activated."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)))


def main() -> int:
    """Command line; returns the exit code."""
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
