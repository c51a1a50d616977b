"""Which rows may arrive late: open transactions, statements and prepared transactions hold the mark back, on servers.

The truth is always the stamp of a row that is not committed: no moment may be later than it.
"""

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from tests.patience import SOON, wait_until
from tests.servers import start_mariadb, start_postgres
from tests.servers.postgres import start_standby

from osiris.components.mysql_extractor.driver import Config as MySQLConfig
from osiris.components.mysql_writer.driver import Config as MySQLWriter
from osiris.components.postgres_extractor.driver import Config as PostgresConfig
from osiris.components.postgres_writer.driver import Config as PostgresWriter
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.families.mysql.database import MYSQL
from osiris.families.postgres.database import POSTGRES
from osiris.replication import Cursor
from osiris.secret import Secret

CURSOR = Cursor("stamp", "open_transactions")
STATES = "SELECT 1 FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND STATE"
ZONES = ("America/New_York", "Asia/Kolkata")
TABLE = {
    "mysql": "CREATE TABLE t (id INT PRIMARY KEY, stamp TIMESTAMP(6) NOT NULL DEFAULT now(6), KEY (stamp))",
    "postgres": "CREATE TABLE t (id int PRIMARY KEY, stamp timestamptz NOT NULL DEFAULT now())",
}


class Place:
    """A database with a table `t`; `moment(before)` asks its server as a run does."""

    def __init__(self, server, family, folder):
        self.server, self.family, self.folder = server, family, folder
        self.database, self.config = (MYSQL, MySQLConfig) if family == "mysql" else (POSTGRES, PostgresConfig)
        self.name = server.new_database()
        self.run(TABLE[family])

    def run(self, *statements):
        self.server.run(*statements, database=self.name)

    @contextmanager
    def session(self, *, reader=False, server=None, **more):
        fields = (server or self.server).fields(self.name, reader=reader)
        fields["password"] = Secret(fields["password"])
        ctx = StepContext("load", self.folder, self.folder, self.folder, connection=fields)
        config = self.config(**(more or {"table": "t"}))
        with self.database.read_session(ctx, config) as session:
            yield session, ctx, self.database.select(session, config, ctx)

    def moment(self, before=None, cursor=CURSOR, **more):
        with self.session(**more) as (session, ctx, source):
            return self.database.moment(session, ctx, cursor, source, before or {})

    @contextmanager
    def client(self):
        """A client of the database: `client(statement)` returns its rows."""
        connection = self.server.connect(self.name)
        cursor = connection.cursor()

        def ask(statement):
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

        try:
            yield ask
        finally:
            connection.close()


@pytest.fixture
def mysql(mariadb, tmp_path):
    return Place(mariadb, "mysql", tmp_path)


@pytest.fixture
def postgresql(postgres, tmp_path):
    return Place(postgres, "postgres", tmp_path)


@pytest.fixture(params=["mysql", "postgresql"])
def place(request):
    return request.getfixturevalue(request.param)


def stamp(client):
    """Return the least stamp that a client sees, in UTC."""
    ((least,),) = client("SELECT min(stamp) FROM t")
    return least.astimezone(UTC) if least.tzinfo else least.replace(tzinfo=UTC)


def insert(client, number):
    client(f"INSERT INTO t (id) VALUES ({number})")


def refused(call):
    with pytest.raises(OsirisError) as raised:
        call()
    (diagnostic,) = raised.value.diagnostics
    assert diagnostic.code == "STA008"
    return diagnostic.message, diagnostic.hint


# Transactions


def test_an_idle_transaction_holds_the_moment_back(place):
    before = place.moment().details
    with place.client() as client:
        client("SET time_zone = '+00:00'") if place.family == "mysql" else None
        client("BEGIN")
        insert(client, 1)
        time.sleep(3.2)
        moment = place.moment(before)
        assert not moment.unknown
        assert moment.pending <= stamp(client)
        assert moment.holder
        client("COMMIT")
        moment = place.moment(moment.details)
        assert not moment.unknown
        assert moment.pending > stamp(client) + timedelta(seconds=2)


