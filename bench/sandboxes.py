"""Compare runs on a local E2B and in bubblewrap with local runs: the overhead, and that nothing is lost.

The service runs in this process, so its work does not count as work of the host.
"""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import subprocess
import sys
import sysconfig
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

from bench.figure import Figure
from bench.measure import alternate, median_seconds, run
from bench.projects import lay_out, step, to_parquet
from tests.servers.e2b import Base, e2b_service

from osiris.runner.remote.install import template_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.figure import Bench
    from bench.measure import Sample

TINY = "id,name\n1,a\n2,b\n3,c\n"
PRICES = """
SELECT l_orderkey, l_linenumber, l_shipdate, l_returnflag, l_extendedprice * (1 - l_discount) AS price, l_comment
FROM source WHERE l_quantity > 0
"""
"""All rows, some columns, one of them computed."""

STRANGER = Path(__file__).parent / "stranger"
SPOKEN = re.compile(rb'"number":(\d+),"at":([0-9.]+)')
EVENTS, FILES, FILE_BYTES = 100_000, 4, 50_000_000
TIMED, PAUSE = 500, 0.01


@dataclass(frozen=True)
class Stage:
    """A Python with the talkative component, whose runs with --e2b use the local E2B."""

    python: Path
    variables: tuple[str, ...]

    def command(self, job: str, *more: str) -> list[str]:
        """Return the command that compiles and runs one job."""
        words = [str(self.python), "-m", "osiris.cli.main", "run", f"pipelines/{job}.yaml", "--new-run"]
        return ["env", *self.variables, *words, *more]


def sandboxes(bench: Bench) -> Iterator[Figure]:
    """Measure the overhead of a sandbox: once, per row, per event, and in memory."""
    with staged(bench.folder) as stage:
        for measured in (overheads, rows, latency, losses):
            yield from measured(bench, stage)


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """Install the component in a separate environment, and start a local E2B whose sandboxes have it too."""
    place = folder / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    packages = next(place.glob("lib/python*/site-packages"))
    (packages / "all.pth").write_text(
        f"{STRANGER}\nimport site; site.addsitedir({sysconfig.get_paths()['purelib']!r})\n"
    )
    about = packages / "talkative-1.0.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: talkative\nVersion: 1.0.0\n")
    (about / "entry_points.txt").write_text("[osiris.components]\nbench.extractor = talkative\n")
    ready = Base(commands=(f"ln -s {place} /opt/osiris",))
    with e2b_service(bases={template_name(2, 4 * 2**30): ready}, binds=[Path(sys.prefix), place, STRANGER]) as service:
        variables = tuple(f"{name}={value}" for name, value in service.environment.items())
        yield Stage(place / "bin" / "python", variables)


def overheads(bench: Bench, stage: Stage) -> Iterator[Figure]:
    """Run three rows here, in bubblewrap and on E2B."""
    project = bench.folder / "tiny"
    query = "SELECT id, upper(name) AS name FROM source"
    lay_out(project, {"tiny": to_parquet("tiny", "tiny.csv", query)}, {"tiny.csv": TINY})
    ways = ((), ("--target", "bwrap"), ("--e2b",))
    here, boxed, there = alternate([stage.command("tiny", *way) for way in ways], project, max(bench.runs, 5))
    yield over("E2B: bundle, start, fetch", there, here, 1.5)
    yield over("bubblewrap", boxed, here, None)


def over(target: str, there: list[Sample], here: list[Sample], bar: float | None) -> Figure:
    """Return the difference of the medians."""
    a, b = median_seconds(there), median_seconds(here)
    return Figure(f"3 rows, 3 steps, added by a run on {target}", a - b, bar, "s", f"{a:.2f} s - {b:.2f} s")


def rows(bench: Bench, stage: Stage) -> Iterator[Figure]:
    """Run a pipeline of 6 M rows locally and on E2B, where the file is uploaded first; once started, both take equally
    long.
    """
    project = bench.folder / "rows"
    source = (bench.data / "lineitem.csv").absolute()
    lay_out(project, {"prices": to_parquet("prices", "lineitem.csv", PRICES)}, {"lineitem.csv": source})
    metrics: dict[str, list[dict]] = {"here": [], "there": []}
    for number in range(min(bench.runs, 3) + 1):
        for name, way in (("here", ()), ("there", ("--e2b",))):
            run(stage.command("prices", *way), project)
            metrics[name] += [last_run(project)] if number else []
    here, there = (median(map(longest, runs)) for runs in metrics.values())
    way = median(each["remote"]["adapter_overhead_ms"] for each in metrics["there"])
    sent = metrics["there"][0]["remote"]
    yield Figure(
        "CSV to SQL to Parquet, 6.0 M rows, added on E2B once started",
        100 * (there / here - 1),
        5,
        "%",
        f"{there / 1000:.2f} s / {here / 1000:.2f} s",
    )
    moved = f"{sent['upload_bytes'] / 1e6:.0f} MB sent, {sent['fetch_bytes'] / 1e6:.0f} MB fetched"
    yield Figure("CSV to SQL to Parquet, 6.0 M rows, upload and download", way / 1000, None, "s", moved)


