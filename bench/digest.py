"""What digests cost: `.venv/bin/python -m bench.digest [--runs N] [--scale F]`, for TPC-H lineitem (scale 1: 6 M x 16).

Prints the median of the processor seconds of each kind, and of the copy from CSV to Parquet that they are measured by.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from osiris.table import Digester
from osiris.types import schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def batches(file: Path) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(file)) as source, pa.ipc.open_stream(source) as reader:
        yield from reader


def digest(file: Path, order: str) -> None:
    with pa.OSFile(str(file)) as source:
        schema = schema_of(pa.ipc.open_stream(source).schema)
    digester = Digester(schema, order)
    for batch in batches(file):
        digester.update(batch)
    digester.result()


def read(file: Path) -> None:
    for _ in batches(file):
        pass


def copy(csv: Path, target: Path, schema: pa.Schema) -> None:
    convert = pyarrow.csv.ConvertOptions(column_types=schema)
    reader = pyarrow.csv.open_csv(csv, convert_options=convert)
    with pyarrow.parquet.ParquetWriter(target, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)


def generate(folder: Path, scale: str) -> tuple[Path, Path, Path]:
    program = Path(sys.executable).parent / "tpchgen-cli"
    for kind in ("csv", "parquet"):
        command = [program, kind, "-s", scale, "--tables", "lineitem", "--output-dir", folder]
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    spool = folder / "lineitem.arrow"
    source = pyarrow.parquet.ParquetFile(folder / "lineitem.parquet")
    plain = pa.schema([(f.name, pa.utf8() if pa.types.is_string_view(f.type) else f.type) for f in source.schema_arrow])
    with pa.OSFile(str(spool), "wb") as file, pa.ipc.new_stream(file, plain) as writer:
        for batch in source.iter_batches(122_880):
            writer.write_batch(batch.cast(plain))
    return folder / "lineitem.csv", spool, folder / "lineitem.parquet"


def seconds(work: Callable[[], None], runs: int) -> float:
    """Return the median of the processor seconds of all threads."""
    taken = []
    for _ in range(runs):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scale", default="1")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="osiris-digest-") as folder:
        csv, spool, parquet = generate(Path(folder), options.scale)
        schema = pa.ipc.open_stream(pa.OSFile(str(spool))).schema
        base = seconds(lambda: read(spool), options.runs)
        whole = seconds(lambda: copy(csv, parquet, schema), min(options.runs, 3))
        print(f"{'CSV to Parquet, without a digest':34} {whole:6.2f} s")
        for name, order in (("ordered", "fixed"), ("unordered", "free")):
            cost = seconds(lambda order=order: digest(spool, order), options.runs) - base
            print(f"{name + ' digest':34} {cost:6.2f} s  {100 * cost / whole:5.1f} %")


if __name__ == "__main__":
    main()
