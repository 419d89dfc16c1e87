"""Commands come from entry points, are imported lazily, and a broken one does not break the others."""

import re
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

import floorbench
from tests.support.command_line import call_here, only_line


def hello(name: str = "world") -> None:
    """Greet somebody."""
    print(f"hello {name}")


@pytest.fixture
def registered(monkeypatch):
    """Register more commands, as an installed package does."""
    known = list(floorbench.installed(floorbench.GROUP))

    def register(**values):
        entries = known + [EntryPoint(name, value, floorbench.GROUP) for name, value in values.items()]
        monkeypatch.setattr(floorbench, "installed", lambda group: entries)
        clear()

    def clear():
        floorbench.registered_entries.cache_clear()
        floorbench.load.cache_clear()

    yield register
    monkeypatch.undo()
    clear()


def test_the_order_of_the_help_names_all_commands_of_floorbench():
    assert set(floorbench.ORDER) <= set(floorbench.registered_entries())


@pytest.mark.parametrize("command", sorted(floorbench.registered_entries()))
def test_help_names_values_in_capitals_and_fits_80_columns(command, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    shown = call_here(capsys, command, "-h").stdout
    assert shown == call_here(capsys, command, "--help").stdout
    assert not re.search(r"<(bool|str|int|float|path|file|directory|list)", shown)
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("command", "usage"),
    [("logs", "RUN"), ("plan", "[GRID]"), ("report", "[GRID]..."), ("tune", "[best|status] STUDY")],
)
def test_usage_shows_which_arguments_are_required(command, usage, capsys):
    lines = call_here(capsys, command, "-h").stdout.splitlines()
    assert f" Usage: floorbench {command} [OPTIONS] {usage}" in [line.rstrip() for line in lines]


def test_a_package_adds_a_command(registered, capsys):
    registered(hello="tests.test_commands:hello")
    assert call_here(capsys, "hello", "--name", "moon").stdout == "hello moon\n"
    lines = call_here(capsys, "--help").stdout.splitlines()
    assert any("hello" in line and "Greet somebody." in line for line in lines)


def test_two_commands_of_one_name_are_refused(registered, capsys):
    registered(plan="tests.test_commands:hello")
    line = only_line(call_here(capsys, "status", code=2))
    assert "command plan: registered 2 times, by floorbench (ablations.commands.run:plan) and tests.test_c" in line


@pytest.mark.parametrize("value", ["nowhere.at_all:hello", "tests.test_commands:nothing", "tests.test_commands:sys"])
def test_a_command_that_cannot_be_loaded_gives_one_line(registered, capsys, value):
    registered(broken=value)
    assert f"command broken of {value}: cannot be loaded: " in only_line(call_here(capsys, "broken", "--x", code=2))
    shown = call_here(capsys, "--help").stdout
    assert "cannot be loaded" in shown
    assert "Show a run's log." in shown


def test_no_commands_at_all(registered, monkeypatch, capsys):
    registered()
    monkeypatch.setattr(floorbench, "installed", lambda group: [])
    assert only_line(call_here(capsys, "plan", code=2)).endswith("install again with: make setup")


# What takes long to import, and what simulates.
HEAVY = ("torch", "numpy", "pandas", "scipy", "gymnasium", "minari", "mujoco")


@pytest.mark.parametrize(
    "command", ["--help", "plan study --json", "plan truth", "status", "grids --json", "arms", "logs --help"]
)
def test_what_computes_nothing_imports_nothing_heavy(tmp_path, command):
    (tmp_path / "runs").mkdir()
    code = (
        f"import sys\nsys.argv = ['floorbench', *{command.split()}]\nfrom floorbench import main\n"
        "try:\n    main()\nexcept SystemExit as error:\n    assert not error.code, error.code\n"
        f"heavy = set({HEAVY}) & set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_a_command_imports_only_its_module():
    code = (
        "import sys\nsys.argv = ['floorbench', 'logs', '--help']\nfrom floorbench import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert 'ablations.commands.logs' in sys.modules and 'results' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
