"""The command line. Commands are entry points of the group `floorbench.commands`, imported when they are used.

A package adds a command in its pyproject.toml:

    [project.entry-points."floorbench.commands"]
    name = "package.module:function"
"""

import io
import os
import signal
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, cast, get_args

PACKAGES = ("algorithms", "harness", "slurm", "ablations", "results")


def refuse_shadows() -> None:
    """Exit with one line if a module or folder of the user is imported in place of one of our packages."""
    for name in PACKAGES:
        ours, spec = Path(__file__).resolve().parent / name, find_spec(name)
        places = list(spec.submodule_search_locations or [spec.origin or ""]) if spec else []
        if not places or Path(places[0]).resolve() != ours:
            instead = f"{places[0]} is imported in place of it; rename that, or take its folder off PYTHONPATH"
            print(
                f"floorbench: error: package {name} of {ours.parent}: "
                f"{instead if places else 'is missing; install floorbench again'}",
                file=sys.stderr,
            )
            sys.exit(2)


# Before the first import from a package.
refuse_shadows()

try:
    import typer
    import typer.core
    import typer.main

    from harness import extensions
    from harness.command_line import INTERRUPTED, INVALID
    from harness.errors import UserError, is_of_system, one_line
    from harness.extensions import installed
    from harness.folders.processes import numeric_variables
    from harness.plain_values import visible
except KeyboardInterrupt:
    # As in `main`, which has not begun.
    sys.exit(130)

GROUP = "floorbench.commands"

# Seconds after which an interruption that could not be raised is sent once more.
REPEATED_AFTER = 0.05

# The option that names a file of an extension.
EXTENSION = "--extension"

# The order of floorbench's commands in `--help`; commands of other packages follow by name.
ORDER = (
    "data", "grids", "arms", "plan", "run", "submit", "status", "logs", "track", "cancel", "retry", "verify", "rollout",
    "report", "import", "power", "tune", "doctor",
)  # fmt: skip

ANY_ARGUMENTS = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
HELP = {"help_option_names": ["-h", "--help"]}

# How help names the values of options that give no name of their own.
VALUES = {Path: "PATH", str: "TEXT", int: "N", float: "NUMBER"}


def with_value_names(parameters: list[Any]) -> list[Any]:
    """Name the values of options in help texts: nothing for flags and arguments, and no Python types."""
    for parameter in parameters:
        if isinstance(parameter, typer.core.TyperArgument):
            argument = cast(Any, parameter)
            argument.display_type_rich = lambda ctx: ""
            argument.get_usage_pieces = partial(usage_pieces, argument)
        elif parameter.metavar is None:
            annotation = parameter.type_descriptor.annotation
            value = next(iter(get_args(annotation)), annotation)
            parameter.metavar = "" if parameter.is_flag else VALUES.get(value)
    return parameters


def usage_pieces(argument: Any, ctx: Any) -> list[str]:
    """An argument in a line of usage: RUN, [GRID], [GRID]..., or several words that its metavar names."""
    name = argument.metavar or argument.name.upper()
    return [(name if argument.required else f"[{name}]") + ("" if argument.nargs == 1 or " " in name else "...")]


class Command(typer.core.TyperCommand):
    """A command whose help names values in capitals."""

    def get_params(self, ctx: Any) -> list[Any]:
        return with_value_names(super().get_params(ctx))


class Commands(typer.core.TyperGroup):
    """The commands that installed packages register; a command's module is imported at its first use."""

    def get_params(self, ctx: Any) -> list[Any]:
        return with_value_names(super().get_params(ctx))

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return super().make_context(info_name, extensions_first(args), parent, **extra)

    def list_commands(self, ctx: Any) -> list[str]:
        names = {*registered_entries(), *extensions.COMMANDS}
        return [name for name in ORDER if name in names] + sorted(names - set(ORDER))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in extensions.COMMANDS:
            return _command(cmd_name, extensions.COMMANDS[cmd_name])
        entry = registered_entries().get(cmd_name)
        return load(entry) if entry else None


def extensions_first(arguments: list[str]) -> list[str]:
    """The arguments with every --extension before the command, so that it may stand anywhere."""
    first, others = [], []
    words = iter(arguments)
    for word in words:
        if word == "--":
            others += [word, *words]
        elif word == EXTENSION:
            first += [word, *([value] if (value := next(words, None)) is not None else [])]
        elif word.startswith(f"{EXTENSION}="):
            first.append(word)
        else:
            others.append(word)
    return [*first, *others]


@cache
def registered_entries() -> dict[str, EntryPoint]:
    """Entry points by name of the command; UserError if two have the same name or there are none."""
    entries = tuple(installed(GROUP))
    if not entries:
        raise UserError("no commands are registered: the installation is incomplete; install again with: make setup")
    for name, count in Counter(entry.name for entry in entries).items():
        if count > 1:
            values = " and ".join(sorted(_origin(entry) for entry in entries if entry.name == name))
            raise UserError(f"command {name}: registered {count} times, by {values}; uninstall or rename one")
    return {entry.name: entry for entry in entries}


