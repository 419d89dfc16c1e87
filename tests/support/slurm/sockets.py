"""Listening TCP sockets by process."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

LISTENING = "0A"


def listeners(numbers: Iterable[int]) -> set[tuple[str, int]]:
    """TCP addresses (IPv4, or hexadecimal IPv6) and ports on which processes listen."""
    inodes = {inode for number in numbers for inode in _socket_inodes(number)}
    return {address for inode, address in _listening().items() if inode in inodes}


def listening_ports() -> set[int]:
    """All TCP ports with a listener."""
    return {port for _, port in _listening().values()}


def _listening() -> dict[str, tuple[str, int]]:
    """Address and port of every listening TCP socket by inode."""
    sockets = {}
    for table in ("tcp", "tcp6"):
        for row in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == LISTENING:
                address, port = fields[1].split(":")
                sockets[fields[9]] = (_dotted(address) if table == "tcp" else address, int(port, 16))
    return sockets


def _dotted(digits: str) -> str:
    """An IPv4 address from the kernel's little-endian hexadecimal digits."""
    return ".".join(str(byte) for byte in reversed(bytes.fromhex(digits)))


def _socket_inodes(number: int) -> list[str]:
    folder = Path(f"/proc/{number}/fd")
    targets = []
    # Files may be closed and processes may end meanwhile.
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                targets.append(os.readlink(folder / name))
    return [target.removeprefix("socket:[").removesuffix("]") for target in targets if target.startswith("socket:[")]
