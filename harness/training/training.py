"""Train a pack: the offline phase, the online phase, an evaluation row per run at every mark, and checkpoints."""

import os
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from algorithms.batch import backup_actions
from algorithms.learner import Learner
from harness.data.dataset import Dataset, load_dataset
from harness.errors import PLACE_ERRORS, UserError, one_line
from harness.folders.attempts import TakenOver
from harness.folders.checkpoint import Position
from harness.folders.provenance import provenance
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.settings import Schedule, pack_key, total_updates, trains_alone
from harness.training.evaluation import Evaluator
from harness.training.floor_columns import FloorColumns
from harness.training.kernels import provide_kernels, take_card
from harness.training.online import Actors
from harness.training.pack_state import PackState, floor_of
from harness.training.recording import Recorder, StartingPoint, starting_points
from harness.training.stop import Stop, Stopped
from harness.training.streams import UpdateStreams, generator, normal_source
from harness.training.summary import summarise
from harness.training.transitions import Transitions

# Seconds between two writings of the status files.
STATUS_INTERVAL = 5.0

# Seconds between two checkpoints, and the share of the time that saving them may take; the variable of the environment
# sets other seconds, with 0 every step is saved.
CHECKPOINT_INTERVAL = 60.0
CHECKPOINT_SHARE = 0.02
CHECKPOINT_VARIABLE = "FLOORBENCH_CHECKPOINT_SECONDS"


def train_pack(folders: Sequence[RunFolder], stop: Stop | None = None) -> None:
    """Train the runs of the folders together, from where they stand to `done.json`.

    A run whose parameters stop being finite or whose environment breaks is marked failed, one that is cancelled is
    given back; their neighbours go on, in a smaller pack once half of the runs are gone. When `stop` is requested every
    run is saved and left, and `Stopped` raised.
    """
    if len({pack_key(folder.run()) for folder in folders}) != 1:
        raise UserError(f"pack {' '.join(folder.id for folder in folders)}: its runs do not have equal shapes")
    if len(folders) > 1 and trains_alone(folders[0].run()):
        raise UserError(f"pack {' '.join(folder.id for folder in folders)}: schedule.update_block = none: such runs "
                        "train alone")  # fmt: skip
    provide_kernels([folders[0].run()])
    take_card([folders[0].run()])
    dataset = load_dataset(folders[0].run().task)
    waiting = starting_points(folders)
    while waiting:
        remaining = PackTraining(waiting.pop(0), dataset, stop or Stop()).train()
        waiting = [*starting_points(remaining), *waiting]


def offline_marks(schedule: Schedule) -> set[int]:
    """Gradient steps at which the offline phase is evaluated: the first, every interval, the last."""
    return {*range(0, schedule.offline_steps, schedule.offline_interval), schedule.offline_steps}


def online_marks(schedule: Schedule) -> set[int]:
    """Environment steps at which the online phase is evaluated: densely after the switch, then every interval."""
    dense_end = min(schedule.dense_steps, schedule.online_steps)
    dense = range(schedule.dense_interval, dense_end + 1, schedule.dense_interval)
    sparse = range(schedule.online_interval, schedule.online_steps + 1, schedule.online_interval)
    last = {schedule.online_steps} if schedule.online_steps else set()
    return {*dense, *(step for step in sparse if step > dense_end), *last}


