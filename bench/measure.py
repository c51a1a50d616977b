"""Whole processes, measured from outside: seconds, and the peak of what a process and its children hold together."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLE_SECONDS = 0.02
UNMEASURED = {"PYTHONDONTWRITEBYTECODE", "COVERAGE_PROCESS_START"}
"""Variables that are kept from what is measured: with the first, every start would compile every module anew."""


@dataclass(frozen=True)
class Sample:
    """One finished process: wall seconds, peak resident bytes of the whole process tree, seconds of its processors."""

    seconds: float
    peak_bytes: int
    cpu_seconds: float


class Peak:
    """Looks at a process tree from a thread, while the process is waited for."""

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self.bytes = max(self.bytes, resident_bytes(self._pid))


class Others:
    """Tells how much of the machine was busy with other things than this bench since it was made."""

    def __init__(self) -> None:
        self._start = self._now()

    def cores(self) -> float:
        """Return how many cores were busy otherwise, on average; below 0.1 a figure is worth its digits."""
        wall, busy, own = (now - before for now, before in zip(self._now(), self._start, strict=True))
        return max(0.0, busy - own) / wall

    @staticmethod
    def _now() -> tuple[float, float, float]:
        words = Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=9)
        user, nice, system, _idle, _waiting, *interrupts_and_stolen = map(int, words[1:9])
        busy = user + nice + system + sum(interrupts_and_stolen)
        own = used(resource.RUSAGE_SELF) + used(resource.RUSAGE_CHILDREN)
        return time.monotonic(), busy / os.sysconf("SC_CLK_TCK"), own


def used(who: int) -> float:
    """Return the seconds of processor time of this process, or of its children that have ended."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def run(command: list[str], cwd: Path) -> Sample:
    """Run a command to its end; a failing command ends the bench with what it said."""
    env = {name: value for name, value in os.environ.items() if name not in UNMEASURED}
    with (cwd / "bench-output.txt").open("w+b") as output:
        before, start = used(resource.RUSAGE_CHILDREN), time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=output, stderr=subprocess.STDOUT)
        with Peak(process.pid) as peak:
            process.wait()
            seconds = time.perf_counter() - start
        output.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{output.read().decode()}")
    return Sample(seconds, peak.bytes, used(resource.RUSAGE_CHILDREN) - before)


def resident_bytes(pid: int) -> int:
    """Return the resident bytes of a process and all its descendants; shared pages count once per process."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0
    return pages * 4096 + sum(resident_bytes(int(child)) for child in children)


def alternate(commands: list[list[str]], cwd: Path, runs: int) -> list[list[Sample]]:
    """Run commands in turn, after one warm-up of each, so that a drifting machine drifts for all of them."""
    for command in commands:
        run(command, cwd)
    rounds = [[run(command, cwd) for command in commands] for _ in range(runs)]
    return [list(samples) for samples in zip(*rounds, strict=True)]


def repeated(command: list[str], cwd: Path, runs: int, before: Callable[[], None] = lambda: None) -> list[Sample]:
    """Run a command some times after one warm-up, each after what must be done before it."""
    samples = []
    for _ in range(runs + 1):
        before()
        samples.append(run(command, cwd))
    return samples[1:]


def median_seconds(samples: list[Sample]) -> float:
    """Return the median of the wall seconds."""
    return median(s.seconds for s in samples)


def median_cpu(samples: list[Sample]) -> float:
    """Return the median of the seconds of processor time."""
    return median(s.cpu_seconds for s in samples)


def peak_megabytes(samples: list[Sample]) -> float:
    """Return the highest peak, in 10^6 bytes."""
    return max(s.peak_bytes for s in samples) / 1e6
