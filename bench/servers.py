"""Compare database servers with their own programs, on the same data in the same run; and once with other tools.

The ratio with a bar compares our steps, from the start of the first to the end of the last, with the reference's whole
command, which has no noticeable start-up time. The rest of our command's time is reported as start-up.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import chain
from statistics import median
from typing import TYPE_CHECKING

import duckdb
from bench.figure import Figure
from bench.measure import median_cpu, median_seconds, peak_megabytes, run
from bench.peers import Absent, Job, Unusable, perform, readers, upserters, writers
from bench.projects import LINEITEM, LINEITEM_ROWS, lay_out, osiris_run, save, step
from bench.sides import KEY, NAME, OWNER, Side, started

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path

    from bench.figure import Bench
    from bench.measure import Sample

SHARES = {"whole": 1, "quarter": 4, "tenth": 10, "fortieth": 40}
TARGET = "target_table"
MEGABYTES, GROWTH = 350, 1.15


@dataclass
class Ground:
    """The environment of one server's rows: a project with a connection to it, files and tables of each size."""

    bench: Bench
    side: Side
    _tables: set[str] = field(default_factory=set)

    @cached_property
    def project(self) -> Path:
        """Return the folder of the project, which has the connection."""
        root = self.bench.folder.absolute() / self.side.family
        connections = {"connections": {self.side.family: self.side.connections}}
        files = {"osiris_connections.yaml": json.dumps(connections), ".env": f"BENCH_PASSWORD={NAME}\n"}
        lay_out(root, {}, files)
        return root

    def rows(self, size: str) -> int:
        """Return the number of rows of a size."""
        return min(self.bench.size or LINEITEM_ROWS, LINEITEM_ROWS) // SHARES[size]

    def csv(self, size: str) -> Path:
        """Return the CSV file of a size; creates it if it does not exist."""
        path = self.bench.folder.absolute() / f"{size}.csv"
        if not path.exists():
            with path.open("wb") as target:
                source = str(self.bench.data / "lineitem.csv")
                subprocess.run(["head", "-n", str(self.rows(size) + 1), source], check=True, stdout=target)
        return path

    def parquet(self, size: str) -> Path:
        """Return the Parquet file with the same rows and their types; creates it if it does not exist."""
        return self._parquet(size, size, "true")

    def half(self, size: str) -> Path:
        """Return the file with about half of the rows of that size."""
        return self._parquet(f"{size}-half", size, "l_orderkey % 2 = 0")

    def _parquet(self, name: str, size: str, condition: str) -> Path:
        path = self.bench.folder.absolute() / f"{name}.parquet"
        if not path.exists():
            rows = f"read_csv('{self.csv(size)}', auto_detect=false, header=true, columns={LINEITEM})"
            duckdb.sql(f"COPY (SELECT * FROM {rows} WHERE {condition}) TO '{path}' (FORMAT parquet)")
        return path

    def table(self, size: str) -> str:
        """Return the table of a size; creates and loads it the first time."""
        name = f"lineitem_{size}"
        if name not in self._tables:
            self.side.make(name)
            run(self.side.load(name, self.csv(size)), self.project)
            expect(self.side.count(name), self.rows(size), f"rows in {name}")
            self.side.settle(name)
            self._tables.add(name)
        return name


@dataclass(frozen=True)
class Contender:
    """A command that runs alternately with others, after its preparation; of `ours` the steps are timed."""

    command: list[str]
    rows: int
    before: Callable[[], None] = lambda: None
    ours: bool = True


@dataclass(frozen=True)
class Result:
    """The samples of one contender; `steps` are the seconds from the start of the first step to the end of the last."""

    samples: list[Sample]
    steps: list[float]

    @property
    def seconds(self) -> float:
        """Return the median of the compared seconds."""
        return median(self.steps)

    @property
    def startup(self) -> float:
        """Return the median of the seconds that the command takes besides its steps."""
        return median(s.seconds - steps for s, steps in zip(self.samples, self.steps, strict=True))


@dataclass(frozen=True)
class Row:
    """One row of the table of figures: a measurement of one server."""

    family: str
    measure: Callable[[Ground, str], Iterator[Figure]]


