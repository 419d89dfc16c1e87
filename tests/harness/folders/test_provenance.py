"""Provenance records code, packages, machine and data, and tolerates missing parts."""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from harness.folders import provenance as module
from harness.folders.limits import usable_cores
from harness.folders.provenance import (
    BUILT_FILE,
    PROJECT,
    attempt_details,
    code_version,
    described_processor,
    file_hash,
    machine,
    package_versions,
    provenance,
)


def test_provenance_of_a_run():
    record = provenance(dataset_hash="abc")
    json.dumps(record, allow_nan=False)
    assert record["dataset"] == "abc"
    assert record["packages"]["torch"] == importlib.metadata.version("torch")
    assert record["packages"]["mujoco"] == importlib.metadata.version("mujoco")
    assert record["threads"] == torch.get_num_threads()
    assert record["machine"]["cores"] == usable_cores() >= 1
    assert record["machine"]["python"] == sys.version.split()[0]
    assert record["lock"] == file_hash(PROJECT / "requirements.lock")
    assert record["gpus"] is None or torch.cuda.is_available()


def test_details_of_an_attempt(monkeypatch):
    details, lasting = attempt_details(), provenance(dataset_hash="")
    json.dumps(details, allow_nan=False)
    assert details.pop("launcher") == "by hand"
    assert details == {
        name: lasting[name] for name in ("commit", "difference", "version", "build", "packages", "machine")
    }
    monkeypatch.setenv(module.LAUNCHER_VARIABLE, "local pool")
    assert attempt_details()["launcher"] == "local pool"


def test_an_attempt_is_described_without_torch():
    """A worker acquires its runs before its slow imports."""
    code = (
        "import sys; from harness.launching.worker import attempt_details; attempt_details();"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True)


