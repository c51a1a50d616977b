"""Transactions that a server aborts for others: the step reports it or retries, and delivers once."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pyarrow as pa
import pytest
from tests.faults.test_servers import Desk
from tests.patience import SOON, wait_until

from osiris.codes import CODES

PATIENT = {"connect_timeout": SOON, "read_timeout": SOON}
ROWS = pa.table({"id": [1, 2, 3], "name": ["one", "two", "three"]})
WEIGHT = 5_000
"""More rows than the step has: where there is a deadlock InnoDB ends who has changed fewer."""

GATED = {
    "postgres": [
        (
            "CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF NEW.id = 1 THEN PERFORM pg_advisory_xact_lock_shared(1); END IF; "
            "IF NEW.id = 2 THEN INSERT INTO others VALUES (0); END IF; RETURN NEW; END $$"
        ),
        "CREATE TRIGGER pass BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION pass()",
    ],
    "mariadb": [
        (
            "CREATE TRIGGER pass AFTER INSERT ON t FOR EACH ROW "
            f"IF NEW.id = 1 THEN DO GET_LOCK('gate', {SOON}); DO RELEASE_LOCK('gate'); END IF"
        ),
        "CREATE TRIGGER want BEFORE INSERT ON t FOR EACH ROW IF NEW.id = 2 THEN INSERT INTO others VALUES (0); END IF",
    ],
}
"""What happens when a row comes in: the first one waits at a gate, the second one wants what others have."""
GATE = {
    "postgres": ("SELECT pg_advisory_lock(1)", "SELECT pg_advisory_unlock(1)"),
    "mariadb": (f"SELECT GET_LOCK('gate', {SOON})", "SELECT RELEASE_LOCK('gate')"),
}
AT_GATE = {
    "postgres": "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = 0"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    "mariadb": "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User lock' AND DB = DATABASE()",
}
WANT = {"postgres": "LOCK TABLE t IN ACCESS EXCLUSIVE MODE", "mariadb": "SELECT * FROM t WHERE id = 1 FOR UPDATE"}
WAITS = {
    "postgres": "SELECT COUNT(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 't'::regclass"
    " AND NOT granted",
    "mariadb": "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'",
}


@pytest.fixture(params=["postgres", "mariadb"])
def desk(request, tmp_path):
    desk = Desk(request.getfixturevalue(request.param), request.param, tmp_path)
    desk.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(20))", "CREATE TABLE others (id INT PRIMARY KEY)")
    return desk


@contextmanager
def session(desk):
    """Return a function that runs a statement in a transaction which stays open until it is ended."""
    with closing(desk.server.connect(desk.database)) as client, client.cursor() as cursor:
        cursor.execute("BEGIN")
        yield cursor.execute


def holds(desk):
    """Poll a table of the server until it has a row.

    InnoDB does not update INNODB_TRX while it is read more often than every 0.1 s.
    """
    return lambda text: wait_until(lambda: desk.sql(text)[0][0], pause=0.2)


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_a_deadlock_that_the_server_resolves_against_the_step(desk, mode):
    """The step has rows in the table and wants another one's; that one wants the table, and gets it."""
    kind, wait = desk.kind, holds(desk)
    desk.sql("INSERT INTO t VALUES (2, 'old')" if mode != "append" else "DELETE FROM t", *GATED[kind])
    with closing(desk.server.connect(desk.database)) as gate, gate.cursor() as keeper, session(desk) as other:
        keeper.execute(GATE[kind][0])
        if kind == "postgres":
            other("SET LOCAL deadlock_timeout = '1h'")  # so that it is the step that finds out
            other("INSERT INTO others VALUES (0)")
        else:
            other(f"INSERT INTO others SELECT seq FROM seq_0_to_{WEIGHT}")
        with ThreadPoolExecutor(2) as pool:
            writing = pool.submit(desk.write, mode, ROWS, **PATIENT)
            wait(AT_GATE[kind])
            waiting = pool.submit(other, WANT[kind])
            wait(WAITS[kind])
            keeper.execute(GATE[kind][1])
            waiting.result(SOON)  # the step was ended for its sake
            other("ROLLBACK")
            found = writing.result(SOON)
    if kind == "postgres":
        assert (found, CODES[found].exit_code) == ("DRV064", 3)
        assert desk.sql("SELECT COUNT(*) FROM t WHERE name <> 'old'") == [(0,)]
        found = desk.write(mode, ROWS, **PATIENT)
    else:
        assert desk.told.count("delivery_again") == 1, (found, desk.found)
    assert found == ROWS.num_rows
    assert sorted(desk.sql("SELECT id, name FROM t")) == [(1, "one"), (2, "two"), (3, "three")]
    desk.write(mode, ROWS, **PATIENT)
    assert desk.told.count("already_delivered") == 1
    assert desk.sql("SELECT COUNT(*) FROM t") == [(3,)]


