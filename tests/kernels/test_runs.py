"""Whole runs with and without compiled functions leave the same plan, digests, bytes and tables."""

import json
import random
import re
from dataclasses import replace
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from tests.chance import draw_seed
from tests.comparator.record import answered, files
from tests.comparator.test_same import differences
from tests.components.server_types import mysql as mysql_types
from tests.components.server_types import postgres as postgres_types
from tests.components.server_types.trip import Columns
from tests.kernels.arrow_inputs import NUMBERS, SPELLED, array_of

from osiris.families.text_format import kind_of

TYPES = {"postgres": postgres_types, "mysql": mysql_types}
CONFIG = {"postgres": {"unscaled": "text"}, "mysql": {}}
LOOSE = {"postgres": (), "mysql": ("SET sql_mode = '', time_zone = '+00:00'",)}
MANY = 30_000
MANY_ROWS = {
    "postgres": f"""
        CREATE TABLE many AS SELECT
          n, CASE WHEN n % 7 > 0 THEN n * 12345 END AS whole, (n % 1000 - 500)::smallint AS small,
          (n::bigint * 1000003) AS wide, (n % 97) / 7.0::float8 AS part, (n % 97) / 7.0::float4 AS real,
          CASE WHEN n % 5 > 0 THEN (n::bigint * 79190 % 1000000007) / 100.0 - 90000 END::numeric(12, 2) AS price,
          (n * 7919.5 / 3)::numeric(38, 20) AS exact, n % 2 = 0 AS even,
          CASE WHEN n % 11 > 0 THEN repeat(md5(n::text), n % 13) END AS text,
          CASE n % 3 WHEN 0 THEN '' ELSE 'ž,"' END AS t,
          decode(md5(n::text), 'hex') AS bytes, md5(n::text)::uuid AS id, date '0001-01-01' + n * 100 AS day,
          timestamp '1969-12-31 23:00:00' + n * interval '1.000001 s' AS moment, to_timestamp(n * 1.5) AS instant,
          time '00:00:00' + n * interval '1.5 s' AS clock, ARRAY[n, NULL, n + 1] AS list,
          jsonb_build_object('n', n) AS json
        FROM generate_series(0, {MANY - 1}) AS n""",
    "mysql": f"""
        CREATE TABLE many AS SELECT
          CAST(seq AS SIGNED) AS n, IF(seq % 7 > 0, seq * 1234567, NULL) AS whole,
          CAST(seq % 1000 AS SIGNED) - 500 AS small,
          seq * 100000000003 AS wide, (seq % 97) / 7e0 AS part,
          IF(seq % 5 > 0, CAST((seq * 7919 % 1000000007) / 100 - 90000 AS DECIMAL(12, 2)), NULL) AS price,
          CAST(seq * 7919.5 / 3 AS DECIMAL(38, 20)) AS exact,
          IF(seq % 11 > 0, REPEAT(MD5(seq), seq % 13), NULL) AS text,
          REPEAT('x', seq % 300) AS marks, IF(seq % 3 = 0, '', 'ž,"') AS t, UNHEX(MD5(seq)) AS bytes,
          DATE '0001-01-01' + INTERVAL seq * 100 DAY AS day,
          TIMESTAMP '1969-12-31 23:00:00' + INTERVAL seq * 1.000001 SECOND_MICROSECOND AS moment,
          SEC_TO_TIME(seq * 1.5) AS clock
        FROM seq_0_to_{MANY - 1}""",
}
"""Tables of several pages of rows, with NULL, as each server makes them."""


MODES = {"extractor": "read", "writer": "write", "processor": "transform"}


def step(name, component, config, needs=()):
    mode = MODES[component.rpartition(".")[2].rpartition("_")[2]]
    return {"id": name, "component": component, "mode": mode, "config": config, "needs": list(needs)}


