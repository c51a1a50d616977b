"""An unknown component name is compared word by word: what it reads or writes, and in which direction."""

import pytest

from osiris.registry import LIST, load_registry, matching, resolve_component

NAMES = load_registry().names()
MEANT = {
    "csv.reader": "filesystem.csv_extractor",
    "csv.extractor": "filesystem.csv_extractor",
    "tsv.source": "filesystem.csv_extractor",
    "json.reader": "filesystem.json_extractor",
    "jsonl.sink": "filesystem.json_writer",
    "csv.writer": "filesystem.csv_writer",
    "parquet.writer": "filesystem.parquet_writer",
    "parket.writer": "filesystem.parquet_writer",
    "file.parquet_reader": "filesystem.parquet_extractor",
    "mariadb.extractor": "mysql.extractor",
    "mariadb.target": "mysql.writer",
    "postgresql.reader": "postgres.extractor",
    "postgress.writer": "postgres.writer",
    "sqlite3.sink": "sqlite.writer",
    "myqsl.extractor": "mysql.extractor",
}
NOTHING = ("excel.reader", "excel.writer", "oracle.reader", "mssql.writer", "kafka.source", "bigquery.extractor", "x")
STORES = {
    "s3.writer": ("filesystem.csv_writer", "@s3.ALIAS"),
    "s3.parquet_reader": ("filesystem.parquet_extractor", "@s3.ALIAS"),
    "gcs.csv_reader": ("filesystem.csv_extractor", "@gcs.ALIAS"),
    "azure_blob.json_writer": ("filesystem.json_writer", "@azure.ALIAS"),
}


@pytest.mark.parametrize(("name", "meant"), MEANT.items())
def test_words_are_compared_and_not_letters(name, meant):
    assert resolve_component(name, NAMES)[1] == f"did you mean '{meant}'?"


@pytest.mark.parametrize("name", NOTHING)
def test_what_there_is_no_component_for_gets_no_name_of_another(name):
    assert resolve_component(name, NAMES) == (None, LIST)


@pytest.mark.parametrize(("name", "told"), STORES.items())
def test_stores_are_reached_by_a_component_for_files_and_a_connection(name, told):
    sure, hint = resolve_component(name, NAMES)
    assert sure is None
    assert all(each in hint for each in told)


def test_where_several_are_meant_all_are_named():
    assert resolve_component("csv.loader", NAMES)[1] == "one of: filesystem.csv_extractor, filesystem.csv_writer"


@pytest.mark.parametrize("name", ["excel.reader", "x.extractor", "csv.reader", "s3.source", "mysql.extracter"])
def test_what_reads_is_never_hinted_to_write(name):
    assert "writer" not in resolve_component(name, NAMES)[1]


def test_components_are_found_by_other_words():
    assert matching("csv reader", NAMES) == ["filesystem.csv_extractor"]
    assert matching("excel reader", NAMES) == []
    assert matching("", NAMES) == matching("reader", NAMES) == []
