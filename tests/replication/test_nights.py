"""Fifty tables in step, night after night, while others write and delete, and runs are killed."""

import random
import time
from contextlib import suppress
from functools import partial

import pytest
from tests.chance import draw_seed, say_tried
from tests.replication.projects import Database, Project
from tests.replication.writers import at_work, is_passing

SERVERS = ("postgres", "mariadb")
WITH_DELETES = True
SMALL, LARGE = {"tables": 12, "nights": 2}, {"tables": 50, "nights": 10}
STAMP = {
    "postgres": "timestamptz NOT NULL DEFAULT now()",
    "mariadb": "timestamp(6) NOT NULL DEFAULT current_timestamp(6) ON UPDATE current_timestamp(6)",
}
CLOCK = {"postgres": "now()", "mariadb": "current_timestamp(6)"}
COUNTED = {"postgres": "bigserial", "mariadb": "bigint AUTO_INCREMENT"}
FIRST_ROWS = 60
WRITERS = 4


class Shop:
    """A source with schemas `sales` and `crm`, and a warehouse with `raw_sales` and `raw_crm`."""

    def __init__(self, root, osiris, server, kind, tables):
        self.kind, self.end = kind, f"_{next(NUMBERS)}" if kind == "mariadb" else ""
        place = [server.new_database(), server.new_database()]
        self.source, self.target = (Database(kind, server, name) for name in place)
        self.project = Project(root, osiris, self.source, self.target)
        self.project.connect("wh", self.target.family, self.target.fields())
        word = "SCHEMA" if kind == "postgres" else "DATABASE"
        self.source.run(*(f"CREATE {word} {self.schema(name)}" for name in ("sales", "crm")))
        self.target.run(*(f"CREATE {word} raw_{self.schema(name)}" for name in ("sales", "crm")))
        names = [*(f"sales.t{n}" for n in range(tables - 2)), "crm.customers"]
        self.tables = [f"{self.schema(schema)}.{table}" for schema, _, table in (n.partition(".") for n in names)]
        self.lines = f"{self.schema('sales')}.lines"
        for table in self.tables:
            self.create(table)
        self.source.run(
            f"CREATE TABLE {self.lines} (id {COUNTED[kind]} PRIMARY KEY, amount int NOT NULL)",
            f"CREATE TABLE {self.schema('sales')}.old_tmp (n int)",
        )
        self.write()

    def schema(self, name):
        return name + self.end

    def create(self, table):
        rows = ", ".join(f"({n}, {n})" for n in range(1, FIRST_ROWS + 1))
        self.source.run(
            f"CREATE TABLE {table} (id int PRIMARY KEY, amount int NOT NULL, updated_at {STAMP[self.kind]})",
            f"INSERT INTO {table} (id, amount) VALUES {rows}",
        )

    def write(self):
        family, sales = self.source.family, self.schema("sales")
        late = "row_xids" if self.kind == "postgres" else {"lag": 10000}
        lines = {"cursor": {"column": "id", "late": late}, "write_mode": "append"}
        defaults = {"cursor": {"column": "updated_at", "late": "open_transactions"}, "write_mode": "upsert"}
        if WITH_DELETES:
            defaults["deletes"] = {"compare": "keys", "every": "run", "as": "soft", "at_most": "5%"}
            lines["deletes"] = "none"
        entry = {
            "id": "shop",
            "from": {
                "connection": f"@{family}.shop",
                "tables": [f"{sales}.*", f"{self.schema('crm')}.customers"],
                "except": ["*_tmp"],
                "new_tables": "add",
            },
            "to": {"connection": f"@{family}.wh", "table": "raw_{schema}.{table}"},
            "defaults": defaults,
            "tables": {self.lines: lines},
        }
        self.project.write_file({"replicate": [entry]})

    def assert_equal(self):
        """Keys and live rows of both sides are equal; deleted rows are there, with the time of their deletion."""
        wrong = {}
        live = " WHERE deleted_at IS NULL" if WITH_DELETES else ""
        for table in self.tables:
            there = self.source.count(table, "id, amount, updated_at")
            here = self.target.count(f"raw_{table}{live}", "id, amount, updated_at")
            more = here - there
            if there - here or (more if WITH_DELETES else {row[0] for row in there} & {row[0] for row in more}):
                wrong[table] = (list(there - here)[:5], list(more)[:5])
        there, here = (db.count(name, "id, amount") for db, name in self.both(self.lines))
        if there != here:
            wrong["lines"] = (list(there - here)[:5], list(here - there)[:5])
        assert not wrong, wrong
        copied = "SELECT table_name FROM information_schema.tables WHERE table_schema LIKE 'raw%'"
        assert ("old_tmp",) not in self.target.ask(copied)

    def both(self, table):
        return (self.source, table), (self.target, f"raw_{table}")


