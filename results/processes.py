"""The same work on many things, in several processes."""

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, TypeVar

from harness.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def processes(workers: int = 1) -> Iterator[Callable[..., Future[Any]]]:
    """Yield `submit(work, *arguments)`, which has the work done by one of so many processes, with one by this very one.

    More than one process needs a main module that can be imported without doing anything, as a command's can. Whatever
    `work` raises comes with its future's result; raises UserError if a process was ended from outside.
    """
    if workers < 2:
        yield _at_once
        return
    # Only this process answers Ctrl-C: the others end with it.
    ignore = (signal.SIGINT, signal.SIG_IGN)
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=signal.signal, initargs=ignore)
    try:
        yield pool.submit
    except BrokenProcessPool:
        raise UserError("report: one of its processes was ended; is there too little memory?") from None
    finally:
        pool.shutdown(cancel_futures=True)


def mapped(work: Callable[[Item], Result], items: Sequence[Item], workers: int = 1) -> list[Result]:
    """`work` done on every item, in so many `processes` or fewer; the results in the order of the items."""
    with processes(min(workers, len(items))) as submit:
        return [future.result() for future in [submit(work, item) for item in items]]


def _at_once(work: Callable[..., Any], *arguments: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(work(*arguments))
    return future