def test_readers_do_not_hold_the_moment_back(mysql):
    with mysql.client() as keeper, mysql.client() as idle, mysql.client() as reader:
        keeper("DO GET_LOCK('gate', 0)")
        insert(idle, 1)
        idle("BEGIN")
        idle("SELECT * FROM t")
        reader("START TRANSACTION READ ONLY")
        slow = threading.Thread(target=reader, args=(f"SELECT get_lock('gate', {SOON}) FROM t",))
        slow.start()
        wait_until(lambda: keeper(f"{STATES} = 'User lock'"))
        ((began,),) = keeper("SELECT utc_timestamp(6)")
        time.sleep(4)
        moment = mysql.moment()
        assert slow.is_alive()
        assert not moment.unknown
        assert moment.pending.replace(tzinfo=None) > began + timedelta(seconds=2)
        keeper("DO RELEASE_LOCK('gate')")
        slow.join()


def test_a_statement_that_waits_for_a_table_was_stamped_before_its_transaction_started(mysql):
    before = mysql.moment().details
    with mysql.client() as owner, mysql.client() as writer:
        writer("SET time_zone = '+00:00'")
        owner("LOCK TABLES t WRITE")
        writer("BEGIN")
        waiting = threading.Thread(target=insert, args=(writer, 1))
        waiting.start()
        wait_until(lambda: owner(f"{STATES} LIKE 'Waiting for table%'"))
        time.sleep(4)
        with mysql.session(query="SELECT current_timestamp(6) AS stamp") as (session, ctx, source):
            during = MYSQL.moment(session, ctx, CURSOR, source, before)
        owner("UNLOCK TABLES")
        waiting.join()
        after = [mysql.moment(each) for each in (before, during.details)]
        for moment in (during, *after):
            assert not moment.unknown
            assert moment.pending <= stamp(writer)
        ((started,),) = writer("SELECT trx_started FROM information_schema.INNODB_TRX WHERE trx_rows_modified > 0")
        assert started.replace(tzinfo=UTC) > stamp(writer) + timedelta(seconds=2)
        later = mysql.moment(after[0].details)
        assert later.pending <= stamp(writer), "a transaction keeps its first bound"
        writer("COMMIT")


def test_without_an_earlier_question_the_start_of_an_open_transaction_is_unknown(mysql):
    with mysql.client() as client:
        client("BEGIN")
        insert(client, 1)
        first = mysql.moment()
        assert first.unknown
        assert mysql.moment(first.details).unknown
        client("COMMIT")
        client("BEGIN")
        insert(client, 2)
        moment = mysql.moment(first.details)
        client("SET time_zone = '+00:00'")
        ((own,),) = client("SELECT stamp FROM t WHERE id = 2")
        assert not moment.unknown
        assert moment.pending <= own.replace(tzinfo=UTC)
        client("COMMIT")


def test_an_answer_from_the_cache_of_transactions_is_not_taken(mysql):
    before, stop = mysql.moment().details, threading.Event()

    def poll():
        with mysql.client() as client:
            while not stop.is_set():
                client("SELECT COUNT(*) FROM information_schema.INNODB_TRX")
                time.sleep(0.02)

    poller = threading.Thread(target=poll)
    poller.start()
    try:
        time.sleep(0.5)
        with mysql.client() as client:
            client("SET time_zone = '+00:00'")
            client("BEGIN")
            insert(client, 1)
            time.sleep(2)
            moment = mysql.moment(before)
            assert moment.unknown or moment.pending <= stamp(client)
    finally:
        stop.set()
        poller.join()


def test_a_prepared_transaction_of_mysql_has_no_known_start(mysql):
    before = mysql.moment().details
    with mysql.client() as client:
        for statement in ("XA START 'a'", "INSERT INTO t (id) VALUES (1)", "XA END 'a'", "XA PREPARE 'a'"):
            client(statement)
        assert not mysql.moment(before).unknown
    until = time.monotonic() + SOON
    while not (moment := mysql.moment(before)).unknown:
        assert time.monotonic() < until
    mysql.run("XA COMMIT 'a'")
    assert not mysql.moment(moment.details).unknown


SENDING = ("max_prepared_transactions=5", "wal_level=logical", "max_wal_senders=4")


@pytest.fixture(scope="module")
def prepared_server():
    with start_postgres(*SENDING) as server:
        yield server


