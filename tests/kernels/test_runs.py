"""Whole runs with compiled twins and without leave the same plan, digests and bytes."""

import json
import random

import pyarrow as pa
import pytest
from pyarrow import parquet
from tests.chance import draw_seed
from tests.comparator.record import answered, files
from tests.comparator.test_same import differences
from tests.components.server_types import mysql as mysql_types
from tests.components.server_types import postgres as postgres_types
from tests.components.server_types.trip import Columns
from tests.kernels.arrow_inputs import SPELLED, array_of

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


def both(console_script, folder, steps, lay_out=lambda root: None, env=None):
    """Run a pipeline with twins and without; return what is left of the first, which is as that of the second."""
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
        }
    assert list(differences(found["without"], found["with"])) == []
    return found["with"]


def settled(name, content):
    """Return what a file has, without what is only told of a run that takes its time."""
    if not name.endswith("events.jsonl"):
        return content
    return [{**each, "seq": 0} for each in content if each["event"] != "step_progress"]


def of_server(family, server, database):
    def lay_out(root):
        fields = {**server.fields(database), "password": "${SECRET}"}
        (root / "osiris_connections.yaml").write_text(json.dumps({"connections": {family: {"source": fields}}}))

    return lay_out


def errors(told):
    return [each for each in told["diagnostics"] if each["severity"] == "error"]


def whole(family, name):
    """Return steps that write a table as Parquet."""
    config = {"connection": f"@{family}.source", "table": name, **CONFIG[family]}
    yield step(name, f"{family}.extractor", config)
    yield step(f"{name}_parquet", "filesystem.parquet_writer", {"path": f"output/{name}.parquet"}, [name])


def spelled(family, name, types):
    """Return steps that write the columns of a table that CSV can hold as that."""
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
