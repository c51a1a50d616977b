"""The end of a command on a pseudo terminal."""

from __future__ import annotations

import signal

import pexpect
from tests.patience import SOON, wait_until


def read_until_closed(process):
    """Return what a command of `pexpect.spawn` still prints, as text; `process.exitstatus` is its own then.

    A command closes its terminal before it has ended. pexpect's `close` gives it a tenth of a second, and ends it by a
    signal after that, so it is called only when the process is gone.
    """
    try:
        process.expect(pexpect.EOF, timeout=SOON)
        wait_until(lambda: not process.isalive())
    finally:
        process.kill(signal.SIGKILL)  # only one that still runs
    process.close()
    return process.before if isinstance(process.before, str) else process.before.decode()
