"""Targets on a server are checked before the first row: whether they exist, and accept the rows."""

import json
import shutil

import pyarrow as pa
import pytest

from osiris.components.mysql_writer import driver as mysql_writer
from osiris.components.postgres_writer import driver as postgres_writer
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.secret import Secret
from osiris.types import schema_of

WRITERS = {"postgres": postgres_writer, "mariadb": mysql_writer}
FAMILIES = {"postgres": "postgres", "mariadb": "mysql"}
ROWS = pa.table({"id": pa.array([1], pa.int64()), "name": ["x"]})
LEDGER = "CREATE TABLE _osiris_ledger (run_key INT, step INT)"


class Place:
    """A database of a server: `confirm` checks the target, as the superuser or as a read-only role."""

    def __init__(self, server, kind, root):
        self.server, self.writer, self.family, self.root = server, WRITERS[kind], FAMILIES[kind], root
        self.database = server.new_database()

    def confirm(self, rows=ROWS, reader=False, **config):
        fields = self.server.fields(self.database, reader=reader)
        connection = {**fields, "password": Secret(fields["password"])}
        ctx = StepContext("load", self.root, self.root, self.root / "scratch", connection)
        return self.writer.Driver().confirm(self.writer.Config("t", **config), schema_of(rows.schema), ctx)

    def sql(self, *texts):
        with self.server.connect(self.database) as client, client.cursor() as cursor:
            for text in texts:
                cursor.execute(text)
            return list(cursor.fetchall()) if cursor.description else []

    def grant(self, rights, table="t"):
        """Grant more to the reader; PostgreSQL's tables are granted one by one, MySQL's also by database."""
        if self.family == "postgres":
            self.sql(f"GRANT {rights} ON {table} TO {self.server.reader}")
        else:
            self.sql(f"GRANT {rights} ON `{self.database}`.{table} TO `{self.server.reader}`@'%'")


@pytest.fixture(params=WRITERS)
def place(request, tmp_path):
    return Place(request.getfixturevalue(request.param), request.param, tmp_path)


def refused(call, *args, **named):
    with pytest.raises(OsirisError) as caught:
        call(*args, **named)
    return [(found.code, found.message) for found in caught.value.diagnostics]


def test_it_tells_whether_the_table_is_there_and_changes_nothing(place):
    assert place.confirm() == "absent"
    place.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(9))")
    for mode in ("append", "replace", "upsert"):
        assert place.confirm(write_mode=mode, primary_key=["id"]) == "there"
    made = f"table_name = '_osiris_ledger' AND table_schema IN ('public', '{place.database}')"
    assert place.sql(f"SELECT COUNT(*) FROM information_schema.tables WHERE {made}") == [(0,)]


def test_all_in_which_the_table_does_not_fit_is_told_by_column(place):
    place.sql("CREATE TABLE t (id INT, nam VARCHAR(9), must INT NOT NULL)")
    found = refused(place.confirm)
    assert [code for code, _ in found] == ["DAT029"] * 3
    text = " ".join(message for _, message in found)
    assert "its column 'id' is int" in text
    assert "cannot hold int64" in text
    assert "it has no column 'name'" in text
    assert "its column 'must' needs a value" in text


def test_a_table_that_is_missing_and_is_not_to_be_made(place):
    assert [code for code, _ in refused(place.confirm, create_if_missing=False)] == ["DRV012"]


def test_an_upsert_needs_a_key_of_the_table(place):
    place.sql("CREATE TABLE t (id BIGINT, name VARCHAR(9))")
    ((code, message),) = refused(place.confirm, write_mode="upsert", primary_key=["id"])
    assert (code, "it has no PRIMARY KEY or UNIQUE over id" in message) == ("DAT029", True)


@pytest.mark.parametrize(
    ("mode", "some"), [("append", "SELECT"), ("replace", "SELECT, INSERT"), ("upsert", "SELECT, INSERT")]
)
def test_rights_that_are_missing(place, mode, some):
    config = {"write_mode": mode, "primary_key": ["id"], "reader": True}
    assert [code for code, _ in refused(place.confirm, **config)] == ["DRV020"]
    place.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(9))", LEDGER)
    place.grant("SELECT, INSERT, UPDATE", "_osiris_ledger")
    place.grant(some)
    assert [code for code, _ in refused(place.confirm, **config)] == ["DRV020"]
    place.grant("INSERT, UPDATE, DELETE")
    if place.family == "mysql":
        place.grant("CREATE TEMPORARY TABLES", "*")
    assert place.confirm(**config) == "there"
    place.sql("DROP TABLE _osiris_ledger")
    assert "_osiris_ledger" in refused(place.confirm, **config)[0][1]