def test_a_prepared_transaction_of_postgres_has_no_known_start(prepared_server, tmp_path):
    place = Place(prepared_server, "postgres", tmp_path)
    with place.client() as client:
        for statement in ("BEGIN", "INSERT INTO t VALUES (1)", "PREPARE TRANSACTION 'a'"):
            client(statement)
    assert place.moment().unknown
    place.run("COMMIT PREPARED 'a'")
    assert not place.moment().unknown


# What is refused


def test_transactions_that_are_hidden_are_refused(place):
    with place.client():
        if place.family == "postgres":
            place.run("GRANT SELECT ON t TO reader")
        problem, hint = refused(lambda: place.moment(reader=True))
    assert "hidden" in problem
    assert ("GRANT PROCESS ON *.* TO `reader`" if place.family == "mysql" else "GRANT pg_read_all_stats") in hint


def test_sessions_without_a_known_start_are_refused(postgresql):
    with postgresql.client() as client:
        client("SET track_activities = off")
        client("BEGIN")
        insert(client, 1)
        assert "track_activities" in refused(postgresql.moment)[1]


def test_a_table_of_a_subscription_is_refused(prepared_server, tmp_path):
    """The subscription only exists: one that copies rows within a server can make it wait for itself when dropped."""
    source, target = (Place(prepared_server, "postgres", tmp_path) for _ in range(2))
    source.run("CREATE PUBLICATION p FOR TABLE t")
    fields = {"dbname": source.name, **{k: v for k, v in prepared_server.fields().items() if k != "database"}}
    quoted = {name: str(value).replace("\\", "\\\\").replace("'", "\\'") for name, value in fields.items()}
    to = " ".join(f"{name}='{value}'" for name, value in quoted.items()).replace("'", "''")
    idle = "enabled = false, create_slot = false, slot_name = NONE"
    target.run(f"CREATE SUBSCRIPTION s CONNECTION '{to}' PUBLICATION p WITH ({idle})")
    assert "subscription" in refused(target.moment)[0]
    assert source.moment()
    target.run("DROP SUBSCRIPTION s")


def test_a_standby_is_refused(prepared_server, tmp_path):
    place = Place(prepared_server, "postgres", tmp_path)
    with start_standby(prepared_server, *SENDING) as standby:
        assert "standby" in refused(lambda: place.moment(server=standby))[0]
        assert place.moment(server=standby, cursor=Cursor("stamp", "lag", 60))


OWN = {"_osiris_state": ("INSERT", "UPDATE", "SELECT"), "_osiris_overlap": ("INSERT", "DELETE", "SELECT")}


@pytest.mark.parametrize("table", OWN)
def test_rights_to_the_tables_of_states_are_required(place, table):
    reader = "reader@'%'" if place.family == "mysql" else "reader"
    for name in ("_osiris_ledger", *OWN):
        columns = {"_osiris_ledger": place.database.ledger_columns, **place.database.state_columns}[name]
        rights = "SELECT" if name == table else "SELECT, INSERT, UPDATE, DELETE"
        place.run(f"CREATE TABLE {name} {columns}", f"GRANT {rights} ON {name} TO {reader}")
    place.run(f"GRANT SELECT ON t TO {reader}")
    with place.session(reader=True) as (_, ctx, source):
        ctx = replace(ctx, run_key="r", pair={"source": "t"})
    writer = {"mysql": MySQLWriter, "postgres": PostgresWriter}[place.family]
    delivery = place.database.delivery(writer(table="t"), source.schema, ctx)
    with place.database.inspect_session(delivery) as session:
        place.database.expect_ledger_privileges(session, replace(delivery, ctx=replace(ctx, pair=None)))
    with pytest.raises(OsirisError) as raised, place.database.inspect_session(delivery) as session:
        place.database.expect_ledger_privileges(session, delivery)
    (diagnostic,) = raised.value.diagnostics
    assert diagnostic.code == "DRV020"
    assert table in diagnostic.message
    assert all(right in diagnostic.hint for right in OWN[table] if right != "SELECT")


@pytest.mark.parametrize("engine", ["MyISAM", "Aria"])
def test_engines_without_visible_transactions_are_refused(mysql, engine):
    mysql.run(f"ALTER TABLE t ENGINE = {engine}")
    assert engine in refused(mysql.moment)[0]


def test_mysql_has_no_transaction_ids_of_rows(mysql):
    with mysql.session() as (session, _ctx, source):
        refused(lambda: MYSQL.snapshot(session, CURSOR, source))


