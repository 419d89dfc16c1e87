"""Extensions: a user's Python file, or an installed package, that registers entries of its own.

A run that uses an entry of an extension (a floor, an arm or a task) has the extension's name and the hash of its
content among its settings, and so in its id. The content of a file is kept in `ROOT/extensions/`, from where workers
load it, here and on a cluster. `results.extending` is what extensions call.
"""

import hashlib
import sys
import traceback
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from harness.errors import UserError, one_line
from harness.files import atomic_write, read_bytes

# Entry points of installed extensions: a name, and the module that registers.
GROUP = "floorbench.extensions"

# Folder of a root that holds the files of its runs' extensions.
FOLDER = "extensions"

DIGEST_LENGTH = 12

T = TypeVar("T")


@dataclass(frozen=True)
class Extension:
    """Something that registers entries."""

    # Stem of the file, or name of the entry point.
    name: str
    # First hexadecimal digits of the SHA-256 of its content.
    digest: str
    # The file or the package.
    place: str
    # Content of a file; None for a package, which must be installed wherever its runs are computed.
    content: bytes | None

    @property
    def label(self) -> str:
        """Name and content, as they stand among the settings of a run."""
        return f"{self.name}@{self.digest}"


_loaded: dict[str, Extension] = {}
_loading: list[Extension] = []
# The extension of an entry, by kind and name.
_owners: dict[tuple[str, str], Extension] = {}

# Commands, and figures of a report, that extensions add.
COMMANDS: dict[str, Callable[..., Any]] = {}
FIGURES: dict[str, Callable[..., Any]] = {}


def register(kind: str, registry: MutableMapping[str, T], name: str, value: T, builtin: Iterable[str] = ()) -> T:
    """Add an entry to a registry; raises UserError if its name is taken, there or among the `builtin` names."""
    if name in registry or name in builtin:
        owner = _owners.get((kind, name))
        whose = f"extension {owner.name}" if owner else "floorbench"
        raise UserError(f"{kind} {name!r}: is already registered by {whose}; choose another name")
    registry[name] = value
    if _loading:
        _owners[kind, name] = _loading[-1]
    return value


def entries(kind: str) -> list[tuple[str, str]]:
    """The entries of a kind that extensions have registered: pairs of the kind and a name."""
    return [key for key in _owners if key[0] == kind]


def used(task: str, arm: str, floor: str, before: Sequence[str] = ()) -> tuple[str, ...]:
    """The labels of the extensions that a run uses, and of those that it used `before`, sorted."""
    labels = {label.partition("@")[0]: label for label in before}
    for key in (("task", task), ("arm", arm.partition("[")[0]), ("floor", floor)):
        if owner := _owners.get(key):
            labels.setdefault(owner.name, owner.label)
    return tuple(sorted(labels.values()))


def loaded() -> dict[str, str]:
    """The digests of the loaded extensions by name."""
    return {name: extension.digest for name, extension in sorted(_loaded.items())}


def load_file(path: Path, name: str | None = None) -> Extension:
    """Run a user's file, which registers its entries; does nothing if it is loaded already.

    Raises UserError with file and line for an error in the file, and if another extension has its name.
    """
    path = Path(path)
    try:
        content = read_bytes(path)
    except OSError as error:
        raise UserError(f"extension {path}: cannot be read ({(error.strerror or str(error)).lower()})") from None
    name = name or path.stem
    if not name.isidentifier():
        raise UserError(f"extension {path}: its name must consist of letters, digits and underscores; rename it")

    def run() -> None:
        module = ModuleType(f"floorbench_extension_{name}")
        module.__file__ = str(path)
        sys.modules[module.__name__] = module
        exec(compile(content, str(path), "exec", dont_inherit=True), vars(module))

    return _load(Extension(name, _digest({"": content}), str(path), content), run, {str(path)})


def files() -> list[Path]:
    """The files of loaded extensions, for other processes."""
    return [Path(extension.place) for extension in _loaded.values() if extension.content is not None]


def load_all(files: Iterable[Path]) -> None:
    """Load the extensions of installed packages, then those of some files."""
    load_installed()
    for file in files:
        load_file(file)


def installed(group: str) -> EntryPoints:
    """The entry points of a group in all installed packages."""
    return _all_entry_points().select(group=group)


@cache
def _all_entry_points() -> Any:
    # Every package is searched, whatever the group.
    return entry_points()


def load_installed() -> None:
    """Load the extensions of installed packages."""
    for entry in installed(GROUP):
        _load_entry(entry)


def provide(labels: Iterable[str], root: Path) -> None:
    """Load the extensions that runs need, from the root or from installed packages.

    Raises UserError if one is missing or has another content.
    """
    for label in sorted(set(labels)):
        name, _, digest = label.partition("@")
        file = Path(root) / FOLDER / f"{label}.py"
        if name not in _loaded and file.exists():
            load_file(file, name)
        elif name not in _loaded:
            for entry in installed(GROUP).select(name=name):
                _load_entry(entry)
        extension = _loaded.get(name)
        if extension is None:
            raise UserError(f"extension {name}: neither installed nor in {file}; name its file with --extension")
        if extension.digest != digest:
            raise UserError(
                f"extension {name}: {extension.place} has content {extension.digest}, but runs were made with {digest}"
                f"; use that version{f', {file}' if file.exists() else ''}"
            )


def keep(labels: Iterable[str], root: Path) -> None:
    """Write the files of loaded extensions to the root, from where workers load them."""
    for label in set(labels):
        extension = _loaded.get(label.partition("@")[0])
        file = Path(root) / FOLDER / f"{label}.py"
        if extension and extension.label == label and extension.content is not None and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(file) as stream:
                stream.write(extension.content)


def _load_entry(entry: EntryPoint) -> Extension:
    spec = find_spec(entry.module.partition(".")[0])
    places = [Path(place) for place in (spec.submodule_search_locations or [spec.origin or ""])] if spec else []
    files = [file for place in places for file in ([place] if place.is_file() else sorted(place.rglob("*.py")))]
    content = {str(file.relative_to(places[0].parent)): file.read_bytes() for file in files}
    extension = Extension(entry.name, _digest(content), entry.value, None)
    return _load(extension, lambda: entry.load(), {str(file) for file in files})


def _load(extension: Extension, run: Callable[[], object], files: set[str]) -> Extension:
    """Run the code of an extension, whose `files` are named in errors."""
    known = _loaded.get(extension.name)
    if known is not None:
        if known.digest == extension.digest:
            return known
        raise UserError(f"extension {extension.place}: {known.place} is loaded under the same name; rename one")
    _loading.append(extension)
    try:
        run()
    except Exception as error:
        raise UserError(f"{_place(error, extension, files)}: {one_line(error)}") from error
    finally:
        _loading.pop()
    _loaded[extension.name] = extension
    return extension


def _place(error: BaseException, extension: Extension, files: set[str]) -> str:
    """File and line of an error: the innermost line of the extension."""
    if isinstance(error, SyntaxError) and error.filename in files:
        return f"{error.filename}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else f"extension {extension.name}"


def _digest(content: dict[str, bytes]) -> str:
    total = hashlib.sha256()
    for name in sorted(content):
        total.update(f"{name}\0{len(content[name])}\0".encode() + content[name])
    return total.hexdigest()[:DIGEST_LENGTH]
