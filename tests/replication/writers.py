"""Eight writers of two tables, whose transactions commit in another order than they are stamped.

Each transaction has one of many forms: stamped when it begins or when a statement runs, with savepoints, prepared and
committed later, waiting for rows and tables that others hold, rolled back. `events` only grows; rows of `orders` are
also updated. What they wrote in the end is what the tables have: nothing else is noted.
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager

WRITERS = 8
LONGEST = 0.3
HOT_ROWS = 3
TABLES = ("events", "orders")

POSTGRES = (
    """CREATE TABLE events (id bigserial PRIMARY KEY, writer int NOT NULL, amount int NOT NULL,
    stamp timestamptz NOT NULL DEFAULT now(), clock timestamptz NOT NULL DEFAULT clock_timestamp(),
    local timestamp(0) NOT NULL DEFAULT now())""",
    """CREATE TABLE orders (id bigserial PRIMARY KEY, writer int NOT NULL, amount int NOT NULL,
    stamp timestamptz NOT NULL DEFAULT now())""",
    """CREATE FUNCTION stamped() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN NEW.stamp := clock_timestamp(); RETURN NEW; END'""",
    "CREATE TRIGGER stamping BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION stamped()",
    "CREATE INDEX ON events (stamp)",
    "CREATE INDEX ON orders (stamp)",
)
MARIADB = (
    """CREATE TABLE events (id bigint AUTO_INCREMENT PRIMARY KEY, writer int NOT NULL, amount int NOT NULL,
    stamp timestamp(6) NOT NULL DEFAULT current_timestamp(6), clock timestamp(3) NOT NULL DEFAULT current_timestamp(3),
    local datetime NOT NULL DEFAULT current_timestamp(), KEY (stamp))""",
    """CREATE TABLE orders (id bigint AUTO_INCREMENT PRIMARY KEY, writer int NOT NULL, amount int NOT NULL,
    stamp timestamp(6) NOT NULL DEFAULT current_timestamp(6) ON UPDATE current_timestamp(6), KEY (stamp))""",
)
GATE = ("CREATE TABLE gate (n int)", "INSERT INTO gate VALUES (1)")
HOT = ("CREATE TABLE hot (id int PRIMARY KEY, n int NOT NULL)", "INSERT INTO hot VALUES (0, 0), (1, 0), (2, 0)")


def is_passing(error):
    """Return whether a transaction failed as it met another one, so that it may be tried again."""
    words = ("deadlock", "timeout", "changed since last read", "auto-increment value")
    return any(word in str(error).lower() for word in words)


class Words:
    """The statements in which servers differ."""

    def __init__(self, kind):
        self.is_postgres = kind == "postgres"
        self.tables = (*(POSTGRES if self.is_postgres else MARIADB), *HOT, *GATE)
        self.begin = "BEGIN"
        self.clock = "clock_timestamp()" if self.is_postgres else "SYSDATE(6)"
        self.seconds = ("SET lock_timeout = '5s'",) if self.is_postgres else ("SET innodb_lock_wait_timeout = 5",)

    def hold(self, table):
        """Return the statements around a time in which others can read a table, and not write it."""
        if self.is_postgres:
            return ("BEGIN", f"LOCK TABLE {table} IN SHARE MODE"), "COMMIT"
        return (f"LOCK TABLES {table} READ",), "UNLOCK TABLES"

    def shut(self, table):
        """Return the statements around a time in which others can neither read nor write a table."""
        if self.is_postgres:
            return ("BEGIN", f"LOCK TABLE {table}"), "COMMIT"
        return (f"LOCK TABLES {table} WRITE",), "UNLOCK TABLES"

    def two_phase(self, name):
        """Return the statements of a transaction in two phases: its begin, its preparation, its two ends."""
        if self.is_postgres:
            return (
                ("BEGIN",),
                (f"PREPARE TRANSACTION '{name}'",),
                (f"COMMIT PREPARED '{name}'", f"ROLLBACK PREPARED '{name}'"),
            )
        return (
            (f"XA START '{name}'",),
            (f"XA END '{name}'", f"XA PREPARE '{name}'"),
            (f"XA COMMIT '{name}'", f"XA ROLLBACK '{name}'"),
        )


