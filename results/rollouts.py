"""Episodes of a finished run's policy: their scores with an interval, and their video."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from harness.environments.environment import Environment
from harness.errors import UserError, one_line
from harness.settings import Run, Task
from harness.training.episodes import Episodes
from results.statistics.intervals import CONFIDENCE, Estimate, mean_interval


def result(run: Run, played: Episodes, seed: int | None, sampled: bool, video: Path | None) -> dict[str, Any]:
    """The scores of episodes with their mean and its interval, as JSON values; returns have the mapped rewards."""
    estimate = score_interval(played.scores)
    known = np.isfinite(estimate.low)
    return {
        "run": run.id,
        "task": run.task.name,
        "arm": run.arm,
        "seed": run.seed,
        "episodes": len(played.scores),
        "episode_seed": seed,
        "sampled": sampled,
        "score": estimate.mean,
        "low": estimate.low if known else None,
        "high": estimate.high if known else None,
        "method": estimate.method,
        "return": float(np.mean(played.returns)),
        "length": float(np.mean(played.lengths)),
        "scores": played.scores,
        "returns": played.returns,
        "lengths": played.lengths,
        "video": None if video is None else str(video),
    }


def score_interval(scores: list[float]) -> Estimate:
    """The mean score of independent episodes: with Wilson's interval for successes, else with the t interval."""
    if not set(scores) <= {0.0, 1.0}:
        return mean_interval(scores)
    interval = stats.binomtest(int(sum(scores)), len(scores)).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(float(np.mean(scores)), float(interval.low), float(interval.high), len(scores),
                    f"Wilson, {CONFIDENCE:.0%}")  # fmt: skip


class FilmedEnvironment(Environment):
    """An environment that passes a frame of every state to a writer of imageio."""

    def __init__(self, task: Task):
        super().__init__(task, rendered=True)
        self.writer: Any = None

    def reset(self, seed: int) -> np.ndarray:
        """Start an episode."""
        observation = super().reset(seed)
        self.writer.append_data(self.frame())
        return observation

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        """Take an action."""
        result = super().step(action)
        self.writer.append_data(self.frame())
        return result


@contextlib.contextmanager
def filmed(task: Task, video: Path | None) -> Iterator[Environment | None]:
    """An environment whose episodes in the block become a video; None without a file.

    Raises a UserError if the file exists or cannot be written, or if pictures cannot be rendered here.
    """
    if video is None:
        yield None
        return
    if video.exists():
        raise UserError(f"--video {video}: exists; name another file")
    try:
        import imageio
        import imageio_ffmpeg  # noqa: F401 (imageio writes videos with it)
    except ImportError as error:
        raise UserError(f"--video: {error.name} is missing; install it with: pip install 'floorbench[video]'") from None
    environment = FilmedEnvironment(task)
    Environment.reset(environment, seed=0)
    environment.frame()
    try:
        environment.writer = imageio.get_writer(video, fps=environment.frames_per_second)
    except (OSError, ValueError) as error:
        raise UserError(f"--video {video}: {one_line(error)}; name a file that ends with .mp4") from None
    with environment.writer:
        yield environment
