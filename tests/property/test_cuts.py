"""Whatever the planner cuts: the parts, computed and merged by DuckDB alone, have the rows of the whole statement."""

from __future__ import annotations

import random
from collections import Counter

import duckdb
import pytest
from tests.property.cut_statements import Maker, joined_statement, nested_statement
from tests.unit.sql.conftest import lines
from tests.unit.sql.cut_corpus import COLUMNS, NAMES, SCHEMAS, corpus

from osiris.sql.check_text import check
from osiris.sql.cuts import Cut, cut
from osiris.sql.nondeterminism.row_order import with_total_order

PARTS = (2, 3, 7)
"""How many parts; three, where tables are empty."""
DATA = 4
VALUES = {
    "id": [1, 2, 3, 4], "x": [1, 2, 3, 5], "s": ["a", "A", "b", ""], "amt": ["1.10", "2.50", "0.00"],
    "f": [0.0, -0.0, 1.5, float("nan")], "l": [[], [1], [3, None, 1]], "g": [[0.0], [-0.0], [1.5, None]],
    "j": ['{"a": 1, "b": [2]}', '{"a": null}'], "Mixed Name": ["p", "q"], "v": [1, 2, 3, 9], "name": ["a", "b"],
    "d": ["2024-01-05", "2024-02-01", "2024-02-09 10:00"], "since": ["2024-01-01", "2024-02-01"], "cur": ["a", "b"],
    "rate": [1, 2, 3], "id_1": [1, 2, 3], "tz": ["2024-01-05 00:00+00", "2024-02-01 01:00+01"], "bo": [True, False],
    "st": [{"id": 1, "x": 3, "f": 0.0}, {"id": 2, "x": 1, "f": -0.0}, {"id": 3, "x": None, "f": 1.5}],
    "u": ["00000000-0000-0000-0000-000000000001", "f0000000-0000-0000-0000-000000000001"], "b": [b"a", b"", b"\x00"],
    "big": [0, 2**64 - 1, 7], "dt": ["2024-01-05", "2024-02-01"],
    "far": [1, 2, 3, -1], "pos": [1, 2, 2**64 - 1, 0],
}  # fmt: skip
INTEGERS = ("INTEGER", "BIGINT", "UBIGINT")
SIZES = [{}, {"df": 0}, {"w": 0, "other": 0}, dict.fromkeys(COLUMNS, 0)]
"""Of each set of data: how many rows, where it is not a few."""
HAND = [each.sql for each in corpus()]
ROW_WISE = [
    line.partition(" -- holds: ")[0] for name in ("accepted", "refused") for line in lines(f"row_wise_{name}.sql")
]


def rows_of(chance, name, sizes):
    rows = [
        [chance.choice([*VALUES[column], None]) for column in COLUMNS[name]]
        for _ in range(sizes.get(name, chance.randint(8, 16)))
    ]
    return rows + rows[: len(rows) // 3]


class Data:
    """Sets of random tables in DuckDB: the whole ones, and those of each part as they are asked for."""

    def __init__(self):
        self.engine, self.parts, self.made = duckdb.connect(), set(), 0
        self.engine.execute("SET threads = 1; SET TimeZone = 'UTC'")
        chance = random.Random(7)
        for number, sizes in enumerate(SIZES):
            self.engine.execute(f"CREATE SCHEMA whole{number}; USE whole{number}")
            for name, columns in COLUMNS.items():
                types = ", ".join(f'"{column}" {kind}' for column, (_, kind) in columns.items())
                self.engine.execute(f'CREATE TABLE "{name}" ({types})')
                for row in rows_of(chance, name, sizes):
                    self.engine.execute(f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(row))})', row)
            self.name_others()

    def name_others(self):
        for name, key in NAMES.items():
            if name != key.lower():
                self.engine.execute(f'CREATE VIEW "{name}" AS SELECT * FROM "{key}"')

    def answer(self, schema, sql):
        self.engine.execute(f"USE {schema}")
        return self.engine.execute(sql).fetchall()

    def part(self, sources, feeds, of, index):
        """Return the schema with one part of the rows. `sources` has the table of each input, by its name."""
        name = "_".join(["p", str(of), str(index), str(hash((tuple(sources.items()), feeds)) & 0xFFFFFFFFFFFF)])
        if name in self.parts:
            return name
        self.parts.add(name)
        self.engine.execute(f"CREATE SCHEMA {name}; USE {name}")
        for key, table in sources.items():
            feed = dict(feeds).get(key)
            columns = ", ".join(self.alike(table, each) for each in feed.columns) if feed else ""
            place = {"split": "rowid", "bucket": f"hash({columns}, 'salt') // 8"}.get(feed.how if feed else "")
            rows = f"SELECT * FROM {table}"
            cut_rows = f'TABLE "{key}" AS {rows} WHERE {place} % {of} = {index} ORDER BY rowid'
            self.engine.execute(f"CREATE {cut_rows}" if place else f'CREATE VIEW "{key}" AS {rows}')
        self.name_others()
        return name

    def alike(self, table, column):
        """Return a column of which equal values have equal hashes in DuckDB, also if another type is as large."""
        kind = self.engine.sql(f'SELECT "{column}" FROM {table}').types[0]
        return f'"{column}"::HUGEINT' if str(kind) in INTEGERS else f'"{column}"'

    def computed(self, select, sources, of):
        """Return the schemas of the parts of a SELECT."""
        feeds = tuple(sorted(select.feeds.items()))
        count = of if any(feed.how != "whole" for _, feed in feeds) else 1
        return [self.part(sources, feeds, of, index) for index in range(count)]

    def into(self, target, select, schemas):
        """Make a table of the rows of all parts."""
        for index, schema in enumerate(schemas):
            self.engine.execute(f"USE {schema}")
            head = f"CREATE OR REPLACE TABLE {target} AS" if index == 0 else f"INSERT INTO {target}"
            self.engine.execute(f"{head} {select.part}")

    def merged(self, number, answer, of):
        """Return the rows of all parts, merged where they are."""
        sources = {key: f'whole{number}."{key}"' for key in COLUMNS}
        known = {*self.parts}
        for name, stage in answer.stages.items():
            self.made += 1
            target = f'memory.main."stage{self.made}"'
            self.into(target, stage, self.computed(stage, sources, of))
            for column in (each.name for each in stage.schema if each.type == "decimal(38,0)"):
                self.engine.execute(f'ALTER TABLE {target} ALTER "{column}" TYPE DECIMAL(38, 0)')
            sources[name] = target
        schemas = self.computed(answer, sources, of)
        if answer.merge:
            self.into("memory.main.parts", answer, schemas)
            rows = self.answer("memory.main", answer.merge)
        else:
            rows = [row for schema in schemas for row in self.answer(schema, answer.part)]
        for name in self.parts - known if answer.stages else ():
            self.engine.execute(f"USE memory.main; DROP SCHEMA {name} CASCADE")
            self.parts.remove(name)
        return rows


