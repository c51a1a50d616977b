"""Comparing the keys of a source with those of a target: which rows were deleted, and which were lost.

The keys of both sides are spooled to files, and their hashes added up in buckets. Keys of buckets whose sums differ are
joined by an engine that spills to disk, so memory stays flat. docs/decisions/0022-deletes.md.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from osiris.errors import diagnostic, fail
from osiris.model import Field
from osiris.replication import KeysToDelete
from osiris.sql.binding.bind import carried
from osiris.sql.binding.duck_types import quote_name
from osiris.sql.binding.engine import interruptible, open_engine
from osiris.table import spool, stream
from osiris.table.hashing import hash_cells, plain, side_by_side
from osiris.table.stream import open_spool, reopen
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from osiris.driver import StepContext
    from osiris.families.sql.database import Database, Session, Source, StepConfig
    from osiris.model import Schema
    from osiris.replication import Increment
    from osiris.table.hashing import Places, Words

_MEMORY = 48 << 20
"""Most bytes of the engine that joins keys."""

_PART = 1_000_000
"""Keys are joined in parts of about so many: a join of all would need twice that memory."""

_BUCKET_BITS = 18
"""The first bits of a key's hash say its bucket. Different keys have equal sums with a chance of 1 in 2^64."""

_BATCH = 100_000
_LISTED = 10_000
"""Up to so many lost rows are fetched by their keys; for more, the table is read once more."""

_PIECE = 1000
_NEW, _SOURCE, _TARGET = "new", "source", "target"
_LIVE = "osiris_live"


