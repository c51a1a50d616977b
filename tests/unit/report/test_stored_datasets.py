"""Objects of stores have the names that OpenLineage's rules require."""

from pathlib import Path

import pytest

from osiris.compare.lineage import label_of
from osiris.report.openlineage import Dataset, datasets_of


def step(path, connection=None):
    return {"component": "filesystem.csv_writer", "config": {"path": path}, "connection": connection, "sql": {}}


CONNECTIONS = {
    "@s3.lake": {"bucket": "lake", "prefix": "raw"},
    "@azure.lake": {"account": "shop", "bucket": "lake"},
    "@gcs.lake": {"bucket": "lake", "prefix": "raw"},
}


@pytest.mark.parametrize(
    ("path", "connection", "dataset", "label"),
    [
        ("s3://lake/a/x.csv", None, ("s3://lake", "a/x.csv"), "s3://lake/a/x.csv"),
        ("x-${run.id}.csv", "@s3.lake", ("s3://lake", "raw/x-7.csv"), "s3://lake/raw/x-${run.id}.csv"),
        ("x.csv", "@azure.lake", ("wasbs://lake@shop.blob.core.windows.net", "x.csv"), "az://lake/x.csv"),
        ("x.csv", "@gcs.lake", ("gs://lake", "raw/x.csv"), "gs://lake/raw/x.csv"),
        ("file:///a/x.csv", None, ("file", "/a/x.csv"), "/a/x.csv"),
        ("out/x.csv", None, ("file", "/root/out/x.csv"), "out/x.csv"),
    ],
)
def test_names(path, connection, dataset, label):
    found = list(datasets_of(step(path, connection), CONNECTIONS, Path("/root"), {"run.id": "7"}))
    assert found == [Dataset(*dataset)]
    assert label_of(step(path, connection), CONNECTIONS) == label