def test_an_upsert_needs_temporary_tables(place):
    config = {"write_mode": "upsert", "primary_key": ["id"], "reader": True}
    place.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(9))", LEDGER)
    for table in ("t", "_osiris_ledger"):
        place.grant("SELECT, INSERT, UPDATE", table)
    if place.family == "postgres":
        place.sql(f'REVOKE TEMPORARY ON DATABASE "{place.database}" FROM PUBLIC')
    ((code, message),) = refused(place.confirm, **config)
    assert (code, "temporary" in message or "denied" in message) == ("DRV020", True)
    assert place.confirm(**config | {"write_mode": "append"}) == "there"


def grants_asked_for(place, **config):
    """Return the statements that hints request, until the writer is satisfied: each is run unchanged."""
    found = []
    while len(found) < 10:
        try:
            place.confirm(reader=True, **config)
        except OsirisError as error:
            (told,) = error.diagnostics
            assert told.code == "DRV020"
            found.append(told.hint.removeprefix("run ").removesuffix(", or make the table"))
            place.sql(found[-1])
        else:
            return found
    raise AssertionError(found)


def test_a_mariadb_user_is_told_each_grant_that_it_lacks(mariadb, tmp_path):
    place = Place(mariadb, "mariadb", tmp_path)
    mariadb.run(f"REVOKE SELECT, SHOW VIEW ON `{place.database}`.* FROM {mariadb.reader}@'%'")
    place.grant("EVENT", "*")
    there, every, to = f"`{place.database}`.`t`", f"`{place.database}`.*", "TO `reader`@`%`"
    ledger = f"`{place.database}`.`_osiris_ledger`"
    assert grants_asked_for(place) == [
        f"GRANT CREATE, INSERT, SELECT ON {there} {to}",
        f"GRANT CREATE, INSERT, SELECT ON {ledger} {to}",
    ]
    place.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(9))")
    assert grants_asked_for(place) == []
    assert grants_asked_for(place, write_mode="replace") == [f"GRANT DELETE ON {there} {to}"]
    assert grants_asked_for(place, write_mode="upsert", primary_key="id") == [
        f"GRANT UPDATE ON {there} {to}",
        f"GRANT CREATE TEMPORARY TABLES ON {every} {to}",
    ]
    place.sql(f"REVOKE INSERT ON {there} FROM `reader`@`%`", f"GRANT INSERT (id) ON {there} {to}")
    assert grants_asked_for(place) == [f"GRANT INSERT ON {there} {to}"]


def test_a_postgres_role_is_told_each_grant_that_it_lacks(postgres, tmp_path):
    place = Place(postgres, "postgres", tmp_path)
    place.sql("CREATE SCHEMA s", LEDGER.replace("_osiris", "s._osiris"))
    place.sql("CREATE TABLE s.t (id BIGINT PRIMARY KEY, name TEXT, more INT DEFAULT 1, key SERIAL)")
    place.sql(f'REVOKE TEMPORARY ON DATABASE "{place.database}" FROM PUBLIC')
    schema, there, to = {"schema": "s"}, '"s"."t"', 'TO "reader"'
    assert grants_asked_for(place, **schema) == [
        f'GRANT USAGE ON SCHEMA "s" {to}',
        f"GRANT INSERT ON {there} {to}",
        f'GRANT USAGE ON SEQUENCE "s"."t_key_seq" {to}',
        f'GRANT INSERT, UPDATE, SELECT ON "s"."_osiris_ledger" {to}',
    ]
    assert grants_asked_for(place, write_mode="upsert", primary_key="id", **schema) == [
        f"GRANT INSERT, UPDATE, SELECT ON {there} {to}",
        f'GRANT TEMPORARY ON DATABASE "{place.database}" {to}',
    ]
    assert grants_asked_for(place, write_mode="replace", **schema) == [f"GRANT INSERT, DELETE ON {there} {to}"]
    assert grants_asked_for(place, **schema | {"schema": "public"}) == [f'GRANT CREATE ON SCHEMA "public" {to}']