class Writer:
    """One client with its own chance, and the forms of its transactions."""

    def __init__(self, database, number, seed, pause):
        self.database, self.number, self.pause = database, number, pause
        self.chance, self.words = random.Random(seed * 100 + number), Words(database.kind)
        self.turn = 0
        self.begin_session()

    def begin_session(self):
        self.client = self.database.connect()
        self.cursor = self.client.cursor()
        self.run(*self.words.seconds)

    def run(self, *statements):
        for statement in statements:
            self.cursor.execute(statement)

    def rest(self, longest=LONGEST):
        time.sleep(self.chance.uniform(0, longest))

    def insert(self, table=None):
        """Insert a few rows, stamped by the table's default or by the clock of the statement."""
        table = table or self.chance.choice(TABLES)
        rows = self.chance.randint(1, 4)
        values = [f"({self.number}, {self.chance.randrange(1000)})" for _ in range(rows)]
        self.run(f"INSERT INTO {table} (writer, amount) VALUES {', '.join(values)}")

    def insert_by_clock(self):
        """Insert a row whose stamp is the server's clock at this moment."""
        row = f"{self.number}, {self.chance.randrange(1000)}, {self.words.clock}"
        self.run(f"INSERT INTO events (writer, amount, stamp) VALUES ({row})")

    def update(self):
        """Update a few rows that this writer alone updates."""
        least = self.chance.randrange(1000)
        self.run(
            f"UPDATE orders SET amount = amount + 1 WHERE writer = {self.number} "
            f"AND amount BETWEEN {least} AND {least + 30}"
        )

    def change(self):
        self.chance.choice([self.insert, self.insert, self.insert_by_clock, self.update])()

    def end(self):
        self.run("ROLLBACK" if self.chance.random() < 0.15 else "COMMIT")

    def plain(self):
        self.run(self.words.begin)
        for _ in range(self.chance.randint(1, 3)):
            self.change()
            self.rest(LONGEST / 3)
        self.end()

    def alone(self):
        """One statement is one transaction."""
        self.change()

    def slow_begin(self):
        """The transaction is old before its first row."""
        self.run(self.words.begin, "SELECT COUNT(*) FROM hot")
        self.cursor.fetchall()
        self.rest()
        self.change()
        self.end()

    def savepoints(self):
        self.run(self.words.begin)
        for name in ("a", "b", "c"):
            self.run(f"SAVEPOINT {name}")
            self.change()
            self.rest(LONGEST / 3)
            if self.chance.random() < 0.3:
                self.run(f"ROLLBACK TO SAVEPOINT {name}")
        self.end()

    def two_phase(self):
        self.turn += 1
        begin, prepare, ends = self.words.two_phase(f"{self.database.name} {self.number} {self.turn}")
        self.run(*begin)
        self.change()
        self.run(*prepare)
        self.rest()
        self.run(ends[self.chance.random() < 0.15])

    def waiting_for_rows(self):
        """The rows are stamped, then the transaction waits for a row that many update."""
        self.run(self.words.begin)
        self.change()
        self.run(f"UPDATE hot SET n = n + 1 WHERE id = {self.chance.randrange(HOT_ROWS)}")
        self.rest(LONGEST / 3)
        self.end()

    def holding_a_table(self):
        """First statements of others are stamped, and wait for this lock."""
        begin, end = self.words.hold(self.chance.choice(TABLES))
        self.run(*begin)
        self.rest(LONGEST)
        self.run(end)

    FORMS = (plain, plain, plain, alone, alone, slow_begin, savepoints, savepoints, waiting_for_rows, waiting_for_rows)
    RARE = (two_phase, holding_a_table)

    def once(self):
        """Run one transaction; a deadlock or a wait that is too long ends it, and its session."""
        form = self.chance.choice(self.FORMS if self.chance.random() < 0.93 else self.RARE)
        try:
            form(self)
        except Exception as error:
            if not is_passing(error):
                raise
            self.client.close()
            self.begin_session()
        time.sleep(self.chance.uniform(0, self.pause))


