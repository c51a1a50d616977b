"""Receiving in large pieces: nothing is lost or late, however small, and other code can use the socket as before."""

import socket
import threading
import time

import pytest
from tests.patience import SOON

from osiris.families.sql.watchdog import SocketReader, Watchdog

SMALLEST = (socket.SOL_SOCKET, socket.SO_RCVLOWAT)


@pytest.fixture
def ends():
    """Both ends of a connection over TCP; the first does not block."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        here = socket.create_connection(listening.getsockname())
        there, _ = listening.accept()
    here.setblocking(False)
    with here, there:
        yield here, there


@pytest.fixture
def watch():
    return Watchdog(lambda _why: None, lambda: False, 60)


def read(inflow, size=1 << 16, patience=None):
    room = bytearray(size)
    taken = inflow.read(memoryview(room), patience)
    return taken if taken is None else bytes(room[:taken])


def test_a_small_piece_does_not_wait_for_more(ends, watch):
    here, there = ends
    with SocketReader(here, watch) as inflow:
        for piece in (b"a", b"bc"):
            start = time.monotonic()
            there.sendall(piece)
            assert read(inflow) == piece
            assert time.monotonic() - start < SOON


def test_a_pause_is_told_and_the_end_is_another_thing(ends, watch):
    here, there = ends
    with SocketReader(here, watch) as inflow:
        assert read(inflow, patience=0.02) is None
        there.sendall(b"last")
        assert read(inflow, patience=10) == b"last"
        there.shutdown(socket.SHUT_WR)
        assert read(inflow) == b""


def test_whatever_comes_is_given_whole_and_in_order(ends, watch):
    here, there = ends
    sent = bytes(range(256)) * 40_000
    with SocketReader(here, watch) as inflow:
        sender = threading.Thread(target=there.sendall, args=(sent,))
        sender.start()
        found = b""
        while len(found) < len(sent):
            found += read(inflow, 1 << 20)
        sender.join()
    assert found == sent


def test_a_reset_is_raised(ends, watch):
    here, there = ends
    with SocketReader(here, watch) as inflow:
        there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        there.close()
        with pytest.raises(ConnectionResetError):
            read(inflow)


def test_who_waits_is_watched(ends):
    here, there = ends
    watch = Watchdog(lambda _why: there.shutdown(socket.SHUT_WR), lambda: False, 0.2)
    with watch.running(), SocketReader(here, watch) as inflow:
        assert read(inflow) == b""
    assert watch.stopped == "silent"


def test_others_are_woken_for_every_byte_afterwards(ends, watch):
    here, _ = ends
    before = here.getsockopt(*SMALLEST)
    with SocketReader(here, watch):
        assert here.getsockopt(*SMALLEST) > before
    assert here.getsockopt(*SMALLEST) == before
    with SocketReader(here, watch):
        here.close()
