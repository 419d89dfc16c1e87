"""What packs cost by default, where nothing has run yet: measured on one machine, adjusted to the speed of another."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import pairwise

from algorithms.kernels.speed import Speed
from algorithms.settings import AlgorithmSettings
from harness.environments.families import FETCH, KITCHEN, POINTMAZE, WINDING_ROAD, family
from harness.settings import HostedData, Run, Task


@dataclass(frozen=True)
class Work:
    """What a run still computes: gradient steps, environment steps of the online phase, and evaluations."""

    updates: float
    steps: float
    evaluations: float

    def part(self, fraction: float) -> "Work":
        """A fraction of the work."""
        return Work(fraction * self.updates, fraction * self.steps, fraction * self.evaluations)


@dataclass(frozen=True)
class Cost:
    """Seconds that a worker spends on a pack.

    Attributes:
        start: what happens once: start of processes, imports, data, kernels, floors, the last checkpoint.
        update: a gradient step of the pack, with the checkpoints.
        step: an environment step of each of its runs in the online phase.
        evaluation: an evaluation of all its runs.
        pack: number of runs in the pack.
        source: where the numbers come from, in words.
    """

    start: float
    update: float
    step: float
    evaluation: float
    pack: int
    source: str

    def of(self, work: Work) -> float:
        """Seconds of a pack whose runs do this work."""
        return self.start + self.update * work.updates + self.step * work.steps + self.evaluation * work.evaluations

    def times(self, factor: float, source: str) -> "Cost":
        """The cost where everything takes `factor` times as long."""
        return replace(self, source=source, **{name: factor * getattr(self, name) for name in SECONDS})


# The fields of a cost that are seconds.
SECONDS = ("start", "update", "step", "evaluation")

# Processor time in seconds on a machine of this speed (an AMD EPYC of family 26) that does nothing else, with a worker
# on each of its two cores; fitted to packs of the grids smoke, floors and truth.
REFERENCE = Speed(arithmetic=2.66e11, interpreter=1.9e7)
START = 0.05
# Reading the data and filling the floor's column, per run and transition; transitions of a hosted set.
DATA, HOSTED = 1e-6, 1_000_000
# Until a worker owns its runs.
PROCESS = 0.1
# A gradient step of a pack of R runs: fixed + R * (per run + floating-point operations / speed).
UPDATES = {"fused": (0.0, 2.2e-5, 2.4e11), "torch": (1.7e-3, 1.5e-4, 4e10)}
# An environment step in an evaluation, by family, and what is added to it in training.
ROAD_STEP, MAZE_STEP = 1e-6, 5.5e-6
FETCH_STEP, KITCHEN_STEP, MANIPULATION_STEP, OTHER_STEP = 7e-4, 1.9e-3, 1.7e-3, 2.6e-4
TRAINING_STEP = 2.2e-5
# One step of all episodes of a pack together, and what an evaluation takes besides the episodes, per run.
COMMON_STEP, PROBES = 2e-5, 2e-3
# Length of an evaluation episode as a fraction of the horizon: 0.5 to 0.7 in most of the published runs.
EPISODE_LENGTH = 0.6
# Saving the last checkpoint, per run.
SAVE = 1e-2
# Fitting the networks of a learned floor, per run.
FIT = 0.4
# The command itself with the imports of its fork server; collecting a transition in addition to the environment's step.
COMMAND, COLLECTED = 4.0, 1e-4
# Numbers per observation and action, where no environment is created to count them: on the road, in mazes, elsewhere.
ROAD_INPUTS, MAZE_INPUTS, NOMINAL_INPUTS = 4, 8, 32


@dataclass(frozen=True)
class Slowness:
    """What arithmetic and all else take on a machine, as multiples of the defaults; and the machine in words."""

    arithmetic: float
    other: float
    source: str

    @classmethod
    def of(cls, speed: Speed) -> "Slowness":
        """Of a machine of this speed; without kernels its arithmetic is assumed to be that of the defaults."""
        other = REFERENCE.interpreter / speed.interpreter
        if speed.arithmetic is None or REFERENCE.arithmetic is None:
            return cls(1.0, other, f"defaults, adjusted to this machine: {1 / other:.2g} times as fast in Python, "
                       "unknown in arithmetic until the kernels are built")  # fmt: skip
        arithmetic = REFERENCE.arithmetic / speed.arithmetic
        return cls(arithmetic, other, f"defaults, adjusted to this machine: {1 / arithmetic:.2g} times as fast in "
                   f"arithmetic, {1 / other:.2g} times in Python")  # fmt: skip


def default_cost(run: Run, pack: int, slowness: Slowness, gpu_models: Collection[str] | None = None) -> Cost:
    """The documented defaults for packs of `pack` such runs; for updates on a GPU, its known or assumed rates.

    `gpu_models`: see `known_rates`.
    """
    source = slowness.source
    if run.algorithm.on_gpu:
        from algorithms.kernels import gpu

        source = gpu.known_rates(gpu_models).source
    update = default_update(run.algorithm, pack, slowness, gpu_models, _inputs(run.task))
    return cost_of(run, pack, update, slowness.other * default_step(run.task), slowness, source)


def cost_of(run: Run, pack: int, update: float, step: float, slowness: Slowness, source: str) -> Cost:
    """The cost of a pack by the seconds of one of its updates and of an environment step."""
    schedule, horizon, data = run.schedule, run.task.horizon, run.task.data
    transitions = HOSTED if isinstance(data, HostedData) else data.transitions
    episode_steps = schedule.evaluation_episodes * EPISODE_LENGTH * horizon
    return Cost(
        start=slowness.other * (PROCESS + START + pack * (SAVE + DATA * transitions)),
        update=update,
        step=pack * (step + slowness.other * TRAINING_STEP),
        evaluation=slowness.other * horizon * COMMON_STEP + pack * (episode_steps * step + slowness.other * PROBES),
        pack=pack,
        source=source,
    )


def default_update(
    settings: AlgorithmSettings,
    pack: int,
    slowness: Slowness,
    gpu_models: Collection[str] | None = None,
    inputs: int = NOMINAL_INPUTS,
) -> float:
    """Seconds of a gradient step of a pack of runs with `inputs` numbers per observation and action."""
    if settings.on_gpu:
        from algorithms.kernels import gpu

        return gpu.estimated_update_seconds(settings, inputs, pack, gpu.known_rates(gpu_models))
    fixed, per_run, speed = UPDATES[settings.kernel]
    widths = [inputs, *settings.critic_hidden, 1]
    parameters = sum(first * second for first, second in pairwise(widths))
    # Critics on the batch and on n_actions of three kinds; forward and twice as much backward.
    evaluations = settings.critics * settings.batch_size * (3 * settings.n_actions + 2)
    arithmetic = pack * 6 * evaluations * parameters / speed
    return slowness.other * (fixed + pack * per_run) + slowness.arithmetic * arithmetic


def default_step(task: Task) -> float:
    """Seconds of an environment step in an evaluation, on the machine of the defaults."""
    name = family(task)
    if task.environment == WINDING_ROAD:
        return ROAD_STEP
    if name == POINTMAZE:
        return MAZE_STEP
    if name in FETCH:
        return FETCH_STEP
    if name.startswith(("cube", "scene", "puzzle")):
        return MANIPULATION_STEP
    return KITCHEN_STEP if name == KITCHEN else OTHER_STEP


def _inputs(task: Task) -> int:
    if task.environment == WINDING_ROAD:
        return ROAD_INPUTS
    return MAZE_INPUTS if family(task) == POINTMAZE else NOMINAL_INPUTS