def make_tables(database):
    """Create the tables with rows that are an hour old, so that reading everything again is seen."""
    words = Words(database.kind)
    database.run(*words.tables)
    hour = "now() - interval '1 hour' - n * interval '1 s'"
    hour = hour if words.is_postgres else "now() - INTERVAL 3600 + n SECOND"
    numbers = "generate_series(1, 500) s(n)" if words.is_postgres else "(SELECT seq AS n FROM seq_1_to_500) s"
    database.run(
        f"INSERT INTO events (writer, amount, stamp, clock, local) SELECT 0, n, {hour}, {hour}, {hour} FROM {numbers}",
        f"INSERT INTO orders (writer, amount, stamp) SELECT 0, n, {hour} FROM {numbers}",
    )


def writing(database, seed, pause=0.05):
    """Let the writers write until the block ends."""
    return at_work(WRITERS, lambda number: Writer(database, number, seed, pause))


@contextmanager
def at_work(count, begin):
    """Let workers work until the block ends, each in a thread of its own; a transaction that has begun is finished.

    `begin` returns a worker by its number from 1: `once` is called again and again, and its `client` is closed.
    """
    stop, failed = threading.Event(), []

    def work(number):
        worker = None
        try:
            worker = begin(number)
            while not stop.is_set():
                worker.once()
        except Exception as error:  # noqa: BLE001  it is raised in the thread of the test
            failed.append(error)
        finally:
            if worker:
                worker.client.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, count + 1)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]


class Straggler:
    """A transaction with a row in each table, whose stamps are earlier than those of rows that are committed now."""

    def __init__(self, database, number):
        self.database, self.number, self.words = database, -number, Words(database.kind)
        self.client = database.connect()
        self.cursor = self.client.cursor()

    def run(self, *statements):
        """Run the statements of a transaction; after a deadlock it is rolled back, and they all run again."""
        try:
            for statement in statements:
                self.cursor.execute(statement)
        except Exception as error:
            if not is_passing(error):
                raise
            begin = statements[0]
            self.cursor.execute(begin.replace("START", "ROLLBACK") if begin.startswith("XA ") else "ROLLBACK")
            self.run(*statements)

    def rows(self, origin=""):
        return [f"INSERT INTO {table} (writer, amount) SELECT {self.number}, 1 {origin}" for table in TABLES]

    def later(self):
        """Commit a later row in each table, so much later that a load that does not wait loses ours for certain.

        From MariaDB, rows of the last whole second are read again, as its stamps may have no fraction.
        """
        time.sleep(1.1)
        other = Straggler(self.database, -self.number)
        for row in other.rows():
            other.run(row)
        other.client.close()

    @contextmanager
    def idle(self):
        self.run(self.words.begin, *self.rows())
        self.later()
        yield
        self.run("COMMIT")

    @contextmanager
    def savepoint(self):
        self.run(self.words.begin, "SAVEPOINT a", *self.rows(), "RELEASE SAVEPOINT a")
        self.later()
        yield
        self.run("COMMIT")

    @contextmanager
    def prepared(self):
        begin, prepare, ends = self.words.two_phase(f"{self.database.name} straggler {self.number}")
        self.run(*begin, *self.rows(), *prepare)
        self.later()
        yield
        self.run(ends[0])

    @contextmanager
    def queued(self):
        """The only statement waits for the lock of another table while loads read."""
        with self._waiting(self.rows("FROM gate")[:1]):
            self.later()
            yield

    @contextmanager
    def queued_before(self):
        """The first statement has waited for longer than any guard, and then the transaction is idle."""
        with self._waiting([self.words.begin, *self.rows("FROM gate")]):
            time.sleep(3)
            self.later()
        yield
        self.run("COMMIT")

    FORMS = (idle, queued, prepared, queued_before, savepoint)

    @contextmanager
    def _waiting(self, statements):
        gate = self.database.connect()
        cursor = gate.cursor()
        begin, end = self.words.shut("gate")
        for statement in begin:
            cursor.execute(statement)
        waiting = threading.Thread(target=self.run, args=statements)
        waiting.start()
        time.sleep(0.2)
        try:
            yield
        finally:
            cursor.execute(end)
            waiting.join()
            gate.close()


@contextmanager
def straggling(database, number):
    """Hold a late transaction until the block ends; its form depends on the number, which must be new."""
    late = Straggler(database, number)
    try:
        with late.FORMS[number % len(late.FORMS)](late):
            yield
    finally:
        late.client.close()
