"""Building the kernels: what happens without a compiler, with one that fails, with damage, and with two at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from algorithms.kernels import build

ROOT = Path(__file__).parents[3]
BUILD = ("-m", "algorithms.kernels.build")


def start(cache, *arguments, **environment):
    """Python on its own, with a cache of its own."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(cache), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process):
    """Exit code, and stdout and stderr as one text."""
    said = "".join(process.communicate(timeout=300))
    assert "Traceback" not in said, said
    return process.returncode, said


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """This process with a cache of its own and no memory of the library; returns where the library will lie."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "load_library", build.load_library.__wrapped__)
    build.build_folder().mkdir(parents=True)
    return build.library()


def test_without_a_compiler_one_line_says_so(own_cache, monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert build.main() == 1
    assert capsys.readouterr().err == "no C++ kernels: no C++ compiler found; install g++\n"


def test_without_a_compiler_a_plan_says_what_to_do(tmp_path):
    command = ("-m", "floorbench", "plan", "smoke", "--root", str(tmp_path / "runs"))
    code, said = outcome(start(tmp_path, *command, CXX="no-such-compiler"))
    assert code == 2
    assert said == (
        "floorbench: error: setting algorithm.kernel = 'fused': no C++ compiler found; install g++; "
        "or --set algorithm.kernel=torch, which is slower\n"
    )
    code, said = outcome(start(tmp_path, *command, "--set", "algorithm.kernel=torch", CXX="no-such-compiler"))
    assert (code, "4 new" in said) == (0, True)


@pytest.mark.parametrize(
    ("fails_at", "reason"), [("*operators.cpp*", "no room in the garden"), ("*", "non-zero exit status 1")]
)
def test_a_compiler_that_fails_is_quoted(own_cache, monkeypatch, tmp_path, fails_at, reason):
    """It fails at the source, or already when torch asks for its version."""
    compiler = tmp_path / "compiler"
    failure = "echo 'fatal error: no room in the garden' >&2; exit 1"
    compiler.write_text(f'#!/bin/sh\ncase "$*" in {fails_at}) {failure};; esac\nexec c++ "$@"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(build.KernelUnavailableError, match=reason) as caught:
        build.load_library()
    assert "\n" not in str(caught.value)
    assert Path(str(caught.value).split("see ")[1]).read_text()
    assert not build.is_built()


def test_a_damaged_library_is_named(own_cache):
    own_cache.write_bytes(b"no library")
    (own_cache.parent / "complete").touch()
    assert build.is_built()
    with pytest.raises(build.KernelUnavailableError, match="remove that folder"):
        build.load_library()


def test_other_sources_or_instructions_have_another_folder(tmp_path, monkeypatch):
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
def test_two_processes_build_at_once_over_what_a_killed_build_left(tmp_path, own_cache):
    (own_cache.parent / "lock").touch()
    own_cache.write_bytes(b"half a library")
    for code, said in [outcome(one) for one in [start(tmp_path, *BUILD) for _ in range(2)]]:
        assert code == 0, said
    code, said = outcome(start(tmp_path, *BUILD, PATH="", CXX="no-such-compiler"))
    assert (code, said) == (0, "")
