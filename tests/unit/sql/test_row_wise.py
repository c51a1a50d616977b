"""Row-wise statements: DuckDB's own results over random splits of rows; places and reasons of what is refused."""

from __future__ import annotations

import random
from collections import Counter

import duckdb
import pytest
from tests.unit.sql.conftest import lines

from osiris.sql.check_text import check
from osiris.sql.row_wise import row_wise
from osiris.sql.safety.dialects import DIALECTS, load_allowed

RELATIONS = ["df", "input_df", "w", "rates"]
CURSOR = ["df", "input_df"]
SPLITS = 8
ACCEPTED = lines("row_wise_accepted.sql")
REFUSED = [line.partition(" -- holds: ")[::2] for line in lines("row_wise_refused.sql")]
ROWS_OF = "id INTEGER, x INTEGER, s VARCHAR, d TIMESTAMP, l INTEGER[], j JSON"


def some(chance, *values):
    return chance.choice([*values, None])


def new_row(chance):
    number = chance.randint(1, 4)
    return (
        number,
        some(chance, 1, 2, 3, 5),
        some(chance, "a", "b", "c"),
        some(chance, "2024-01-05", "2024-02-01", "2024-02-09 10:00"),
        some(chance, [], [1], [1, 2], [3, None, 1]),
        some(chance, '{"a": 1, "b": [2]}', '{"a": null}'),
    )


@pytest.fixture(scope="module")
def splits():
    """A DuckDB with schemas of tables: `aN` and `bN` have two random parts of the cursor's rows, `cN` has both."""
    chance, engine = random.Random(20), duckdb.connect()
    engine.execute("SET threads = 1; SET TimeZone = 'UTC'")
    for number in range(SPLITS):
        first, second = ([new_row(chance) for _ in range(chance.randint(1, 5))] for _ in "ab")
        second.append(first[0])
        whole = [(some(chance, 1, 2, 3), some(chance, 1, 2, 3, 9), some(chance, "a", "b")) for _ in range(4)]
        rates = [(since, chance.choice("abc"), rate) for rate, since in enumerate(("2024-01-01", "2024-02-01"), 1)]
        for name, rows in ((f"a{number}", first), (f"b{number}", second), (f"c{number}", first + second)):
            engine.execute(f"CREATE SCHEMA {name}; USE {name}; CREATE TABLE df ({ROWS_OF})")
            engine.executemany("INSERT INTO df VALUES (?, ?, ?, ?, ?, ?)", rows)
            engine.execute("CREATE VIEW input_df AS SELECT * FROM df")
            engine.execute("CREATE TABLE w (id INTEGER, v INTEGER, name VARCHAR)")
            engine.executemany("INSERT INTO w VALUES (?, ?, ?)", whole)
            engine.execute("CREATE TABLE rates (since TIMESTAMP, cur VARCHAR, rate INTEGER)")
            engine.executemany("INSERT INTO rates VALUES (?, ?, ?)", rates)
    yield engine
    engine.close()


def rows_of(engine, schema, sql):
    engine.execute(f"USE {schema}")
    return Counter(map(repr, engine.execute(sql).fetchall()))


def is_sum(engine, number, sql):
    a, b, both = (rows_of(engine, f"{part}{number}", sql) for part in "abc")
    return both == a + b


def canonical(sql):
    verdict = check(sql, "duckdb", relations=RELATIONS)
    assert verdict.canonical, verdict.diagnostics
    return verdict.canonical


def test_corpus_is_large():
    assert len(set(ACCEPTED)) >= 120
    assert len({sql for sql, _ in REFUSED}) >= 120


@pytest.mark.parametrize("sql", ACCEPTED)
def test_output_of_accepted_statement_is_the_sum_of_parts(splits, sql):
    text = canonical(sql)
    assert row_wise(text, CURSOR).problem is None
    assert all(is_sum(splits, number, text) for number in range(SPLITS))


@pytest.mark.parametrize(("sql", "holds"), REFUSED)
def test_output_of_refused_statement_is_no_sum(splits, sql, holds):
    text = canonical(sql)
    problem = row_wise(text, CURSOR).problem
    assert problem
    assert problem.place.line
    assert all(is_sum(splits, number, text) for number in range(SPLITS)) == bool(holds)


def test_each_accepted_statement_tells_whether_it_joins_inputs_read_whole():
    for sql in ACCEPTED:
        has_other = bool({"w", "rates"} & set(check(sql, "duckdb", relations=RELATIONS).relations))
        assert row_wise(canonical(sql), CURSOR).joins_whole == has_other, sql


def test_no_aggregate_of_the_engine_counts_as_a_function_of_one_row():
    engine = duckdb.connect()
    rows = engine.execute("SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'aggregate'")
    assert not {name for (name,) in rows.fetchall()} & load_allowed(DIALECTS["duckdb"]).scalar