@pytest.mark.parametrize("zone", ZONES)
def test_the_zone_of_the_operating_system_and_replicas(tmp_path, zone):
    with start_mariadb("server-id=7", zone=zone) as server:
        place = Place(server, "mysql", tmp_path)
        assert place.moment().clock - datetime.now(UTC) < timedelta(seconds=2)
        test_an_idle_transaction_holds_the_moment_back(place)
        place.run("CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1, MASTER_USER = 'x'", "START SLAVE")
        assert "replica" in refused(place.moment)[0]
        place.run("STOP SLAVE")
        assert "replica" in refused(place.moment)[0]
        place.run("RESET SLAVE ALL")
        assert place.moment()


# Columns


def stamps(place, zone="UTC"):
    """Return whether the catalogue shows that the server's clock gives the values of s.stamp."""
    with place.session(table="s") as (session, _ctx, source):
        (column,) = [each for each in source.schema if each.name == "stamp"]
        return place.database.is_stamped(session, place.database.relation(session, "s"), column, zone)


STAMPED = [
    ("TIMESTAMP NOT NULL DEFAULT current_timestamp()", True),
    ("DATETIME(3) NOT NULL DEFAULT now(3) ON UPDATE now(3)", True),
    ("DATETIME NOT NULL DEFAULT (utc_timestamp())", True),
    ("DATE NOT NULL DEFAULT (curdate())", True),
    ("DATETIME NOT NULL DEFAULT (now() - INTERVAL 1 DAY)", False),
    ("DATETIME NOT NULL DEFAULT (curdate())", False),
    ("DATETIME NOT NULL DEFAULT '2020-01-01'", False),
    ("DATETIME NOT NULL", False),
]


@pytest.mark.parametrize(("column", "stamped"), STAMPED)
def test_a_default_shows_that_the_server_stamps(mysql, column, stamped):
    mysql.run(f"CREATE TABLE s (id INT PRIMARY KEY, stamp {column})")
    assert stamps(mysql) == stamped
    if "utc_timestamp" in column:
        assert not stamps(mysql, "Europe/Prague")


POSTGRES_STAMPED = [
    ("timestamptz NOT NULL DEFAULT now()", "UTC", True),
    ("timestamptz NOT NULL DEFAULT clock_timestamp()", "UTC", True),
    ("timestamp(3) NOT NULL DEFAULT localtimestamp", "Europe/Prague", True),
    ("timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'utc')", "UTC", True),
    ("timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'Etc/UTC')::timestamp(0)", "UTC", True),
    ("timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'America/New_York')", "America/New_York", True),
    ("timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'America/New_York')", "UTC", False),
    ("timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'utc')", "Europe/Prague", False),
    ("timestamptz NOT NULL DEFAULT (now() AT TIME ZONE 'utc')", None, False),
    ("date NOT NULL DEFAULT current_date", None, True),
    ("date NOT NULL DEFAULT now()::date", None, True),
    ("timestamp NOT NULL DEFAULT current_date", "UTC", False),
    ("timestamptz NOT NULL DEFAULT (localtimestamp AT TIME ZONE 'utc')", "UTC", False),
    ("timestamptz NOT NULL DEFAULT now()::date", None, False),
    ("timestamptz NOT NULL DEFAULT now() - interval '1 day'", None, False),
    ("timestamptz NOT NULL DEFAULT date_trunc('day', now())", None, False),
    ("timestamptz NOT NULL", None, False),
]


@pytest.mark.parametrize(("column", "zone", "stamped"), POSTGRES_STAMPED)
def test_a_default_of_postgres_shows_that_the_server_stamps(postgresql, column, zone, stamped):
    postgresql.run(f"CREATE TABLE s (id int PRIMARY KEY, stamp {column})")
    assert stamps(postgresql, zone) == stamped


