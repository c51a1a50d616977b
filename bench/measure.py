"""Measure processes from outside: seconds, and the peak memory of a process tree."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLE_SECONDS = 0.02
UNMEASURED = {"PYTHONDONTWRITEBYTECODE", "COVERAGE_PROCESS_START"}
"""Variables not passed to measured processes: the first would make every start compile every module again."""


@dataclass(frozen=True)
class Sample:
    """One finished process: wall seconds, peak resident bytes of the whole process tree, seconds of its processors."""

    seconds: float
    peak_bytes: int
    cpu_seconds: float


class Ended(SystemExit):
    """A command failed or timed out; ends the bench with the command's output unless it is caught."""


class Peak:
    """Samples the memory of a process tree in a thread, while the process runs."""

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
    """Measures how busy the machine was with other processes since this object was created."""

    def __init__(self) -> None:
        self._start = self._now()

    def cores(self) -> float:
        """Return the average number of cores busy with other processes; figures are reliable below 0.1."""
        wall, busy, own = (now - before for now, before in zip(self._now(), self._start, strict=True))
        return max(0.0, busy - own) / wall

    @staticmethod
    def _now() -> tuple[float, float, float]:
        words = Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=9)
        user, nice, system, _idle, _waiting, *interrupts_and_stolen = map(int, words[1:9])
        busy = user + nice + system + sum(interrupts_and_stolen)
        own = sum(map(spent, family(os.getpid())))
        return time.monotonic(), busy / os.sysconf("SC_CLK_TCK"), own


def used(who: int) -> float:
    """Return the CPU seconds of this process, or of its ended children, in microsecond precision."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def run(command: list[str], cwd: Path, patience: float | None = None) -> Sample:
    """Run a command to its end; raises Ended, with its output, if it fails or times out."""
    env = {name: value for name, value in os.environ.items() if name not in UNMEASURED}
    with (cwd / "bench-output.txt").open("w+b") as output:
        before, start = used(resource.RUSAGE_CHILDREN), time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=output, stderr=subprocess.STDOUT)
        with Peak(process.pid) as peak:
            code = ended(process, patience)
            seconds = time.perf_counter() - start
        output.seek(0)
        if code:
            raise Ended(f"{' '.join(command)} ended with {code} after {seconds:.0f} s:\n{output.read().decode()}")
    return Sample(seconds, peak.bytes, used(resource.RUSAGE_CHILDREN) - before)


def ended(process: subprocess.Popen, patience: float | None) -> int:
    """Wait for a process, and kill its process tree on timeout; returns its exit code."""
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        for pid in family(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return process.wait()


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    born: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            born += map(int, (task / "children").read_text(encoding="ascii").split())
    return [pid, *(later for child in born for later in family(child))]


def spent(pid: int) -> float:
    """Return the CPU seconds of a running process and of its ended children."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, after_name.split()[11:15])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Return the resident bytes of a process and all its descendants; shared pages count once per process."""
    pages = 0
    for member in family(pid):
        with suppress(FileNotFoundError, ProcessLookupError, IndexError):
            pages += int(Path(f"/proc/{member}/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def alternate(commands: list[list[str]], cwd: Path, runs: int) -> list[list[Sample]]:
    """Run commands in turn, after one warm-up of each, so that a drift of the machine affects all of them."""
    for command in commands:
        run(command, cwd)
    rounds = [[run(command, cwd) for command in commands] for _ in range(runs)]
    return [list(samples) for samples in zip(*rounds, strict=True)]


def repeated(command: list[str], cwd: Path, runs: int, before: Callable[[], None] = lambda: None) -> list[Sample]:
    """Run a command several times after one warm-up, each after its preparation."""
    samples = []
    for _ in range(runs + 1):
        before()
        samples.append(run(command, cwd))
    return samples[1:]


def median_seconds(samples: list[Sample]) -> float:
    """Return the median of the wall seconds."""
    return median(s.seconds for s in samples)


def median_cpu(samples: list[Sample]) -> float:
    """Return the median of the CPU seconds."""
    return median(s.cpu_seconds for s in samples)


def peak_megabytes(samples: list[Sample]) -> float:
    """Return the highest peak, in 10^6 bytes."""
    return max(s.peak_bytes for s in samples) / 1e6