@pytest.fixture(scope="module")
def data():
    engine = Data()
    yield engine
    engine.engine.close()


def outputs(data, text):
    """Return the names of a statement's columns; None if DuckDB refuses it, or it has one name twice."""
    data.engine.execute("USE whole0")
    try:
        names = data.engine.sql(text).columns
    except duckdb.Error:
        return None
    return names if len({name.lower() for name in names}) == len(names) else None


def can_be_computed(data, text):
    try:
        for number in range(DATA):
            data.answer(f"whole{number}", text)
    except duckdb.Error:
        return False
    return True


def is_equal(data, number, text, answer):
    whole = data.answer(f"whole{number}", text)
    for of in PARTS if number == 0 else (3,):
        parts = data.merged(number, answer, of)
        same = repr(parts) == repr(whole) if answer.merge else Counter(map(repr, parts)) == Counter(map(repr, whole))
        if not same:
            return False
    return True


def cuts_of(data, sql, inputs):
    """Yield the cuts of a statement, with its text as it is run: the best one (None), and by these inputs."""
    verdict = check(sql, "duckdb", relations=[*NAMES])
    if not verdict.canonical or (names := outputs(data, verdict.canonical)) is None:
        return
    text = with_total_order(verdict.canonical, names)
    for name in inputs:
        answer = cut(text, NAMES, SCHEMAS, name)
        is_new = isinstance(answer, Cut) and not (name and answer.stages)  # the stages are always the same
        if is_new and can_be_computed(data, text):
            yield text, answer


def checked(data, statements, inputs=(None, *SCHEMAS)):
    """Count the cuts by the kind of their first feed that is one, and some others; each must hold."""
    seen = Counter()
    for sql in statements:
        for text, answer in {repr(answer): (text, answer) for text, answer in cuts_of(data, sql, inputs)}.values():
            wrong = [number for number in range(DATA) if not is_equal(data, number, text, answer)]
            assert not wrong, (text, answer, wrong)
            seen[next((each.how for each in answer.feeds.values() if each.how != "whole"), "whole")] += 1
            seen["stages"] += len(answer.stages)
            seen["merged"] += answer.merge is not None
            seen["together"] += sum(each.how == "bucket" for each in answer.feeds.values()) > 1
    return seen


def test_statements_of_all_shapes(data):
    seen = checked(data, HAND)
    assert seen["bucket"] >= 60
    assert seen["split"] >= 25
    assert seen["merged"] >= 18
    assert seen["together"] >= 40


@pytest.mark.long
def test_statements_of_the_row_wise_corpus(data):
    seen = checked(data, ROW_WISE)
    assert seen["split"] >= 50


def generated(seed, count):
    maker = Maker(random.Random(seed))
    return [maker.statement() for _ in range(count)]


def test_random_statements(data):
    seen = checked(data, generated(1, 150))
    assert seen["bucket"] >= 15
    assert seen["split"] >= 5


def joined(seed, count):
    chance = random.Random(seed)
    return [joined_statement(chance) for _ in range(count)]


def test_random_joins(data):
    seen = checked(data, joined(1, 40))
    assert seen["together"] >= 12


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 8))
def test_many_random_joins(data, seed):
    seen = checked(data, joined(seed, 300))
    assert seen["together"] >= 80


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 12))
def test_many_random_statements(data, seed):
    seen = checked(data, generated(seed, 500))
    assert seen["bucket"] >= 30
    assert seen["split"] >= 12
    assert seen["merged"] >= 20


def nested(seed, count):
    chance = random.Random(seed)
    return [nested_statement(chance) for _ in range(count)]


def test_random_queries_in_from_and_with(data):
    seen = checked(data, nested(1, 25), [None])
    assert seen["stages"] >= 20


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 8))
def test_many_random_queries_in_from_and_with(data, seed):
    seen = checked(data, nested(seed, 300), [None])
    assert seen["stages"] >= 100
