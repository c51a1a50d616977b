"""Measure the processor seconds of each stage by itself, for a million rows of TPC-H lineitem: all threads of one
process.

A stage is a driver, as a step calls it, between rows in memory and a file or a local server. The server's own work does
not count.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING

from bench.digest import seconds
from bench.figure import Figure
from bench.figures import TINY
from bench.measure import median_cpu, repeated
from bench.projects import lay_out, osiris_run, to_parquet
from bench.servers import TARGET, Ground
from bench.sides import NAME, started

from osiris.registry import load_registry
from osiris.secret import Secret
from osiris.table import Digester, spool
from osiris.testing.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.figure import Bench

    from osiris.model import Order
    from osiris.table import RowStream


@dataclass
class Stages:
    """The measured stages of one server, and of files; `ground` has the rows as files and tables."""

    ground: Ground

    def read(self, component: str, **config: object) -> float:
        """Return the seconds of reading all rows."""
        trial = self._trial(component, config)
        planned = trial.describe().schema
        return self._median(lambda: _exhaust(trial.read(planned)))

    def write(self, component: str, before: Callable[[], None] = lambda: None, **config: object) -> float:
        """Return the seconds of writing all rows, without the time of reading them from a file."""
        trial = self._trial(component, config)
        return self._beside_reading(lambda: trial.write(self.rows()), before)

    @cached_property
    def rows(self) -> Callable[[], RowStream]:
        """Return a function that reads all rows of a file from the page cache each time it is called."""
        trial = self._trial("filesystem.parquet_extractor", {"path": str(self.ground.parquet("quarter"))})
        return spool(trial.read(trial.describe().schema), self.ground.bench.folder / "lineitem.arrow")

    def digest(self, order: Order) -> float:
        """Return the seconds of the digest of all rows."""

        def work() -> None:
            rows = self.rows()
            digester = Digester(rows.schema, order)
            for batch in rows.batches():
                digester.add(batch)
            digester.result()

        return self._beside_reading(work)

    def figure(self, what: str, spent: float) -> Figure:
        """Return the figure of a stage from its seconds for all rows."""
        size = f" --rows {self.ground.bench.size}" if self.ground.bench.size else ""
        return Figure(f"stage: {what}", spent * 1e6 / self.ground.rows("quarter"), None, "s/M", again=size)

    def _beside_reading(self, work: Callable[[], object], before: Callable[[], None] = lambda: None) -> float:
        return self._median(work, before) - self._median(lambda: _exhaust(self.rows()))

    def _trial(self, component: str, config: dict[str, object]) -> Trial:
        connection = {**self.ground.side.connection, "password": Secret(NAME)}
        own = connection if component.startswith(self.ground.side.family) else {}
        root = self.ground.bench.folder.absolute()
        return Trial(load_registry(), component, root, config, own, changes={"family": self.ground.side.family})

    def _median(self, work: Callable[[], object], before: Callable[[], None] = lambda: None) -> float:
        samples = []
        for _ in range(self.ground.bench.runs + 1):
            before()
            start = time.process_time()
            work()
            samples.append(time.process_time() - start)
        return median(samples[1:])


def stages(bench: Bench) -> Iterator[Figure]:
    """Measure each stage."""
    root = bench.folder / "tiny"
    lay_out(root, {"tiny": to_parquet("tiny", "tiny.csv", "SELECT id FROM input_df")}, {"tiny.csv": TINY})
    tiny = repeated(osiris_run("tiny"), root, 5)
    yield Figure("stage: a run of 3 rows, host and worker, from start to end", median_cpu(tiny), None, "s")
    for family in ("postgres", "mysql"):
        with started(family) as side:
            own = Stages(Ground(bench, side))
            if family == "postgres":
                yield from (own.figure(what, spent) for what, spent in _of_files(own))
            yield from (own.figure(what, spent) for what, spent in _of_server(own))


def _of_files(own: Stages) -> Iterator[tuple[str, float]]:
    csv, parquet = own.ground.csv("quarter"), own.ground.parquet("quarter")
    yield "read CSV", own.read("filesystem.csv_extractor", path=str(csv))
    yield "read Parquet", own.read("filesystem.parquet_extractor", path=str(parquet))
    yield "write Parquet, with the hash of the file", own.write("filesystem.parquet_writer", path="output/x.parquet")
    yield "write CSV, with the hash of the file", own.write("filesystem.csv_writer", path="output/x.csv")
    for name in ("x.parquet", "x.csv"):
        content = (own.ground.bench.folder / "output" / name).read_bytes()
        yield (
            f"hash of the file alone, {name[2:]}",
            seconds(lambda content=content: hashlib.sha256(content).hexdigest(), own.ground.bench.runs),
        )
    for order, kind in (("fixed", "ordered"), ("free", "order-free")):
        yield f"digest of rows, {kind}", own.digest(order)


def _of_server(own: Stages) -> Iterator[tuple[str, float]]:
    side, table = own.ground.side, own.ground.table("quarter")
    extractor, query = f"{side.family}.extractor", f"SELECT * FROM {table} WHERE l_orderkey > 0"
    yield f"read a table of {side.family}", own.read(extractor, table=table)
    yield f"read a query of {side.family}", own.read(extractor, query=query)
    yield f"append to {side.family}", own.write(f"{side.family}.writer", lambda: side.make(TARGET), table=TARGET)


def _exhaust(rows: RowStream) -> None:
    for _ in rows.batches():
        pass
