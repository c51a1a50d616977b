"""Transactions that a server ends for the sake of others: a step is told so or tries again, and delivers once."""

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
    """Give what runs a statement in a transaction that is open until it is ended."""
    with closing(desk.server.connect(desk.database)) as client, client.cursor() as cursor:
        cursor.execute("BEGIN")
        yield cursor.execute


def holds(desk):
    """Look at a table of the server until something is there."""
    return lambda text: wait_until(lambda: desk.sql(text)[0][0])


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
