"""The columns that identify a row: as determined by hand, and really unique in DuckDB's result over random tables."""

from __future__ import annotations

import random
from pathlib import Path

import duckdb
import pytest
import yaml
from tests.known_rows import relation_rows

from osiris.sql.explanation.grain import Grains
from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.tree import deep_recursion, parse

WRITTEN = yaml.safe_load((Path(__file__).parent / "data" / "read_back.yaml").read_text(encoding="utf-8"))
SCHEMAS = WRITTEN["schemas"]
CASES = [(schema, case) for schema in SCHEMAS for case in WRITTEN[schema]]
DUCK = {"int64": "BIGINT", "utf8": "VARCHAR", "date": "DATE", "float64": "DOUBLE", "decimal(12,2)": "DECIMAL(12, 2)"}


def relations(schema):
    return {
        name: relation_rows(name, told["columns"], [told["key"]] if "key" in told else [])
        for name, told in SCHEMAS[schema].items()
    }


def keys_of(schema, text):
    with deep_recursion():
        tree = parse(text, DIALECTS["duckdb"].load_grammar())[0]
        return Grains(relations(schema), DIALECTS["duckdb"]).of(tree).keys


@pytest.mark.parametrize(("schema", "case"), CASES, ids=[case["sql"][:60] for _, case in CASES])
def test_grain_as_written(schema, case):
    wanted = case["grain"]
    assert (None if wanted is None else frozenset(wanted)) in (keys_of(schema, case["sql"]) or {None})


def value(chance, kind):
    """Return one of a few values, or NULL: so that rows often agree."""
    made = {
        "int64": lambda: chance.randint(1, 4),
        "utf8": lambda: chance.choice(["a", "b", "1", "01", "paid", "DE"]),
        "date": lambda: f"2025-0{chance.randint(1, 2)}-0{chance.randint(1, 2)}",
        "float64": lambda: chance.choice([0.0, -0.0, 1.5]),
        "decimal(12,2)": lambda: chance.choice(["1.00", "2.50"]),
    }
    return None if chance.random() < 0.2 else made[kind]()


def literal(found):
    return "NULL" if found is None else f"'{found}'"


def fill(engine, schema, chance):
    """Create small tables of random rows with valid primary keys."""
    for name, told in SCHEMAS[schema].items():
        columns, key = told["columns"], told.get("key", [])
        engine.execute(f"CREATE OR REPLACE TABLE {name} ({', '.join(f'{c} {DUCK[k]}' for c, k in columns.items())})")
        rows = [{c: value(chance, k) for c, k in columns.items()} for _ in range(chance.randint(0, 9))]
        seen = {}
        for number, row in enumerate(rows):
            at = tuple(row[c] for c in key) if key else number
            if key == [] or None not in at:
                seen[at] = row
        if seen:
            lines = ", ".join(f"({', '.join(map(literal, row.values()))})" for row in seen.values())
            engine.execute(f"INSERT INTO {name} VALUES {lines}")


def check_unique(engine, text, keys):
    try:
        relation = engine.sql(text)
        found = relation.fetchall()
    except duckdb.ConversionException:
        return
    names = [name.lower() for name in relation.columns]
    for key in keys:
        at = [names.index(name) for name in key]
        named = [tuple(repr(row[place]) for place in at) for row in found]
        assert len(set(named)) == len(named), (text, sorted(key), found)


def check_claims(rounds):
    engine = duckdb.connect()
    engine.execute("SET threads = 1")
    claimed = [(schema, case["sql"], keys) for schema, case in CASES if (keys := keys_of(schema, case["sql"]))]
    for seed in range(rounds):
        chance = random.Random(seed)
        for schema in SCHEMAS:
            fill(engine, schema, chance)
            for of, text, keys in claimed:
                if of == schema:
                    check_unique(engine, text, keys)


def test_claimed_columns_are_unique():
    check_claims(12)


@pytest.mark.long
def test_claimed_columns_are_unique_in_many_tables():
    check_claims(400)
