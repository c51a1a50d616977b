"""Compare writing files to an object store with writing them locally and uploading them, with the same data."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from bench.figure import Figure
from bench.measure import alternate, median_seconds, peak_megabytes, run
from bench.projects import LINEITEM_ROWS, lay_out, osiris_run, step
from tests.servers import start_s3

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.figure import Bench

UPLOAD = """
import sys, obstore
from obstore.store import S3Store
from pathlib import Path
store = S3Store("{bucket}", config={config!r}, client_options={{"allow_http": True}})
obstore.put(store, "reference.parquet", Path("output/local.parquet"), chunk_size=16 << 20, max_concurrency=2)
"""
"""The client library alone, with parts of the same size and the same number in parallel."""


def stores(bench: Bench) -> Iterator[Figure]:
    """Compare CSV to Parquet on an S3 server with the same job to a local file plus the upload of that file."""
    with start_s3() as server:
        bucket = server.new_bucket()
        fields = server.fields(bucket)
        written = {**fields, "secret_access_key": "${BENCH_KEY}"}
        files = {
            "osiris_connections.yaml": json.dumps({"connections": {"s3": {"default": written}}}),
            ".env": f'BENCH_KEY="{fields["secret_access_key"]}"\n',
        }
        yield from _figures(bench, bucket, fields, files)


def _figures(bench: Bench, bucket: str, fields: dict[str, object], files: dict[str, str]) -> Iterator[Figure]:
    sizes = ("", "-small")
    targets = {"local": "output/local.parquet", "store": f"s3://{bucket}/store.parquet"}
    pipelines = {
        f"{name}{size}": [
            step("source", "filesystem.csv_extractor", path=f"lineitem{size}.csv"),
            step("target", "filesystem.parquet_writer", "source", path=target),
        ]
        for name, target in targets.items()
        for size in sizes
    }
    tables = {f"lineitem{size}.csv": bench.data / f"lineitem{size}.csv" for size in sizes}
    lay_out(bench.folder, pipelines, {**files, **tables})
    config = {**{name: value for name, value in fields.items() if name != "bucket"}, "region": "us-east-1"}
    upload = [sys.executable, "-c", UPLOAD.format(bucket=bucket, config=config)]
    commands = [osiris_run("local"), upload, osiris_run("store")]
    local, alone, ours = alternate(commands, bench.folder, bench.runs)
    small = [run(osiris_run("store-small"), bench.folder) for _ in range(2)]
    here, up, there = map(median_seconds, (local, alone, ours))
    rows = f"{LINEITEM_ROWS / 1e6:.1f} M rows"
    detail = f"{there:.2f} s / ({here:.2f} + {up:.2f}) s"
    peak = peak_megabytes(ours)
    yield Figure(
        f"CSV to Parquet on S3, {rows}, against a local file and its upload", there / (here + up), 1.3, "x", detail
    )
    yield Figure(f"CSV to Parquet on S3, {rows}, peak memory of host and worker", peak, None, "MB")
    against = f"{peak:.0f} MB / {peak_megabytes(small):.0f} MB"
    yield Figure(
        "CSV to Parquet on S3, peak memory against 1.5 M rows", peak / peak_megabytes(small), 1.25, "x", against
    )