TRIGGERS = [
    ("BEFORE INSERT", "SET NEW.stamp = now(6)", True),
    ("BEFORE INSERT", "BEGIN SET NEW.id = 1, new.`stamp` := UTC_TIMESTAMP; END", True),
    ("BEFORE INSERT", "BEGIN SET NEW.stamp2 = concat(';', ','); SET NEW.stamp = now(6); END", True),
    ("BEFORE UPDATE", "SET NEW.stamp = now()", None),
    ("BEFORE INSERT", "SET NEW.stamp = now() - INTERVAL 1 DAY", False),
    ("BEFORE INSERT", "SET NEW.stamp = convert_tz(now(), 'UTC', '+02:00')", False),
    ("BEFORE INSERT", "SET NEW.stamp2 = now()", None),
    ("BEFORE INSERT", "BEGIN /* SET NEW.stamp = now(6); */ SET NEW.id = 1; END", None),
    ("BEFORE INSERT", "BEGIN\n-- SET NEW.stamp = now(6);\nSET NEW.id = 1; END", None),
    ("BEFORE INSERT", "BEGIN\n# SET NEW.stamp = now(6);\nSET NEW.id = 1; END", False),
    ("BEFORE INSERT", "SET @text = 'SET NEW.stamp = now(6)'", False),
    ("BEFORE INSERT", "SET @text = 'it\\'s SET NEW.stamp = now(6); '", False),
    ("BEFORE INSERT", "IF NEW.id > 10 THEN SET NEW.stamp = now(6); END IF", False),
    ("BEFORE INSERT", "SET NEW.stamp = now(6), NEW.stamp = '2020-01-01'", False),
    ("BEFORE INSERT", "SET NEW.stamp = now(6)--1", False),
    ("BEFORE INSERT", "SET NEW.stamp = if(NEW.id > 1, now(6), '2020-01-01')", False),
]


@pytest.mark.parametrize("default", ["", " DEFAULT now(6)"])
@pytest.mark.parametrize(("when", "body", "stamped"), TRIGGERS)
def test_a_trigger_shows_that_the_server_stamps(mysql, default, when, body, stamped):
    """A default is enough if the trigger leaves the column as it is (None)."""
    mysql.run(f"CREATE TABLE s (id INT PRIMARY KEY, stamp DATETIME(6) NOT NULL{default}, stamp2 DATETIME)")
    mysql.run(f"CREATE TRIGGER stamping {when} ON s FOR EACH ROW {body}")
    assert stamps(mysql) == (bool(default) if stamped is None else stamped)


POSTGRES_TRIGGERS = [
    ("NEW.stamp := now(); RETURN NEW;", True),
    ('NEW.id = 1; NEW."stamp" = clock_timestamp ( ) ; /* why */ RETURN NEW;', True),
    ("NEW.note := 'NEW.stamp := now();'; NEW.stamp := statement_timestamp(); -- done\n RETURN NEW;", True),
    ("NEW.stamp := now() AT TIME ZONE 'UTC'; RETURN NEW;", True),
    ("NEW.stamp := now() AT TIME ZONE 'America/New_York'; RETURN NEW;", False),
    ("NEW.stamp := now() - interval '1 day'; RETURN NEW;", False),
    ("NEW.stamp := now(); NEW.stamp := '2020-01-01'; RETURN NEW;", False),
    ("RETURN NEW; NEW.stamp := now();", False),
    ("-- NEW.stamp := now();\n NEW.id := 1; RETURN NEW;", False),
    ("RAISE DEBUG 'NEW.stamp := now();'; RETURN NEW;", False),
    ("IF NEW.id > 10 THEN NEW.stamp := now(); END IF; RETURN NEW;", False),
    ("IF NEW.id > 10 THEN RETURN NEW; END IF; NEW.stamp := now(); RETURN NEW;", False),
    ("NEW.stamp := now(); NEW := OLD; RETURN NEW;", False),
    ("NEW.note := '\\'; NEW.stamp := now() - interval '1 day'; NEW.note := '\\'; RETURN NEW;", False),
    ("NEW.stamp := coalesce(NEW.stamp, now()); RETURN NEW;", False),
    ("/* /* */ NEW.stamp := now(); -- */\n NEW.id := 1; RETURN NEW;", False),
]


@pytest.mark.parametrize(("body", "stamped"), POSTGRES_TRIGGERS)
def test_a_trigger_of_postgres_shows_that_the_server_stamps(postgresql, body, stamped):
    postgresql.run(
        "CREATE TABLE s (id int PRIMARY KEY, stamp timestamp NOT NULL, note text)",
        f"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $body$BEGIN {body} END$body$",
        "CREATE TRIGGER one BEFORE INSERT ON s FOR EACH ROW EXECUTE FUNCTION f()",
    )
    assert stamps(postgresql) == stamped


