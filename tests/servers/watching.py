"""How a test observes what runs in the sandboxes of a local E2B."""

import contextlib
from pathlib import Path

TEN_LINES = "for i in $(seq 10); do echo line $i; sleep 0.05; done"


def inside(service, sandbox):
    """Return the service's object for a sandbox of the SDK."""
    return service.sandbox(sandbox.sandbox_id)


def is_gone(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def command_lines(service, sandbox):
    lines = []
    for pid in inside(service, sandbox).pids():
        with contextlib.suppress(OSError):
            lines.append(Path(f"/proc/{pid}/cmdline").read_bytes().decode().replace("\0", " ").strip())
    return lines