def test_a_right_to_some_of_the_columns_is_not_enough(postgres, tmp_path):
    place = Place(postgres, "postgres", tmp_path)
    place.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT)", LEDGER)
    place.grant("SELECT, INSERT, UPDATE", "_osiris_ledger")
    place.grant("INSERT (id)")
    ((code, message),) = refused(place.confirm, reader=True)
    assert (code, "no privilege to INSERT (name) on table 'public.t'" in message) == ("DRV020", True)
    place.grant("INSERT (name), UPDATE (name), SELECT")
    assert place.confirm(reader=True, write_mode="upsert", primary_key=["id"]) == "there"


def test_texts_that_are_cast_need_temporary_tables_too(postgres, tmp_path):
    place = Place(postgres, "postgres", tmp_path)
    place.sql("CREATE TABLE t (id BIGINT, name INET)", LEDGER)
    place.sql(f'REVOKE TEMPORARY ON DATABASE "{place.database}" FROM PUBLIC')
    place.grant("INSERT, UPDATE", "_osiris_ledger")
    place.grant("INSERT")
    assert grants_asked_for(place) == [f'GRANT TEMPORARY ON DATABASE "{place.database}" TO "reader"']


CONNECTIONS = """
connections:
  {family}:
    target: {{host: "{host}", port: {port}, database: "{database}", user: "{user}", password: "${{TARGET_PASSWORD}}"}}
"""
PIPELINE = """
oml_version: "0.1.0"
name: load
steps:
  - {{id: rows, component: filesystem.csv_extractor, mode: read, needs: [], config: {{path: rows.csv}}}}
  - {{id: file, component: filesystem.csv_writer, mode: write, needs: [rows], config: {{path: out.csv}}}}
  - id: load
    component: {family}.writer
    mode: write
    needs: [rows]
    config: {{connection: "@{family}.target", table: t}}
"""


@pytest.fixture
def run(place, osiris):
    """`run()` runs the pipeline with the installed command; returns its exit code, and the errors with their lines."""
    fields = place.server.fields(place.database)
    (place.root / "osiris.yaml").write_text("")
    (place.root / "osiris_connections.yaml").write_text(CONNECTIONS.format(family=place.family, **fields))
    (place.root / "rows.csv").write_text("id,name\n1,a\n")
    (place.root / "load.yaml").write_text(PIPELINE.format(family=place.family))

    def call(*options):
        env = {"TARGET_PASSWORD": fields["password"]}
        done = osiris("run", "load.yaml", "--json", *(options or ["--new-run"]), cwd=place.root, env=env)
        told = json.loads(done.stdout)["diagnostics"]
        return done.returncode, [(item["code"], item["line"]) for item in told if item["severity"] == "error"]

    return call


@pytest.mark.long
def test_a_run_whose_target_has_changed_does_not_begin(place, run):
    """Not even the other writer runs, whose target is fine."""
    assert run() == (0, [])
    (place.root / "out.csv").unlink()
    place.sql("ALTER TABLE t DROP COLUMN name")
    assert run() == (6, [("DAT029", 11)])
    assert not (place.root / "out.csv").exists()


@pytest.fixture
def say(place, run, osiris):
    """`say("run", …)` runs a command on the pipeline; returns its exit code and its output lines, in any order."""

    def call(command, *options):
        env = {"TARGET_PASSWORD": place.server.fields(place.database)["password"]}
        done = osiris(command, "load.yaml", *options, cwd=place.root, env=env)
        return done.returncode, done.stdout + done.stderr

    return call


@pytest.mark.long
def test_a_table_that_is_new_is_told_with_the_one_that_may_be_meant(place, run, say):
    place.sql("CREATE TABLE orders (id BIGINT)")
    path = place.root / "load.yaml"
    path.write_text(path.read_text().replace("table: t", "table: oders"))
    assert "oders (created if missing)" in say("compile")[1]
    code, text = say("run", "--dry-run")
    assert (code, "oders (similar name: 'orders')" in text, "creates" in text) == (0, True, True)
    assert "nothing was run" in text
    code, text = say("run")
    assert (code, "created table 'oders' (similar name: 'orders') (step load)" in text) == (0, True)
    assert place.sql("SELECT COUNT(*) FROM oders") == [(1,)]
    assert "created table" not in say("run", "--new-run")[1]


