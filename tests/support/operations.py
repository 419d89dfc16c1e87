"""Intercept file operations, so that a test can kill its process or inject a disk error before any of them."""

import builtins
import errno
import io
import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

# Called with the name of an operation and the path or descriptor it works on.
Before = Callable[[str, Any], None]

OPERATIONS = ("fsync", "ftruncate", "listdir", "mkdir", "open", "pwrite", "replace", "unlink")


@contextmanager
def interposed(before: Before) -> Iterator[None]:
    """Call `before` ahead of every operation on files in the block; long writes come in several short ones."""

    def announced(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(target: Any, *arguments: Any) -> Any:
            before(name, target)
            return real(target, *arguments)

        return operation

    class ShortWrites(io.FileIO):
        def write(self, data: Any) -> int:
            before("write", self.fileno())
            return super().write(shortened(data))

    real_open = builtins.open

    def opened(path: Any, mode: str, buffering: int = -1, **text: Any) -> Any:
        if isinstance(path, str | os.PathLike):
            before("open", path)
        if text:
            return real_open(path, mode, buffering, **text)
        raw = ShortWrites(path, mode.replace("b", ""))
        if not buffering:
            return raw
        return io.BufferedReader(raw) if "r" in mode else io.BufferedWriter(raw)

    with pytest.MonkeyPatch.context() as patch:
        for name in OPERATIONS:
            patch.setattr(os, name, announced(name, getattr(os, name)))
        pwrite = os.pwrite
        patch.setattr(os, "pwrite", lambda file, data, offset: pwrite(file, shortened(data), offset))
        patch.setattr(builtins, "open", opened)
        yield


def shortened(data: Any) -> memoryview:
    """The first half of some bytes, or all if they are few: what a disk may write at once."""
    return memoryview(data)[: max(len(data) // 2, 64)]


def refusing(number: int, *further: int, code: int = errno.ENOSPC) -> Before:
    """Refuse the operations with these numbers, the first being 0, as the system would."""
    counter = itertools.count()

    def before(name: str, target: Any) -> None:
        if next(counter) in (number, *further):
            # The system does not know the name of an open file.
            named = () if isinstance(target, int) else (os.fspath(target),)
            raise OSError(code, os.strerror(code), *named)

    return before


def killed_at(number: int, action: Callable[[], object]) -> bool:
    """Run `action` in another process and SIGKILL it before that operation; returns whether it got there."""
    counter = itertools.count()

    def before(name: str, target: Any) -> None:
        if next(counter) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def child() -> None:
        with interposed(before):
            action()

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0
