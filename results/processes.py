"""The same work on many things, in several processes."""

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from harness.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


def mapped(work: Callable[[Item], Result], items: Sequence[Item], workers: int = 1) -> list[Result]:
    """`work` done on every item, in so many processes; the results in the order of the items.

    More than one process needs a main module that can be imported without doing anything, as a command's can. Whatever
    `work` raises is passed on; raises UserError if a process was ended from outside.
    """
    if min(workers, len(items)) < 2:
        return [work(item) for item in items]
    # Only this process answers Ctrl-C: the others end with it.
    ignore = (signal.SIGINT, signal.SIG_IGN)
    pool = ProcessPoolExecutor(
        min(workers, len(items)), get_context("spawn"), initializer=signal.signal, initargs=ignore
    )
    try:
        return list(pool.map(work, items))
    except BrokenProcessPool:
        raise UserError("report: one of its processes was ended; is there too little memory?") from None
    finally:
        pool.shutdown(cancel_futures=True)