class Comparison:
    """The comparison of one run: takes the keys of new rows, then reads all keys in the same snapshot."""

    def __init__(
        self, database: Database[Any], session: Session, table: Source, config: StepConfig, ctx: StepContext
    ) -> None:
        increment: Any = ctx.increment
        self._increment: Increment = increment
        self._database, self._session, self._table, self._config, self._ctx = database, session, table, config, ctx
        self._key: Schema = increment.target.schema
        self._names = [field.name for field in self._key]
        self._folder = ctx.scratch / "keys"
        self._rows = Counter[str]()
        self._sums = {side: np.zeros(1 << _BUCKET_BITS, np.uint64) for side in (_SOURCE, _TARGET)}
        self._sizes = np.zeros(1 << _BUCKET_BITS, np.uint32)

    @contextmanager
    def taking(self, batches: Iterable[pa.RecordBatch]) -> Iterator[Iterator[pa.RecordBatch]]:
        """Pass batches of new rows on, and spool their keys."""
        with open_spool(self._path(_NEW), self._key) as writer:
            yield self._spooling(batches, writer)

    def _spooling(
        self, batches: Iterable[pa.RecordBatch], writer: pa.RecordBatchStreamWriter
    ) -> Iterator[pa.RecordBatch]:
        arrow = arrow_schema(self._key)
        for batch in batches:
            keys = [self._valid(batch.column(name), "the source") for name in self._names]
            writer.write_batch(pa.RecordBatch.from_arrays(keys, schema=arrow))
            self._rows.update({_NEW: batch.num_rows})
            yield batch

    def finish(self, clock: datetime) -> Iterator[pa.RecordBatch]:
        """Read and compare all keys, and yield the rows that the target lacks or has marked as deleted.

        Sets `to_delete` and `compared_at` of the increment. Fails with STA013 to STA016, and nothing is deleted.
        """
        if not getattr(self._session, "one_state", True):  # PostgreSQL could not lock the table
            fail("STA015", step=self._ctx.step, problem="this user's rows and keys are not read in one snapshot")
        self._read_target()
        self._increment.compared_at = clock.isoformat()
        if not self._rows[_TARGET] and self._increment.before is None:
            return  # all rows were read, and the target has none
        self._read_source()
        self._differs = self._sums[_SOURCE] != self._sums[_TARGET]
        if not self._differs.any():
            self._report(deleted=0, lost=0, undeleted=0)
            return
        memory = min(_MEMORY, self._ctx.memory // 4)
        engine = open_engine(self._folder, memory=memory, threads=self._ctx.threads)
        with closing(engine), interruptible(engine, self._ctx.cancelled):
            self._compare(engine)
            yield from self._fetched(engine)

    def _read_source(self) -> None:
        config, ctx = replace(self._config, columns=self._names), replace(self._ctx, on_reject="fail")
        source = self._database.select(self._session, config, ctx)
        with closing(self._database.batches(self._session, source, config, ctx)) as batches:
            self._spool(_SOURCE, self._key, batches)

    def _read_target(self) -> None:
        target: Any = self._increment.target
        with target.open() as batches:
            self._spool(_TARGET, (*self._key, Field(_LIVE, "bool")), batches)

    def _spool(self, side: str, schema: Schema, batches: Iterable[pa.RecordBatch]) -> None:
        arrow = arrow_schema(schema)
        with open_spool(self._path(side), schema) as writer:
            for batch in batches:
                keys = [self._valid(batch.column(name), f"the {side}") for name in self._names]
                batch = pa.RecordBatch.from_arrays([*keys, *batch.columns[len(keys) :]], schema=arrow)
                writer.write_batch(batch)
                hashes = _hashes(batch.columns[: len(keys)])
                live = hashes[batch.columns[-1].to_numpy(zero_copy_only=False)] if side == _TARGET else hashes
                np.add.at(self._sums[side], _buckets(live), live)
                np.add.at(self._sizes, _buckets(hashes), 1)
                self._rows.update({side: len(hashes), **({_LIVE: len(live)} if side == _TARGET else {})})

    def _valid(self, keys: pa.Array, side: str) -> pa.Array:
        if keys.null_count:
            fail("STA013", step=self._ctx.step, column=", ".join(self._names), side=side)
        return keys

    def _path(self, side: str) -> Path:
        return self._folder / f"{side}.arrow"

    def _register(self, engine: DuckDBPyConnection, side: str, part: int = 0, parts: int = 1) -> None:
        """Make a view of the keys of a side; of source and target only a part of those that may differ."""
        schema = (*self._key, Field(_LIVE, "bool")) if side == _TARGET else self._key
        keys: Iterator[pa.RecordBatch] = reopen(self._path(side), schema, "free").batches()
        if side != _NEW:
            keys = self._may_differ(keys, part, parts)
        engine.register(f"{side}_file", pa.RecordBatchReader.from_batches(arrow_schema(schema), keys))
        listed = ", ".join(f"{quote_name(name)} AS k{number}" for number, name in enumerate(self._names))
        live = f", {_LIVE} AS live" if side == _TARGET else ""
        engine.execute(f"CREATE OR REPLACE TEMP VIEW {side} AS SELECT {listed}{live} FROM {side}_file")

    def _may_differ(self, batches: Iterable[pa.RecordBatch], part: int, parts: int) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            hashes = _hashes([batch.column(name) for name in self._names])
            yield batch.filter(pa.array(self._differs[_buckets(hashes)] & (hashes % np.uint64(parts) == part)))

    def _compare(self, engine: DuckDBPyConnection) -> None:
        """Fill the tables `differing` and `missing`, and set `to_delete`, or refuse."""
        rows, live, deletes = self._rows, self._rows[_LIVE], self._increment.deletes
        if not rows[_SOURCE] and live:
            fail("STA014", step=self._ctx.step, rows=live)
        self._join(engine)
        using = f"USING ({self._columns()})"
        self._register(engine, _NEW)
        engine.execute(
            f"CREATE TEMP TABLE missing AS SELECT {self._columns()}, live FROM differing ANTI JOIN {_NEW} {using} "
            "WHERE here AND live IS NOT TRUE"
        )
        self._register(engine, _NEW)
        gone_or_new = f"SELECT count(*) FROM differing SEMI JOIN {_NEW} {using} WHERE here IS NULL"
        if self._count(engine, gone_or_new):
            fail("STA015", step=self._ctx.step, problem="keys of rows that were read are missing among all keys")
        to_delete = f"SELECT {self._columns()} FROM differing WHERE here IS NULL AND live"
        count = self._count(engine, f"SELECT count(*) FROM ({to_delete})")
        if deletes and count > deletes.limit(live):
            share = f"{float(deletes.share) * 100:g}%"
            fail("STA016", step=self._ctx.step, rows=count, live=live, most=deletes.limit(live), share=share)
        if count:
            named = ", ".join(f"k{number} AS {quote_name(name)}" for number, name in enumerate(self._names))
            keys = stream(self._key, _rows_of(engine, f"SELECT {named} FROM ({to_delete})", self._key), "free")
            opened = spool(keys, self._folder / "to_delete.arrow")
            self._increment.to_delete = KeysToDelete(count, lambda: opened().batches())

    def _join(self, engine: DuckDBPyConnection) -> None:
        """Fill the table `differing`: keys of one side only, and those of rows that are marked as deleted."""
        parts = 1 + int(self._sizes[self._differs].sum()) // (2 * _PART)
        pa.default_memory_pool().release_unused()
        for part in range(parts):
            for side in (_SOURCE, _TARGET):
                self._register(engine, side, part, parts)
            verb = "INSERT INTO differing" if part else "CREATE TEMP TABLE differing AS"
            engine.execute(
                f"{verb} SELECT {self._columns()}, here, live FROM (SELECT *, true AS here FROM {_SOURCE}) "
                f"FULL JOIN {_TARGET} USING ({self._columns()}) WHERE here IS NULL OR live IS NOT TRUE"
            ).fetchall()

    def _columns(self) -> str:
        return ", ".join(f"k{number}" for number in range(len(self._names)))

    def _count(self, engine: DuckDBPyConnection, text: str) -> int:
        ((count,),) = engine.execute(text).fetchall()
        return int(count)

    def _fetched(self, engine: DuckDBPyConnection) -> Iterator[pa.RecordBatch]:
        """Yield the missing rows, and report how many were lost."""
        missing = self._count(engine, "SELECT count(*) FROM missing")
        lost = self._count(engine, "SELECT count(*) FROM missing WHERE live IS NULL")
        back = self._count(engine, "SELECT count(*) FROM differing WHERE here AND NOT live")
        to_delete = self._increment.to_delete.rows if self._increment.to_delete else 0
        self._report(deleted=to_delete, lost=lost, undeleted=back)
        if lost:
            self._ctx.warn(diagnostic("STA012", step=self._ctx.step, rows=lost))
        fetched = 0
        for batch in self._candidates(engine) if missing else ():
            rows = batch.filter(self._is_wanted(engine, batch))
            fetched += rows.num_rows
            self._ctx.count("rows_read", rows.num_rows)
            yield rows
        if fetched < missing:
            problem = f"of {missing} rows that the target lacks, {fetched} were found by their keys"
            fail("STA015", step=self._ctx.step, problem=problem)
        for name, count in (("rows_fetched", missing), ("rows_undeleted", back)):
            if count:
                self._ctx.count(name, count)

    def _report(self, **counts: int) -> None:
        self._ctx.emit("keys_compared", {"source": self._rows[_SOURCE], "target": self._rows[_LIVE], **counts})

    def _candidates(self, engine: DuckDBPyConnection) -> Iterator[pa.RecordBatch]:
        """Yield rows among which are the missing ones: read by an integer of their keys if they are few, else all."""
        ctx, number = replace(self._ctx, on_reject="fail"), self._integer()
        sources = [self._table]
        if number is not None:
            listed = f"SELECT DISTINCT k{number} FROM missing LIMIT {_LISTED + 1}"
            values = [int(value) for (value,) in engine.execute(listed).fetchall()]
            if len(values) <= _LISTED:
                sources = [self._of(number, values[at : at + _PIECE]) for at in range(0, len(values), _PIECE)]
        for source in sources:
            with closing(self._database.batches(self._session, source, self._config, ctx)) as batches:
                yield from batches

    def _integer(self) -> int | None:
        return next((number for number, field in enumerate(self._key) if field.type.startswith(("int", "uint"))), None)

    def _of(self, number: int, values: Sequence[int]) -> Source:
        name = self._database.quote(self._names[number])
        return self._database.since(self._table, f"{name} IN ({', '.join(map(str, values))})")

    def _is_wanted(self, engine: DuckDBPyConnection, batch: pa.RecordBatch) -> pa.Array:
        """Return which rows of a batch have a missing key."""
        keys = [batch.column(name) for name in self._names]
        names = [f"k{number}" for number in range(len(keys))]
        engine.register("batch", pa.Table.from_arrays([*keys, pa.array(range(len(batch)))], [*names, "place"]))
        rows = engine.execute(f"SELECT place FROM batch SEMI JOIN missing USING ({self._columns()})").fetchall()
        places = {place for (place,) in rows}
        return pa.array([place in places for place in range(len(batch))], pa.bool_())


def _hashes(keys: Sequence[pa.Array]) -> Words:
    return side_by_side([hash_cells(plain(column)) for column in keys])


def _buckets(hashes: Words) -> Places:
    return (hashes >> np.uint64(64 - _BUCKET_BITS)).astype(np.int64)


def _rows_of(engine: DuckDBPyConnection, text: str, schema: Schema) -> Iterator[pa.RecordBatch]:
    arrow = arrow_schema(schema)
    for batch in engine.sql(carried(text, engine.sql(text))).to_arrow_reader(_BATCH):
        yield batch if batch.schema.equals(arrow) else batch.cast(arrow)
