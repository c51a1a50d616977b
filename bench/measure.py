"""Whole processes, timed from outside: wall seconds, and the peak of what a process and its children hold together."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class Sample:
    """One finished process: wall seconds, and peak resident bytes of the whole process tree."""

    seconds: float
    peak_bytes: int


def run(command: list[str], cwd: Path) -> Sample:
    """Run a command to its end; a failing command ends the bench with what it said."""
    with (cwd / "bench-output.txt").open("w+b") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, stdout=output, stderr=subprocess.STDOUT)
        peak = 0
        while process.poll() is None:
            peak = max(peak, resident_bytes(process.pid))
            time.sleep(SAMPLE_SECONDS)
        seconds = time.perf_counter() - start
        output.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{output.read().decode()}")
    return Sample(seconds, peak)


def resident_bytes(pid: int) -> int:
    """Return the resident bytes of a process and all its descendants; shared pages count once per process."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0
    return pages * 4096 + sum(resident_bytes(int(child)) for child in children)


def alternate(ours: list[str], reference: list[str], cwd: Path, runs: int) -> tuple[list[Sample], list[Sample]]:
    """Run two commands in turn, after one warm-up of each, so that a drifting machine drifts for both."""
    run(reference, cwd)
    run(ours, cwd)
    pairs = [(run(ours, cwd), run(reference, cwd)) for _ in range(runs)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def median_seconds(samples: list[Sample]) -> float:
    """Return the median of the wall seconds."""
    return median(s.seconds for s in samples)


def peak_megabytes(samples: list[Sample]) -> float:
    """Return the highest peak, in 10^6 bytes."""
    return max(s.peak_bytes for s in samples) / 1e6
