"""Building the kernels: no compiler, a failing compiler, a damaged library, concurrent builds."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from algorithms.kernels import build
from harness.folders import cache

ROOT = Path(__file__).parents[3]
BUILD = ("-m", "algorithms.kernels.build")


def start(cache, *arguments, **environment):
    """Start a Python process that uses `cache` as the user's cache."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(cache), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process):
    """Exit code, and stdout and stderr together."""
    output = "".join(process.communicate(timeout=300))
    assert "Traceback" not in output, output
    return process.returncode, output


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """Use an empty cache, as if the library had not been loaded; returns the path of the library."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "load_library", build.load_library.__wrapped__)
    build.build_folder().mkdir(parents=True)
    return build.library()


def test_no_compiler_is_an_error_of_one_line(empty_cache, monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert build.main() == 1
    line = "no C++ kernels: CXX = 'no-such-compiler': no such program; unset it or name a C++ compiler\n"
    assert capsys.readouterr().err == line
    monkeypatch.delenv("CXX")
    monkeypatch.setattr(build.shutil, "which", lambda *arguments, **options: None)
    assert build.main() == 1
    assert capsys.readouterr().err == "no C++ kernels: no C++ compiler found; install g++\n"


@pytest.mark.parametrize(
    ("command", "program"),
    [("c++ -pipe", "c++"), ("env -u X c++", "env"), ("c++ 'unbalanced", None), ("no-such c++", None), ("", "c++")],
)
def test_the_compiler_is_a_command(empty_cache, monkeypatch, command, program):
    """With options, or behind a launcher such as ccache."""
    monkeypatch.setenv("CXX", command)
    assert build.compiler() == (shutil.which(program) if program else None)
    reason = build.obstacle()
    assert reason is None if program else reason.startswith(f"CXX = {command!r}: no such program")


def test_a_compiler_behind_a_launcher_is_called(empty_cache, monkeypatch, tmp_path):
    """The launcher notes its arguments, then fails, so that nothing is compiled."""
    launcher = tmp_path / "launcher"
    launcher.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\nexit 1\n')
    launcher.chmod(0o755)
    monkeypatch.setenv("CXX", f"{launcher} c++ -pipe")
    with pytest.raises(build.KernelUnavailableError):
        build.load_library()
    assert (tmp_path / "called").read_text().startswith("c++ -pipe ")


def test_a_blank_variable_names_no_compiler(empty_cache, monkeypatch):
    monkeypatch.setenv("CXX", " ")
    given = []

    def compiled(command, env, **options):
        given.append(env)
        return subprocess.CompletedProcess(command, 1, "operators.cpp:1: error: it is so\nninja: build stopped")

    monkeypatch.setattr(build.subprocess, "run", compiled)
    with pytest.raises(build.KernelUnavailableError, match=r"could not be built: .*: error: it is so; see"):
        build.load_library()
    assert "CXX" not in given[0]


def test_a_relative_cache_folder_is_ignored(monkeypatch, tmp_path):
    """It would be another one in every working directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for named in ("", "cache", "./cache"):
        monkeypatch.setenv("XDG_CACHE_HOME", named)
        assert build.cache_folder() == cache.cache_folder() == tmp_path / ".cache/floorbench"
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert build.cache_folder() == cache.cache_folder() == Path("/cache/floorbench")


def test_plan_without_a_compiler_suggests_the_torch_kernel(tmp_path):
    command = ("-m", "floorbench", "plan", "smoke", "--root", str(tmp_path / "runs"))
    code, output = outcome(start(tmp_path, *command, CXX="no-such-compiler"))
    assert code == 2
    assert output == (
        "floorbench: error: setting algorithm.kernel = 'fused': CXX = 'no-such-compiler': no such program; unset it or "
        "name a C++ compiler; or --set algorithm.kernel=torch, which is slower\n"
    )
    code, output = outcome(start(tmp_path, *command, "--set", "algorithm.kernel=torch", CXX="no-such-compiler"))
    assert (code, "4 new" in output) == (0, True)


@pytest.mark.parametrize(
    ("fails_at", "reason"), [("*operators.cpp*", "unsupported option"), ("*", "non-zero exit status 1")]
)
def test_the_message_quotes_the_compiler(empty_cache, monkeypatch, tmp_path, fails_at, reason):
    """The compiler fails at the source, or already when torch asks for its version."""
    compiler = tmp_path / "compiler"
    failure = "echo 'fatal error: unsupported option' >&2; exit 1"
    compiler.write_text(f'#!/bin/sh\ncase "$*" in {fails_at}) {failure};; esac\nexec c++ "$@"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(build.KernelUnavailableError, match=reason) as error:
        build.load_library()
    assert "\n" not in str(error.value)
    assert Path(str(error.value).split("see ")[1]).read_text()
    assert not build.is_built()


def test_a_damaged_library_is_an_error(empty_cache):
    empty_cache.write_bytes(b"damaged")
    (empty_cache.parent / "complete").touch()
    assert build.is_built()
    with pytest.raises(build.KernelUnavailableError, match="remove that folder"):
        build.load_library()


def test_the_build_folder_depends_on_sources_and_processor(tmp_path, monkeypatch):
    def key():
        build._key.cache_clear()
        return build._key()

    before = key()
    assert key() == before
    with monkeypatch.context() as patch:
        patch.setattr(build, "_instructions", lambda: "another processor")
        assert key() != before
    for file in build.SOURCES.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    with monkeypatch.context() as patch:
        patch.setattr(build, "SOURCES", tmp_path)
        assert key() == before
        (tmp_path / "panels.h").write_text("")
        assert key() != before
    assert key() == before


@pytest.mark.slow
def test_two_processes_build_at_once_after_a_killed_build(tmp_path, empty_cache):
    (empty_cache.parent / "lock").touch()
    empty_cache.write_bytes(b"half a library")
    for code, output in [outcome(process) for process in [start(tmp_path, *BUILD) for _ in range(2)]]:
        assert code == 0, output
    code, output = outcome(start(tmp_path, *BUILD, PATH="", CXX="no-such-compiler"))
    assert (code, output) == (0, "")
