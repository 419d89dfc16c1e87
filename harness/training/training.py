"""Train a pack: offline phase, switch, online phase, with evaluations at marks and checkpoints in between."""

import gc
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from algorithms.batch_ring import BatchRing
from algorithms.device_replay import DeviceReplay
from algorithms.kernels import gpu
from algorithms.learner import Learner
from harness.data.dataset import Dataset, load_dataset
from harness.environments.stepping import Environments
from harness.errors import UserError
from harness.folders.checkpoint import Position
from harness.folders.provenance import provenance
from harness.folders.run_folder import RunFolder
from harness.folders.state import RunState
from harness.settings import pack_key, trains_alone, updates_due
from harness.training.calibration import behaviour_value
from harness.training.evaluation import Evaluator, summarise
from harness.training.floor_columns import FloorColumns
from harness.training.floor_fits import FitStore
from harness.training.kernels import provide_kernels, reserve_gpu, step_processes
from harness.training.online import Actors, OnlineSchedule
from harness.training.pack import Pack, PackState, floor_of
from harness.training.recording import StartingPoint, starting_points
from harness.training.starts import provide_start
from harness.training.streams import UpdateStreams, generator, normal_source
from harness.training.timing import CheckpointTimer, Clock, Stop, Stopped, offline_marks, online_marks
from harness.training.transitions import DeviceCopy, Transitions


def train_pack(folders: Sequence[RunFolder], stop: Stop | None = None) -> None:
    """Train runs together, from their last checkpoints or starts to `done.json`.

    A run whose parameters diverge or whose environment raises is marked failed, a cancelled run is saved and left; the
    others continue, in a smaller pack once half of the runs are gone. A pack that exhausts the memory of a GPU goes on
    from its checkpoints in two halves. When `stop` is requested every run is saved and `Stopped` is raised.
    """
    ids = " ".join(folder.id for folder in folders)
    runs = [folder.run() for folder in folders]
    if len({pack_key(run) for run in runs}) != 1:
        raise UserError(f"pack {ids}: its runs do not have equal shapes")
    if len(runs) > 1 and trains_alone(runs[0]):
        raise UserError(f"pack {ids}: schedule.update_block = none: such runs train alone")
    provide_kernels(runs[:1])
    reserve_gpu(runs[:1])
    dataset = load_dataset(runs[0].task)
    for folder in folders:
        provide_start(folder)
    waiting = starting_points(folders)
    while waiting:
        waiting = [*train_once(waiting.pop(0), dataset, stop or Stop()), *waiting]


def train_once(point: StartingPoint, dataset: Dataset, stop: Stop) -> list[StartingPoint]:
    """Train a pack until its runs end, most of them have dropped out, or it is too large; returns what is left."""
    try:
        return starting_points(PackTraining(point, dataset, stop).train())
    except Exception as error:
        if not gpu.is_out_of_memory(error) or len(point.folders) == 1:
            raise
    # Only here, when the error and its frames are gone, can the memory of the pack be released.
    gc.collect()
    torch.cuda.empty_cache()
    half = (len(point.folders) + 1) // 2
    for folder in point.folders:
        folder.append_log(f"the memory of the GPU is exhausted with {len(point.folders)} runs; going on with {half}")
    return [*starting_points(point.folders[:half]), *starting_points(point.folders[half:])]


