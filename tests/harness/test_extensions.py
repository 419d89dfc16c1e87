"""Extensions: ids, provenance, workers that load them, names that are taken, and files that are broken."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import extensions
from harness.errors import UserError
from harness.folders.run_folder import run_folders
from tests.support.command_line import FLOORBENCH, call, call_here, only_line

EXAMPLE = Path(__file__).parents[2] / "examples" / "halved.py"

SHORT = {
    "task.data.transitions": 300,
    "algorithm.policy_hidden": [8],
    "algorithm.critic_hidden": [8],
    "schedule.offline_steps": 10,
    "schedule.online_steps": 10,
    "schedule.evaluation_episodes": 1,
}
CHANGES = [word for name, value in SHORT.items() for word in ("--set", f"{name}={json.dumps(value)}")]
SELECTION = ("--task", "winding-road", "--arm", "halved", "--arm", "monte_carlo", "--seed", "0")


@pytest.fixture(autouse=True)
def nothing_loaded():
    """Unload the extensions that a test loads."""
    before = dict(extensions._loaded), dict(extensions._owners)
    yield
    for registry, entries in zip((extensions._loaded, extensions._owners), before, strict=True):
        registry.clear()
        registry.update(entries)


def planned(*options):
    rows = json.loads(call("plan", *SELECTION, *CHANGES, *options, "--json").stdout)["runs"]
    return {row["arm"]: row["run"] for row in rows}


def begin_again(folder):
    """Remove everything but the settings of a failed run."""
    for path in folder.path.iterdir():
        if path.name != "config.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    folder.write_status("failed", reason="a test")


def test_an_extension_is_part_of_the_ids_of_the_runs_that_use_it(tmp_path):
    changed = tmp_path / "halved.py"
    changed.write_text(EXAMPLE.read_text().replace("0.5 *", "0.25 *"))
    before, after = planned("--extension", EXAMPLE), planned(f"--extension={changed}")
    assert before["halved"] != after["halved"]
    assert before["monte_carlo"] == after["monte_carlo"]


def test_workers_load_it_from_the_root(tmp_path):
    """Even if the file was changed or removed; provenance names it, and reports show the label of its arm."""
    file, root = tmp_path / "halved.py", tmp_path / "runs"
    shutil.copy(EXAMPLE, file)
    call("run", *SELECTION, *CHANGES, "--root", root, "--extension", file)
    runs = {folder.run().arm: folder for folder in run_folders(root)}
    (label,) = runs["halved"].run().extensions
    assert runs["monte_carlo"].run().extensions == ()
    assert (root / "extensions" / f"{label}.py").read_bytes() == EXAMPLE.read_bytes()
    assert runs["halved"].provenance()["extensions"] == {"halved": label.partition("@")[2]}
    full, half = (runs[arm].metrics()[-1]["floor_mean"] for arm in ("monte_carlo", "halved"))
    assert half == pytest.approx(0.5 * full, rel=1e-5)

    file.unlink()
    id, metrics = runs["halved"].id, runs["halved"].metrics_file.read_bytes()
    begin_again(runs["halved"])
    call("retry", id, "--root", root)
    assert runs["halved"].metrics_file.read_bytes() == metrics

    (root / "extensions" / f"{label}.py").unlink()
    begin_again(runs["halved"])
    message = call("retry", id, "--root", root, code=2).stderr.splitlines()[-1]
    assert f"extension halved: neither installed nor in {root}/extensions/{label}.py; name its file" in message
    changed = tmp_path / "halved.py"
    changed.write_text(EXAMPLE.read_text() + "# changed\n")
    message = call("retry", id, "--root", root, "--extension", changed, code=2).stderr.splitlines()[-1]
    assert re.search(r"has content \w{12}, but runs were made with \w{12}; use that version", message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ndef f(:\n", "broken.py:2: SyntaxError: invalid syntax"),
        ("\n\n1 / 0\n", "broken.py:3: ZeroDivisionError: division by zero"),
        ("from floorbench import register\nregister.floor('none', None)\n",
         "broken.py:2: floor 'none': is already registered by floorbench; choose another name"),
        ("from floorbench import register\nregister.command('plan', print)\n",
         "broken.py:2: command 'plan': is already registered by floorbench; choose another name"),
        ("from floorbench import register\n\nregister.colour('red')\n", "broken.py:3: AttributeError: module"),
    ],
)  # fmt: skip
def test_a_broken_file_is_one_line_with_file_and_line(text, message, tmp_path, capsys):
    (tmp_path / "broken.py").write_text(text)
    line = only_line(call_here(capsys, "plan", "smoke", "--extension", tmp_path / "broken.py", code=2))
    assert f"{tmp_path}/{message}" in line


def test_files_that_cannot_be_loaded(tmp_path, capsys):
    assert "extension nowhere.py: cannot be read (no such file" in only_line(
        call_here(capsys, "--extension", "nowhere.py", "plan", "smoke", code=2)
    )
    (tmp_path / "my-floors.py").write_text("")
    with pytest.raises(UserError, match="must consist of letters, digits and underscores; rename it"):
        extensions.load_file(tmp_path / "my-floors.py")


def test_two_extensions_with_one_name(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(f"# {folder}\n")
    first = extensions.load_file(tmp_path / "a" / "mine.py")
    assert extensions.load_file(tmp_path / "a" / "mine.py") is first
    with pytest.raises(UserError, match="is loaded under the same name; rename one"):
        extensions.load_file(tmp_path / "b" / "mine.py")


def test_a_command_of_an_extension_and_a_grid_file_that_names_it(tmp_path):
    (tmp_path / "greet.py").write_text(
        "from ablations.arms import ARMS, Arm\n"
        "from floorbench import register\n\n\n"
        "def hello(name: str = 'world') -> None:\n    print(f'hello {name}')\n\n\n"
        "register.command('hello', hello)\n"
        "register.arm('weak', Arm({'algorithm.alpha': 0.5}, 'Weak'))\n"
    )
    assert call("hello", "--name", "you", "--extension", tmp_path / "greet.py").stdout == "hello you\n"
    (tmp_path / "grid.toml").write_text(
        'tasks = ["fetch-reach"]\narms = ["weak"]\nseeds = 0\nextensions = ["greet.py"]\n'
    )
    (run,) = json.loads(call("plan", tmp_path / "grid.toml", "--json").stdout)["runs"]
    assert run["arm"] == "weak"


def test_an_installed_extension(tmp_path):
    """A package on the path with an entry point, as pip installs it."""
    (tmp_path / "floors_of_mine.py").write_text(EXAMPLE.read_text())
    metadata = tmp_path / "floors_of_mine-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: floors-of-mine\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[floorbench.extensions]\nmine = floors_of_mine\n")
    command = [*FLOORBENCH, "plan", *SELECTION, "--json"]
    environment = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "halved" in {row["arm"] for row in json.loads(done.stdout)["runs"]}
