"""The measurements: GROUPS is a table of functions that each create a project and return figures."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from bench.changes import changes
from bench.digest import costs
from bench.figure import Bench, Figure
from bench.guide import guide
from bench.local_pages import local_pages
from bench.measure import Others, alternate, median_cpu, median_seconds, peak_megabytes, repeated, run
from bench.pages import large_session, seconds_until_seen
from bench.projects import (
    AGGREGATE,
    LINEITEM,
    OSIRIS,
    chain,
    generate,
    independent,
    lay_out,
    lineitem,
    mixed,
    osiris_run,
    to_parquet,
)
from bench.sandboxes import sandboxes
from bench.servers import servers
from bench.stores import stores
from bench.tables import tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from bench.measure import Sample

CALLS = """
import json, osiris, subprocess, sys, time
def seconds(action):
    began = time.perf_counter()
    action()
    return time.perf_counter() - began
def call():
    osiris.run("pipelines/tiny.yaml", new_run=True)
def command():
    subprocess.run(sys.argv[2:], check=True, capture_output=True)
call()
print(json.dumps([(seconds(call), seconds(command)) for _ in range(int(sys.argv[1]))]))
"""
"""Runs the tiny pipeline in turn by a call and by the command, after one call; prints the seconds of each."""
TINY = "id,name\n1,a\n2,b\n3,c\n"
COMPLETION = ("_OSIRIS_COMPLETE=bash", "COMP_LINE=osiris preview pipelines/tiny.yaml ", "COMP_WORD=")
FIXED_SECONDS = 1.0
"""Seconds allowed besides the work of a job: starting host and worker, checks, recording."""


def startup(bench: Bench) -> list[Figure]:
    """Compare the start-up of the command, and a whole small run, with a Python process that does nothing."""
    query = "SELECT id, upper(name) AS name FROM input_df"
    lay_out(bench.folder, {"tiny": to_parquet("tiny", "tiny.csv", query)}, {"tiny.csv": TINY})
    ways = {
        "osiris --version": (9, [OSIRIS, "--version"]),
        "osiris --help": (9, [OSIRIS, "--help"]),
        "completion of a step": (15, ["env", *COMPLETION, OSIRIS]),
        "3 rows, 3 steps: compile and run": (60, osiris_run("tiny")),
    }
    commands = [[sys.executable, "-c", "pass"], *(command for _bar, command in ways.values())]
    nothing, *ours = alternate(commands, bench.folder, max(bench.runs, 9))
    return [
        starting(what, samples, nothing, bar)
        for (what, (bar, _command)), samples in zip(ways.items(), ours, strict=True)
    ]


def python(bench: Bench) -> list[Figure]:
    """Compare `import osiris` with an empty Python, and calls of `osiris.run` in one process with the command."""
    query = "SELECT id, upper(name) AS name FROM input_df"
    lay_out(bench.folder, {"tiny": to_parquet("tiny", "tiny.csv", query)}, {"tiny.csv": TINY})
    commands = [[sys.executable, "-c", program] for program in ("pass", "import osiris")]
    nothing, imported = map(median_seconds, alternate(commands, bench.folder, max(bench.runs, 9)))
    program = [sys.executable, "-c", CALLS, str(max(bench.runs, 9)), *osiris_run("tiny")]
    done = subprocess.run(program, cwd=bench.folder, check=True, capture_output=True, text=True)
    called, command = map(median, zip(*json.loads(done.stdout), strict=True))
    return [
        Figure("import osiris, over an empty Python", 1000 * (imported - nothing), 60, "ms"),
        Figure(
            "3 rows, 3 steps by osiris.run, over the command",
            called / command,
            0.9,
            "x",
            f"{called:.2f} s / {command:.2f} s",
        ),
    ]


def aggregate(bench: Bench) -> list[Figure]:
    """Compare an aggregate over a CSV file with one DuckDB process: without and with digests of all edges."""
    lineitem(bench.folder, bench.data, {"aggregate": (AGGREGATE.format(source="source"), {})})
    ways = {"plain": (1.2, "aggregate"), "--digest all": (None, "aggregate", "--digest", "all")}
    commands = [osiris_run(*words) for _bar, *words in ways.values()]
    *ours, reference = alternate([*commands, duckdb_run(AGGREGATE, "lineitem.csv")], bench.folder, bench.runs)
    figures = []
    for (way, (bar, name, *more)), samples in zip(ways.items(), ours, strict=True):
        job = f"aggregate, {way}"
        small = [run(osiris_run(f"{name}-small", *more), bench.folder) for _ in range(2)]
        figures += [ratio(job, samples, reference, bar, FIXED_SECONDS), *memory(job, samples, small)]
    return figures


def copy(bench: Bench) -> list[Figure]:
    """Compare CSV to Parquet, all columns, with one DuckDB process."""
    lineitem(bench.folder, bench.data, {"copy": (None, {})})
    commands = [osiris_run("copy"), duckdb_run("SELECT * FROM {source}", "lineitem.csv")]
    ours, reference = alternate(commands, bench.folder, bench.runs)
    small = [run(osiris_run("copy-small"), bench.folder) for _ in range(2)]
    return [ratio("copy", ours, reference, 1.2), *memory("copy", ours, small)]


def digests(bench: Bench) -> list[Figure]:
    """Return the cost of digests as a share of the processor time of copying all columns by Arrow alone."""
    bars = {"fixed": ("ordered", 10), "free": ("order-free", 20)}
    orders, copies = costs(bench.data, bench.folder, bench.runs)
    return [
        Figure(f"digest, {bars[order][0]}, against {path}", 100 * cost / whole, bars[order][1], "%", detail)
        for path, whole in copies.items()
        for order, cost in orders.items()
        for detail in [f"{cost:.2f} s / {whole:.2f} s of processor time"]
    ]


def steps(bench: Bench) -> list[Figure]:
    """Run chains of tiny SQL steps from a compiled plan: the time of each step, and the memory of many."""
    lay_out(bench.folder, {f"chain{size}": chain(size) for size in (100, 1000)}, {"tiny.csv": TINY})
    commands = [[OSIRIS, "run", planned(bench.folder, f"chain{size}"), "--new-run"] for size in (1000, 100)]
    many, few = alternate(commands, bench.folder, min(bench.runs, 3))
    per_step, flat = median_seconds(many), peak_megabytes(many) / peak_megabytes(few)
    whole = f"{per_step:.2f} s / 1,000, processor {median_cpu(many):.2f} s"
    peaks = f"{peak_megabytes(many):.0f} MB / {peak_megabytes(few):.0f} MB"
    return [
        Figure("1,000 SQL steps in a chain, run, each step", per_step, 20, "ms", whole),
        Figure("1,000 SQL steps in a chain, peak memory, against 100 steps", flat, 1.3, "x", peaks),
    ]


def parallel(bench: Bench) -> list[Figure]:
    """Compare four independent steps, two at once, with the same steps one after the other."""
    ids = "id\n" + "\n".join(map(str, range(1400)))
    lay_out(bench.folder, {"four": independent(4)}, {"ids.csv": ids})
    commands = [["env", f"OSIRIS_RUN__PARALLEL={at_once}", *osiris_run("four")] for at_once in (1, 2)]
    one, two = (median_seconds(samples) for samples in alternate(commands, bench.folder, min(bench.runs, 3)))
    detail = f"{one:.2f} s / {two:.2f} s, whole runs"
    return [Figure("4 independent steps, run.parallel 2, against 1", one / two, 1.7, "x", detail, at_least=True)]


def compiling(bench: Bench) -> list[Figure]:
    """Compile 1,000 SQL steps without caches, and again with them; then show the lineage of that plan."""
    lay_out(bench.folder, {"chain": chain(1000)}, {"tiny.csv": TINY})
    command, folder = osiris_compile("chain"), bench.folder
    cold = repeated(command, folder, 5, before=partial(forget, folder))
    return [
        best("compile 1,000 SQL steps, cold", 4, cold),
        best("compile 1,000 SQL steps, unchanged", 1, repeated(command, folder, 9)),
        best("lineage of 1,000 SQL steps", None, repeated([OSIRIS, "lineage"], folder, 3)),
    ]


def large(bench: Bench) -> list[Figure]:
    """Compile 10,000 steps: first 2,000 CSV files, 6,000 SQL steps and 2,000 targets; then one chain."""
    files = {f"tiny_{number}.csv": TINY for number in range(2000)}
    lay_out(bench.folder, {"mixed": mixed(2000), "chain": chain(9998)}, {"tiny.csv": TINY, **files})
    figures = []
    for name, what in (("mixed", "10,000 steps, 6,000 SQL, 2,000 files"), ("chain", "10,000 steps in a chain")):
        sample = run(osiris_compile(name), bench.folder)
        peak = f"compile {what}, peak memory of host and worker"
        figures += [best(f"compile {what}, cold", 40, [sample]), Figure(peak, peak_megabytes([sample]), 500, "MB")]
    return figures


def pages(bench: Bench) -> list[Figure]:
    """Make the page of a run with 300 steps and 100,000 events, and open it in Chromium."""
    page = large_session(bench.folder) / "report.html"
    what = "a run of 300 steps and 100,000 events"
    rendered = best(f"page of {what}, rendered", 2, repeated([OSIRIS, "logs", "html"], bench.folder, 9))
    shown = seconds_until_seen(page, 9)
    size = f"{page.stat().st_size / 1e6:.1f} MB"
    return [rendered, Figure(f"page of {what}, opened and drawn", min(shown), 2, "s", f"best of {len(shown)}, {size}")]


GROUPS: dict[str, Callable[[Bench], Iterable[Figure]]] = {
    "startup": startup,
    "python": python,
    "guide": guide,
    "aggregate": aggregate,
    "copy": copy,
    "digests": digests,
    "steps": steps,
    "parallel": parallel,
    "compiling": compiling,
    "large": large,
    "pages": pages,
    "local_pages": local_pages,
    "servers": servers,
    "tables": tables,
    "changes": changes,
    "stores": stores,
    "sandboxes": sandboxes,
}


def osiris_compile(job: str) -> list[str]:
    """Return the command that compiles one job."""
    return [OSIRIS, "compile", f"pipelines/{job}.yaml"]


def planned(folder: Path, job: str) -> str:
    """Compile a job, and return the path of its plan."""
    answer = subprocess.run([*osiris_compile(job), "--json"], cwd=folder, check=True, capture_output=True).stdout
    return json.loads(answer)["data"]["manifest"]


def forget(folder: Path) -> None:
    """Delete what a compile caches for the next one."""
    shutil.rmtree(folder / ".osiris" / "cache", ignore_errors=True)
    (folder / "osiris.lock").unlink(missing_ok=True)


def duckdb_run(select: str, file: str) -> list[str]:
    """Return the command that does the same in one DuckDB process, as the reference; it is given all types.

    It writes as our writer does by default: the same compression, groups of 122,880 rows, in file order.
    """
    source = f"read_csv('{file}', auto_detect=false, header=true, delim=',', quote='\"', columns={LINEITEM})"
    sql = f"COPY ({select.format(source=source)}) TO 'output/reference.parquet' (FORMAT parquet, COMPRESSION snappy)"
    return [sys.executable, "-c", f'import duckdb; duckdb.connect(config={{"threads": 2}}).execute("""{sql}""")']


def best(what: str, bar: float | None, samples: list[Sample]) -> Figure:
    """Return the seconds of the fastest run, with the median as a detail."""
    seconds = min(sample.seconds for sample in samples)
    several = f"best of {len(samples)}, median {median_seconds(samples):.3g} s" if len(samples) > 1 else "once"
    return Figure(what, seconds, bar, "s", f"{several}, processor {median_cpu(samples):.3g} s")


def starting(what: str, ours: list[Sample], nothing: list[Sample], bar: float) -> Figure:
    """Return how many times longer a command takes than a Python process that does nothing (ratio of medians)."""
    a, b = median_seconds(ours), median_seconds(nothing)
    cpu = f"processor {median_cpu(ours):.3g} s / {median_cpu(nothing):.3g} s"
    return Figure(f"{what}, against python -c pass", a / b, bar, "x", f"{a:.3g} s / {b:.3g} s, {cpu}")


def ratio(job: str, ours: list[Sample], reference: list[Sample], bar: float | None, fixed: float = 0.0) -> Figure:
    """Return the ratio of the medians, after subtracting a fixed number of seconds from ours."""
    a, b = median_seconds(ours), median_seconds(reference)
    cpu = f"processor {median_cpu(ours):.1f} s / {median_cpu(reference):.1f} s"
    detail = f"({a:.2f} - {fixed:g}) s / {b:.2f} s" if fixed else f"{a:.2f} s / {b:.2f} s"
    return Figure(f"{job}, 6.0 M rows, against one DuckDB process", (a - fixed) / b, bar, "x", f"{detail}, {cpu}")


def memory(job: str, large: list[Sample], small: list[Sample]) -> list[Figure]:
    """Return the peak at 6.0 M rows, and its ratio to the peak at 1.5 M rows."""
    peak, before = peak_megabytes(large), peak_megabytes(small)
    detail = f"{peak:.0f} MB / {before:.0f} MB"
    return [
        Figure(f"{job}, peak memory of host and worker at 6.0 M rows", peak, 350, "MB"),
        Figure(f"{job}, peak memory at 6.0 M rows against 1.5 M rows", peak / before, 1.15, "x", detail),
    ]


def measure(group: str, bench: Bench) -> Iterator[tuple[Figure, float]]:
    """Yield each figure of a group, and how many cores were busy with other processes meanwhile.

    Generates the large data first if the group reads it and it does not exist.
    """
    if group in ("aggregate", "copy", "digests", "servers", "stores", "sandboxes"):
        generate(bench.data)
    others = Others()
    for figure in GROUPS[group](bench):
        yield figure, others.cores()
