"""Train a pack: fill the floors, the offline phase, the online phase, an evaluation row per run at every mark."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from algorithms.learner import Learner, backup_actions
from harness.dataset import load_dataset
from harness.errors import UserError
from harness.evaluation import Evaluator
from harness.floor_columns import FloorColumns
from harness.online import Actors
from harness.provenance import provenance
from harness.run_folder import RunFolder
from harness.settings import Schedule, pack_key
from harness.streams import UpdateStreams, generator, normal_source
from harness.summary import summarise
from harness.transitions import Transitions

# Seconds between two writings of the status files.
STATUS_INTERVAL = 5.0


def train_pack(folders: Sequence[RunFolder]) -> None:
    """Train the runs of the folders together, from the first step to `done.json`.

    A run whose parameters stop being finite is marked failed; its neighbours go on.
    """
    if len({pack_key(folder.run()) for folder in folders}) != 1:
        raise UserError(f"pack {' '.join(folder.id for folder in folders)}: its runs do not have equal shapes")
    training = PackTraining(folders)
    training.offline_phase()
    training.online_phase()
    training.finish()


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
    """The state of a pack in training."""

    def __init__(self, folders: Sequence[RunFolder]):
        self.folders = list(folders)
        self.runs = runs = [folder.run() for folder in folders]
        self.schedule, self.algorithm = runs[0].schedule, runs[0].algorithm
        self.live = list(range(len(runs)))
        self.rows: list[list[dict[str, Any]]] = [[] for _ in runs]
        self.updates = 0
        self.began = self.reported = time.monotonic()
        self.position = ("starting", 0)

        dataset = load_dataset(runs[0].task)
        for folder in folders:
            folder.restart(provenance(dataset_hash=dataset.content_hash))
        self.report("floor", 0)
        transitions = Transitions(dataset, len(runs), self.schedule.online_steps)
        self.transitions = transitions
        self.floors = FloorColumns(runs, dataset, transitions)
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
        )
        self.evaluator = Evaluator(runs, transitions)
        self.actors: Actors | None = None

    def offline_phase(self) -> None:
        """Gradient steps on the dataset alone."""
        marks = offline_marks(self.schedule)
        self.report("offline", 0)
        for step in range(self.schedule.offline_steps + 1):
            if step in marks:
                self.evaluate("offline", step, 0)
            if step == self.schedule.offline_steps or not self.live:
                return
            self.update(from_dataset=self.algorithm.batch_size)
            self.report("offline", step + 1)

    def online_phase(self) -> None:
        """Environment steps, each followed by updates on dataset and online transitions."""
        schedule = self.schedule
        marks = online_marks(schedule)
        from_dataset = round(schedule.mixing_ratio * self.algorithm.batch_size)
        self.report("online", 0)
        self.floors.begin_online()
        self.actors = Actors(self.runs)
        for step in range(1, schedule.online_steps + 1):
            for number, episode in self.actors.step(self.learner, step - 1):
                self.floors.append(number, episode)
            for _ in range(schedule.updates_per_step):
                self.update(from_dataset, online=True)
            if step in marks:
                self.evaluate("online", schedule.offline_steps, step)
            self.report("online", step)
            if not self.live:
                return

    def finish(self) -> None:
        """Write the summary of every run that came through."""
        for number in self.live:
            report = self.floors.fit_reports.get(number)
            summary = summarise(self.rows[number], self.schedule)
            self.folders[number].finish({**summary, "learned_floor": asdict(report) if report else None})
            self.folders[number].write_status("done", share=1.0)

    def update(self, from_dataset: int, online: bool = False) -> None:
        """One gradient step of all runs."""
        uniform, noise = self.streams.at(self.updates)
        batch = self.transitions.batch(uniform, from_dataset)
        if online:
            batch = self.floors.learn_online(batch)
        self.learner.update(batch, noise)
        self.updates += 1

    def evaluate(self, phase: str, offline_step: int, online_step: int) -> None:
        """Add a row of metrics to every live run."""
        self.drop_diverged()
        actors = self.actors.actors if self.actors else None
        for number, metrics in enumerate(self.evaluator.evaluate(self.learner, self.live)):
            if number not in self.live:
                continue
            row = {
                "phase": phase,
                "offline_step": offline_step,
                "online_step": online_step,
                "updates": self.updates,
                **metrics,
                "train_episodes": actors[number].episodes if actors else 0,
                "train_successes": actors[number].successes if actors else 0,
            }
            self.rows[number].append(row)
            self.folders[number].append_metrics(row)

    def drop_diverged(self) -> None:
        """Mark runs failed whose parameters are not finite any more."""
        finite = self.learner.finite().tolist()
        for number in [number for number in self.live if not finite[number]]:
            phase, step = self.position
            reason = f"parameters not finite at update {self.updates}"
            self.folders[number].write_status("failed", phase=phase, step=step, share=self.share, reason=reason)
            self.live.remove(number)

    @property
    def share(self) -> float:
        """Share of the work that is done, 0 to 1."""
        total = self.schedule.offline_steps + self.schedule.online_steps * self.schedule.updates_per_step
        return self.updates / max(total, 1)

    def report(self, phase: str, step: int) -> None:
        """Write where the pack stands into the status of its live runs: when a phase begins, then from time to time."""
        now = time.monotonic()
        if phase == self.position[0] and now - self.reported < STATUS_INTERVAL:
            return
        self.position, self.reported = (phase, step), now
        rate = self.updates / max(now - self.began, 1e-9)
        for number in self.live:
            self.folders[number].write_status(
                "running", phase=phase, step=step, share=self.share, updates_per_second=rate
            )
