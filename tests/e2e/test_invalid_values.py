"""A file or a component with invalid values: the run fails with their place, and no target gets them."""

import json
import sqlite3

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

DECIMAL = pa.decimal128(4, 2)
UNSCALED = b"".join(number.to_bytes(16, "little") for number in (1, 70_005))
INVALID = {
    "text": (pa.array([b"ok", b"caf\xe9"]).view(pa.string()), "'caf\\xe9'; it is not valid UTF-8"),
    "decimal": (
        pa.Array.from_buffers(DECIMAL, 2, [None, pa.py_buffer(UNSCALED)]),
        "700.05; it has more digits than decimal(4,2)",
    ),
    "time": (pa.array([0, 90_000_000_000]).view(pa.time64("us")), "25:00:00; it is outside of a day"),
}
TARGETS = {
    "csv": "component: filesystem.csv_writer, mode: write, config: {path: out/x.csv}",
    "json": "component: filesystem.json_writer, mode: write, config: {path: out/x.jsonl}",
    "parquet": "component: filesystem.parquet_writer, mode: write, config: {path: out/x.parquet}",
    "sqlite": 'component: sqlite.writer, mode: write, config: {connection: "@sqlite.shop", table: t}',
    "duckdb": 'component: duckdb.writer, mode: write, config: {connection: "@duckdb.shop", table: t}',
}
CONNECTIONS = "connections: {sqlite: {shop: {path: shop.sqlite}}, duckdb: {shop: {path: shop.duckdb}}}\n"
HEAD = 'oml_version: "0.1.0"\nname: p\nsteps:\n'
READ = "  - {id: rows, component: filesystem.parquet_extractor, mode: read, config: {path: in.parquet}}\n"
COMPUTED = "component: duckdb.processor, mode: transform, needs: [rows], config: {query: SELECT x FROM rows}"


@pytest.fixture
def fails(osiris, tmp_path):
    """Run a pipeline whose step `rows` has an invalid value, and return its message."""
    sqlite3.connect(tmp_path / "shop.sqlite").close()
    duckdb.connect(str(tmp_path / "shop.duckdb")).close()
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "osiris_connections.yaml").write_text(CONNECTIONS)

    def fails(column, steps):
        pq.write_table(pa.table({"x": column}), tmp_path / "in.parquet", store_decimal_as_integer=True)
        (tmp_path / "p.yaml").write_text(HEAD + READ + steps)
        done = osiris("run", "p.yaml", "--json", cwd=tmp_path)
        told = json.loads(done.stdout)
        (found,) = (each for each in told["diagnostics"] if each["severity"] == "error")
        assert (done.returncode, found["code"]) == (1, "DAT031"), told
        assert [name for name, step in told["data"]["steps"].items() if step["status"] == "failed"] == ["rows"]
        assert not [each for each in (tmp_path / "out").glob("*") if each.is_file()]
        assert sqlite3.connect(tmp_path / "shop.sqlite").execute("SELECT * FROM sqlite_master").fetchall() == []
        with duckdb.connect(str(tmp_path / "shop.duckdb")) as client:
            assert client.execute("SHOW TABLES").fetchall() == []
        return found["message"]

    return fails


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", INVALID)
def test_no_target_gets_an_invalid_value_of_a_file(fails, kind, target):
    column, words = INVALID[kind]
    assert f"column 'x', row 2: {words}" in fails(column, f"  - {{id: out, needs: [rows], {TARGETS[target]}}}\n")


@pytest.mark.parametrize("kind", INVALID)
def test_the_engine_gets_no_invalid_value_of_a_file_that_it_reads_itself(fails, kind):
    column, words = INVALID[kind]
    message = fails(column, f"  - {{id: taken, {COMPUTED}}}\n  - {{id: out, needs: [taken], {TARGETS['csv']}}}\n")
    assert f"column 'x', row 2: {words}" in message


LAST = pa.array([0, 2**63 - 1]).view(pa.timestamp("ns"))
"""The last nanosecond is infinity in DuckDB, and a time everywhere else."""
READS = {
    "computed": f"  - {{id: taken, {COMPUTED}}}\n",
    "computed after another reader": f"  - {{id: taken, {COMPUTED}}}\n"
    "  - {id: copy, component: filesystem.parquet_writer, mode: write, needs: [rows], config: {path: out/y.parquet}}\n",
    "infinite": "  - {id: taken, component: duckdb.processor, mode: transform, needs: [rows], config: {query: "
    "\"SELECT CAST('infinity' AS TIMESTAMP) AS x FROM rows\"}}\n",
    "stored": "  - {id: taken, component: duckdb.extractor, mode: read, "
    'config: {connection: "@duckdb.shop", table: s}}\n',
}


@pytest.mark.parametrize("how", READS)
def test_infinity_of_duckdb_is_no_time_and_no_time_is_infinity(osiris, tmp_path, how):
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "osiris_connections.yaml").write_text(CONNECTIONS)
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as client:
        client.execute("CREATE TABLE s AS SELECT CAST('-infinity' AS DATE) AS x")
    pq.write_table(pa.table({"x": LAST}), tmp_path / "in.parquet")
    target = TARGETS["parquet"].replace("component", "needs: [taken], component", 1)
    (tmp_path / "p.yaml").write_text(HEAD + READ + READS[how] + f"  - {{id: out, {target}}}\n")
    done = osiris("run", "p.yaml", "--json", cwd=tmp_path)
    codes = [each["code"] for each in json.loads(done.stdout)["diagnostics"] if each["severity"] == "error"]
    assert (done.returncode, codes) == (1, ["DAT031"]), done.stdout
    assert not (tmp_path / "out" / "x.parquet").exists()


def test_the_last_nanosecond_is_copied(osiris, tmp_path):
    pq.write_table(pa.table({"x": LAST}), tmp_path / "in.parquet")
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "p.yaml").write_text(HEAD + READ + f"  - {{id: out, needs: [rows], {TARGETS['parquet']}}}\n")
    assert osiris("run", "p.yaml", cwd=tmp_path).returncode == 0
    assert pq.read_table(tmp_path / "out" / "x.parquet").column("x").combine_chunks() == LAST