LOCKED = {
    "postgres": "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
    "mariadb": WAITS["mariadb"],
}


@pytest.mark.parametrize("mode", ["replace", "upsert"])
def test_rows_that_others_change_while_the_step_waits_for_them(desk, mode):
    """The step's snapshot of the table is older than these changes; under some settings the server rejects that."""
    desk.sql("INSERT INTO t VALUES (1, 'old'), (9, 'other')")
    with ThreadPoolExecutor(1) as pool, session(desk) as other:
        other("UPDATE t SET name = 'changed' WHERE id = 1")
        writing = pool.submit(desk.write, mode, ROWS, **PATIENT)
        holds(desk)(LOCKED[desk.kind])
        other("INSERT INTO t VALUES (8, 'new')")
        other("COMMIT")
        found = writing.result(SOON)
    assert found == ROWS.num_rows, desk.found
    others = [] if mode == "replace" else [(8, "new"), (9, "other")]
    assert sorted(desk.sql("SELECT id, name FROM t")) == [(1, "one"), (2, "two"), (3, "three"), *others]


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
@pytest.mark.parametrize("desk", ["postgres"], indirect=True)
def test_a_serialization_failure_of_postgres(desk, mode):
    """At the isolation level of steps, only a function of the table, or a server with its own settings, causes it."""
    desk.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001'; END $$",
        "CREATE TRIGGER refuse BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    assert desk.write(mode, ROWS, **PATIENT) == "DRV064"
    assert "could not serialize access" in desk.found.message
    desk.sql("DROP TRIGGER refuse ON t")
    assert desk.write(mode, ROWS, **PATIENT) == ROWS.num_rows
    assert sorted(desk.sql("SELECT id, name FROM t")) == [(1, "one"), (2, "two"), (3, "three")]


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
@pytest.mark.parametrize("desk", ["mariadb"], indirect=True)
def test_a_serialization_failure_of_mariadb(desk, mode):
    """It refuses to change a row that others have changed since the transaction's snapshot."""
    desk.sql(
        "INSERT INTO others VALUES (0)",
        "CREATE TABLE looked_at (id INT)",
        "CREATE TRIGGER look AFTER INSERT ON t FOR EACH ROW IF NEW.id = 1 THEN "
        f"SELECT COUNT(*) INTO @seen FROM looked_at; DO GET_LOCK('gate', {SOON}); DO RELEASE_LOCK('gate'); END IF",
        "CREATE TRIGGER change_it BEFORE INSERT ON t FOR EACH ROW "
        "IF NEW.id = 2 THEN UPDATE others SET id = 1000 WHERE id = 0; END IF",
    )
    with closing(desk.server.connect(desk.database)) as gate, gate.cursor() as keeper, ThreadPoolExecutor(1) as pool:
        keeper.execute(GATE["mariadb"][0])
        writing = pool.submit(desk.write, mode, ROWS, **PATIENT)
        holds(desk)(AT_GATE["mariadb"])
        with session(desk) as other:
            other("DELETE FROM others")
            other("INSERT INTO others VALUES (0)")
            other("COMMIT")
        keeper.execute(GATE["mariadb"][1])
        assert writing.result(SOON) == ROWS.num_rows, desk.found
    assert desk.told.count("delivery_again") == 1
    assert desk.sql("SELECT id FROM others") == [(1000,)]
    assert sorted(desk.sql("SELECT id, name FROM t")) == [(1, "one"), (2, "two"), (3, "three")]