def test_a_rehearsal_asks_the_target_as_a_run_does_first(place, run, say):
    assert run("--dry-run") == (0, [])
    assert not (place.root / "logs").exists()
    place.sql("CREATE TABLE t (id BIGINT)")
    assert run("--dry-run") == run("--new-run") == (6, [("DAT029", 11)])
    assert run("--dry-run", "--select", "file") == (0, [])
    place.sql("DROP TABLE t", "CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(9))")
    connections = place.root / "osiris_connections.yaml"
    fields = place.server.fields(place.database, reader=True)
    connections.write_text(CONNECTIONS.format(family=place.family, **fields))
    assert "CON012" in say("run", "--dry-run")[1]
    assert say("run", "--dry-run")[0] == say("run", "--new-run")[0] == 3


def test_a_run_that_sets_rows_aside_adds_up(place, run):
    place.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(9))", "INSERT INTO t VALUES (2, 'old')")
    (place.root / "rows.csv").write_text("id,name\n1,a\n2,b\n3,c\n")
    assert run() == (1, [("DAT032", 11)])
    assert place.sql("SELECT COUNT(*) FROM t") == [(1,)]
    text = (place.root / "load.yaml").read_text()
    (place.root / "load.yaml").write_text(text.replace("table: t", "table: t, on_reject: quarantine"))
    assert run("--run-id", "nightly") == (0, [])
    newest = max((place.root / "logs").iterdir())
    step = json.loads((newest / "run.json").read_text())["steps"]["load"]
    assert (step["rows_in"], step["rows_out"], step["rows_rejected"]) == (3, 2, 1)
    assert place.sql("SELECT name FROM t ORDER BY id") == [("a",), ("old",), ("c",)]
    assert (newest / "artifacts" / "load" / "rejected.csv").read_text().count("\n") == 2
    shutil.rmtree(place.root / "logs")
    assert run("--run-id", "nightly") == (0, [])
    step = json.loads((max((place.root / "logs").iterdir()) / "run.json").read_text())["steps"]["load"]
    assert step["status"] == "skipped"  # the target has this delivery already
    assert (step["rows_in"], step["rows_out"], step["rows_rejected"]) == (0, 0, 0)


@pytest.mark.parametrize("family", FAMILIES.values())
def test_a_plan_does_not_take_a_server_for_a_file(family, tmp_path, osiris):
    """The name of its database could be that of a missing file."""
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "osiris_connections.yaml").write_text(
        f"connections:\n  {family}:\n    target: {{host: localhost, database: d, user: u}}\n"
    )
    (tmp_path / "rows.csv").write_text("id,name\n1,a\n")
    (tmp_path / "load.yaml").write_text(PIPELINE.format(family=family))
    done = osiris("compile", "load.yaml", cwd=tmp_path)
    assert f"load appends to @{family}.target" in done.stdout, done.stdout + done.stderr


def test_a_missing_schema_is_named_with_the_statement_that_creates_it(place):
    name = f"{place.database}_new"
    with pytest.raises(OsirisError) as caught:
        place.confirm(schema=name)
    (problem,) = caught.value.diagnostics
    statement = problem.hint.removeprefix("run ").partition(", or")[0]
    assert (problem.code, statement.partition(name)[0].strip('"`')) == (
        "DRV071",
        {"postgres": "CREATE SCHEMA ", "mysql": "CREATE DATABASE "}[place.family],
    )
    place.sql(statement)
    assert place.confirm(schema=name) == "absent"


def test_a_schema_with_a_similar_name_is_offered(tmp_path, postgres):
    place = Place(postgres, "postgres", tmp_path)
    place.sql("CREATE SCHEMA sales")
    with pytest.raises(OsirisError) as caught:
        place.confirm(schema="sale")
    hint = caught.value.diagnostics[0].hint
    grant = f'GRANT USAGE, CREATE ON SCHEMA "sale" TO "{postgres.user}"'
    assert hint == f"""run CREATE SCHEMA "sale"; {grant}, or write 'sales' if that is meant"""