def servers(bench: Bench) -> Iterator[Figure]:
    """Measure the requested rows, or all, one server after the other."""
    unknown = set(bench.rows) - set(ROWS)
    if unknown:
        raise SystemExit(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    for family in ("postgres", "mysql"):
        chosen = [name for name in bench.rows or ROWS if ROWS[name].family == family]
        if chosen:
            with started(family) as side:
                ground = Ground(bench, side)
                yield from chain.from_iterable(ROWS[name].measure(ground, name) for name in chosen)


def reading(what: str, bar: float, *, query: bool, form: str = "parquet") -> Callable[[Ground, str], Iterator[Figure]]:
    """Return the measurement of reading a table, or a query over all of its rows, into one file."""

    def measure(ground: Ground, name: str) -> Iterator[Figure]:
        def selected(size: str) -> str:
            return f"SELECT * FROM {ground.table(size)}{' WHERE l_orderkey > 0' if query else ''}"

        def ours(size: str) -> Contender:
            config = {"query": selected(size)} if query else {"table": ground.table(size)}
            source = step("source", f"{ground.side.family}.extractor", **config)
            target = step("target", f"filesystem.{form}_writer", "source", path=f"output/{name}.{form}")
            return _ours(ground, name, size, (source, target))

        def reference(size: str) -> Contender:
            relation = f"({selected(size)})" if query else ground.table(size)
            text = relation if ground.side.family == "postgres" else selected(size)
            return Contender(ground.side.read(text), ground.rows(size), ours=False)

        limit = yield from _against(ground, name, f"{name}: {what}", bar, ours, reference)
        tools = readers(ground, name, selected, form)
        yield from _peers(ground, name, tools, limit.seconds / ground.rows("whole"))
        (ground.project / "output" / f"{name}.{form}").unlink()

    return measure


def appending(what: str, bar: float) -> Callable[[Ground, str], Iterator[Figure]]:
    """Return the measurement of loading a Parquet file into a table without a key, compared with the rows as CSV."""

    def measure(ground: Ground, name: str) -> Iterator[Figure]:
        def empty() -> None:
            ground.side.make(TARGET)

        def ours(size: str) -> Contender:
            return _ours(ground, name, size, _write(ground, size), empty)

        def reference(size: str) -> Contender:
            return Contender(ground.side.load(TARGET, ground.csv(size)), ground.rows(size), empty, ours=False)

        limit = yield from _against(ground, name, f"{name}: {what}", bar, ours, reference)
        yield from _peers(ground, name, writers(ground, name), limit.seconds / ground.rows("whole"))

    return measure


def upserting(what: str, bar: float, *, user: str = NAME) -> Callable[[Ground, str], Iterator[Figure]]:
    """Return the measurement of an upsert with half of the rows existing, compared with our append to that table."""

    def measure(ground: Ground, name: str) -> Iterator[Figure]:
        def empty() -> None:
            ground.side.make(TARGET, key=True)

        def half_full() -> None:
            empty()
            rows = f"SELECT * FROM {ground.table('quarter')} WHERE l_orderkey % 2 = 0"
            ground.side.run(f"INSERT INTO {TARGET} {rows}", database=NAME)
            ground.side.settle(TARGET)

        how = {"connection": f"@{ground.side.family}.{user}"}
        keyed = _write(ground, "quarter", write_mode="upsert", primary_key=list(KEY), **how)
        upsert = _ours(ground, f"{name}-upsert", "quarter", keyed, half_full)
        append = _ours(ground, f"{name}-append", "quarter", _write(ground, "quarter", **how), empty)
        _rounds(ground, [upsert, append], 1)
        made, limit = _rounds(ground, [upsert, append], min(ground.bench.runs, 3))
        yield _ratio(ground, name, f"{name}: {what}, {_rows(ground, 'quarter')}", bar, made, limit)
        yield Figure(
            f"{name}: peak memory of host and worker", _peak(made), MEGABYTES, "MB", again=_again(ground, name)
        )
        if user == NAME:
            yield from _peers(ground, name, upserters(ground, name), limit.seconds / ground.rows("quarter"))

    return measure


def _against(
    ground: Ground,
    name: str,
    what: str,
    bar: float,
    ours: Callable[[str], Contender],
    reference: Callable[[str], Contender],
) -> Generator[Figure, None, Result]:
    """Yield the figures of ours and a reference, and return the result of the reference.

    The smaller size comes first: it warms everything up, and shows whether memory grows with the rows.
    """
    small, _ = _rounds(ground, [ours("quarter"), reference("quarter")], 1)
    made, limit = _rounds(ground, [ours("whole"), reference("whole")], min(ground.bench.runs, 3))
    again, peak = _again(ground, name), _peak(made)
    detail = f"{peak:.0f} MB / {_peak(small):.0f} MB"
    yield _ratio(ground, name, f"{what}, {_rows(ground, 'whole')}", bar, made, limit)
    yield Figure(f"{name}: peak memory of host and worker", peak, MEGABYTES, "MB", again=again)
    against = f"{name}: peak memory, against {_rows(ground, 'quarter')}"
    yield Figure(against, peak / _peak(small), GROWTH, "x", detail, again=again)
    return limit


def expect(count: int, rows: int, what: str) -> None:
    """Exit unless all rows exist: otherwise something else would be measured."""
    if count != rows:
        raise SystemExit(f"{count} {what}, not {rows}")


def _ratio(ground: Ground, name: str, what: str, bar: float, result: Result, limit: Result) -> Figure:
    whole = median_seconds(result.samples)
    seconds = f"steps {result.seconds:.2f} s / {limit.seconds:.2f} s"
    apart = f"start-up {result.startup:.2f} s, command {whole:.2f} s = {whole / median_seconds(limit.samples):.2f} x"
    cpu = f"processor {median_cpu(result.samples):.1f} s / {median_cpu(limit.samples):.1f} s"
    return Figure(
        what, result.seconds / limit.seconds, bar, "x", f"{seconds}, {apart}, {cpu}", again=_again(ground, name)
    )


def _rounds(ground: Ground, contenders: list[Contender], runs: int) -> list[Result]:
    """Run contenders alternately, so that a change of the machine's speed affects all of them."""
    results = [Result([], []) for _ in contenders]
    for _ in range(runs):
        for contender, result in zip(contenders, results, strict=True):
            contender.before()
            sample = run(contender.command, ground.project)
            result.samples.append(sample)
            seconds = _step_seconds(ground.project, contender.rows) if contender.ours else sample.seconds
            result.steps.append(seconds)
    return results


def _step_seconds(project: Path, rows: int) -> float:
    """Return the seconds from the start of the first step to the end of the last of the newest run, after checking its
    rows.
    """
    session = max((project / "logs").iterdir(), key=lambda folder: folder.name)
    lines = (session / "events.jsonl").read_text(encoding="utf-8").splitlines()
    events = [event for event in map(json.loads, lines) if event["event"].startswith("step_")]
    expect(events[-1]["rows_in"], rows, "rows were written")
    first, last = (datetime.fromisoformat(event["ts"]) for event in (events[0], events[-1]))
    return (last - first).total_seconds()


def _ours(
    ground: Ground, name: str, size: str, steps: tuple[dict, dict], before: Callable[[], None] = lambda: None
) -> Contender:
    save(ground.project, f"{name}-{size}", list(steps))
    return Contender(osiris_run(f"{name}-{size}"), ground.rows(size), before)


def _write(ground: Ground, size: str, **config: object) -> tuple[dict, dict]:
    source = step("source", "filesystem.parquet_extractor", path=str(ground.parquet(size)))
    return source, step("target", f"{ground.side.family}.writer", "source", table=TARGET, **config)


def _peers(ground: Ground, row: str, jobs: Iterable[Job | Absent], limit: float) -> Iterator[Figure]:
    """Yield the seconds per row of the other tools, each run once, as a ratio to the reference's."""
    for job in jobs:
        what, again = f"{row}, {job.tool}", _again(ground, row)
        try:
            done = perform(job, ground.bench.data, ground.bench.folder.absolute() / f"{row}-{job.tool}")
        except Unusable as unusable:
            yield Figure(f"{what}: not measured", None, None, "x", str(unusable), again=again)
            continue
        seconds = done.sample.seconds - done.start
        detail = f"{seconds:.1f} s, start-up {done.start:.2f} s, {done.sample.peak_bytes / 1e6:.0f} MB, once"
        label = f"{row}, {done.name}{job.note}, {job.rows / 1e6:.2g} M rows"
        yield Figure(label, seconds / job.rows / limit, None, "x", detail, again=again)


def _peak(result: Result) -> float:
    return peak_megabytes(result.samples)


def _rows(ground: Ground, size: str) -> str:
    return f"{ground.rows(size) / 1e6:.2g} M rows"


def _again(ground: Ground, name: str) -> str:
    size = f" --rows {ground.bench.size}" if ground.bench.size else ""
    return f" --row {name}{size}"


ROWS = {
    "pg-table": Row("postgres", reading("table to Parquet, against psql COPY", 1.05, query=False)),
    "pg-query": Row("postgres", reading("query to Parquet, against psql COPY", 1.15, query=True)),
    "pg-append": Row("postgres", appending("Parquet to table, against psql \\copy", 0.7)),
    "pg-upsert": Row("postgres", upserting("upsert, half of the rows existing, against our append", 2.2)),
    "my-query": Row("mysql", reading("query to Parquet, against mariadb --quick", 1.3, query=True)),
    "my-csv": Row("mysql", reading("query to CSV, against mariadb --quick", 1.5, query=True, form="csv")),
    "my-append": Row("mysql", appending("Parquet to table, against LOAD DATA", 1.1)),
    "my-upsert": Row("mysql", upserting("upsert, half of the rows existing, against our append", 1.7)),
    "my-upsert-owner": Row("mysql", upserting("the same by a user of one database", 1.9, user=OWNER)),
}