def longest(summary: dict) -> float:
    """Return the milliseconds of the longest step by its worker's clock, which consumes all others."""
    return max(each["duration_ms"] for each in summary["steps"].values())


def last_run(project: Path) -> dict:
    """Return the summary of the newest session."""
    return json.loads((newest(project) / "run.json").read_text(encoding="utf-8"))


def newest(project: Path) -> Path:
    """Return the folder of the newest session."""
    return max((path for path in (project / "logs").iterdir() if path.is_dir()), key=lambda path: path.name)


def latency(bench: Bench, stage: Stage) -> Iterator[Figure]:
    """Record when a component emits each event and when a terminal shows it, both by this machine's clock."""
    project = bench.folder / "latency"
    lay_out(project, {"talk": talk(events=TIMED, pause=PAUSE)}, {})
    late = []
    for _ in range(min(bench.runs, 3)):
        late += [shown - emitted for emitted, shown in moments(stage.command("talk", "--e2b", "--verbose"), project)]
    detail = f"{len(late):,} events, 95 % within {1000 * quantiles(late, n=20)[-1]:.0f} ms"
    yield Figure("an event on E2B, until the terminal shows it", 1000 * median(late), 100, "ms", detail)


def moments(command: list[str], project: Path) -> Iterator[tuple[float, float]]:
    """Run a command at a terminal, and yield when each event was emitted and when it was shown."""
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    partial, count = b"", 0
    while chunk := read(terminal):
        now = time.time()
        *lines, partial = (partial + chunk).split(b"\n")
        for match in filter(None, map(SPOKEN.search, lines)):
            count += 1
            yield float(match[2]), now
    os.close(terminal)
    if process.wait() or count != TIMED:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode} and {count} events: {partial!r}")


def read(terminal: int) -> bytes:
    """Return what was written to a terminal; empty once no process has it open."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:
        return b""


def losses(bench: Bench, stage: Stage) -> Iterator[Figure]:
    """Emit many events and write many artifacts, locally and on E2B, and compare the results."""
    project = bench.folder / "losses"
    lay_out(project, {"talk": talk(events=EVENTS, files=FILES, file_bytes=FILE_BYTES)}, {})
    run(stage.command("talk"), project)
    here = newest(project)
    sample = run(stage.command("talk", "--e2b"), project)
    there = newest(project)
    missing = len(set(range(EVENTS)) - set(spoken(there))) + (len(spoken(there)) != EVENTS)
    changed = len(digests(here).items() ^ digests(there).items())
    what = f"{EVENTS:,} events and {FILES * FILE_BYTES / 1e6:.0f} MB of artifacts on E2B"
    detail = f"{sample.seconds:.0f} s, {len(digests(there))} digests equal" if not changed else f"{changed} differ"
    yield Figure(f"{what}, lost, duplicated or changed", missing + changed, 0, "lost", detail)
    yield Figure(f"{what}, peak of host and worker here", sample.peak_bytes / 1e6, 200, "MB")


def talk(**config: float) -> list[dict]:
    """Return a step that emits events, and one that writes its row."""
    return [step("talk", "bench.extractor", **config), step("out", "filesystem.csv_writer", "talk", path="out.csv")]


def spoken(session: Path) -> list[int]:
    """Return the numbers of a component's events, in the order in which they were recorded."""
    with (session / "events.jsonl").open("rb") as lines:
        return [int(match[1]) for match in filter(None, map(SPOKEN.search, lines))]


def digests(session: Path) -> dict[str, str]:
    """Return the digest of the output, and the SHA-256 of each artifact."""
    summary = json.loads((session / "run.json").read_text(encoding="utf-8"))
    digests_by_name = {"out": json.dumps(summary["outputs"]["out"]["digest"])}
    for path in sorted((session / "artifacts").rglob("*.bin")):
        with path.open("rb") as file:
            digests_by_name[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests_by_name
