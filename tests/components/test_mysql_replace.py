"""Upserts directly into a MySQL table: only if no trigger or key involves it, so nobody can see a difference."""

import datetime as dt
import itertools
from dataclasses import replace

import pyarrow as pa
import pytest

from osiris.components.mysql_writer.driver import Config, Driver
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.families.mysql.connect import address
from osiris.families.mysql.load import may_replace
from osiris.families.mysql.session import opened
from osiris.families.mysql.target_table import columns_of
from osiris.families.sql.database import Relation
from osiris.secret import Secret
from osiris.table import stream
from osiris.types import schema_of

TABLE = "CREATE TABLE t (id INT PRIMARY KEY, day DATE, name VARCHAR(20), twice INT AS (id * 2) STORED)"
NUMBERS = itertools.count()


@pytest.fixture
def database(mariadb):
    name = f"direct_{next(NUMBERS)}"
    mariadb.run(f"CREATE DATABASE {name}")
    mariadb.run(TABLE, "INSERT INTO t (id, name) VALUES (1, 'old'), (2, 'old')", database=name)
    return name


def context(mariadb, database, folder, **more):
    connection = mariadb.fields(database) | more
    connection["password"] = Secret(connection["password"])
    return StepContext(
        "load", folder, folder, folder, connection=connection, plan="p", digest=lambda: {"rows": "known"}
    )


@pytest.fixture
def ctx(mariadb, database, tmp_path):
    return context(mariadb, database, tmp_path)


@pytest.fixture
def rows_of(mariadb, database):
    def call(query):
        with mariadb.connect(database) as client, client.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    return call


def rows(*ids, names=("new",) * 9):
    days = pa.array([dt.date(2024, 1, number) for number in ids], pa.date32())
    return pa.table({"name": names[: len(ids)], "id": pa.array(ids, pa.int32()), "day": days})


def config(**more):
    return Config(table="t", **{"write_mode": "upsert", "primary_key": "id"} | more)


def upsert(ctx, given, **more):
    source = stream(schema_of(given.schema), given.to_batches(), "fixed")
    return Driver().write(config(**more), source, ctx)


def directly(ctx, given, **more):
    """Return whether the rows would go directly into the table."""
    work = Driver().delivery(config(**more), schema_of(given.schema), ctx)
    with opened(ctx, address(ctx.connection, None)) as session:
        return may_replace(session, replace(work, columns=columns_of(session, Relation("t"))))


def test_rows_are_replaced_and_added(ctx, rows_of):
    assert directly(ctx, rows(2, 3))
    assert upsert(ctx, rows(2, 3)).rows == 2
    assert upsert(ctx, rows(3, 4)).rows == 2
    assert rows_of("SELECT id, name, twice FROM t ORDER BY id") == [
        (1, "old", 2),
        (2, "new", 4),
        (3, "new", 6),
        (4, "new", 8),
    ]
    assert rows_of("SELECT day FROM t WHERE id = 3") == [(dt.date(2024, 1, 3),)]


def test_a_delivery_happens_once(ctx, rows_of):
    once = replace(ctx, run_key="run")
    assert upsert(once, rows(2, 3)).rows == 2
    assert upsert(once, rows(2, 3, names=["other", "other"])).earlier == {"rows": "known"}
    assert rows_of("SELECT name FROM t ORDER BY id") == [("old",), ("new",), ("new",)]


def test_a_repeated_key_is_refused_whole(ctx, rows_of):
    with pytest.raises(OsirisError) as caught:
        upsert(ctx, rows(2, 3, 2))
    assert [found.code for found in caught.value.diagnostics] == ["DAT028"]
    assert rows_of("SELECT name FROM t ORDER BY id") == [("old",), ("old",)]


def test_a_row_that_the_table_refuses_fails_whole(ctx, mariadb, database, rows_of):
    mariadb.run("ALTER TABLE t ADD CONSTRAINT known CHECK (name <> 'bad')", database=database)
    assert directly(ctx, rows(2))
    with pytest.raises(OsirisError) as caught:
        upsert(ctx, rows(1, 2, names=["good", "bad"]))
    assert [found.code for found in caught.value.diagnostics] == ["DAT032"]
    assert rows_of("SELECT name FROM t ORDER BY id") == [("old",), ("old",)]


def test_what_refers_to_a_row_stays(ctx, mariadb, database, rows_of):
    child = "CREATE TABLE child (of INT, FOREIGN KEY (of) REFERENCES t (id) ON DELETE CASCADE)"
    mariadb.run(child, "INSERT INTO child VALUES (1), (2)", database=database)
    assert not directly(ctx, rows(2))
    upsert(ctx, rows(2, 3))
    assert rows_of("SELECT of FROM child ORDER BY of") == [(1,), (2,)]
    assert rows_of("SELECT name FROM t ORDER BY id") == [("old",), ("new",), ("new",)]


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TRIGGER gone AFTER DELETE ON t FOR EACH ROW SET @gone = 1",
        "ALTER TABLE t ADD FOREIGN KEY (id) REFERENCES other (id)",
        "ALTER TABLE t ADD UNIQUE (day)",
        "ALTER TABLE t ADD more INT DEFAULT 5",
        "ALTER TABLE t MODIFY id VARCHAR(20)",
    ],
)
def test_where_there_could_be_a_difference(ctx, mariadb, database, change):
    other = "CREATE TABLE other (id INT PRIMARY KEY)"
    mariadb.run(other, "INSERT INTO other VALUES (1), (2), (3)", database=database)
    assert directly(ctx, rows(2))
    mariadb.run(change, database=database)
    assert not directly(ctx, rows(2))


def test_who_could_not_see_a_trigger_or_a_key_goes_the_long_way(mariadb, database, tmp_path, rows_of):
    name = f"writer_{database}"
    mariadb.run(
        f"CREATE USER {name}@'%' IDENTIFIED BY 'p'",
        f"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, CREATE TEMPORARY TABLES ON {database}.* TO {name}@'%'",
    )
    ctx = context(mariadb, database, tmp_path, user=name, password="p")
    assert not directly(ctx, rows(2))
    upsert(ctx, rows(2, 3))
    assert rows_of("SELECT name FROM t ORDER BY id") == [("old",), ("new",), ("new",)]
    mariadb.run(f"GRANT DELETE, TRIGGER ON *.* TO {name}@'%'")
    assert not directly(ctx, rows(2))
    mariadb.run(f"GRANT PROCESS ON *.* TO {name}@'%'")
    assert directly(ctx, rows(2))
