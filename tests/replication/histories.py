"""Random histories of tables: the same operations are done in a database and in a model of it in memory."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from tests.replication.projects import Database, Pair

CLOCK = {
    "postgres": "clock_timestamp()",
    "mariadb": "now(6)",
    "sqlite": "CURRENT_TIMESTAMP",
    "duckdb": "now()",
}
STAMP = {
    "postgres": "timestamptz NOT NULL DEFAULT clock_timestamp()",
    "mariadb": "timestamp(6) NOT NULL DEFAULT current_timestamp(6)",
    "sqlite": "timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP",
    "duckdb": "timestamptz NOT NULL DEFAULT now()",
}
AN_HOUR_AGO = {
    "postgres": "now() - interval '1 hour'",
    "mariadb": "now() - INTERVAL 1 HOUR",
    "sqlite": "datetime('now', '-1 hour')",
    "duckdb": "now() - INTERVAL 1 HOUR",
}
DECLARED = {"sqlite": {"zone": "UTC"}}
"""What the cursor must say as the database does not."""

NOTES = ("NULL", "''", "'plain'", "'ä ß ''quoted'''", "'NULL'", "'a\tb'")
SHOWN = {
    "NULL": None,
    "''": "",
    "'plain'": "plain",
    "'ä ß ''quoted'''": "ä ß 'quoted'",
    "'NULL'": "NULL",
    "'a\tb'": "a\tb",
}
COLUMNS = "id, amount, note"
Row = tuple[int, int, "str | None"]


@dataclass
class History:
    """A table, what a pair does with it, and what source and target must have.

    Operations: `insert`, `again` (insert a deleted key), `update`, `move` (change the key), `delete`, and `old`
    (insert a row that no cursor sees, with a key that the target does not have, or has as deleted). With `stamps=False`
    an update leaves the stamp as it is.
    """

    name: str
    database: Database
    chance: random.Random
    mode: str
    cursor: dict
    operations: tuple[str, ...]
    stamps: bool = True
    deletes: str = ""
    rows: dict[int, Row] = field(default_factory=dict)
    gone: list[int] = field(default_factory=list)
    number: int = 0
    loaded: Counter = field(default_factory=Counter)
    appended: Counter = field(default_factory=Counter)
    upserted: dict[int, Row] = field(default_factory=dict)
    known: set[int] = field(default_factory=set)
    """Keys that were ever loaded."""

    @property
    def pair(self) -> Pair:
        more = {"deletes": {"compare": "keys", "every": "run", "as": self.deletes}} if self.deletes else {}
        return Pair(self.name, self.name, self.cursor, self.mode, more=more)

    def create(self) -> list[str]:
        others = f"amount int NOT NULL, note varchar(20), stamp {STAMP[self.database.kind]}"
        return [f"CREATE TABLE {self.name} (id bigint NOT NULL PRIMARY KEY, {others})"]

    def live(self, limit: int) -> list[int]:
        keys = sorted(self.rows)
        return self.chance.sample(keys, max(0, min(limit, len(keys))))

    def new(self, key: int) -> tuple[Row, str]:
        """Return a row that no other version equals, and the text of its note."""
        self.number += 1
        note = self.chance.choice(NOTES)
        return (key, self.number, SHOWN[note]), note

    def clock(self) -> str:
        return f", stamp = {CLOCK[self.database.kind]}" if self.stamps else ""

    def put(self, key: int) -> list[str]:
        row, note = self.new(key)
        self.rows[key] = row
        return [f"INSERT INTO {self.name} (id, amount, note) VALUES ({key}, {row[1]}, {note})"]

    def old(self) -> list[str]:
        """Insert a row far below the mark, whose key is not live in the target."""
        key = max([*self.rows, *self.gone, 0]) + 1
        if (again := [each for each in self.gone if each not in self.live_there]) and self.chance.random() < 0.7:
            key = self.chance.choice(again)
            self.gone.remove(key)
        row, note = self.new(key)
        self.rows[key] = row
        stamp = AN_HOUR_AGO[self.database.kind]
        return [f"INSERT INTO {self.name} (id, amount, note, stamp) VALUES ({key}, {row[1]}, {note}, {stamp})"]

    def insert(self) -> list[str]:
        return self.put(max([*self.rows, *self.gone, 0]) + self.chance.randint(1, 3))

    def again(self) -> list[str]:
        if not self.gone:
            return self.insert()
        return self.put(self.gone.pop(self.chance.randrange(len(self.gone))))

    def update(self) -> list[str]:
        told = []
        for key in self.live(self.chance.randint(1, 3)):
            row, note = self.new(key)
            self.rows[key] = row
            told.append(f"UPDATE {self.name} SET amount = {row[1]}, note = {note}{self.clock()} WHERE id = {key}")
        return told

    def move(self) -> list[str]:
        told = []
        for key in self.live(1):
            new = self.insert_key()
            row, note = self.new(new)
            del self.rows[key]
            self.gone.append(key)
            self.rows[new] = row
            told.append(
                f"UPDATE {self.name} SET id = {new}, amount = {row[1]}, note = {note}{self.clock()} WHERE id = {key}"
            )
        return told

    def insert_key(self) -> int:
        """Return a key that is new, or one that was used before."""
        if self.gone and self.chance.random() < 0.5:
            return self.gone.pop(self.chance.randrange(len(self.gone)))
        return max([*self.rows, *self.gone, 0]) + 1

    def delete(self) -> list[str]:
        told = []
        for key in self.live(min(self.chance.randint(1, 2), len(self.rows) - bool(self.deletes))):
            del self.rows[key]
            self.gone.append(key)
            told.append(f"DELETE FROM {self.name} WHERE id = {key}")
        return told

    def step(self) -> list[list[str]]:
        """Return transactions of some operations; the model has them afterwards."""
        transactions = []
        for _ in range(self.chance.randint(0, 3)):
            names = [self.chance.choice(self.operations) for _ in range(self.chance.randint(1, 4))]
            transactions.append([statement for name in names for statement in getattr(self, name)()])
        return transactions

    def load(self) -> None:
        """The model of a load."""
        now = Counter(self.rows.values())
        self.appended += now - self.loaded
        self.loaded = now
        self.upserted = dict(self.rows) if self.deletes else self.upserted | self.rows
        self.known |= set(self.rows)

    @property
    def live_there(self) -> set[int]:
        return set(self.upserted)

    def differences(self, target: Database) -> dict:
        """Return what is missing in the target, and what it has too much."""
        live = f"{self.pair.target} WHERE deleted_at IS NULL" if self.deletes == "soft" else self.pair.target
        expected = self.appended if self.mode == "append" else Counter(self.upserted.values())
        found = target.count(live, COLUMNS)
        wrong = {"missing": expected - found, "too many": found - expected}
        if self.deletes == "soft":
            marked = {key for (key,) in target.ask(f"SELECT id FROM {self.pair.target} WHERE deleted_at IS NOT NULL")}
            wrong["deleted"] = marked ^ (self.known - set(self.rows))
        return {name: each for name, each in wrong.items() if each}


@dataclass
class Repeating(History):
    """A table without a key, in which rows are equal to others: each counts."""

    operations: tuple[str, ...] = ("insert",)

    def create(self) -> list[str]:
        return [statement.replace(" PRIMARY KEY", "") for statement in super().create()]

    def insert(self) -> list[str]:
        self.number += 1
        row = (self.chance.randint(1, 2), 1, None)
        self.rows[self.number] = row
        return [f"INSERT INTO {self.name} (id, amount) VALUES ({row[0]}, 1)"]


ALL = ("insert", "insert", "again", "update", "move", "delete")
GROWING = ("insert",)
DELETING = ("", "soft", "hard")


def draw(database: Database, number: int, seed: int) -> list[History]:
    """Return histories of all sorts that the source allows, in turn; the seed says with which they begin."""
    stamped = {"column": "stamp", **DECLARED.get(database.kind, {})}
    lag = {"column": "stamp", "late": {"lag": "1m"}, **({"zone": "UTC"} if database.kind == "sqlite" else {})}
    sorts = [
        (History, "upsert", stamped, ALL, True),
        (History, "append", stamped, ALL, True),
        (Repeating, "append", stamped, GROWING, True),
        (History, "upsert", lag, ALL, True),
        (History, "append", {"column": "id", "late": "none"}, GROWING, True),
        (History, "append", lag, ALL, True),
        (Repeating, "append", lag, GROWING, True),
    ]
    if database.kind == "postgres":
        by_xid = {"column": "id", "late": "row_xids"}
        sorts += [(History, "upsert", by_xid, ALL, False), (History, "append", by_xid, ALL, False)]
    found = []
    for n in range(number):
        chance = random.Random(seed + n)
        sort, mode, cursor, operations, stamps = sorts[(seed + n) % len(sorts)]
        how = chance.choice(DELETING) if mode == "upsert" else ""
        more = ("old",) if how else ()
        found.append(sort(f"h{n}", database, chance, mode, dict(cursor), (*operations, *more), stamps, how))
    return found