def test_file_hash(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    # The published test vector of SHA-256.
    assert file_hash(tmp_path / "file") == "ba7816bf8f01cfea"
    assert file_hash(tmp_path / "none") is None


def test_the_second_time_starts_no_process(monkeypatch):
    first = provenance(dataset_hash="")
    monkeypatch.setattr(subprocess, "Popen", None)
    assert provenance(dataset_hash="") == first


def version_in(folder, path="/usr/local/bin:/usr/bin:/bin", **variables):
    """`code_version` in a new process that runs the code of `folder`."""
    code = "import json; from harness.folders.provenance import code_version; print(json.dumps(code_version()))"
    variables = {"PYTHONPATH": str(folder), "PATH": path, **variables}
    done = subprocess.run([sys.executable, "-P", "-c", code], env=variables, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def checkout_in(folder, **options):
    """Commit and difference in such a process."""
    version = version_in(folder, **options)
    return version["commit"], version["difference"]


@pytest.fixture
def copy(tmp_path):
    """A copy of the code without git."""
    for package in ("harness", "algorithms"):
        shutil.copytree(PROJECT / package, tmp_path / "copy" / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "copy"


def git(folder, *arguments):
    named = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    done = subprocess.run(["git", "-C", str(folder), *named, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(copy):
    """The copy as a git checkout with one commit, and that commit."""
    git(copy, "init", "--quiet")
    (copy / ".gitignore").write_text("__pycache__/\n")
    git(copy, "add", ".")
    git(copy, "commit", "--quiet", "-m", "all")
    return copy, git(copy, "rev-parse", "HEAD")


def test_commit_and_difference(checkout):
    copy, commit = checkout
    first = version_in(copy)
    assert (first["commit"], first["difference"]) == (commit, None)

    errors = copy / "harness" / "errors.py"
    before = errors.read_text()
    errors.write_text(before + "# changed\n")
    changed = version_in(copy)
    assert changed["commit"] == commit
    assert len(changed["difference"]) == 16
    assert changed["build"] != first["build"]

    errors.write_text(before)
    (copy / "harness" / "new.py").write_text("# new\n")
    added = version_in(copy)
    assert added["difference"] not in (None, changed["difference"])

    (copy / "harness" / "new.py").unlink()
    errors.unlink()
    (copy / "harness" / "unused.txt").write_text("no code")
    git(copy, "rm", "--quiet", "--cached", "harness/errors.py")
    errors.write_text(before)
    assert version_in(copy)["build"] == first["build"]


def test_the_users_git_does_not_take_part(checkout, tmp_path):
    """Variables of a hook, the configuration, and files that git reads from the user's home."""
    copy, commit = checkout
    errors = copy / "harness" / "errors.py"
    errors.write_text(errors.read_text() + "# changed\n")
    (copy / "harness" / "new.py").write_text("# new\n")
    plain = checkout_in(copy)
    assert plain[0] == commit

    git(tmp_path, "init", "--quiet", "other")
    git(tmp_path / "other", "commit", "--quiet", "--allow-empty", "-m", "other")
    hook = {
        "GIT_DIR": str(tmp_path / "other/.git"), "GIT_INDEX_FILE": str(tmp_path / "other/.git/index"),
        "GIT_WORK_TREE": str(tmp_path / "other"), "GIT_EXTERNAL_DIFF": "false",
    }  # fmt: skip
    assert checkout_in(copy, **hook) == plain

    home = tmp_path / "home"
    (home / "git").mkdir(parents=True)
    (home / ".gitconfig").write_text(
        "[diff]\n external = false\n noprefix = true\n context = 9\n[core]\n pager = false\n autocrlf = true\n"
        "[color]\n ui = always\n[status]\n showUntrackedFiles = no\n"
    )
    (home / "git/ignore").write_text("new.py\n")
    (home / "git/attributes").write_text("*.py -diff filter=gone\n")
    assert checkout_in(copy, HOME=str(home), XDG_CONFIG_HOME=str(home)) == plain


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_a_checkout_of_another_user(checkout):
    """Git refuses to read it by default, which protects nothing, since its code runs already."""
    copy, commit = checkout
    for path in (copy, copy / ".git"):
        os.chown(path, 12345, 12345)
    assert checkout_in(copy) == (commit, None)


@pytest.mark.parametrize("file", ["HEAD", "index"])
def test_a_checkout_that_git_cannot_read_is_named(checkout, file):
    copy, _ = checkout
    (copy / ".git" / file).write_bytes(b"damaged")
    code = "from harness.folders.provenance import git_obstacle; print(git_obstacle())"
    variables = {"PYTHONPATH": str(copy), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-P", "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"git cannot read {copy}: ")
    assert done.stdout.count("\n") == 1
    assert checkout_in(copy) == (None, None)


def test_outside_git(copy):
    """Version and build identify the code there; another copy of the same files has the same build."""
    version = version_in(copy)
    assert (version["commit"], version["difference"]) == (None, None)
    assert version["version"] == importlib.metadata.version("floorbench")
    (copy / "harness" / "__pycache__").mkdir(exist_ok=True)
    assert version_in(copy)["build"] == version["build"]
    (copy / "harness" / "errors.py").write_text((copy / "harness" / "errors.py").read_text() + "# changed\n")
    assert version_in(copy)["build"] != version["build"]


def test_the_commit_of_an_enclosing_checkout_is_not_used(copy):
    git(copy, "init", "--quiet")
    git(copy, "commit", "--quiet", "--allow-empty", "-m", "theirs")
    assert checkout_in(copy) == (None, None)


def test_an_installed_wheel_has_the_commit_that_it_was_built_from(copy):
    build, file = version_in(copy)["build"], copy / BUILT_FILE
    file.write_text(json.dumps({"commit": "c" * 40, "difference": None, "build": build}))
    assert checkout_in(copy) == ("c" * 40, None)
    # Somebody has edited the installed code.
    with open(copy / "harness" / "errors.py", "a") as stream:
        stream.write("\n# changed\n")
    changed = version_in(copy)
    assert (changed["commit"], changed["difference"]) == ("c" * 40, changed["build"])
    assert changed["build"] != build
    file.write_text(json.dumps({"commit": None, "difference": None, "build": build}))
    assert checkout_in(copy) == (None, None)
    # In a checkout git knows better.
    git(copy, "init", "--quiet")
    git(copy, "add", ".")
    git(copy, "commit", "--quiet", "-m", "all")
    assert checkout_in(copy) == (git(copy, "rev-parse", "HEAD"), None)


def test_without_a_git_command(copy, tmp_path):
    git(copy, "init", "--quiet")
    assert checkout_in(copy, path=str(tmp_path)) == (None, None)


def test_parts_are_complete():
    assert set(package_versions()) == set(module.PACKAGES)
    assert all(machine().values())
    assert set(code_version()) == {"commit", "difference", "version", "build"}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            ["processor\t: 0", "cpu family\t: 25", "model\t\t: 17", "model name\t: AMD EPYC",
             "flags\t\t: avx avx2 avx512f", "processor\t: 1", "model name\t: another"],
            "AMD EPYC, family 25 model 17, AVX-512",
        ),
        (["cpu family\t: 6", "model\t: 85", "model name\t: Xeon", "flags\t: avx2"], "Xeon, family 6 model 85, AVX2"),
        (["processor\t: 0", "Features\t: fp asimd", "CPU part\t: 0xd0c"], "NEON"),
        (["model name\t: old", "flags\t\t: sse"], "old"),
        ([], ""),
    ],
)  # fmt: skip
def test_a_processor_is_more_than_its_name(lines, expected):
    assert described_processor(lines) == expected
