"""The local transport: a child process with pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from osiris.fault import FAULT, FAULT_LOG
from osiris.runner.adapter import SILENCE, Link

if TYPE_CHECKING:
    from pathlib import Path

KEPT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that a worker gets; secrets are never among them, and time zone and locale are the same everywhere."""

FIXED = {"TZ": "UTC", "LC_ALL": "C.UTF-8"}


def start_worker(root: Path, *, python: str | None = None, silence: float = SILENCE) -> Link:
    """Start a worker for the project at `root`, to be closed after use. It imports while the caller goes on.

    It must be started from a thread that lives as long as it does: the system ends it with that thread.
    """
    environment = {name: os.environ[name] for name in (*KEPT, FAULT, FAULT_LOG) if name in os.environ} | FIXED
    process = subprocess.Popen(
        [python or sys.executable, "-I", "-m", "osiris.runner.worker"],
        cwd=root,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )
    return Link(process, silence)
