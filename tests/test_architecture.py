"""The import graph: packages and the layers of `harness` import only downwards, and modules have no cycles."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From bottom to top; what is equal in level must not import each other.
PACKAGES = ("algorithms", "harness", "slurm", "ablations", "results", "floorbench")
HARNESS = (
    ("errors", "plain_values", "extensions", "settings", "metrics", "files"),
    ("environments",),
    ("data",),
    ("tasks",),
    ("folders",),
    ("training",),
    ("launching",),
    ("watching", "tuning"),
    ("command_line",),
)


def module_of(file):
    """The name of a module by its file."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(file, modules):
    """The project's modules that a file imports anywhere, also inside functions and for type checking."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in modules else node.module
                      for alias in node.names}  # fmt: skip
    return names & modules


@pytest.fixture(scope="module")
def graph():
    files = [ROOT / "floorbench.py", *(file for name in PACKAGES for file in (ROOT / name).rglob("*.py"))]
    by_module = {module_of(file): file for file in files}
    return {module: imported(file, set(by_module)) - {module} for module, file in by_module.items()}


def test_packages_import_downwards(graph):
    level = {name: number for number, name in enumerate(PACKAGES)}
    upward = [
        f"{module} imports {target}"
        for module, targets in graph.items()
        for target in targets
        if level[target.split(".")[0]] > level[module.split(".")[0]]
    ]
    assert not upward


def test_layers_of_harness_import_downwards(graph):
    level = {name: number for number, names in enumerate(HARNESS) for name in names}
    edges = [
        (module, target)
        for module, targets in graph.items()
        for target in targets
        if module.startswith("harness.") and target.startswith("harness.")
    ]
    layers = [(module, target, module.split(".")[1], target.split(".")[1]) for module, target in edges]
    assert {name for *_, name in layers} <= set(level)
    upward = [
        f"{module} imports {target}"
        for module, target, package, other in layers
        if package != other
        and package in level
        and other in level
        and level[package] <= level[other]
        and level[package] > 0
    ]
    upward += [f"{module} imports {target}" for module, target, package, other in layers
               if package in level and level[package] == 0 and level.get(other, 1) > 0]  # fmt: skip
    assert not upward


def test_modules_have_no_cycles(graph):
    # Raises CycleError, which names the modules of a cycle.
    assert list(TopologicalSorter(graph).static_order())


def test_modules_are_not_too_long():
    lengths = {file: len(file.read_text().splitlines()) for name in PACKAGES for file in (ROOT / name).rglob("*.py")}
    assert not [f"{module_of(file)}: {length} lines" for file, length in lengths.items() if length > 400]
