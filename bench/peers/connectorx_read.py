"""Read a query with connectorx in batches, which is how it bounds memory: `URL QUERY FILE.parquet`."""

import sys

import connectorx
import pyarrow.parquet

url, query, target = sys.argv[1:]
reader = connectorx.read_sql(url, query, return_type="arrow_stream", batch_size=100_000)
with pyarrow.parquet.ParquetWriter(target, reader.schema) as writer:
    for batch in reader:
        writer.write_batch(batch)
