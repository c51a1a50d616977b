"""The list of functions, compared with the engine that it was made from."""

from __future__ import annotations

import re
from collections import Counter

import duckdb
import pytest

from osiris.sql import check
from osiris.sql.safety.dialects import DIALECTS, load_allowed

ALLOWED = load_allowed(DIALECTS["duckdb"])
SYNTAX = {"array", "cast", "coalesce", "columns", "grouping", "grouping_id", "if", "row", "try", "position", "unnest"}
KEYWORDS = {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "ifnull", "isnull"}
KEYWORDS |= {"current_localtime", "current_localtimestamp", "nullif", "overlay", "percentile_cont", "percentile_disc"}
DANGEROUS = re.compile(
    r"read_|scan|glob|sniff|query|setting|variable|secret|extension|attach|copy|install|sleep|nextval|currval|setval|"
    r"setseed|write_|serialize|pragma|duckdb_|logging|profiling|checkpoint|parquet|current_(user|schema|database|catalog)|"
    r"txid|transaction_id|connection|version\b|getenv|privilege|^pg_|^inet_|^__|resource|grammar"
)


@pytest.fixture(scope="module")
def known():
    with duckdb.connect() as engine:
        return engine.execute("SELECT DISTINCT lower(function_name), function_type FROM duckdb_functions()").fetchall()


def test_every_name_exists(known):
    names = {name for name, _ in known}
    assert ALLOWED.functions - names - SYNTAX - KEYWORDS == set()
    assert ALLOWED.tables <= {name for name, kind in known if kind == "table"}


def test_no_name_is_a_way_out():
    assert [name for name in sorted(ALLOWED.functions | ALLOWED.tables) if DANGEROUS.search(name)] == [
        "uuid_extract_version"
    ]


def test_everything_else_is_refused(known):
    rest = {name for name, _ in known if re.fullmatch(r"\w+", name)} - ALLOWED.functions - ALLOWED.internal
    assert len(rest) > 500
    for name in sorted(rest):
        assert not check(f'SELECT "{name}"(1)', "duckdb", relations=()).ok, name


def test_in_from_only_the_table_functions(known):
    for name in sorted({name for name, _ in known if re.fullmatch(r"\w+", name)} - ALLOWED.tables):
        assert not check(f'SELECT * FROM "{name}"(1)', "duckdb", relations=()).ok, name


VALUES = {
    "BIGINT": ("3", "-2"),
    "INTEGER": ("3",),
    "DOUBLE": ("2.5::DOUBLE",),
    "FLOAT": ("2.5::FLOAT",),
    "DECIMAL": ("2.50::DECIMAL(10, 2)",),
    "VARCHAR": ("'2024-03-05'", "'day'", "'aB,b'"),
    "BLOB": ("'ab'::BLOB",),
    "DATE": ("DATE '2024-03-05'",),
    "TIME": ("TIME '10:11:12'",),
    "TIMESTAMP": ("TIMESTAMP '2024-03-05 10:11:12.5'",),
    "TIMESTAMP WITH TIME ZONE": ("TIMESTAMPTZ '2024-03-05 10:11:12+02'",),
    "INTERVAL": ("INTERVAL 2 MONTH",),
    "BOOLEAN": ("true",),
    "JSON": ("""'{"a":[1,2]}'::JSON""",),
    "BIGINT[]": ("[3, 1, 2]",),
    "DOUBLE[]": ("[1.5, 2.5]::DOUBLE[]",),
    "VARCHAR[]": ("['a', 'b']",),
    "T[]": ("[3, 1, 2]",),
    "ANY[]": ("[3, 1, 2]",),
    "STRUCT": ("{'a': 1}",),
    "MAP(K, V)": ("MAP {'a': 1}",),
    "LAMBDA": ("lambda x: x + 1",),
    "UUID": ("'00000000-0000-4000-8000-000000000000'::UUID",),
    "BIT": ("'101'::BIT",),
}
OTHER = ("3", "'x'", "[1, 2]")


def answer(engine, sql):
    try:
        relation = engine.sql(sql)
        return [str(kind) for kind in relation.types], repr(relation.fetchall())
    except duckdb.Error:
        return None


def test_a_call_gives_the_same_before_and_after(small):
    """Every function on the list, called once as written and once as canonical text;
    a few signatures of each."""
    rows = small.execute(
        "SELECT DISTINCT lower(function_name), function_type, parameter_types FROM duckdb_functions() "
        "WHERE function_type IN ('scalar', 'aggregate', 'macro', 'window') ORDER BY ALL"
    ).fetchall()
    compared = Counter()
    for name, kind, types in rows:
        if name not in ALLOWED.functions - ALLOWED.volatile:
            continue
        if compared[name] >= 4:
            continue
        for pick in range(2):
            choices = [VALUES.get(each, OTHER) for each in types]
            arguments = ", ".join(each[pick % len(each)] for each in choices)
            sql = f"SELECT {name}({arguments}){' OVER ()' if kind == 'window' else ''} AS r"
            expected = answer(small, sql)
            if expected is None:
                continue
            verdict = check(sql, "duckdb", relations=())
            assert verdict.ok, (sql, [str(d) for d in verdict.diagnostics])
            assert answer(small, verdict.canonical) == expected, (sql, verdict.canonical)
            compared[name] += 1
    assert len(compared) > 400
