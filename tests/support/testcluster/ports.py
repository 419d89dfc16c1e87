"""Blocks of free TCP ports, also if several clusters start at once."""

import contextlib
import random
import socket
from collections.abc import Iterator

from harness.errors import UserError

LOOPBACK = "127.0.0.1"

# Blocks start at multiples of their size, below the ports that Linux assigns to clients.
BLOCK = 16
FIRST, LAST = 20_000, 32_000


class Block:
    """Consecutive ports, bound so that no other process can use them."""

    def __init__(self, sockets: list[socket.socket]):
        self._sockets = sockets
        self.first: int = sockets[0].getsockname()[1]

    def hand_over(self) -> None:
        """Release all ports but the first, which still reserves the block."""
        while len(self._sockets) > 1:
            self._sockets.pop().close()

    def close(self) -> None:
        """Release all ports."""
        while self._sockets:
            self._sockets.pop().close()


@contextlib.contextmanager
def block() -> Iterator[Block]:
    """Reserve a block of free ports of the loopback address; daemons must listen on some of them at the end."""
    starts = list(range(FIRST, LAST, BLOCK))
    random.SystemRandom().shuffle(starts)
    reserved = next(filter(None, map(_take, starts)), None)
    if reserved is None:
        raise UserError(f"ports: no {BLOCK} consecutive free ports between {FIRST} and {LAST}")
    try:
        yield reserved
    finally:
        reserved.close()


def _take(start: int) -> Block | None:
    """The block at `start`, or None if one of its ports is in use."""
    sockets: list[socket.socket] = []
    try:
        for port in range(start, start + BLOCK):
            sockets.append(socket.socket())
            sockets[-1].bind((LOOPBACK, port))
    except OSError:
        for bound in sockets:
            bound.close()
        return None
    return Block(sockets)
