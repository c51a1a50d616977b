"""Read a query into files with dlt's fastest backend: `URL QUERY TABLE FOLDER parquet|csv`.

dlt gets the columns from the table, and then reads the query instead.
"""

import sys
from pathlib import Path

import dlt
import sqlalchemy
from dlt.sources.sql_database import sql_table

url, query, table, folder, form = sys.argv[1:]
rows = sql_table(
    credentials=url,
    table=table,
    backend="connectorx",
    backend_kwargs={"return_type": "arrow_stream", "batch_size": 100_000},
    query_adapter_callback=lambda _select, _table: sqlalchemy.text(query),
)
target = dlt.destinations.filesystem(Path(folder, "files").absolute().as_uri())
pipeline = dlt.pipeline("read", pipelines_dir=f"{folder}/state", destination=target, dataset_name="read")
pipeline.run(rows, loader_file_format=form, write_disposition="replace").raise_on_failed_jobs()