def both(console_script, folder, steps, lay_out=lambda root: None, env=None, look=lambda: None):
    """Run a pipeline with and without compiled functions; return the result of the first, which must equal the second.

    `look` returns results that are elsewhere.
    """
    found = {}
    for way, variables in {"with": {}, "without": {"OSIRIS_KERNELS": "off"}}.items():
        root = folder / way
        root.mkdir()
        (root / "osiris.yaml").write_text("run: {parallel: 1}\n")
        (root / "p.yaml").write_text(json.dumps({"oml_version": "0.2.0", "name": "p", "steps": steps}))
        lay_out(root)
        done = console_script("run", "p.yaml", "--json", cwd=root, env={**(env or {}), **variables})
        assert done.returncode == 0, errors(json.loads(done.stdout))
        found[way] = {
            "answer": answered(done, root),
            "left": {name: settled(name, content) for name, content in files(root).items()},
            "plans": {str(each.relative_to(root)): each.read_bytes() for each in root.glob("build/**/*.json")},
            "output": {
                str(each.relative_to(root)): each.read_bytes() for each in root.glob("output/**/*") if each.is_file()
            },
            "elsewhere": look(),
        }
    assert list(differences(found["without"], found["with"])) == []
    return found["with"]


def settled(name, content):
    """Return a file's content without what is only recorded for long runs."""
    if not name.endswith("events.jsonl"):
        return content
    return [{**each, "seq": 0} for each in content if each["event"] != "step_progress"]


def of_server(family, server, database, target=None):
    def lay_out(root):
        known = {"source": database, **({"target": target} if target else {})}
        fields = {name: {**server.fields(each), "password": "${SECRET}"} for name, each in known.items()}
        (root / "osiris_connections.yaml").write_text(json.dumps({"connections": {family: fields}}))

    return lay_out


def errors(told):
    return [each for each in told["diagnostics"] if each["severity"] == "error"]


def whole(family, name):
    """Return steps that write a table as Parquet."""
    config = {"connection": f"@{family}.source", "table": name, **CONFIG[family]}
    yield step(name, f"{family}.extractor", config)
    yield step(f"{name}_parquet", "filesystem.parquet_writer", {"path": f"output/{name}.parquet"}, [name])


def spelled(family, name, types):
    """Return steps that write those columns of a table as CSV that CSV can hold."""
    columns = [column for column, kind in types.items() if kind_of(kind)]
    config = {"connection": f"@{family}.source", "table": name, "columns": columns, **CONFIG[family]}
    yield step(f"{name}_few", f"{family}.extractor", config)
    yield step(f"{name}_csv", "filesystem.csv_writer", {"path": f"output/{name}.csv"}, [f"{name}_few"])


def types_of(console_script, root, steps, lay_out, env):
    """Return the types of the columns of each step, by name."""
    root.mkdir()
    (root / "p.yaml").write_text(json.dumps({"oml_version": "0.2.0", "name": "p", "steps": steps}))
    (root / "osiris.yaml").write_text("")
    lay_out(root)
    done = console_script("compile", "p.yaml", "--json", cwd=root, env=env)
    told = json.loads(done.stdout)
    assert told["ok"], errors(told)
    return {
        each["id"]: {field["name"]: field["type"] for field in each["schema"] or ()} for each in told["data"]["steps"]
    }


@pytest.mark.parametrize("family", ["postgres", "mysql"])
def test_rows_of_a_server(family, request, console_script, tmp_path):
    server = request.getfixturevalue("mariadb" if family == "mysql" else family)
    database = server.new_database()
    known = TYPES[family]
    tables = {
        "ordinary": Columns(family, "ordinary", known.SAMPLES, CONFIG[family]),
        "rare": Columns(family, "rare", known.RARE, CONFIG[family]),
    }
    made = [line for table in tables.values() for line in table.statements()]
    server.run(*LOOSE[family], *known.OBJECTS, *made, MANY_ROWS[family], database=database)
    names = (*tables, "many")
    steps = [each for name in names for each in whole(family, name)]
    lay_out, env = of_server(family, server, database), {"SECRET": server.password}
    types = types_of(console_script, tmp_path / "types", steps, lay_out, env)
    steps += [each for name in names for each in spelled(family, name, types[name])]
    left = both(console_script, tmp_path, steps, lay_out, env)
    assert len(left["output"]) == 2 * len(names)
    assert parquet.read_metadata(pa.BufferReader(left["output"]["output/many.parquet"])).num_rows == MANY
    assert left["output"]["output/many.csv"].partition(b"\n")[0].count(b",") >= 9


