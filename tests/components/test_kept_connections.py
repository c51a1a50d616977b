"""Steps of one job use a connection one after the other; nothing of a step remains in it for the next."""

from contextlib import contextmanager
from dataclasses import replace
from time import sleep

import pytest
from tests.patience import wait_until

from osiris.driver import Kept, StepContext
from osiris.errors import OsirisError
from osiris.families.mysql.connect import address as mysql_address
from osiris.families.mysql.session import described as mysql_described
from osiris.families.mysql.session import opened as mysql_opened
from osiris.families.mysql.session import read_query, reading
from osiris.families.postgres import session as pg
from osiris.families.postgres.database import POSTGRES
from osiris.secret import Secret

CLEAN = "SELECT @@max_statement_time, @@transaction_isolation, @@sql_mode, @@autocommit, @@character_set_client, @left"


@pytest.fixture
def ctx(request, tmp_path):
    """Return a function that makes the context of a step of a job; all share their connections."""
    kept = Kept()
    fields = {}

    def make(kind, **more):
        server = request.getfixturevalue(kind)
        if not fields:
            fields.update(server.fields(server.new_database()) | more)
            fields["password"] = Secret(fields["password"])
        return StepContext("step", tmp_path, tmp_path, tmp_path / "scratch", fields, kept=kept)

    yield make
    kept.close()


@contextmanager
def mysql(ctx, **options):
    with mysql_opened(ctx, mysql_address(ctx.connection), **options) as session:
        yield session


def pid(session):
    return session.rows("SELECT pg_backend_pid()")[0][0]


def test_postgres_is_connected_to_once(ctx):
    with pg.reading(ctx("postgres")) as session:
        first = pid(session)
    with pg.opened(ctx("postgres")) as session:
        assert pid(session) == first
        pg.begin_writing(session)
        session.run("CREATE TEMPORARY TABLE mine (a int)")
        session.run("COMMIT")
    with pg.reading(ctx("postgres")) as session:
        assert pid(session) == first
        assert not session.rows("SELECT 1 FROM pg_class WHERE relname = 'mine'")
    with pg.opened(ctx("postgres")) as session:
        (settings,) = session.rows("SELECT current_setting('lock_timeout'), current_setting('search_path')")
        assert settings == ("0", '"$user", public')
        assert session.connection.info.transaction_status.name == "IDLE"


def test_what_a_session_has_seen_of_our_tables_is_of_one_schema_and_ends_with_its_transaction(ctx):
    with pg.opened(ctx("postgres")) as session:
        aside = replace(session, schema="aside")
        pg.begin_writing(session)
        session.run("CREATE TABLE _osiris_state (a int)")
        assert POSTGRES.has_own(session, "_osiris_state")
        assert not POSTGRES.has_own(aside, "_osiris_state")
        session.run("ROLLBACK")
        assert not POSTGRES.has_own(session, "_osiris_state")


def test_two_sessions_at_once_have_a_connection_each(ctx):
    with pg.reading(ctx("postgres")) as one, pg.reading(ctx("postgres")) as two:
        assert pid(one) != pid(two)


def test_without_a_job_each_step_of_postgres_connects(ctx):
    alone = replace(ctx("postgres"), kept=None)
    with pg.reading(alone) as session:
        first = pid(session)
    with pg.reading(alone) as session:
        assert pid(session) != first


def test_a_connection_of_postgres_with_an_error_or_unread_rows_is_closed(ctx):
    failed = []

    def fail():
        with pg.reading(ctx("postgres")) as session:
            failed.append(pid(session))
            session.run("SELECT 1 / 0")

    with pytest.raises(OsirisError):
        fail()
    with pg.reading(ctx("postgres")) as session:
        unread = pid(session)
        assert unread not in failed
        session.connection.pgconn.send_query(b"COPY (SELECT * FROM generate_series(1, 1000000)) TO STDOUT")
    with pg.reading(ctx("postgres")) as session:
        assert pid(session) != unread


def test_a_connection_that_the_server_ended_meanwhile_is_replaced(ctx, postgres):
    with pg.reading(ctx("postgres")) as session:
        first = pid(session)
    postgres.run(f"SELECT pg_terminate_backend({first}, 5000)")
    with pg.reading(ctx("postgres")) as session:
        assert pid(session) != first


def test_a_connection_that_waited_for_long_is_replaced(ctx, monkeypatch):
    monkeypatch.setattr(Kept, "SECONDS", 0.01)
    with pg.reading(ctx("postgres")) as session:
        first = pid(session)
    sleep(0.05)
    with pg.reading(ctx("postgres")) as session:
        assert pid(session) != first


def test_all_connections_are_closed_at_the_end(ctx, postgres):
    step = ctx("postgres")
    with pg.reading(step) as one, pg.reading(step) as two:
        left = [pid(one), pid(two)]
    step.kept.close()
    with postgres.connect() as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)"
        wait_until(lambda: connection.execute(query, (left,)).fetchone() == (0,))


def test_mariadb_is_connected_to_once_and_each_step_has_a_new_session(ctx):
    with mysql(ctx("mariadb", statement_timeout=7)) as session:
        first, clean = session.connection.thread_id(), session.rows(CLEAN)
        session.run("SET @left = 1")
        session.run("CREATE TEMPORARY TABLE mine (a INT)")
    with reading(ctx("mariadb")) as session:
        assert session.connection.thread_id() == first
        assert session.rows("SELECT @@max_statement_time") == [(7.0,)]
    with mysql(ctx("mariadb")) as session:
        assert session.connection.thread_id() == first
        assert session.rows(CLEAN) == clean
        with pytest.raises(session.connection.ProgrammingError, match="mine"):
            session.rows("SELECT * FROM mine")


def test_mariadb_sends_rows_over_connections_of_their_own(ctx):
    with reading(ctx("mariadb")) as session:
        first = session.connection.thread_id()
    with mysql(ctx("mariadb"), sends_rows=True) as session:
        assert session.connection.thread_id() != first


def test_a_connection_of_mariadb_with_unread_rows_is_closed(ctx):
    with reading(ctx("mariadb")) as session:
        source = mysql_described(session, "SELECT seq FROM seq_1_to_1000000")
        first = session.connection.thread_id()
        assert sum(batch.rows.num_rows for batch in read_query(session, source.text, source.detail)) == 1_000_000
    with reading(ctx("mariadb")) as session:
        assert session.connection.thread_id() == first
        batches = read_query(session, source.text, source.detail)
        next(batches)
        batches.close()
    with reading(ctx("mariadb")) as session:
        assert session.connection.thread_id() != first


def test_a_connection_that_mariadb_ended_meanwhile_is_replaced(ctx, mariadb):
    with reading(ctx("mariadb")) as session:
        first = session.connection.thread_id()
    mariadb.run(f"KILL {first}")
    with mariadb.connect() as other, other.cursor() as asking:
        wait_until(lambda: not asking.execute(f"SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = {first}"))
    with mysql(ctx("mariadb")) as session:
        assert session.connection.thread_id() != first
