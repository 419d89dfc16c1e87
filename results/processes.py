"""Work distributed over several processes."""

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from harness import extensions
from harness.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def processes(workers: int = 1) -> Iterator[Callable[..., Future[Any]]]:
    """Yield `submit(work, *arguments)`, which runs work in a pool of processes; with one worker, in this process.

    With several workers the main module must be importable without side effects. Exceptions of `work` are raised by
    its future; raises UserError if a process was killed.
    """
    if workers < 2:
        yield _at_once
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin, initargs=(extensions.files(),))

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


def _begin(files: Sequence[Path]) -> None:
    """Ignore Ctrl-C, which only the parent handles: it shuts the pool down. Load the parent's extensions."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    extensions.load_all(files)


def _at_once(work: Callable[..., Any], *arguments: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(work(*arguments))
    return future