class PackTraining:
    """The training of a pack. Between two steps its state is its position and what `PackState` captures."""

    def __init__(self, point: StartingPoint, dataset: Dataset, stop: Stop):
        self.stop, self.timer = stop, CheckpointTimer()
        self.pack = pack = Pack(point)
        self.runs = runs = pack.runs
        self.schedule, self.algorithm = runs[0].schedule, runs[0].algorithm
        for folder in pack.folders:
            folder.record_provenance(provenance(dataset.content_hash, dataset.repairs))
        self.clock = Clock(pack.folders[0].effort)
        for folder in pack.folders:
            folder.effort = self.clock.effort
        pack.report("floor")
        pack.open_files()
        floor_states = [floor_of(checkpoint) if checkpoint else None for checkpoint in pack.checkpoints]
        self.transitions = transitions = Transitions(dataset, len(runs), self.schedule.online_steps)
        store = FitStore(pack.folders[0].path.parent)
        self.floors = FloorColumns(runs, dataset, transitions, floor_states, store)
        self.learner = Learner(
            [run.algorithm for run in runs],
            transitions.observation_dim,
            transitions.action_dim,
            [run.task.discount for run in runs],
            [normal_source(generator(run.seed, "init")) for run in runs],
        )
        self.copy = self.device_copy()
        self.streams: UpdateStreams | None = None
        self.ring: BatchRing | None = None
        if self.copy is None:
            seeds = [run.seed for run in runs]
            self.streams = UpdateStreams(seeds, self.algorithm, transitions.action_dim, self.learner.device)
            if self.algorithm.on_gpu:
                dims = transitions.observation_dim, transitions.action_dim
                self.ring = BatchRing((len(runs), self.algorithm.batch_size), dims, self.learner.device)
        processes = step_processes(runs)
        self.evaluation_places = Evaluator.places(runs, processes)
        self.environments = Environments(runs[0].task, self.evaluation_places + len(runs), processes)
        self.clock.used = self.environments.used
        self.evaluator = Evaluator(runs, transitions, behaviour_value(runs[0], dataset, store), self.environments)
        self.state = PackState(self.learner, self.floors, transitions)
        # The states at the mark of an evaluation beside updates, which a stop saves.
        self.kept: dict[int, tuple[dict[str, np.ndarray], dict[str, Any]]] = {}
        self.device_module = torch.get_device_module(self.learner.device)
        # One stream for all evaluations, because the memory of a stream is not used by others.
        self.beside = self.device_module.Stream(priority=-1)
        self.online = OnlineSchedule(runs, transitions.offline)
        if pack.position.online_step:
            self.begin_online()
        for number, checkpoint in enumerate(pack.checkpoints):
            if checkpoint is not None:
                pack.guard(number, self.state.restore, number, pack.folders[number], checkpoint)
        # The numbers of online transitions in the replay files.
        self.written = transitions.filled.copy()
        pack.start_at(self.learner.counters["updates"])
        self.last_finite = pack.updates

    def train(self) -> list[RunFolder]:
        """Train to the end. Returns the runs that are left if most have dropped out: saved, for a smaller pack."""
        schedule, pack = self.schedule, self.pack
        if not pack.position.evaluated:
            self.arrive(pack.position)
        while pack.is_worthwhile and pack.position.offline_step < schedule.offline_steps:
            step = pack.position.offline_step
            self.update(self.algorithm.batch_size, updates := self.at_once(self.until_mark(step)))
            self.arrive(self.offline_position(step + updates))
        if pack.is_worthwhile and self.state.actors is None:
            self.switch()
        marks = online_marks(schedule)
        while pack.is_worthwhile and pack.position.online_step < schedule.online_steps:
            self.online_step()
            step = pack.position.online_step + 1
            self.arrive(Position(schedule.offline_steps, step, evaluated=step not in marks))
        self.save()
        if (pack.position.offline_step, pack.position.online_step) == (schedule.offline_steps, schedule.online_steps):
            self.finish()
            return []
        for number in pack.live:
            pack.recorders[number].close()
        return [pack.folders[number] for number in pack.live]

    def switch(self) -> None:
        """Change from the offline to the online phase."""
        for number, run in enumerate(self.runs):
            if run.online.new_critics:
                normal = normal_source(generator(run.seed, "new_critics"))
                self.learner.renew_critics(number, normal, run.algorithm.output_gain)
        rows = [recorder.rows[-1] if recorder.rows else {} for recorder in self.pack.recorders]
        shifts = self.online.critic_shifts(self.floors.return_range, rows)
        if shifts is not None:
            self.learner.shift_critics(shifts)
        self.begin_online()

    def begin_online(self) -> None:
        """Prepare the online phase, also when it is resumed."""
        self.floors.begin_online()
        if self.copy is not None:
            self.copy.forget_floors()
        self.state.actors = Actors(self.runs, self.environments, self.evaluation_places)

    def device_copy(self) -> DeviceCopy | None:
        """The transitions on the GPU, from which its kernels draw batches; None if batches are gathered on the CPU."""
        first, transitions = self.runs[0], self.transitions
        # Floors that keep learning are learned on the CPU, from its batches.
        if not self.algorithm.on_gpu or first.floor.keeps_learning:
            return None
        size = DeviceReplay.size(len(self.runs), transitions.offline, transitions.capacity, transitions.table.shape[1])
        if not gpu.has_room_for_replay(size):
            share = f"{100 * gpu.REPLAY_SHARE:.0f}% of the free memory of the GPU"
            for folder in self.pack.folders:
                folder.append_log(f"the transitions take {size / 1e9:.3g} GB, more than {share}: the CPU sends batches")
            return None
        return DeviceCopy(transitions, [run.seed for run in self.runs], self.algorithm, self.learner.device)

    def at_once(self, updates: int) -> int:
        """How many of the next updates are made before the pack is reported, saved or stopped."""
        return 1 if self.copy is None else min(updates, gpu.BLOCK - self.pack.updates % gpu.BLOCK)

    def update(self, from_dataset: int | None, updates: int = 1, online: bool = False) -> None:
        """Make gradient steps of all runs, with `from_dataset` transitions of each batch from the dataset."""
        with_policy = not online or self.online.updates_policy(self.pack.updates)
        with self.clock.part("update"):
            if self.copy is not None:
                self.learner.update_from(self.copy.prepare(from_dataset), updates, with_policy)
            else:
                assert self.streams is not None
                assert updates == 1
                uniform, noise = self.streams.at(self.pack.updates)
                if self.ring is None:
                    batch = self.transitions.batch(uniform, from_dataset)
                else:
                    batch = self.transitions.fill(self.ring.next(), uniform, from_dataset)
                if online:
                    batch = self.floors.learn_online(batch)
                with nullcontext(batch) if self.ring is None else self.ring.sent() as sent:
                    self.learner.update(sent, noise, with_policy)
        self.pack.updates += updates

    def online_step(self) -> None:
        """Make one environment step of every run, then the updates that are due.

        The updates of a block belong to one step: a request to stop waits for them.
        """
        assert self.state.actors is not None
        schedule, pack = self.schedule, self.pack
        step = pack.position.online_step + 1
        block = schedule.update_block
        due = step == schedule.online_steps or (block is not None and step % block == 0)
        with self.clock.part("environment"):
            ended = self.state.actors.step(self.learner, pack.position.online_step)
            for number, episode in ended:
                due |= block is None
                if isinstance(episode, Exception):
                    pack.fail(number, episode)
                elif number in pack.live:
                    self.floors.append(number, episode)
        if due and pack.live and pack.updates < updates_due(self.runs[0], step):
            alpha = self.online.alpha(step)
            if alpha is not None:
                self.learner.set_alpha(alpha)
            from_dataset = self.online.from_dataset(step)
            while (updates := updates_due(self.runs[0], step) - pack.updates) > 0:
                # Updates with and without the policies are made one by one.
                updates = self.at_once(updates) if self.online.are_alike(pack.updates) else 1
                self.update(from_dataset, updates, online=True)

    def arrive(self, position: Position) -> None:
        """Move to a position: evaluate at marks, report, save when a checkpoint is due or a stop was requested.

        Updates beside an evaluation may lead to the next mark, and so on.
        """
        self.pack.position, arrived = position, False
        while not arrived:
            if not self.pack.position.evaluated:
                self.evaluate()
            if self.pack.report(self.pack.phase):
                self.drop_cancelled()
            if self.stop.requested:
                self.save()
                raise Stopped(self.stop.reason)
            if self.timer.is_due():
                self.save()
            arrived = self.pack.position.evaluated or not self.pack.is_worthwhile

    def evaluate(self) -> None:
        """Append a row of metrics to every live run, and go where updates beside the evaluation have led."""
        pack, actors = self.pack, self.state.actors
        self.drop_diverged()
        mark, updates = pack.position, pack.updates
        try:
            with self.clock.part("evaluation"):
                if self.copy is None:
                    rows = self.evaluator.evaluate(self.learner, pack.live, self.stop.check)
                else:
                    rows = self.evaluate_beside(self.copy)
        except Stopped:
            self.save()
            raise
        self.kept = {}
        for number in list(pack.live):
            metrics = rows[number]
            if isinstance(metrics, Exception):
                pack.fail(number, metrics)
                continue
            row = {
                "phase": pack.phase,
                "offline_step": mark.offline_step,
                "online_step": mark.online_step,
                "updates": updates,
                **metrics,
                "train_episodes": actors.episodes[number] if actors else 0,
                "train_successes": actors.successes[number] if actors else 0,
            }
            pack.guard(number, pack.recorders[number].append_row, row)
        pack.position = replace(mark, evaluated=True)
        if pack.updates > updates:
            pack.position = self.offline_position(mark.offline_step + pack.updates - updates)

    def evaluate_beside(self, copy: DeviceCopy) -> list[dict[str, Any] | Exception]:
        """Evaluate a snapshot; offline, the GPU is given updates up to the next mark meanwhile.

        These updates do not depend on the evaluation. If it is stopped, they are made again.
        """
        pack, learner, end = self.pack, self.learner, self.pack.updates
        if not pack.position.online_step:
            end += self.until_mark(pack.position.offline_step)
        if end > pack.updates:
            self.kept = {number: self.state.copied(number) for number in pack.live}
            learner = learner.snapshot()
        stream = self.device_module.current_stream()
        self.beside.wait_stream(stream)

        def go_on() -> None:
            self.stop.check()
            if pack.updates < end and copy.replay.has_room:
                with self.device_module.stream(stream):
                    self.update(self.algorithm.batch_size, self.at_once(end - pack.updates))

        with self.device_module.stream(self.beside):
            rows = self.evaluator.evaluate(learner, pack.live, go_on)
        stream.wait_stream(self.beside)
        return rows

    def until_mark(self, step: int) -> int:
        """Gradient steps from a step of the offline phase to the next one at which it is evaluated, or to its end."""
        marks = offline_marks(self.schedule)
        return min((mark for mark in marks if mark > step), default=step) - step

    def offline_position(self, step: int) -> Position:
        """The position at a step of the offline phase that was not evaluated."""
        return Position(step, 0, evaluated=step not in offline_marks(self.schedule))

    def save(self) -> None:
        """Save a checkpoint of every live run."""
        if not self.kept:
            self.drop_diverged()
        began = time.monotonic()
        for number in list(self.pack.live):
            self.pack.guard(number, self.save_run, number)
        self.timer.saved(began)

    def save_run(self, number: int) -> None:
        """Save a checkpoint of one run, and the online transitions since the last one."""
        with self.clock.part("checkpoint"):
            recorder = self.pack.recorders[number]
            rows = self.transitions.online_rows(number, int(self.written[number])).numpy()
            recorder.append_transitions(rows)
            self.written[number] += len(rows)
            state = self.kept[number] if self.kept else self.state.capture(number)
            recorder.save(self.pack.position, *state)

    def finish(self) -> None:
        """Write the summary of every live run, which was saved, and mark it done."""
        pack = self.pack
        for number in list(pack.live):
            report = self.floors.fit_reports.get(number)
            summary = {
                **summarise(pack.recorders[number].rows, self.schedule),
                "learned_floor": asdict(report) if report else None,
                "parameters_hash": self.state.hash_of_parameters(number),
            }
            pack.guard(number, pack.recorders[number].finish, summary, pack.position)
            pack.guard(number, pack.folders[number].write_status, RunState.DONE, progress=1.0, **pack.speed())

    def drop_diverged(self) -> None:
        """Fail the runs whose parameters are not finite."""
        self.pack.fail_diverged(self.learner.finite().tolist(), self.last_finite)
        self.last_finite = self.pack.updates

    def drop_cancelled(self) -> None:
        """Save and leave the runs that were cancelled."""
        pack = self.pack
        cancelled = pack.cancelled()
        if cancelled:
            self.drop_diverged()
        for number in [number for number in cancelled if number in pack.live]:
            pack.guard(number, self.save_run, number)
            if number in pack.live:
                pack.guard(number, pack.leave, number)
