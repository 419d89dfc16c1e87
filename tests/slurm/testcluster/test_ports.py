"""Blocks of ports are reserved from the moment they are found."""

import socket

from tests.support.testcluster import ports


def is_free(port):
    with socket.socket() as attempt:
        try:
            attempt.bind((ports.LOOPBACK, port))
        except OSError:
            return False
    return True


def test_a_block_keeps_its_first_port_after_handing_over_the_others():
    with ports.block() as block:
        numbers = range(block.first, block.first + ports.BLOCK)
        assert not any(map(is_free, numbers))
        block.hand_over()
        assert [port for port in numbers if not is_free(port)] == [block.first]
    assert all(map(is_free, numbers))


def test_two_blocks_do_not_overlap():
    with ports.block() as one, ports.block() as other:
        assert abs(one.first - other.first) >= ports.BLOCK


def test_a_block_with_a_used_port_is_skipped(monkeypatch):
    with ports.block() as block:
        first = block.first
    monkeypatch.setattr(ports, "FIRST", first)
    monkeypatch.setattr(ports, "LAST", first + 2 * ports.BLOCK)
    with socket.socket() as listener:
        listener.bind((ports.LOOPBACK, first + 5))
        listener.listen()
        with ports.block() as block:
            assert block.first == first + ports.BLOCK
