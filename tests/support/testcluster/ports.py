"""TCP ports that nobody uses, also when several clusters come up at once."""

import contextlib
import random
import socket
from collections.abc import Iterator

from harness.errors import UserError

LOOPBACK = "127.0.0.1"

# Blocks begin at the multiples of their size. All lie below the ports that Linux gives to clients by itself.
BLOCK = 16
FIRST, LAST = 20_000, 32_000


class Block:
    """Ports with consecutive numbers, held so that no other process gets them."""

    def __init__(self, sockets: list[socket.socket]):
        self._sockets = sockets
        self.first: int = sockets[0].getsockname()[1]

    def hand_over(self) -> None:
        """Let go of all ports but the first, which still keeps other clusters off this block."""
        while len(self._sockets) > 1:
            self._sockets.pop().close()

    def close(self) -> None:
        """Let go of all ports."""
        while self._sockets:
            self._sockets.pop().close()


@contextlib.contextmanager
def block() -> Iterator[Block]:
    """A block of free ports of the loopback address. By the end, daemons must be listening on some of them."""
    starts = list(range(FIRST, LAST, BLOCK))
    random.SystemRandom().shuffle(starts)
    held = next(filter(None, map(_take, starts)), None)
    if held is None:
        raise UserError(f"ports: no {BLOCK} consecutive free ones between {FIRST} and {LAST}")
    try:
        yield held
    finally:
        held.close()


def _take(start: int) -> Block | None:
    """The block that begins with `start`, or None if one of its ports is in use."""
    sockets: list[socket.socket] = []
    try:
        for port in range(start, start + BLOCK):
            sockets.append(socket.socket())
            sockets[-1].bind((LOOPBACK, port))
    except OSError:
        for taken in sockets:
            taken.close()
        return None
    return Block(sockets)