class PackTraining:
    """A pack in training. Between two steps its whole state is its position and what `PackState` captures."""

    def __init__(self, point: StartingPoint, dataset: Dataset, stop: Stop):
        self.folders, self.position, self.stop = point.folders, point.position, stop
        self.runs = runs = [folder.run() for folder in point.folders]
        self.schedule, self.algorithm = runs[0].schedule, runs[0].algorithm
        self.live = list(range(len(runs)))
        self.began = self.saved = time.monotonic()
        self.cost = 0.0
        self.reported = ("", 0.0)
        self.began_at = self.finite_at = self.updates = 0
        for folder in self.folders:
            folder.record_provenance(provenance(dataset.content_hash, dataset.repairs))
        self.report("floor")
        checkpoints = point.checkpoints
        self.recorders = [Recorder(folder, own) for folder, own in zip(self.folders, checkpoints, strict=True)]
        self.transitions = transitions = Transitions(dataset, len(runs), self.schedule.online_steps)
        self.floors = FloorColumns(runs, dataset, transitions, [floor_of(own) if own else None for own in checkpoints])
        self.learner = Learner(
            [run.algorithm for run in runs],
            transitions.observation_dim,
            transitions.action_dim,
            [run.task.discount for run in runs],
            [normal_source(generator(run.seed, "init")) for run in runs],
        )
        self.streams = UpdateStreams(
            [run.seed for run in runs],
            self.algorithm.batch_size,
            self.algorithm.n_actions,
            backup_actions(self.algorithm),
            transitions.action_dim,
            self.learner.device,
        )
        self.evaluator = Evaluator(runs, transitions)
        self.state = PackState(self.learner, self.floors, transitions)
        if self.position.online_step:
            self.switch()
        for number, checkpoint in enumerate(checkpoints):
            if checkpoint is not None:
                self.guard(number, self.state.restore, number, self.folders[number], checkpoint)
        self.began_at = self.finite_at = self.updates = self.learner.counters["updates"]

    def train(self) -> list[RunFolder]:
        """From where the pack stands to the end; returns the runs that are to go on in a smaller pack, saved."""
        schedule = self.schedule
        if not self.position.evaluated:
            self.evaluate()
        marks = offline_marks(schedule)
        while self.goes_on and self.position.offline_step < schedule.offline_steps:
            self.update(self.algorithm.batch_size)
            step = self.position.offline_step + 1
            self.arrive(Position(step, 0, step not in marks))
        if self.goes_on and self.state.actors is None:
            self.switch()
        marks = online_marks(schedule)
        while self.goes_on and self.position.online_step < schedule.online_steps:
            self.online_step()
            step = self.position.online_step + 1
            self.arrive(Position(schedule.offline_steps, step, step not in marks))
        at = self.position
        if (at.offline_step, at.online_step) == (schedule.offline_steps, schedule.online_steps):
            self.finish()
            return []
        self.save()
        for number in self.live:
            self.recorders[number].close()
        return [self.folders[number] for number in self.live]

    @property
    def goes_on(self) -> bool:
        """Whether so many runs are left that computing the places of the others is no waste."""
        return 2 * len(self.live) > len(self.runs)

    def switch(self) -> None:
        """Begin the online phase."""
        self.floors.begin_online()
        self.state.actors = Actors(self.runs)

    def online_step(self) -> None:
        """An environment step of every run, then the updates that are due, on dataset and online transitions.

        Those that are made together are one step: whoever wants to stop waits for them.
        """
        assert self.state.actors is not None
        schedule, step = self.schedule, self.position.online_step + 1
        block = schedule.update_block
        due = step == schedule.online_steps or (block is not None and step % block == 0)
        for number, episode in self.state.actors.step(self.learner, self.position.online_step):
            due |= block is None
            if isinstance(episode, Exception):
                self.fail(number, episode)
            elif number in self.live:
                before = int(self.transitions.filled[number])
                self.floors.append(number, episode)
                rows = self.transitions.online_rows(number, before).numpy()
                self.guard(number, self.recorders[number].append_transitions, rows)
        ratio = schedule.mixing_ratio
        from_dataset = None if ratio is None else round(ratio * self.algorithm.batch_size)
        while due and self.live and self.updates < schedule.offline_steps + step * schedule.updates_per_step:
            self.update(from_dataset, online=True)

    def update(self, from_dataset: int | None, online: bool = False) -> None:
        """One gradient step of all runs."""
        uniform, noise = self.streams.at(self.updates)
        batch = self.transitions.batch(uniform, from_dataset)
        if online:
            batch = self.floors.learn_online(batch)
        self.learner.update(batch, noise)
        self.updates += 1

    def arrive(self, position: Position) -> None:
        """Stand at the next position: evaluate if that is due, report, save from time to time and when told to stop."""
        self.position = position
        if not position.evaluated:
            self.evaluate()
        if self.report(self.phase):
            self.drop_cancelled()
        if self.stop.requested:
            self.save()
            raise Stopped(self.stop.reason)
        if self.save_is_due():
            self.save()

    def evaluate(self) -> None:
        """Add a row of metrics to every live run."""
        self.drop_diverged()
        try:
            rows = self.evaluator.evaluate(self.learner, self.live, self.stop.check)
        except Stopped:
            self.save()
            raise
        actors = self.state.actors
        for number in list(self.live):
            metrics = rows[number]
            if isinstance(metrics, Exception):
                self.fail(number, metrics)
                continue
            row = {
                "phase": self.phase,
                "offline_step": self.position.offline_step,
                "online_step": self.position.online_step,
                "updates": self.updates,
                **metrics,
                "train_episodes": actors.actors[number].episodes if actors else 0,
                "train_successes": actors.actors[number].successes if actors else 0,
            }
            self.guard(number, self.recorders[number].append_row, row)
        self.position = replace(self.position, evaluated=True)

    def save_is_due(self) -> bool:
        """Whether the last checkpoint is old enough, measured by what saving costs."""
        seconds = float(os.environ.get(CHECKPOINT_VARIABLE, CHECKPOINT_INTERVAL))
        return time.monotonic() - self.saved >= max(seconds, self.cost / CHECKPOINT_SHARE if seconds else 0.0)

    def save(self) -> None:
        """Save a checkpoint of every live run."""
        self.drop_diverged()
        began = time.monotonic()
        for number in list(self.live):
            self.guard(number, self.recorders[number].save, self.position, *self.state.capture(number))
        self.saved = time.monotonic()
        self.cost = self.saved - began

    def finish(self) -> None:
        """Save the end and write the summary of every run that came through."""
        self.save()
        for number in list(self.live):
            report = self.floors.fit_reports.get(number)
            summary = {
                **summarise(self.recorders[number].rows, self.schedule),
                "learned_floor": asdict(report) if report else None,
                "parameters_hash": self.state.hash_of_parameters(number),
            }
            self.guard(number, self.recorders[number].finish, summary, self.position)
            self.guard(number, self.folders[number].write_status, RunState.DONE, progress=1.0, **self.speed())

    def drop_diverged(self) -> None:
        """Mark runs failed whose parameters are not finite any more."""
        finite = self.learner.finite().tolist()
        for number in [number for number in self.live if not finite[number]]:
            seen = f"the last finite ones were seen at update {self.finite_at}"
            self.fail(number, UserError(f"parameters not finite at update {self.updates}; {seen}"))
        self.finite_at = self.updates

    def drop_cancelled(self) -> None:
        """Save and give back the runs that are not wanted any more; the others go on."""
        cancelled = [number for number in self.live if self.folders[number].is_cancelled]
        if cancelled:
            self.drop_diverged()
        for number in [number for number in cancelled if number in self.live]:
            self.guard(number, self.give_back, number)

    def give_back(self, number: int) -> None:
        """Save a run and leave it interrupted, with its attempt at an end."""
        self.recorders[number].save(self.position, *self.state.capture(number))
        folder = self.folders[number]
        folder.write_status(
            RunState.INTERRUPTED, phase=self.phase, step=self.step, progress=self.share, reason="cancelled"
        )
        folder.end_attempt("interrupted: cancelled")
        self.live.remove(number)

    def guard(self, number: int, action: Callable[..., None], *arguments: Any, **named: Any) -> None:
        """Do something of one run; what breaks there fails that run alone, a disk that refuses stops the pack."""
        try:
            action(*arguments, **named)
        except TakenOver:
            self.live.remove(number)
        except OSError as error:
            if error.errno in PLACE_ERRORS:
                raise
            self.fail(number, error)
        except Exception as error:
            self.fail(number, error)

    def fail(self, number: int, error: Exception) -> None:
        """Mark a run failed where it stands; the others go on."""
        if number not in self.live:
            return
        self.live.remove(number)
        folder = self.folders[number]
        folder.append_log("".join(traceback.format_exception(error)))
        place = {"phase": self.phase, "step": self.step, "progress": self.share}
        folder.write_status(RunState.FAILED, **place, reason=one_line(error))

    @property
    def phase(self) -> str:
        return "online" if self.position.online_step else "offline"

    @property
    def step(self) -> int:
        """Steps of the phase that are done."""
        return self.position.online_step or self.position.offline_step

    @property
    def share(self) -> float:
        """Share of the work that is done, 0 to 1."""
        return self.updates / max(total_updates(self.schedule), 1)

    def report(self, phase: str) -> bool:
        """Write where the pack stands into the status of its live runs: when a phase begins, then from time to time.

        Returns whether it was time to.
        """
        now = time.monotonic()
        if phase == self.reported[0] and now - self.reported[1] < STATUS_INTERVAL:
            return False
        self.reported = (phase, now)
        for number in list(self.live):
            write = self.folders[number].write_status
            self.guard(
                number, write, RunState.RUNNING, phase=phase, step=self.step, progress=self.share, **self.speed()
            )
        return True

    def speed(self) -> dict[str, float]:
        """Updates of this process, how many it makes in a second, everything included, and of how many runs."""
        updates = self.updates - self.began_at
        seconds = max(time.monotonic() - self.began, 1e-9)
        return {"updates_per_second": updates / seconds, "updates": updates, "pack": len(self.runs)}
