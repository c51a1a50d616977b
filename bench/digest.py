"""Measure digests: processor seconds of each kind, and of the copies that they are compared with."""

from __future__ import annotations

import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from bench.projects import LINEITEM

from osiris.table import Digester
from osiris.types import schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ARROW = {"BIGINT": pa.int64(), "DECIMAL(15,2)": pa.decimal128(38, 2), "DATE": pa.date32(), "VARCHAR": pa.utf8()}
"""The types of the columns between steps: decimals are as wide as inferred ones."""

SCHEMA = pa.schema([(name, ARROW[kind]) for name, kind in LINEITEM.items()])


def batches(spool: Path) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(spool)) as source, pa.ipc.open_stream(source) as reader:
        yield from reader


def digest(spool: Path, order: str) -> None:
    digester = Digester(schema_of(SCHEMA), order)
    for batch in batches(spool):
        digester.update(batch)
    digester.result()


def read(spool: Path) -> None:
    for _ in batches(spool):
        pass


def from_csv(csv: Path) -> pyarrow.csv.CSVStreamingReader:
    return pyarrow.csv.open_csv(csv, convert_options=pyarrow.csv.ConvertOptions(column_types=SCHEMA))


def from_parquet(file: Path) -> Iterator[pa.RecordBatch]:
    return pyarrow.parquet.ParquetFile(file).iter_batches(122_880)


def to_parquet(rows: Iterator[pa.RecordBatch], target: Path) -> None:
    with pyarrow.parquet.ParquetWriter(target, SCHEMA) as writer:
        for batch in rows:
            writer.write_batch(batch)


def to_spool(rows: Iterator[pa.RecordBatch], target: Path) -> None:
    with pa.OSFile(str(target), "wb") as file, pa.ipc.new_stream(file, SCHEMA) as writer:
        for batch in rows:
            writer.write_batch(batch)


def seconds(work: Callable[[], None], runs: int) -> float:
    """Return the median of the processor seconds of all threads."""
    samples = []
    for _ in range(runs):
        start = time.process_time()
        work()
        samples.append(time.process_time() - start)
    return median(samples)


def costs(data: Path, folder: Path, runs: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the seconds of each order's digest, and of each copy, for TPC-H lineitem; copies make no digests."""
    csv, spool = data / "lineitem.csv", folder / "lineitem.arrow"
    first, second = folder / "first.parquet", folder / "second.parquet"
    copies = {
        "CSV to Parquet": seconds(lambda: to_parquet(from_csv(csv), first), runs),
        "Parquet to Parquet": seconds(lambda: to_parquet(from_parquet(first), second), runs),
    }
    to_spool(from_parquet(first), spool)
    base = seconds(partial(read, spool), runs)
    return {order: seconds(partial(digest, spool, order), runs) - base for order in ("fixed", "free")}, copies
