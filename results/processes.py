"""Work distributed over several processes."""

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, TypeVar

from harness import extensions
from harness.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

# Modules that processes begin with, imported once for all of them, if this process has imported them.
SHARED = ("results.frame", "results.reports.contents")

# Allocations per collection of garbage, and collections per collection of older garbage. Figures are many small
# objects: with Python's 700 and 10, collection takes a seventh of the time of a report.
COLLECTION = (50_000, 20, 20)


@contextmanager
def processes(workers: int = 1) -> Iterator[Callable[..., Future[Any]]]:
    """Yield `submit(work, *arguments)`, which runs work in a pool of processes; with one worker, in this process.

    With several workers the main module must be importable without side effects. Exceptions of `work` are raised by
    its future; raises UserError if a process was killed. Garbage is collected less often meanwhile.
    """
    with _rare_collection():
        if workers < 2:
            yield _at_once
            return
        with _pool(workers) as submit:
            yield submit


@contextmanager
def _pool(workers: int) -> Iterator[Callable[..., Future[Any]]]:
    # A fork server has no threads of this process and imports modules once.
    context = get_context("forkserver")
    context.set_forkserver_preload([name for name in SHARED if name in sys.modules])
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(extensions.files(),))

    def submit(work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        with _without_interruption():
            return pool.submit(work, *arguments)

    try:
        yield submit
    except BrokenProcessPool:
        raise UserError(
            "report: a worker process was killed, possibly for lack of memory; free memory and try again"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def mapped(work: Callable[[Item], Result], items: Sequence[Item], workers: int = 1) -> list[Result]:
    """Apply `work` to every item in at most `workers` processes; results in the order of the items."""
    with processes(min(workers, len(items))) as submit:
        return [future.result() for future in [submit(work, item) for item in items]]


@contextmanager
def _without_interruption() -> Iterator[None]:
    """Block Ctrl-C in processes that are started in the block, which would print a traceback for it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _rare_collection() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*COLLECTION)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _begin(files: Sequence[Path]) -> None:
    """Ignore Ctrl-C, which only the parent handles: it shuts the pool down. Load the parent's extensions."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.set_threshold(*COLLECTION)
    extensions.load_all(files)


def _end_with_parent() -> None:
    """End this process when the one that asked for it has ended, even if it was killed."""
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _at_once(work: Callable[..., Any], *arguments: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(work(*arguments))
    return future
