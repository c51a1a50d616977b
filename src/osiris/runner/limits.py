"""Resource limits of a worker, enforced by the operating system."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from contextlib import nullcontext, suppress
from pathlib import Path

from osiris.runner.protocol import Limits

_PR_SET_PDEATHSIG = 1

_LIBRARIES = 400 << 20
"""Resident memory in addition to that for data: the interpreter, libraries, and rows in transit."""

_ADDRESSES = 8 << 30
"""Address space in addition to memory for data: allocator reserves, mapped files and stacks, mostly unused.

It only bounds single huge allocations; memory in use is bounded by `run.memory`.
"""


def limits_of(memory: int, threads: int) -> Limits:
    """Return the limits for `memory` bytes of data and `threads` threads (0: one per usable core)."""
    return Limits(memory, memory + _LIBRARIES, memory + _ADDRESSES, threads=threads or usable_cores())


def usable_cores() -> int:
    """Return the number of cores that this process may use; where the system cannot tell (macOS), all cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def dump_nothing() -> None:
    """Disable core dumps of this process: its memory contains secrets."""
    _lower(resource.RLIMIT_CORE, 0)


def limit_process(address_space: int, files: int) -> None:
    """Limit address space (bytes) and open files of this process."""
    _lower(resource.RLIMIT_AS, address_space)
    _lower(resource.RLIMIT_NOFILE, files)


def end_with_parent() -> None:
    """Request SIGTERM when the parent exits, on Linux; elsewhere the end of stdin signals it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def peak_memory() -> int:
    """Return the peak memory of this process, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def memory_in_use() -> int:
    """Return the memory in use by this process, in bytes; without /proc (macOS), the peak so far."""
    try:
        with Path("/proc/self/statm").open("rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return peak_memory()


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with nullcontext() if sys.platform == "linux" else suppress(ValueError, OSError):  # macOS has no limit of addresses
        resource.setrlimit(kind, (soft, hard))
