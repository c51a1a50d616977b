"""Steps of one entry read one state of a MySQL database, over one connection, one after another."""

import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pymysql
import pytest
from tests.patience import SOON, wait_until

from osiris.components.mysql_extractor.driver import Config, Driver
from osiris.components.mysql_writer.driver import Config as Writer
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.families.mysql.database import MYSQL
from osiris.replication import Cursor
from osiris.secret import Secret

A, B = Config(table="a"), Config(table="b")
SCHEMA = "(id INT PRIMARY KEY, stamp TIMESTAMP(6) NOT NULL DEFAULT now(6)) ENGINE = {}"


class Place:
    def __init__(self, server, folder):
        self.server, self.name = server, server.new_database()
        self.run(*(f"CREATE TABLE {name} {SCHEMA.format('InnoDB')}" for name in "ab"))
        self.run("INSERT INTO a (id) VALUES (1), (2)", "INSERT INTO b (id) VALUES (1)")
        self.ctx = self.context(folder)

    def context(self, folder, **more):
        fields = self.server.fields(self.name, **more)
        fields["password"] = Secret(fields["password"])
        return StepContext("load", folder, folder, folder, connection=fields)

    def run(self, *statements):
        self.server.run(*statements, database=self.name)

    @contextmanager
    def shared(self, *configs, ctx=None):
        with Driver().shared(configs or (A, B), ctx or self.ctx) as shared:
            yield replace(self.ctx, shared=shared)

    def count(self, config, ctx):
        schema = Driver().describe(config, self.ctx).schema
        return sum(batch.num_rows for batch in Driver().read(config, schema, ctx).batches())


@pytest.fixture
def place(mariadb, tmp_path):
    return Place(mariadb, tmp_path)


def failed(call):
    with pytest.raises(OsirisError) as raised:
        call()
    return raised.value.diagnostics[0]


def test_all_tables_are_seen_in_one_state(place):
    with place.shared() as ctx:
        assert ctx.shared.tables == {(None, "a"), (None, "b")}
        place.run("INSERT INTO b (id) VALUES (2)", "DELETE FROM a")
        assert [place.count(each, ctx) for each in (A, B, A)] == [2, 1, 2]
        assert place.count(B, place.ctx) == 2


def test_no_table_can_be_altered_before_it_was_read(place):
    with place.shared() as ctx:
        for statement in ("ALTER TABLE b ADD COLUMN n INT", "TRUNCATE TABLE b", "DROP TABLE b"):
            with pytest.raises(pymysql.OperationalError, match="1205"):
                place.run("SET SESSION lock_wait_timeout = 1", statement)
        assert place.count(B, ctx) == 1
    place.run("TRUNCATE TABLE b")


def test_tables_that_cannot_be_locked_and_other_engines_are_read_apart(place):
    place.run(f"CREATE TABLE m {SCHEMA.format('MyISAM')}", "CREATE VIEW v AS SELECT * FROM a")
    with place.server.connect(place.name) as holder:
        holder.query("LOCK TABLES b WRITE")
        with place.shared(A, B, Config(table="m"), Config(table="v"), Config(table="absent")) as ctx:
            assert ctx.shared.tables == {(None, "a"), (None, "v")}
    with place.shared(Config(table="m")) as ctx:
        assert not ctx.shared.tables


def test_steps_wait_for_their_turn_and_can_be_cancelled_meanwhile(place):
    order, asked = [], []

    def second(ctx):
        place.count(B, ctx)
        order.append("second")

    with place.shared() as ctx:
        waiting = threading.Thread(target=second, args=(ctx,))
        with MYSQL.read_session(ctx, A):
            waiting.start()
            cancelled = replace(ctx, cancelled=lambda: len(asked) == 5 or asked.append(1))
            assert failed(lambda: place.count(B, cancelled)).code == "RUN003"
            order.append("first")
        waiting.join(SOON)
        assert order == ["first", "second"]
        assert place.count(A, ctx) == 2


def test_a_step_that_is_cancelled_while_it_reads_leaves_the_others_to_read_apart(place):
    stopped = threading.Event()

    def sleep(ctx):
        with MYSQL.read_session(ctx, A) as session:
            stopped.set()
            session.rows("SELECT sleep(30)")

    with place.shared() as ctx:
        assert failed(lambda: sleep(replace(ctx, cancelled=stopped.is_set))).code == "RUN003"
        place.run("INSERT INTO b (id) VALUES (2)")
        assert place.count(B, ctx) == 2


def test_after_the_connection_broke_one_step_fails_and_the_others_read_apart(place):
    with place.shared() as ctx:
        place.run(f"KILL {ctx.shared.session.connection.thread_id()}")
        assert failed(lambda: place.count(A, ctx)).code == "CON014"
        place.run("INSERT INTO b (id) VALUES (2)")
        events = []
        assert place.count(B, replace(ctx, emit=lambda *event: events.append(event))) == 2
        assert events == [("snapshot_left", {"table": "b"})]


