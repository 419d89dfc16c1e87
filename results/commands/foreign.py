"""`floorbench import`: keep runs of others, to show them beside ours."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.command_line import RUNS, Root, remark_console, result_console
from harness.errors import UserError
from harness.plain_values import quoted_if_odd

# A text that separates a name of theirs from ours.
IS = "="


def import_runs(
    file: Annotated[
        Path, typer.Argument(help="A CSV file, or a folder of d3rlpy with one or several runs.", metavar="FILE")
    ],
    source: Annotated[str, typer.Option("--as", help="Name of the source in tables and figures, e.g. corl.")],
    offline_steps: Annotated[
        int, typer.Option(min=0, help="Gradient steps of the offline phase; later steps are environment steps.")
    ],
    metric: Annotated[
        str | None,
        typer.Option(
            help="The metric to import: a score per evaluation.", show_default="the only one, or environment of d3rlpy"
        ),
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="share (0 to 1) or percent.", show_default="as the metric's name says")
    ] = None,
    reference_returns: Annotated[
        str | None,
        typer.Option(help="For returns: those that count as the scores 0 and 1.", metavar="LOW,HIGH"),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option("--task", help="Our task of all runs, or of one task of theirs.", metavar="[THEIRS=]TASK"),
    ] = None,
    arms: Annotated[
        list[str] | None,
        typer.Option("--arm", help="Name of the arm of all runs, or of one arm of theirs.", metavar="[THEIRS=]ARM"),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(help="Finds (?P<task>...), (?P<arm>...) and (?P<seed>...) in run names.", metavar="REGEX"),
    ] = None,
    root: Root = RUNS,
) -> None:
    """Import runs of others from a file. Reports show them beside ours, and never average them with ours."""
    from results.frame.comparison import listed
    from results.frame.foreign import Meaning, foreign_frame, store
    from results.frame.foreign_formats import parse

    meaning = Meaning(
        offline_steps, renamed(tasks or [], "--task"), renamed(arms or [], "--arm"), pattern(names), unit,
        references(reference_returns),
    )  # fmt: skip
    frame = foreign_frame(parse(file, metric), source, file.resolve().name, meaning)
    stored = store(frame, root)
    runs = frame.drop_duplicates(["task", "arm", "seed"])
    plural = "s" if len(runs) > 1 else ""
    result_console().print(
        f"{source}: {len(frame):,} evaluations of {len(runs):,} run{plural}; "
        f"tasks: {listed(sorted(set(frame['task'])))}; arms: {listed(sorted(set(frame['arm'])))}; "
        f"scores from {frame['score'].min():.2f} to {frame['score'].max():.2f}"
    )
    console = remark_console()
    if not (frame["step"] == 0).any():
        console.print(f"note: no evaluation at the switch (step {offline_steps:,}), so no score there and no regret")
    if not (frame["phase"] == "online").any():
        console.print("note: no evaluation after the switch, so no score at the end of fine-tuning")
    console.print(f"kept in {stored}; next: floorbench report --root {root}")


def renamed(values: Sequence[str], option: str) -> dict[str, str]:
    """Our names by theirs; an empty key is for all. Raises UserError if one is named twice or empty."""
    result: dict[str, str] = {}
    for value in values:
        theirs, _, ours = value.rpartition(IS)
        if not ours or theirs in result or (result and "" in (theirs, *result)):
            raise UserError(
                f"{option} {quoted_if_odd(value)}: must be one name for all runs, or THEIRS=OURS for each of theirs"
            )
        result[theirs] = ours
    return result


def pattern(text: str | None) -> re.Pattern[str] | None:
    """The regular expression for run names; raises UserError unless it finds a task, an arm or a seed."""
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UserError(f"--names {quoted_if_odd(text)}: not a regular expression ({error})") from None
    if not pattern.groupindex or not set(pattern.groupindex) <= {"task", "arm", "seed"}:
        raise UserError(f"--names {quoted_if_odd(text)}: needs groups (?P<task>...), (?P<arm>...) or (?P<seed>...)")
    return pattern


def references(text: str | None) -> tuple[float, float] | None:
    """The returns that count as 0 and 1."""
    if text is None:
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = 0.0
    if not abs(high - low) < float("inf") or low >= high:
        raise UserError(f"--reference-returns {quoted_if_odd(text)}: must be LOW,HIGH, for example 0,3000")
    return low, high