def test_rows_of_files(console_script, tmp_path):
    chance = random.Random(draw_seed())
    kinds = [kind for kind in (*SPELLED, pa.decimal128(12, 2), pa.decimal128(38, 10)) if not pa.types.is_time(kind)]
    names = [f"c{number}" for number in range(len(kinds))]
    columns = [pa.chunked_array([array_of(chance, kind, 3000), array_of(chance, kind, 7)]) for kind in kinds]
    table = pa.table(columns, names)

    def lay_out(root):
        (root / "data").mkdir()
        parquet.write_table(table, root / "data/rows.parquet")

    steps = [
        step("rows", "filesystem.parquet_extractor", {"path": "data/rows.parquet"}),
        step("csv", "filesystem.csv_writer", {"path": "output/rows.csv"}, ["rows"]),
        step(
            "quoted",
            "filesystem.csv_writer",
            {"path": "output/quoted.csv", "quoting": "all", "delimiter": ";"},
            ["rows"],
        ),
        step("parquet", "filesystem.parquet_writer", {"path": "output/rows.parquet"}, ["rows"]),
        {
            **step("sql", "duckdb.processor", {"query": "SELECT * FROM rows ORDER BY ALL"}, ["rows"]),
            "inputs": {"rows": "@rows"},
        },
        step("sorted", "filesystem.csv_writer", {"path": "output/sorted.csv"}, ["sql"]),
    ]
    left = both(console_script, tmp_path, steps, lay_out)
    assert len(left["output"]) == 4


# --- rows that are written to servers --------------------------------------------------------------------------------

EMPTY = {
    "postgres": lambda database: ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public"),
    "mysql": lambda database: (f"DROP DATABASE `{database}`", f"CREATE DATABASE `{database}`", f"USE `{database}`"),
}
TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema IN ('public', %s) ORDER BY table_name"
ALL_ROWS, SOME_ROWS = 1500, 7
UNITS = ("s", "ms", "us")
KINDS = [
    *(pa.bool_(), *NUMBERS, pa.float32(), pa.float64(), pa.date32(), pa.time32("s"), pa.time32("ms"), pa.time64("us")),
    *(pa.timestamp(unit) for unit in UNITS),
    *(pa.decimal128(5, 5), pa.decimal128(12, 2), pa.decimal128(18, 0), pa.decimal128(38, 10), pa.decimal256(60, 20)),
    *(pa.string(), pa.binary(), pa.uuid(), pa.json_(pa.string()), pa.timestamp("us", "UTC")),
]
LISTS = [pa.list_(kind) for kind in (pa.bool_(), pa.int64(), pa.float64(), pa.decimal128(12, 2), pa.string())]


def held(chance, family, kind, rows):
    """Return values of a type that a server supports: MySQL has no infinity, PostgreSQL no U+0000."""
    if pa.types.is_list(kind):
        drawn = [held(chance, family, kind.value_type, chance.choice((0, 1, 3))).to_pylist() for _ in range(rows)]
        return pa.array([None if chance.random() < 0.2 else each for each in drawn], kind)
    if kind == pa.uuid():
        made = (
            UUID(bytes=chance.randbytes(16), version=4).bytes for _ in range(rows)
        )  # MariaDB takes no unknown version
        return pa.array([chance.choice((None, each)) for each in made], kind)
    if kind == pa.json_(pa.string()):
        return pa.array(chance.choices((None, "[]", '{"a":  1, "b": ["ž"]}', '"\\n\\""', "1e2"), k=rows), kind)
    if getattr(kind, "tz", None):
        return pa.array([chance.choice((None, chance.randint(10**6, 2 * 10**15))) for _ in range(rows)], kind)
    array = array_of(chance, kind, rows)
    if family == "mysql" and pa.types.is_floating(kind):
        values = array.to_numpy(zero_copy_only=False)
        return pa.array(np.where(np.isfinite(values), values, 0.1), kind, mask=np.asarray(array.is_null()))
    if family == "postgres" and pa.types.is_string(kind):
        return pa.array([each and each.replace("\0", "0") for each in array.to_pylist()], kind)
    return array


def every_type(family):
    chance = random.Random(draw_seed())
    kinds = [*KINDS, *(LISTS if family == "postgres" else ())]
    columns = [
        pa.chunked_array([held(chance, family, kind, count) for count in (ALL_ROWS, SOME_ROWS)], kind) for kind in kinds
    ]
    names = ["n", *(f"c{number}" for number in range(len(kinds)))]
    return pa.table([pa.array(range(ALL_ROWS + SOME_ROWS), pa.int32()), *columns], names)


def copied(cursor, name):
    """Return the rows of a table as text: in binary, lists of custom types would contain type numbers."""
    with cursor.copy(f"COPY (SELECT * FROM {name} ORDER BY n) TO STDOUT") as content:
        return b"".join(map(bytes, content))