def test_a_step_that_fails_before_its_rows_keeps_the_state_for_the_others(place):
    with place.shared() as ctx:
        other = Driver().describe(Config(table="a", columns=("id",)), place.ctx).schema
        assert failed(lambda: list(Driver().read(A, other, ctx).batches())).code == "DAT011"
        assert failed(lambda: place.count(Config(table="absent"), ctx)).code == "DRV012"
        place.run("INSERT INTO b (id) VALUES (2)")
        assert place.count(B, ctx) == 1


def test_rows_that_were_not_read_to_their_end_do_not_reach_the_next_step(place):
    numbers = "WITH RECURSIVE n AS (SELECT 3 i UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT i FROM n"
    place.run(f"INSERT INTO a (id) {numbers}")
    with place.shared() as ctx:
        schema = Driver().describe(A, place.ctx).schema
        batches = Driver().read(replace(A, batch_size=1), schema, ctx).batches()
        next(batches)
        batches.close()
        assert place.count(B, ctx) == 1


# What the server was asked before


def test_each_pair_takes_from_one_question_what_its_position_needs(place):
    cursor = Cursor("stamp", "open_transactions")

    def moment(ctx, before):
        with MYSQL.read_session(ctx, A) as session:
            return MYSQL.moment(session, ctx, cursor, MYSQL.select(session, A, ctx), before)

    known = moment(place.ctx, {}).details
    with place.server.connect(place.name) as writer:
        writer.query("SET time_zone = '+00:00'")
        writer.query("BEGIN")
        writer.query("INSERT INTO a (id) VALUES (10)")
        time.sleep(3.2)
        with place.shared() as ctx:
            late, fresh = moment(ctx, known), moment(ctx, {})
            assert not late.unknown
            assert late.pending <= late.clock.replace(microsecond=0)
            with writer.cursor() as cursor_of:
                cursor_of.execute("SELECT stamp FROM a WHERE id = 10")
                ((stamp,),) = cursor_of.fetchall()
            assert late.pending.replace(tzinfo=None) <= stamp
            assert fresh.pending >= late.pending
            assert place.count(A, ctx) == 2
        writer.query("COMMIT")


def test_without_the_privilege_to_see_transactions_only_their_cursors_fail(place, tmp_path):
    reader = place.context(tmp_path, reader=True)
    with place.shared(ctx=reader) as ctx:
        ctx = replace(reader, shared=ctx.shared)
        with MYSQL.read_session(ctx, A) as session:
            source = MYSQL.select(session, A, ctx)
            assert MYSQL.moment(session, ctx, Cursor("stamp", "lag", 60, is_lag_in_time=True), source, {})
            cursor = Cursor("stamp", "open_transactions")
            assert failed(lambda: MYSQL.moment(session, ctx, cursor, source, {})).code == "STA008"


# snapshot: lock


def test_a_lock_on_all_tables_waits_for_two_seconds_and_needs_a_privilege(place, tmp_path):
    locking = (replace(A, snapshot="lock"), B)
    with place.shared(*locking) as ctx:
        place.run("INSERT INTO a (id) VALUES (7)")  # the lock was released
        assert place.count(A, ctx) == 2

    def share(ctx):
        with place.shared(*locking, ctx=ctx):
            pass

    refused = failed(lambda: share(place.context(tmp_path, reader=True)))
    assert refused.code == "DRV020"
    assert refused.hint.startswith("run GRANT RELOAD ON *.* TO")
    statement = f"INSERT INTO b (id) SELECT 90 + get_lock('gate', {2 * SOON})"
    with place.server.connect(place.name) as keeper, keeper.cursor() as asking:
        asking.execute("DO GET_LOCK('gate', 0)")
        writing = threading.Thread(target=place.run, args=(statement,))
        writing.start()
        wait_until(lambda: asking.execute("SELECT 1 FROM information_schema.PROCESSLIST WHERE STATE = 'User lock'"))
        assert failed(lambda: share(place.ctx)).code == "DRV011"
        assert writing.is_alive()
        asking.execute("DO RELEASE_LOCK('gate')")
        writing.join()


# Identities


def test_a_target_that_is_created_again_has_another_identity_and_an_altered_one_has_not(place):
    def identity():
        delivery = MYSQL.delivery(Writer(table="a"), (), place.ctx)
        with MYSQL.inspect_session(delivery) as session:
            return MYSQL.identity(session, delivery)

    first = identity()
    place.run(
        "ALTER TABLE a ADD COLUMN n INT",
        "ALTER TABLE a ADD KEY (n)",
        "ANALYZE TABLE a",
        "INSERT INTO a (id) VALUES (5)",
    )
    assert identity() == first
    place.run("DROP TABLE a", f"CREATE TABLE a {SCHEMA.format('InnoDB')}")
    assert identity() != first


def test_a_source_is_its_server_and_the_names_of_its_tables(place):
    def identity(config):
        with MYSQL.read_session(place.ctx, config) as session:
            return MYSQL.source_identity(session, MYSQL.select(session, config, place.ctx))

    first = identity(A)
    place.run("ALTER TABLE a FORCE", "TRUNCATE TABLE a")
    assert identity(A) == first != identity(B)