NUMBERS = iter(range(1, 1000))


class Clerk:
    """One client that inserts, updates and deletes rows of all tables, and inserts lines."""

    def __init__(self, shop, number, seed):
        self.shop, self.number, self.chance = shop, number, random.Random(seed * 10 + number)
        self.client = shop.source.connect()
        self.cursor, self.next = self.client.cursor(), number * 100_000 + self.chance.randrange(1000) * 50

    def change(self):
        table, amount = self.chance.choice(self.shop.tables), self.chance.randrange(10**6)
        key = self.chance.randint(1, FIRST_ROWS)
        self.next += 1
        return self.chance.choice(
            [
                f"INSERT INTO {table} (id, amount) VALUES ({self.next}, {amount})",
                f"UPDATE {table} SET amount = {amount}, updated_at = {CLOCK[self.shop.kind]} WHERE id = {key}",
                f"INSERT INTO {self.shop.lines} (amount) VALUES ({amount}), ({amount})",
            ]
        )

    def once(self):
        try:
            self.cursor.execute("BEGIN")
            for _ in range(self.chance.randint(1, 4)):
                self.cursor.execute(self.change())
                time.sleep(self.chance.uniform(0, 0.1))
            self.cursor.execute("COMMIT" if self.chance.random() < 0.85 else "ROLLBACK")
        except Exception as error:
            if not is_passing(error):
                raise
            with suppress(Exception):
                self.cursor.execute("ROLLBACK")
        time.sleep(self.chance.uniform(0, 0.05))

    def delete(self):
        """Delete at most as many rows of some tables as one run may delete, and bring one back."""
        for table in self.chance.sample(self.shop.tables, min(8, len(self.shop.tables))):
            keys = self.chance.sample(range(1, FIRST_ROWS + 1), 6)
            self.cursor.execute(f"DELETE FROM {table} WHERE id IN ({', '.join(map(str, keys))})")
            if self.chance.random() < 0.5:
                self.cursor.execute(f"INSERT INTO {table} (id, amount) VALUES ({keys[0]}, -1)")


def live_through(shop, nights):
    seed = draw_seed()
    chance, whole, killed = random.Random(seed), 5.0, 0
    for night in range(nights):
        if night == 1:
            shop.tables.append(f"{shop.schema('sales')}.added")
            shop.create(shop.tables[-1])
        with at_work(WRITERS, partial(Clerk, shop, seed=seed + night)):
            deleting = Clerk(shop, WRITERS + 1, seed + night)
            deleting.delete()
            ended = shop.project.kill(chance.uniform(0.5, 1.2) * whole, chance)
            killed += ended.answer is None or ended.code != 0
            deleting.delete()
            deleting.client.close()
            start = time.monotonic()
            shop.project.run()
            whole = time.monotonic() - start
        shop.project.run()
        shop.assert_equal()
    print(f"{killed} kills in {nights} nights; one run took {whole:.1f} s")
    say_tried(f"nights of many tables of {shop.kind}, with kills", nights)


@pytest.mark.parametrize("kind", SERVERS)
def test_two_nights_with_some_tables(tmp_path, osiris, request, kind):
    shop = Shop(tmp_path / "project", osiris, request.getfixturevalue(kind), kind, SMALL["tables"])
    live_through(shop, SMALL["nights"])


@pytest.mark.long
@pytest.mark.parametrize("kind", SERVERS)
def test_ten_nights_with_fifty_tables(tmp_path, osiris, request, kind):
    shop = Shop(tmp_path / "project", osiris, request.getfixturevalue(kind), kind, LARGE["tables"])
    live_through(shop, LARGE["nights"])
