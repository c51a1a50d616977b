"""What the operating system holds a worker to."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

from osiris.runner.protocol import Limits

_PR_SET_PDEATHSIG = 1

_LIBRARIES = 400 << 20
"""Resident memory beyond that for data: the interpreter, libraries, and rows on their way."""

_ADDRESSES = 8 << 30
"""Address space beyond the memory for data: reserves of allocators, mapped files and stacks, most of it never used.

It only bounds what asks for far too much at once; what is really in use is bounded by `run.memory`.
"""


def limits_of(memory: int, threads: int) -> Limits:
    """Return the limits for `memory` bytes of data and `threads` threads, 0 for one per core that we may use."""
    return Limits(memory, memory + _LIBRARIES, memory + _ADDRESSES, threads=threads or len(os.sched_getaffinity(0)))


def dump_nothing() -> None:
    """Switch core dumps of this process off: its memory has secrets."""
    _lower(resource.RLIMIT_CORE, 0)


def limit_process(address_space: int, files: int) -> None:
    """Bound address space (bytes) and open files of this process."""
    _lower(resource.RLIMIT_AS, address_space)
    _lower(resource.RLIMIT_NOFILE, files)


def end_with_parent() -> None:
    """Ask for SIGTERM when the parent is gone, where the system can do that; the end of stdin says the same."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def peak_memory() -> int:
    """Return the most memory that this process had in use, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def memory_in_use() -> int:
    """Return the memory that this process has in use, in bytes; 0 where the system does not tell."""
    try:
        with Path("/proc/self/statm").open("rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (soft, hard))
