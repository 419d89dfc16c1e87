"""`floorbench rollout`: episodes of a finished run's policy, with their score and a video."""

from pathlib import Path
from typing import Annotated

import typer

from ablations.commands.selection import one_run
from harness.command_line import RUNS, Json, Root, print_json, result_console


def rollout(
    name: Annotated[str, typer.Argument(help="Run id, or a unique beginning of one.", metavar="RUN")],
    episodes: Annotated[
        int | None, typer.Option(min=1, help="Number of episodes.", show_default="as in the run's evaluations")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the episodes.", show_default="those of the run's evaluations")
    ] = None,
    sampled: Annotated[bool, typer.Option("--sample", help="Sample actions instead of taking the mode.")] = False,
    video: Annotated[Path | None, typer.Option(help="Write the episodes to this file, e.g. rollout.mp4.")] = None,
    root: Root = RUNS,
    json: Json = False,
) -> None:
    """Evaluate the final policy of a finished run on any episodes. Does not touch the run folder."""
    from harness.training.policies import evaluate_policy, load_policy
    from results.rollouts import filmed, result

    policy = load_policy(one_run(name, root))
    with filmed(policy.run.task, video) as environment:
        played = evaluate_policy(policy, episodes, seed, sampled, environment)
    shown = result(policy.run, played, seed, sampled, video)
    if json:
        print_json(shown)
        return
    run = policy.run
    which = "the episodes of its evaluations" if seed is None else f"episodes of seed {seed}"
    console = result_console()
    console.print(f"run {run.id} ({run.task.name} {run.arm} seed {run.seed}), {which}"
                  f"{', sampled actions' if sampled else ''}")  # fmt: skip
    low, high = shown["low"], shown["high"]
    interval = "" if low is None else f" [{low:.3f}, {high:.3f}] ({shown['method']})"
    console.print(f"score {shown['score']:.3f}{interval}; episodes: {shown['episodes']}; mean return "
                  f"{shown['return']:.2f}; mean length {shown['length']:.1f}")  # fmt: skip
    if video:
        console.print(f"video: {video}")
