"""A failed run in a project that was moved or copied since: what it delivered is not delivered again."""

import json
import shutil
import sqlite3
from functools import partial

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet
from tests.e2e.databases import Side

ROWS = [(1, "a"), (2, "b"), (3, "c")]
PIPELINE = """\
oml_version: "0.2.0"
name: orders
steps:
  - {id: rows, component: SOURCE, mode: read, config: {READS}}
  - id: all
    component: TARGET.writer
    mode: write
    inputs: {df: "${rows.df}"}
    config: {connection: "@TARGET.mart", table: orders, write_mode: append}
  - id: late
    component: duckdb.processor
    mode: transform
    inputs: {df: "${rows.df}"}
    needs: [rows, all]
    config: {query: "SELECT id FROM df", checks: [{row_count: {min: 100}}]}
  - {id: out, component: filesystem.csv_writer, mode: write, inputs: {df: "${late.df}"}, config: {path: out.csv}}
"""


def in_csv(folder):
    (folder / "orders.csv").write_text("".join(f"{n},{name}\n" for n, name in [("id", "name"), *ROWS]))


def in_json(folder):
    (folder / "orders.jsonl").write_text("".join(json.dumps({"id": n, "name": name}) + "\n" for n, name in ROWS))


def in_parquet(folder):
    ids, names = zip(*ROWS, strict=True)
    parquet.write_table(pa.table({"id": ids, "name": names}), folder / "orders.parquet")


def in_sqlite(folder):
    _fill(sqlite3.connect(folder / "shop.sqlite"))


def in_duckdb(folder):
    _fill(duckdb.connect(str(folder / "shop.duckdb")))


def _fill(client):
    client.execute("CREATE TABLE orders (id INTEGER, name TEXT)")
    client.executemany("INSERT INTO orders VALUES (?, ?)", ROWS)
    client.commit()
    client.close()


SOURCES = {
    "csv": (in_csv, "filesystem.csv_extractor", "path: data/orders.csv"),
    "pattern": (in_csv, "filesystem.csv_extractor", 'path: "data/*.csv"'),
    "beside": (in_csv, "filesystem.csv_extractor", "path: ../data/orders.csv"),
    "beside-pattern": (in_csv, "filesystem.csv_extractor", 'path: "../data/*.csv"'),
    "linked": (in_csv, "filesystem.csv_extractor", "path: linked/orders.csv"),
    "absolute": (in_csv, "filesystem.csv_extractor", "path: ROOT/data/orders.csv"),
    "json": (in_json, "filesystem.json_extractor", "path: data/orders.jsonl"),
    "parquet": (in_parquet, "filesystem.parquet_extractor", "path: data/orders.parquet"),
    "sqlite": (in_sqlite, "sqlite.extractor", 'connection: "@sqlite.shop", table: orders'),
    "duckdb": (in_duckdb, "duckdb.extractor", 'connection: "@duckdb.shop", table: orders'),
}
SHOPS = {"sqlite": {"path": "data/shop.sqlite"}, "duckdb": {"path": "data/shop.duckdb"}}


def lay_out(place, source, target, written=PIPELINE):
    """Make a project in a folder of `place`, with the same source inside and beside it; returns the target."""
    fill, component, reads = SOURCES[source]
    root = place / "project"
    for folder in (root / "data", place / "data"):
        folder.mkdir(parents=True)
        fill(folder)
    made = target(root)
    (root / "linked").symlink_to("../data")
    (root / "osiris.yaml").write_text("paths: {read: [/]}\n")
    text = written.replace("SOURCE", component).replace("READS", reads.replace("ROOT", str(root)))
    (root / "orders.yaml").write_text(text.replace("TARGET", made.family))
    connections = {family: {"shop": fields} for family, fields in SHOPS.items()}
    connections.setdefault(made.family, {})["mart"] = made.fields
    (root / "osiris_connections.yaml").write_text(json.dumps({"connections": connections}))
    return made


