"""Commands on a pseudo terminal: what a person sees and types, and how they end."""

from __future__ import annotations

import contextlib
import signal
import time

import pexpect
import pyte
from tests.conftest import OSIRIS, kept
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


class Terminal:
    """The command in a terminal, with a person who sees the screen and types."""

    def __init__(self, folder, *args, command="new", columns=100, lines=40):
        self.screen = pyte.HistoryScreen(columns, lines, history=2000)
        self._stream = pyte.Stream(self.screen)
        environment = {**kept(), "TERM": "xterm-256color"}
        options = {"dimensions": (lines, columns), "timeout": SOON, "encoding": "utf-8"}
        self.process = pexpect.spawn(OSIRIS, [command, *args], cwd=str(folder), env=environment, **options)

    def until(self, text, times=1):
        """Wait until the screen shows a text, so many times."""
        end = time.monotonic() + SOON
        while time.monotonic() < end:
            if self.shown().count(text.replace(" ", "")) >= times:
                return self
            self._read()
        raise AssertionError(f"no {text!r} on\n" + "\n".join(self.screen.display))

    def shown(self):
        """Return the text of the screen without blanks, which also occur at line breaks."""
        return "".join(self.screen.display).replace(" ", "")

    def choose(self, *labels, then):
        """Type the label, mark it if several can be chosen, and wait for what comes next."""
        for number, label in enumerate(labels, 1):
            self.process.send(label)
            self.until(f"{label}▏")
            if len(labels) > 1:
                self.process.send("\t")
                self.until(f"marked: {', '.join(labels[:number])}")
        self.process.send("\r")
        return self.until(then)

    def end(self):
        """Return the exit code of the command, which asks nothing more."""
        self._stream.feed(read_until_closed(self.process))
        return self.process.exitstatus

    def _read(self):
        with contextlib.suppress(pexpect.TIMEOUT):
            self._stream.feed(self.process.read_nonblocking(65536, 0.1))
