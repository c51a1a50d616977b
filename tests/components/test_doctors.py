"""Doctors of families: grades of real roles on real servers; files that are missing, locked, or not databases."""

import os
import shutil
import sqlite3
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import duckdb
import pytest
from tests.patience import SOON
from tests.servers import start_postgres

from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.families.doctor_report import Health, check_clock, is_local
from osiris.families.duckdb import doctor as duckdb_doctor
from osiris.families.files import doctor as filesystem_doctor
from osiris.families.mysql import doctor as mysql_doctor
from osiris.families.postgres import doctor as postgres_doctor
from osiris.families.sqlite import doctor as sqlite_doctor
from osiris.secret import Secret

NUMBERS = count()
PASSWORD = "röle's %s \\ pass"
NOBODY = 65534


def context(folder, **fields):
    hidden = {name: Secret(value) if name in ("password", "dsn") else value for name, value in fields.items()}
    return StepContext(
        step="@family.alias", root=folder, artifacts=folder, scratch=folder / "scratch", connection=hidden
    )


def refused(examine, *args):
    with pytest.raises(OsirisError) as caught:
        examine(*args)
    return [item.code for item in caught.value.diagnostics]


@pytest.fixture
def folder():
    """A folder that other users can access, unlike that of pytest."""
    made = Path(tempfile.mkdtemp(prefix="osiris-doctor-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@contextmanager
def as_nobody():
    if os.geteuid() != 0:
        pytest.skip("only root may become somebody else")
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


@pytest.fixture
def database(postgres):
    """A database with a table; only the superuser owns anything in it."""
    name = postgres.new_database()
    postgres.run("CREATE TABLE orders (id int, note text)", database=name)
    return name


@pytest.fixture
def role(postgres, database, tmp_path):
    """`role("LOGIN …", statements with {role})` creates a role, and returns its doctor's report."""
    made = []

    def graded(attributes="", *statements):
        name = f"role_{os.getpid()}_{next(NUMBERS)}"
        made.append(name)
        quoted = PASSWORD.replace("'", "''")
        postgres.run(f"CREATE ROLE {name} LOGIN {attributes} PASSWORD '{quoted}'", database=database)
        postgres.run(*(text.format(role=name) for text in statements), database=database)
        fields = postgres.fields(database) | {"user": name, "password": PASSWORD}
        return postgres_doctor.examine(context(tmp_path, **fields), frozenset(), 10)

    yield graded
    for name in reversed(made):
        postgres.run(f"DROP OWNED BY {name} CASCADE", f"DROP ROLE {name}", database=database)


def test_a_postgres_reader(role):
    health = role("", "GRANT SELECT ON orders TO {role}")
    assert (health.grade, list(health.reasons), list(health.diagnostics)) == ("reader", [], [])
    facts = dict(health.facts)
    assert facts["server"].startswith("PostgreSQL 1")
    assert (facts["encrypted"], facts["encoding"], facts["replica"]) == (False, "UTF8", False)
    assert (facts["tables"], facts["readable_tables"]) == (1, 1)
    assert abs(facts["clock_skew_seconds"]) < SOON
    assert 0 < facts["query_ms"] < 1000 * SOON
    assert 0 < facts["connect_ms"] < 1000 * SOON


def test_a_postgres_role_that_reads_nothing(role):
    health = role()
    assert (health.grade, health.facts["readable_tables"]) == ("reader", 0)
    (found,) = health.diagnostics
    assert (found.code, "none of the tables of schema 'public', of which there are 1" in found.message) == (
        "CON030",
        True,
    )
    assert [item.code for item in role("", "GRANT SELECT (id) ON orders TO {role}").diagnostics] == []
    assert [item.code for item in role("", "GRANT INSERT ON orders TO {role}").diagnostics] == []


def test_a_postgres_role_that_is_not_let_in_is_told_what_makes_a_reader(role, postgres, database):
    """The script is for this database, although no login succeeded."""
    expected = role("").scripts
    postgres.run(f'REVOKE CONNECT ON DATABASE "{database}" FROM PUBLIC', database=database)
    health = role("")
    assert (health.grade, [item.code for item in health.diagnostics]) == (None, ["DRV020"])
    assert health.scripts == expected
    assert f'GRANT CONNECT ON DATABASE "{database}" TO osiris_reader;' in health.scripts["reader"]


def test_a_postgres_schema_that_is_not_there(postgres, database, tmp_path):
    fields = postgres.fields(database, reader=True)
    assert refused(postgres_doctor.examine, context(tmp_path, **fields, schema="pubic"), (), 10) == ["DRV012"]
    postgres.run(
        "CREATE SCHEMA closed", "CREATE TABLE closed.t ()", "GRANT SELECT ON closed.t TO reader", database=database
    )
    closed = postgres_doctor.examine(context(tmp_path, **fields, schema="closed"), (), 10)
    assert (closed.facts["tables"], closed.facts["readable_tables"]) == (1, 0)


WRITERS = [
    (["GRANT INSERT ON orders TO {role}"], "it may change rows of public.orders"),
    (["GRANT UPDATE (note) ON orders TO {role}"], "it may change rows of public.orders"),
    (["GRANT TRUNCATE ON orders TO {role}"], "it may change rows of public.orders"),
    (["GRANT CREATE ON SCHEMA public TO {role}"], "it may make tables in schema public"),
    (['GRANT CREATE ON DATABASE "{database}" TO {role}'], "it may make schemas"),
    (["ALTER TABLE orders OWNER TO {role}"], "it may change rows of public.orders"),
    (["GRANT pg_write_all_data TO {role}"], "it may change rows of public.orders"),
    (["CREATE VIEW {role}_view AS SELECT * FROM orders", "GRANT DELETE ON {role}_view TO {role}"], "_view"),
]


@pytest.mark.parametrize(("statements", "reason"), WRITERS)
def test_postgres_roles_that_may_write(role, database, statements, reason):
    health = role("", *(text.replace("{database}", database) for text in statements))
    assert health.grade == "writer"
    assert len(health.reasons) == 1
    assert reason in health.reasons[0]


def test_a_postgres_role_that_may_become_a_writer(role, postgres, database):
    """It has no privileges of its own, and does not inherit: it would need SET ROLE first."""
    postgres.run("CREATE ROLE the_writers", "GRANT INSERT ON orders TO the_writers", database=database)
    try:
        health = role("NOINHERIT", "GRANT the_writers TO {role}")
    finally:
        postgres.run("DROP OWNED BY the_writers", "DROP ROLE the_writers", database=database)
    assert (health.grade, list(health.reasons)) == ("writer", ["it may change rows of public.orders"])


def test_many_tables_are_counted(role):
    tables = [f"CREATE TABLE t{number} ()" for number in range(6)]
    health = role("", *tables, "GRANT INSERT ON ALL TABLES IN SCHEMA public TO {role}")
    assert health.reasons == ["it may change rows of public.orders, public.t0, public.t1 and 4 more"]


POWERS = [
    ("SUPERUSER", [], "it is a superuser"),
    ("REPLICATION", [], "it may replicate the whole server"),
    ("BYPASSRLS", [], "it passes by row security"),
    ("CREATEROLE", [], "it may make roles"),
    ("CREATEDB", [], "it may make databases"),
    ("", ["GRANT pg_write_server_files TO {role}"], "it is a member of pg_write_server_files"),
    ("", ["GRANT pg_execute_server_program TO {role}"], "it is a member of pg_execute_server_program"),
    ("NOINHERIT", ["GRANT pg_read_server_files TO {role}"], "it is a member of pg_read_server_files"),
]


@pytest.mark.parametrize(("attributes", "statements", "reason"), POWERS)
def test_postgres_roles_that_are_too_powerful(role, attributes, statements, reason):
    health = role(attributes, *statements)
    assert (health.grade, list(health.reasons)) == ("too powerful", [reason])


def test_postgres_powers_of_others(role, postgres, database):
    """Roles of database hosting services: recognized by name, or by the roles that they can assume."""
    postgres.run("CREATE ROLE rds_superuser", "CREATE ROLE boss SUPERUSER", database=database)
    try:
        hosted = role("", "GRANT rds_superuser TO {role}")
        boss = role("", "GRANT boss TO {role}")
    finally:
        postgres.run("DROP ROLE rds_superuser, boss", database=database)
    assert hosted.reasons == ["it is a member of rds_superuser"]
    assert boss.grade == "too powerful"
    assert "it may become 'boss', which is a superuser" in boss.reasons


def test_everybody_may_make_tables_as_in_older_servers(role, postgres, database):
    """The script for a reader then revokes that; otherwise it would create a writer."""
    postgres.run("GRANT CREATE ON SCHEMA public TO PUBLIC", database=database)
    health = role()
    assert health.reasons == ["it may make tables in schema public"]
    postgres.run(health.scripts["reader"][-1], database=database)
    assert role().grade == "reader"


def test_postgres_over_tls(tmp_path):
    with start_postgres(encrypted=True) as server:
        fields = server.fields(reader=True)

        def examined(**more):
            health = postgres_doctor.examine(context(tmp_path, **fields, **more), frozenset(), 10)
            return health.facts["encrypted"], health.facts["verified"], [item.code for item in health.diagnostics]

        def elsewhere(**more):
            fields["host"] = "127.1"  # the same machine, in a spelling that might be another one
            return examined(**more)

        trusted = {"sslmode": "verify-full", "sslrootcert": str(server.folder / "certificate")}
        assert examined() == (True, False, [])
        assert examined(**trusted) == (True, True, [])
        assert elsewhere(sslmode="require") == (True, False, ["CON021"])
        assert elsewhere(**{**trusted, "sslmode": "require"}) == (True, True, [])
        assert elsewhere(**{**trusted, "sslmode": "verify-ca"}) == (True, True, [])
        assert elsewhere(sslmode="disable") == (False, False, ["CON021"])


def test_clocks_and_machines():
    assert list(check_clock("x", 4.0)) == []
    ((ahead,), (behind,)) = (check_clock("there", skew) for skew in (61.2, -7.0))
    assert (ahead.code, ahead.message) == ("CON022", "the clock of there is 1 min 1 s ahead of this machine's")
    assert "7 s behind" in behind.message
    assert [is_local(host) for host in ("127.0.0.1", "::1", "localhost", "/run/x", "10.0.0.1", "db.example.org")] == [
        *(True,) * 4,
        *(False,) * 2,
    ]


# --- MySQL ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def user(mariadb, tmp_path):
    """`user(statements with {user} and {database})` creates a user, and returns its doctor's report."""
    made, database = [], mariadb.new_database()
    mariadb.run("CREATE TABLE orders (id int, note text)", database=database)

    def graded(*statements):
        name = f"user_{os.getpid()}_{next(NUMBERS)}"
        made.append(name)
        quoted = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
        mariadb.run(f"CREATE USER {name} IDENTIFIED BY '{quoted}'", f"GRANT SELECT ON `{database}`.* TO {name}")
        mariadb.run(*(text.format(user=name, database=f"`{database}`") for text in statements))
        fields = mariadb.fields(database) | {"user": name, "password": PASSWORD}
        return mysql_doctor.examine(context(tmp_path, **fields), frozenset(), 10)

    yield graded
    mariadb.run(*(f"DROP USER {name}" for name in made))


def test_a_mysql_reader(user):
    health = user()
    assert (health.grade, list(health.reasons), list(health.diagnostics)) == ("reader", [], [])
    facts = dict(health.facts)
    assert facts["server"].startswith("MariaDB 1")
    assert (facts["encoding"], facts["readable_tables"], facts["time_zone"]) == ("utf8mb4", 1, "SYSTEM (UTC)")
    assert abs(facts["clock_skew_seconds"]) < SOON


def test_a_mysql_user_that_may_do_nothing(user):
    health = user("REVOKE SELECT ON {database}.* FROM {user}")
    assert (health.grade, [item.code for item in health.diagnostics]) == (None, ["DRV020"])
    assert health.scripts["reader"][-1].startswith("GRANT SELECT, SHOW VIEW ON `db")
    health = user("REVOKE SELECT ON {database}.* FROM {user}", "GRANT EVENT ON {database}.* TO {user}")
    assert health.grade == "writer"
    health = user("REVOKE SELECT ON {database}.* FROM {user}", "GRANT SHOW VIEW ON {database}.* TO {user}")
    assert (health.grade, [item.code for item in health.diagnostics]) == ("reader", ["CON030"])
    assert "lacks privileges: it may read nothing of database 'db" in health.diagnostics[0].message
    health = user("REVOKE SELECT ON {database}.* FROM {user}", "GRANT SELECT (id) ON {database}.orders TO {user}")
    assert (health.grade, list(health.diagnostics)) == ("reader", [])


MYSQL = [
    (["GRANT INSERT ON {database}.orders TO {user}"], "writer", "it has INSERT on `db"),
    (["GRANT UPDATE (note, id), DELETE ON {database}.orders TO {user}"], "writer", "it has DELETE, UPDATE on `db"),
    (["GRANT ALL ON {database}.* TO {user}"], "writer", "it has ALL PRIVILEGES on `db"),
    (["GRANT FILE ON *.* TO {user}"], "too powerful", "it has FILE"),
    (["GRANT PROCESS ON *.* TO {user}"], "too powerful", "it has PROCESS"),
    (["GRANT SUPER ON *.* TO {user}"], "too powerful", "it has "),
    (["GRANT INSERT ON *.* TO {user}"], "too powerful", "it may change every database"),
    (["GRANT UPDATE ON mysql.* TO {user}"], "too powerful", "it may change the database of the server's users"),
    (["GRANT SELECT ON {database}.* TO {user} WITH GRANT OPTION"], "too powerful", "it may hand on its rights to `db"),
]


@pytest.mark.parametrize(("statements", "grade", "reason"), MYSQL)
def test_mysql_users(user, statements, grade, reason):
    health = user(*statements)
    assert health.grade == grade
    assert health.reasons[0].startswith(reason)


def test_a_mysql_user_that_may_take_on_a_role(user, mariadb):
    mariadb.run("CREATE ROLE `inner role`", "CREATE ROLE `outer%role`", "GRANT `inner role` TO `outer%role`")
    mariadb.run("GRANT DELETE, FILE ON *.* TO `inner role`")
    try:
        health = user("GRANT `outer%role` TO {user}")
    finally:
        mariadb.run("DROP ROLE `outer%role`, `inner role`")
    assert health.grade == "too powerful"
    assert health.reasons == ["it has FILE", "it may change every database, that of the server's users too"]


OPEN = "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP ON {} TO PUBLIC"


def test_databases_that_everybody_may_change_make_no_writer(user, mariadb, tmp_path):
    """MariaDB installs such databases; a user who works in one of them can write there."""
    places = ("`test`.*", "`test\\_%`.*")
    mariadb.run("CREATE DATABASE test", *map(OPEN.format, places))
    try:
        health = user()
        inside = mysql_doctor.examine(context(tmp_path, **mariadb.fields("test", reader=True)), frozenset(), 10)
        mariadb.run(OPEN.format("osiris.*"))
        other = user()
    finally:
        mariadb.run("DROP DATABASE test", *(f"REVOKE ALL ON {p} FROM PUBLIC" for p in (*places, "osiris.*")))
    assert (health.grade, list(health.reasons), [item.code for item in health.diagnostics]) == (
        "reader",
        [],
        ["CON029"],
    )
    assert "can write to `test`.* and `test\\_%`.*, as the server is" in health.diagnostics[0].message
    assert (inside.grade, "on `test`.*" in inside.reasons[0]) == ("writer", True)
    assert (other.grade, "on `osiris`.*" in other.reasons[0]) == ("writer", True)


def test_names_that_grant_would_take_for_patterns(user, mariadb, tmp_path):
    mariadb.run("CREATE DATABASE `a_b%c`")
    try:
        fields = mariadb.fields("a_b%c")
        health = mysql_doctor.examine(context(tmp_path, **fields), frozenset(), 10)
    finally:
        mariadb.run("DROP DATABASE `a_b%c`")
    assert "ON `a\\_b\\%c`.* TO" in health.scripts["reader"][-1]


# --- files ------------------------------------------------------------------------------------------------------------


def test_folders(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("")
    (tmp_path / "file").write_text("")
    examine = filesystem_doctor.examine
    health = examine(context(tmp_path, base_dir="data"), (), 10)
    assert (health.grade, health.facts["folder"], health.facts["entries"]) == ("writer", "data", 1)
    assert examine(context(tmp_path), (), 10).facts["folder"] == "."
    assert refused(examine, context(tmp_path, base_dir="gone"), ("read",), 10) == ["DRV001"]
    assert refused(examine, context(tmp_path, base_dir="file"), (), 10) == ["DRV005"]
    made = examine(context(tmp_path, base_dir="new/deep"), ("write",), 10)
    assert (made.grade, made.facts["exists"], (tmp_path / "new").exists()) == ("writer", False, False)


def test_what_others_may_do_with_files(folder):
    (folder / "closed").mkdir(mode=0o700)
    sqlite3.connect(folder / "a.db").close()
    with sqlite3.connect(folder / "a.db") as client:
        client.execute("CREATE TABLE t (a)")
    client.close()
    duckdb.connect(str(folder / "a.duckdb")).close()
    examine = filesystem_doctor.examine
    here = replace(context(folder), scratch=folder / "open")
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    with as_nobody():
        assert examine(context(folder), (), 10).grade == "reader"
        assert refused(examine, context(folder, base_dir="closed"), (), 10) == ["DRV003"]
        assert refused(examine, context(folder, base_dir="new"), ("write",), 10) == ["DRV003"]
        assert sqlite_doctor.examine(context(folder, path="a.db"), (), 10).grade == "reader"
        assert duckdb_doctor.examine(replace(here, connection={"path": "a.duckdb"}), (), 10).grade == "reader"


def locked_sqlite(path):
    client = sqlite3.connect(path, isolation_level=None)
    client.execute("CREATE TABLE t (a)")
    client.execute("BEGIN EXCLUSIVE")
    return client


def locked_duckdb(path):
    """DuckDB does not lock out its own process, so another process holds the lock."""
    import subprocess
    import sys

    code = f"import duckdb, sys; c = duckdb.connect({str(path)!r}); print(1, flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()

    class Holder:
        def close(self):
            process.communicate()

    return Holder()


EMBEDDED = [(sqlite_doctor, locked_sqlite), (duckdb_doctor, locked_duckdb)]


@pytest.mark.parametrize(("doctor", "lock"), EMBEDDED)
def test_databases_in_a_file(tmp_path, doctor, lock):
    path = tmp_path / "a.db"
    here = context(tmp_path, path="a.db")
    assert refused(doctor.examine, here, ("read",), 10) == ["DRV001"]
    new = doctor.examine(here, ("read", "write"), 10)
    assert (new.grade, new.facts["exists"], path.exists()) == ("writer", False, False)
    path.write_text("no database at all")
    assert refused(doctor.examine, here, (), 10) == ["DRV010"]
    path.unlink()
    holder = lock(path)
    try:
        assert refused(doctor.examine, here, (), 1) == ["DRV011"]
    finally:
        holder.close()
    health = doctor.examine(here, (), 10)
    assert isinstance(health, Health)
    assert (health.grade, health.facts["exists"]) == ("writer", True)
    assert list(tmp_path.glob("*.wal")) == []


def test_a_sqlite_file_that_is_being_written(tmp_path):
    with sqlite3.connect(tmp_path / "a.db", isolation_level=None) as client:
        client.execute("PRAGMA journal_mode = WAL")
        client.execute("CREATE TABLE t (a)")
        here = context(tmp_path, path="a.db")
        assert sqlite_doctor.examine(here, (), 10).facts["locked"] is False
        client.execute("BEGIN IMMEDIATE")
        assert sqlite_doctor.examine(here, (), 10).facts["locked"] is True
        client.execute("ROLLBACK")
    client.close()
