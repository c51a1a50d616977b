"""The locked engine: what it rejects even if the check accepted it."""

from __future__ import annotations

import duckdb
import pytest

from osiris.sql.binding.engine import open_engine


@pytest.fixture(params=["engine", "cursor"])
def engine(tmp_path, request):
    opened = open_engine(tmp_path / "spill", memory=64 << 20, threads=2)
    yield opened if request.param == "engine" else opened.cursor()
    opened.close()


def setting(engine, name):
    return engine.execute("SELECT value FROM duckdb_settings() WHERE name = ?", [name]).fetchall()[0][0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TimeZone", "UTC"),
        ("allow_community_extensions", "false"),
        ("allow_extension_repositories", "forbidden"),
        ("allow_persistent_secrets", "false"),
        ("allow_unsigned_extensions", "false"),
        ("arrow_large_buffer_size", "false"),
        ("arrow_lossless_conversion", "true"),
        ("autoinstall_known_extensions", "false"),
        ("autoload_known_extensions", "false"),
        ("default_collation", ""),
        ("default_null_order", "NULLS_LAST"),
        ("default_order", "ASC"),
        ("enable_external_access", "false"),
        ("enable_external_file_cache", "false"),
        ("enable_progress_bar", "false"),
        ("errors_as_json", "true"),
        ("ieee_floating_point_ops", "true"),
        ("integer_division", "false"),
        ("lock_configuration", "true"),
        ("memory_limit", "64.0 MiB"),
        ("preserve_identifier_case", "preserve_case"),
        ("preserve_insertion_order", "true"),
        ("python_enable_replacements", "false"),
        ("threads", "2"),
    ],
)
def test_setting(engine, name, value):
    assert setting(engine, name) == value


def test_it_spills_where_it_is_told_to(engine, tmp_path):
    assert setting(engine, "temp_directory") == str(tmp_path / "spill")
    assert setting(engine, "max_temp_directory_size") != "90% of available disk space"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM read_blob('{file}')",
        "SELECT * FROM '{file}'",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM sniff_csv('{file}')",
        "SELECT * FROM read_text('{link}')",
        "SELECT * FROM read_text('{folder}/spill/../secret.csv')",
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "COPY (SELECT 1) TO '/dev/stdout'",
        "EXPORT DATABASE '{folder}/out'",
        "ATTACH '{folder}/out.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CREATE SECRET s (TYPE s3)",
        "SET threads = 1",
        "SET memory_limit = '1TB'",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET lock_configuration = false",
        "SET temp_directory = '/tmp'",
        "SET TimeZone = 'Europe/Prague'",
        "RESET TimeZone",
        "PRAGMA enable_profiling",
        "CALL enable_logging()",
    ],
)
def test_refused(engine, tmp_path, sql):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    (tmp_path / "spill" / "link.csv").symlink_to(tmp_path / "secret.csv")
    before = sorted(tmp_path.rglob("*"))
    filled = sql.format(folder=tmp_path, file=tmp_path / "secret.csv", link=tmp_path / "spill" / "link.csv")
    with pytest.raises(duckdb.Error):
        engine.execute(filled)
    assert sorted(tmp_path.rglob("*")) == before


def test_python_variables_are_no_tables(engine):
    import pyarrow as pa

    secret = pa.table({"a": [1]})
    with pytest.raises(duckdb.CatalogException):
        engine.execute("SELECT * FROM secret")
    assert secret.num_rows == 1
