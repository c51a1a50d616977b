"""What a run uses: the keys by which two runs see that they share something."""

import os

import pytest

from osiris.model import Manifest
from osiris.runner.host.uses import uses_of

CONNECTIONS = {
    "@postgres.a": {"host": "db", "database": "wh", "user": "u", "description": "one"},
    "@postgres.b": {"host": "db", "database": "wh", "user": "u", "default": True},
    "@postgres.c": {"host": "db", "database": "other", "user": "u"},
    "@mysql.m": {"host": "db", "database": "wh", "user": "u"},
    "@sqlite.s": {"path": "data/app.db"},
    "@duckdb.d": {"path": "${STORE}/wh.duckdb"},
    "@filesystem.f": {"base_dir": "${BASE}/lake"},
    "@s3.lake": {"bucket": "lake", "prefix": "raw"},
}
CSV = "filesystem.csv_writer"


def written(root, component, connection=None, mode="write", **config):
    step = {"id": "w", "mode": mode, "component": component, "connection": connection, "config": config}
    uses = uses_of(Manifest({"steps": [step], "connections": CONNECTIONS}), root)
    return uses[0] if uses else None


@pytest.mark.parametrize(
    ("config", "key", "partial"),
    [
        ({"path": "output/a.csv"}, "{root}/output/a.csv", False),
        ({"path": "./output/../output/a.csv"}, "{root}/output/a.csv", False),
        ({"path": "link/a.csv"}, "{root}/output/a.csv", False),
        ({"path": "/elsewhere/a.csv"}, "/elsewhere/a.csv", False),
        ({"path": "file:///elsewhere/a.csv"}, "/elsewhere/a.csv", False),
        ({"path": "output/a/"}, "{root}/output/a/", True),
        ({"path": "output/a_${run.id}.csv"}, "{root}/output/a_", True),
        ({"path": "output/${run.id}/a.csv"}, "{root}/output/", True),
        ({"path": "${run.id}.csv"}, "{root}/", True),
        ({"path": "a.csv", "connection": "@filesystem.f"}, "{root}/${{BASE}}/lake/a.csv", False),
        ({"path": "s3://lake/raw/a.csv"}, "s3://lake/raw/a.csv", False),
        ({"path": "a.csv", "connection": "@s3.lake"}, "s3://lake/raw/a.csv", False),
        ({"path": "a/", "connection": "@s3.lake"}, "s3://lake/raw/a/", True),
        ({"path": "a/${run.id}/b.csv", "connection": "@s3.lake"}, "s3://lake/raw/a/", True),
    ],
)
def test_files_and_folders(tmp_path, config, key, partial):
    (tmp_path / "output").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "output")
    use = written(tmp_path, CSV, config.pop("connection", None), **config)
    assert (use.key, use.partial) == (key.format(root=os.path.realpath(tmp_path)), partial)


def test_tables_of_one_server_whatever_its_alias(tmp_path):
    def table(connection, name, schema="public"):
        return written(tmp_path, "postgres.writer", connection, table=name, schema=schema)

    first = table("@postgres.a", "orders")
    assert first.label == "@postgres.a.orders"
    assert first.key == table("@postgres.b", "orders").key
    others = [
        table("@postgres.c", "orders"),
        table("@postgres.a", "Orders"),
        table("@postgres.a", "lines"),
        table("@postgres.a", "orders", "raw"),
    ]
    assert not any(first.excludes(other) for other in others)
    assert first.excludes(table("@postgres.a", "${run.id}"))
    assert first.excludes(written(tmp_path, "postgres.writer", "@postgres.a"))
    assert not first.excludes(table("@postgres.a", "lines_${run.id}"))


def test_names_of_mysql_that_differ_only_in_case_may_be_one_table(tmp_path):
    one, two = (written(tmp_path, "mysql.writer", "@mysql.m", table=name) for name in ("Orders", "orders"))
    assert one.excludes(two)


def test_database_files_are_used_as_a_whole_by_writers_and_readers(tmp_path):
    one, two = (written(tmp_path, "sqlite.writer", "@sqlite.s", table=name) for name in "ab")
    read = written(tmp_path, "sqlite.extractor", "@sqlite.s", mode="read", table="a")
    assert one == two == (f"{os.path.realpath(tmp_path)}/data/app.db", "data/app.db", False, False)
    assert read == (*one[:3], True)
    assert written(tmp_path, CSV, path="data/").excludes(one)
    assert written(tmp_path, "duckdb.writer", "@duckdb.d", table="a").key.endswith("/${STORE}/wh.duckdb")


def test_sources_on_servers_and_in_files_are_not_used(tmp_path):
    assert written(tmp_path, "postgres.extractor", "@postgres.a", mode="read", table="a") is None
    assert written(tmp_path, "filesystem.csv_extractor", mode="read", path="a.csv") is None


def test_only_selected_steps_count_and_a_write_counts_more_than_a_read(tmp_path):
    def step(name, mode, component):
        return {"id": name, "mode": mode, "component": component, "connection": "@sqlite.s", "config": {"table": "t"}}

    steps = [step("r", "read", "sqlite.extractor"), step("w", "write", "sqlite.writer")]
    manifest = Manifest({"steps": steps, "connections": CONNECTIONS})
    assert [use.reads for use in uses_of(manifest, tmp_path)] == [False]
    assert [use.reads for use in uses_of(manifest, tmp_path, ["r"])] == [True]