@pytest.mark.parametrize(
    "body", ["RETURN stamped(NEW);", "NEW := stamped(NEW); RETURN NEW;", "SELECT * INTO NEW FROM s; RETURN NEW;"]
)
def test_a_trigger_of_postgres_may_give_the_whole_row(postgresql, body):
    postgresql.run(
        "CREATE TABLE s (id int PRIMARY KEY, stamp timestamptz NOT NULL DEFAULT now())",
        "CREATE FUNCTION stamped(one s) RETURNS s LANGUAGE plpgsql AS "
        "$$BEGIN one.stamp := now() - interval '1 day'; RETURN one; END$$",
        f"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $body$BEGIN {body} END$body$",
    )
    assert stamps(postgresql)
    postgresql.run("CREATE TRIGGER one BEFORE INSERT ON s FOR EACH ROW EXECUTE FUNCTION f()")
    assert not stamps(postgresql)


@pytest.mark.parametrize("more", ["WHEN (NEW.id > 1)", "DISABLE", "another"])
def test_a_trigger_of_postgres_that_may_not_run_last_shows_nothing(postgresql, more):
    when = more if "WHEN" in more else ""
    postgresql.run(
        "CREATE TABLE s (id int PRIMARY KEY, stamp timestamp NOT NULL)",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.stamp := now(); RETURN NEW; END'",
        "CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN NEW.stamp := now() - interval '1 day'; RETURN NEW; END$$",
        f"CREATE TRIGGER one BEFORE INSERT ON s FOR EACH ROW {when} EXECUTE FUNCTION f()",
    )
    if more == "DISABLE":
        postgresql.run("ALTER TABLE s DISABLE TRIGGER one")
    if more == "another":
        assert stamps(postgresql)
        postgresql.run("CREATE TRIGGER two BEFORE INSERT ON s FOR EACH ROW EXECUTE FUNCTION g()")
    assert not stamps(postgresql)


NOON = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)
LOCAL = NOON.replace(tzinfo=None)
VALUES = {
    "TIMESTAMP": ([NOON + timedelta(seconds=n) for n in range(-2, 3)], NOON, NOON + timedelta(microseconds=1)),
    "TIMESTAMP(6)": ([NOON + timedelta(microseconds=n) for n in range(-2, 3)], NOON, NOON + timedelta(microseconds=1)),
    "DATETIME": ([LOCAL + timedelta(seconds=n) for n in range(5)], LOCAL + timedelta(seconds=2, milliseconds=500)),
    "DATETIME(3)": ([LOCAL + timedelta(milliseconds=n) for n in range(5)], LOCAL + timedelta(microseconds=1500)),
    "DATE": ([date(2026, 1, n) for n in range(1, 6)], date(2026, 1, 3)),
    "BIGINT UNSIGNED": ([0, 1, 2**63, 2**64 - 1], 2**63, -5),
    "DECIMAL(30,0)": ([0, 10**29, 10**29 + 1], 10**29 + 1),
    "YEAR": ([1999, 2000, 2026], 2000),
}


@pytest.mark.parametrize("index", ["", ", KEY (stamp)"])
@pytest.mark.parametrize("kind", VALUES)
def test_rows_at_or_above_a_value_are_read(mysql, kind, index):
    values, *marks = VALUES[kind]
    mysql.run(f"CREATE TABLE s (id INT PRIMARY KEY, stamp {kind} NOT NULL{index})")
    texts = [f"'{each:%Y-%m-%d %H:%M:%S.%f}'" if isinstance(each, datetime) else f"'{each}'" for each in values]
    rows = ", ".join(f"({number}, {text})" for number, text in enumerate(texts))
    with mysql.client() as client:
        client("SET time_zone = '+00:00'")
        client(f"INSERT INTO s VALUES {rows}")
    with mysql.session(table="s") as (session, ctx, source):
        for mark in marks:
            newer = MYSQL.since(source, MYSQL.at_least("stamp", mark, source.schema[1].type))
            assert "ORDER BY" not in newer.text
            with_rows = MYSQL.batches(session, newer, MySQLConfig(table="s"), ctx)
            ids = sorted(number for batch in with_rows for number in batch.column("id").to_pylist())
            assert ids == [number for number, each in enumerate(values) if each >= mark]