def tables_of(family, server, database):
    """Return the content of the tables of a database, as the server sends it."""
    with server.connect(database) as client, client.cursor() as cursor:
        cursor.execute(TABLES, [database])
        names = [name for (name,) in cursor.fetchall() if not name.startswith("_")]
        if family == "postgres":
            return {name: copied(cursor, name) for name in names}
        client.decoders, found = {}, {}
        for name in names:
            cursor.execute(f"CHECKSUM TABLE {name} EXTENDED")
            checksum = cursor.fetchall()
            cursor.execute(f"SELECT * FROM {name} ORDER BY n")
            found[name] = [*checksum, *cursor.fetchall()]
        return found


WIDE = re.compile(r"(?:decimal|numeric)\d*\((?:3[1-9]|[4-7]\d)\b", re.IGNORECASE)
"""Decimals of several words: a twin leaves all rows for MySQL with such a column to Python."""


def parted(types):
    """Return the names of columns without the wide ones, and the wide ones, each with the row number."""
    wide = [name for name, kind in types.items() if WIDE.match(kind)]
    return ["n", *(name for name in types if name not in wide)], ["n", *wide]


@pytest.mark.parametrize("family", ["postgres", "mysql"])
def test_rows_into_a_server(family, request, console_script, tmp_path):
    """Rows of all types are written to new tables, to one with the same types as the source, and by key to another."""
    server = request.getfixturevalue("mariadb" if family == "mysql" else family)
    source, target, known = server.new_database(), server.new_database(), TYPES[family]
    ordinary = Columns(family, "ordinary", known.SAMPLES, CONFIG[family])
    rare = Columns(family, "rare", known.RARE, CONFIG[family])
    many = MANY_ROWS[family].replace("DECIMAL(38, 20)", "DECIMAL(18, 6)")
    server.run(*LOOSE[family], *known.OBJECTS, *ordinary.statements(), *rare.statements(), many, database=source)
    there = [
        *EMPTY[family](target),
        *known.OBJECTS,
        next(replace(ordinary, table="same").statements()),
        many.replace("TABLE many", "TABLE merged"),
        "DELETE FROM merged WHERE n % 2 = 0",
        "UPDATE merged SET t = 'old'",
        "ALTER TABLE merged ADD PRIMARY KEY (n)",
    ]
    rows, connect = every_type(family), of_server(family, server, source, target)

    def lay_out(root):
        connect(root)
        (root / "data").mkdir()
        parquet.write_table(rows, root / "data/rows.parquet")
        server.run(*LOOSE[family], *there, database=target)

    def read(name, table, columns):
        config = {"connection": f"@{family}.source", "table": table, **CONFIG[family]}
        return step(name, f"{family}.extractor", {**config, **({"columns": columns} if columns else {})})

    def kinds(name, columns):
        return step(name, "filesystem.parquet_extractor", {"path": "data/rows.parquet", "columns": columns})

    def into(name, source, **more):
        config = {"connection": f"@{family}.target", "table": name, **more}
        return step(f"{name}_written", f"{family}.writer", config, [source])

    narrow, wide = parted({name: ordinary.sample(name).type for name in ordinary.names})
    kept = [name for name in narrow if name == "n" or "GENERATED ALWAYS" not in ordinary.sample(name).type]
    narrow_kinds, wide_kinds = parted({name: str(rows[name].type) for name in rows.column_names[1:]})
    steps = [
        *(read("rare", "rare", []), read("many", "many", []), read("narrow", "ordinary", narrow)),
        *(read("wide", "ordinary", wide), read("kept", "ordinary", kept)),
        *(kinds("kinds", narrow_kinds), kinds("wide_kinds", wide_kinds)),
        *(into(f"new_{name}", name) for name in ("rare", "many", "narrow", "wide", "kinds", "wide_kinds")),
        into("same", "kept", write_mode="replace", create_if_missing=False),
        into("merged", "many", write_mode="upsert", primary_key=["n"]),
    ]
    env = {"SECRET": server.password}
    left = both(console_script, tmp_path, steps, lay_out, env, lambda: tables_of(family, server, target))
    expected = [
        "merged",
        *(f"new_{name}" for name in ("kinds", "many", "narrow", "rare", "wide", "wide_kinds")),
        "same",
    ]
    assert [name for name, rows in left["elsewhere"].items() if len(rows) > rare.rows] == expected
