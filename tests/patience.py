"""How long tests wait: nothing here is a measurement; only `make bench` measures times."""

from __future__ import annotations

import subprocess
import threading
import time
from contextlib import contextmanager

SOON = 60.0
"""Seconds within which a moment's work ends on any machine; what takes longer has hung."""


def wait_until(true, seconds=SOON, pause=0.01):
    """Wait until a condition is true, checking after each pause; fails on timeout."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(pause)


def once(true, act):
    """Act in another thread once a condition is true; the test fails if it does not come true."""

    def wait():
        try:
            wait_until(true)
        finally:
            act()

    threading.Thread(target=wait).start()


@contextmanager
def started(command, **options):
    """Start a process, as subprocess.Popen does; kill it at the end of the block: no test waits forever."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()
