"""Who listens where."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

LISTENING = "0A"


def listeners(numbers: Iterable[int]) -> set[tuple[str, int]]:
    """TCP addresses (IPv4, or the kernel's digits of IPv6) and ports on which processes listen."""
    inodes = {inode for number in numbers for inode in _socket_inodes(number)}
    return {address for inode, address in _listening().items() if inode in inodes}


def listening_ports() -> set[int]:
    """TCP ports on which anybody listens."""
    return {port for _, port in _listening().values()}


def _listening() -> dict[str, tuple[str, int]]:
    """Address and port of every listening TCP socket, by inode."""
    found = {}
    for table in ("tcp", "tcp6"):
        for row in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == LISTENING:
                address, port = fields[1].split(":")
                found[fields[9]] = (_dotted(address) if table == "tcp" else address, int(port, 16))
    return found


def _dotted(digits: str) -> str:
    """An IPv4 address, which the kernel writes with its lowest byte first."""
    return ".".join(str(byte) for byte in reversed(bytes.fromhex(digits)))


def _socket_inodes(number: int) -> list[str]:
    folder = Path(f"/proc/{number}/fd")
    targets = []
    # Files are closed and processes end while one looks.
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                targets.append(os.readlink(folder / name))
    return [target.removeprefix("socket:[").removesuffix("]") for target in targets if target.startswith("socket:[")]