@cache
def load(entry: EntryPoint) -> Any:
    """The command of an entry point; if it cannot be imported, a command that says why."""
    try:
        return _command(entry.name, entry.load())
    except Exception as error:
        message = f"command {entry.name} of {_origin(entry)}: cannot be loaded: {one_line(error)}"

    def broken() -> None:
        raise UserError(message)

    return _command(entry.name, broken, help=message, context_settings=ANY_ARGUMENTS)


def _command(name: str, function: Callable[..., Any], **options: Any) -> Any:
    app = _app()
    app.command(name, cls=Command, **{"context_settings": HELP, **options})(function)
    return typer.main.get_command(app)


def _origin(entry: EntryPoint) -> str:
    """The distribution and the function of an entry point."""
    return f"{entry.dist.name} ({entry.value})" if entry.dist else entry.value


def _app(completion: bool = False, **options: Any) -> typer.Typer:
    return typer.Typer(add_completion=completion, pretty_exceptions_enable=False, **options)


app = _app(completion=True, cls=Commands, context_settings=HELP, no_args_is_help=True)


def load_extensions(files: list[Path] | None) -> list[Path]:
    """Load the extensions of installed packages, then those of the files."""
    extensions.load_all(files or [])
    return files or []


def show_version(wanted: bool) -> None:
    """Print version, commit, build and kernel, and exit."""
    if wanted:
        from algorithms.kernels.build import described_build
        from harness.folders.provenance import described_version

        print(f"floorbench {described_version()}\n{described_build()}")
        raise typer.Exit


@app.callback()
def floorbench(
    extension: Annotated[
        list[Path] | None,
        typer.Option(
            EXTENSION,
            metavar="FILE",
            callback=load_extensions,
            is_eager=True,
            help="A Python file that registers floors, arms, tasks and more; may also follow the command.",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show version, commit and kernel.")
    ] = False,
) -> None:
    """floorbench: a benchmark of the pessimism floor in CQL and Cal-QL."""


def __getattr__(name: str) -> Any:
    """`floorbench.register`, with which extensions register their entries, imported when it is first asked for."""
    if name != "register":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from results import extending

    return extending


def main() -> None:
    """Run the command `floorbench`. Exit codes: 0 done, 1 a run failed, 2 invalid usage or input, 130 interrupted."""
    requests: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        requests.append(number)
        raise KeyboardInterrupt

    # SIGTERM is handled like Ctrl-C: the command saves its state and exits.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    sys.unraisablehook = repeat_interruption(requests)
    try:
        leave_surroundings()
        refuse_empty(sys.argv[1:])
        app(prog_name="floorbench")
    except KeyboardInterrupt:
        # The command had ended, or had not begun.
        sys.exit(INTERRUPTED)
    except Exception as error:
        if requests:
            # A package that was being imported has caught the interruption and raised an error of its own.
            sys.exit(INTERRUPTED)
        if isinstance(error, UserError):
            fail(str(error))
        if is_of_system(error):
            fail(one_line(error))
        raise
    finally:
        # From here on there is nothing to save: a signal ends the process at once and silently.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)


def repeat_interruption(requests: list[int]) -> Callable[[Any], object]:
    """A hook for exceptions where none can be raised, as in a destructor: an interruption there is sent once more."""

    def hook(unraisable: Any) -> None:
        if requests and issubclass(unraisable.exc_type, KeyboardInterrupt):
            threading.Timer(REPEATED_AFTER, os.kill, (os.getpid(), requests[-1])).start()
        else:
            sys.__unraisablehook__(unraisable)

    return hook


def leave_surroundings() -> None:
    """Undo what the user's environment would change: warnings as errors, output that cannot show every character, and
    how libraries compute.

    Child processes inherit it.
    """
    for name in numeric_variables(os.environ):
        del os.environ[name]
    sys.warnoptions[:] = [option for option in sys.warnoptions if not option.startswith("e")]
    kept = [part for part in os.environ.pop("PYTHONWARNINGS", "").split(",") if part and not part.startswith("e")]
    if kept:
        os.environ["PYTHONWARNINGS"] = ",".join(kept)
    filters = [entry for entry in warnings.filters if entry[0] != "error"]
    if len(filters) < len(warnings.filters):
        warnings.resetwarnings()
        for action, _, category, _, line in filters:
            warnings.simplefilter(cast(Any, action), cast(Any, category), line, append=True)
    os.environ["PYTHONUTF8"] = "1"
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def refuse_empty(arguments: Sequence[str]) -> None:
    """Raise UserError for an argument without a character, which as a path would name the current folder."""
    for before, argument in pairwise(["", *arguments]):
        option = before if before.startswith("-") else "an argument"
        if argument.startswith("--") and argument.find("=") == len(argument) - 1:
            option, argument = argument.removesuffix("="), ""
        if not argument:
            raise UserError(f"{option}: is empty; was a shell variable not set?")


def fail(message: str) -> None:
    """Print a one-line error and exit with code 2."""
    print(f"floorbench: error: {visible(message)}", file=sys.stderr)
    sys.exit(INVALID)


if __name__ == "__main__":
    main()
