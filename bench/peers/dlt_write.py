"""Write a Parquet file into a table with dlt: `URL FILE.parquet append|merge FOLDER`.

The intermediate files are those that dlt loads fastest: CSV for PostgreSQL's COPY, Parquet for others.
"""

import sys

import dlt
import pyarrow.parquet

url, file, disposition, folder = sys.argv[1:]
postgres = url.startswith("postgresql")
key = ("l_orderkey", "l_linenumber") if disposition == "merge" else None


@dlt.resource(name="lineitem", write_disposition=disposition, primary_key=key)
def rows():
    with pyarrow.parquet.ParquetFile(file, pre_buffer=False) as source:
        for batch in source.iter_batches(100_000):
            yield pyarrow.Table.from_batches([batch])


destination = dlt.destinations.postgres(url) if postgres else dlt.destinations.sqlalchemy(url, create_primary_keys=True)
pipeline = dlt.pipeline(
    "write", pipelines_dir=f"{folder}/state", destination=destination, dataset_name=f"dlt_{disposition}"
)
pipeline.run(rows(), loader_file_format="csv" if postgres else "parquet").raise_on_failed_jobs()