def run(osiris, root, target, *options, **env):
    """Run the pipeline; returns the exit code and the codes of diagnostics."""
    done = osiris("run", "orders.yaml", *options, "--json", cwd=root, env={**target.env, **env})
    answer = json.loads(done.stdout) if done.stdout else {"diagnostics": []}
    return done.returncode, [item["code"] for item in answer["diagnostics"]]


def moved(place):
    """Rename the folder of a project; returns the project."""
    return place.rename(place.with_name("moved")) / "project"


def copied(place):
    """Copy the folder of a project; returns the copy."""
    return shutil.copytree(place, place.with_name("copied"), symlinks=True) / "project"


def rows_of(target, root):
    """Return the rows of the target, in the project at `root` if it is a file."""
    if target.server is None:
        target.path = root / target.path.name
    return sorted(target.sql("SELECT id, name FROM orders"))


@pytest.fixture
def make_target(request):
    """Return a function that makes an empty database of a family, in a project's folder if it is a file."""

    def make(family, root):
        server = {"postgres": "postgres", "mysql": "mariadb"}.get(family)
        return Side(family, "mart", root, server and request.getfixturevalue(server))

    return make


CASES = [
    *((source, "sqlite", move, ()) for source in SOURCES for move in (moved, copied)),
    *(("csv", family, move, ()) for family in ("duckdb", "postgres", "mysql") for move in (moved, copied)),
    *(("parquet", "postgres", moved, options) for options in (("--resume",), ("--run-id", "night"))),
]


@pytest.mark.parametrize(("source", "family", "move", "options"), CASES)
def test_rows_that_a_failed_run_appended_are_not_appended_again(
    osiris, tmp_path, make_target, source, family, move, options
):
    place = tmp_path / "here"
    target = lay_out(place, source, partial(make_target, family))
    first = () if options == ("--resume",) else options
    code, codes = run(osiris, place / "project", target, *first)
    assert code == 6, codes
    assert rows_of(target, place / "project") == ROWS
    root = move(place)
    _code, codes = run(osiris, root, target, *options)
    assert "RUN011" in codes
    assert not {"RUN012", "RUN020", "RUN056"}.intersection(codes)
    assert rows_of(target, root) == ROWS


@pytest.mark.parametrize("move", [moved, copied])
@pytest.mark.parametrize("family", ["sqlite", "postgres"])
def test_nor_those_of_a_killed_run(osiris, tmp_path, make_target, family, move):
    place = tmp_path / "here"
    target = lay_out(place, "pattern", partial(make_target, family))
    run(osiris, place / "project", target, OSIRIS_FAULT=f"worker/{family}.committed:1:kill")
    assert rows_of(target, place / "project") == ROWS
    root = move(place)
    _code, codes = run(osiris, root, target)
    assert "RUN011" in codes
    assert rows_of(target, root) == ROWS


NEW_FILES = """\
oml_version: "0.3.0"
name: orders
steps:
  - {id: rows, component: SOURCE, mode: read, config: {READS, cursor: files}}
  - id: all
    component: TARGET.writer
    mode: write
    inputs: {df: "${rows.df}"}
    config: {connection: "@TARGET.mart", table: orders, write_mode: append}
"""
BY_FILES = ["csv", "pattern", "beside", "beside-pattern", "linked", "absolute", "json", "parquet"]


@pytest.mark.parametrize("source", BY_FILES)
def test_files_behind_a_cursor_are_known_after_a_move(osiris, tmp_path, make_target, source):
    place = tmp_path / "here"
    target = lay_out(place, source, partial(make_target, "sqlite"), NEW_FILES)
    assert run(osiris, place / "project", target)[0] == 0
    root = copied(place) if source == "absolute" else moved(place)
    assert run(osiris, root, target)[0] == 0
    assert rows_of(target, root) == ROWS
