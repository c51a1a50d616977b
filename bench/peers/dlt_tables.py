"""Copy the first tables of a database with dlt: `SOURCE-URL TARGET-URL NUMBER FOLDER`.

Rows are read as Arrow by connectorx, and loaded as CSV, which is the fastest way of dlt into PostgreSQL.
"""

import sys

import dlt
from dlt.sources.sql_database import sql_database

source, target, number, folder = sys.argv[1:]
names = [f"table_{count:03}" for count in range(int(number))]
tables = sql_database(source, table_names=names, backend="connectorx")
pipeline = dlt.pipeline(
    "tables",
    pipelines_dir=f"{folder}/state",
    destination=dlt.destinations.postgres(target),
    dataset_name="copied",
)
pipeline.run(tables, loader_file_format="csv", write_disposition="append").raise_on_failed_jobs()
