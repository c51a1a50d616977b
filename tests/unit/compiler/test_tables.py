"""Tables that one run both reads and writes, or writes twice: the steps must be ordered, or the plan is rejected."""

from pathlib import Path

import pytest

from osiris.compiler.compile import prepare
from osiris.connections import Connections
from osiris.errors import OsirisError
from osiris.model import ConnectionRef, Pipeline, Step
from osiris.registry import load_registry

CONNECTIONS = {
    "duckdb": {
        "a": {"path": "data/a.duckdb", "default": True, "description": "one"},
        "same": {"database": "./data/x/../a.duckdb"},
        "linked": {"file": "link/a.duckdb"},
        "b": {"path": "data/b.duckdb"},
        "w": {"path": "data/w.duckdb"},
        "env": {"path": "${STORE}"},
        "env_too": {"file": "${STORE}"},
    },
    **{
        family: {"w": {"host": "db", "database": "wh", "user": "u", "password": "${P}"}}
        for family in ("mysql", "postgres")
    },
    "sqlite": {"a": {"path": "data/a.duckdb", "default": True}},
}


@pytest.fixture
def problems(tmp_path):
    """`problems(*steps)` returns codes with positions; steps are `use(...)`, numbered in order."""
    (tmp_path / "data" / "x").mkdir(parents=True)
    (tmp_path / "link").symlink_to("data")

    def call(*steps):
        placed = [Step(**{**step, "pointer": f"/steps/{number}"}) for number, step in enumerate(steps)]
        try:
            prepare(Pipeline("p", tuple(placed)), load_registry(), Connections(CONNECTIONS), Path(tmp_path))
        except OsirisError as error:
            return [(d.code, d.location.pointer) for d in error.diagnostics if d.severity == "error"]
        return []

    return call


def pair(name, source, needs=(), *, family="duckdb", table="t", mode="append", key="id", **more):
    """A reader with a cursor, and the writer that keeps its state."""
    there, here = {"duckdb": ("b", "a"), "sqlite": ("a", "a")}.get(family, ("w", "w"))
    cursor = {"column": key, "late": "none"}
    reader = use(f"{name}_in", f"{family}.extractor", **{"connection": there, "cursor": cursor, **source})
    config = {"table": table, "write_mode": mode, "connection": here, **more}
    return reader, use(name, f"{family}.writer", (reader["id"], *needs), **config)


def use(name, component, needs=(), connection=None, **config):
    family, _, kind = component.partition(".")
    writes = kind == "writer"
    inputs = {"df": needs[0]} if writes or kind == "processor" else {}
    mode = "write" if writes else "transform" if kind == "processor" else "read"
    ref = ConnectionRef(family, connection) if connection else None
    return {
        "id": name,
        "component": component,
        "mode": mode,
        "config": config,
        "needs": tuple(needs),
        "inputs": inputs,
        "connection": ref,
    }


SOURCE = use("src", "duckdb.extractor", connection="b", table="source")


def write(name="save", needs=("src",), component="duckdb.writer", **config):
    return use(name, component, needs, **{"table": "t", "write_mode": "replace", **config})


def read(needs=(), component="duckdb.extractor", **config):
    return use("old", component, needs, **config or {"table": "t"})


@pytest.mark.parametrize(
    ("reader", "key"),
    [
        (read(), "table"),
        (read(table="T", schema="MAIN"), "table"),
        (read(table="t", connection="same"), "table"),
        (read(table="t", connection="linked"), "table"),
        (read(query="WITH u AS (SELECT 1 AS x) SELECT x FROM u WHERE x IN (SELECT x FROM T)"), "query"),
    ],
)
def test_a_table_is_not_read_while_the_run_writes_it(problems, reader, key):
    assert problems(SOURCE, write(), reader) == [("CMP017", f"/steps/2/config/{key}")]


@pytest.mark.parametrize(
    "reader",
    [
        read(table="u"),
        read(table="t", schema="s"),
        read(table="t", connection="b"),
        read(table="t", connection="env"),
        read(table="t", component="sqlite.extractor"),
        read(query="WITH t AS (SELECT 1 AS x) SELECT x FROM t"),
    ],
    ids=["table", "schema", "database", "variable", "family", "cte"],
)
def test_other_tables_are_read_at_any_time(problems, reader):
    assert problems(SOURCE, write(), reader) == []


def test_what_is_ordered_is_no_chance(problems):
    assert problems(SOURCE, write(), read(["save"])) == []
    assert problems(read(), write(needs=["old"])) == []
    turned = use("turn", "duckdb.processor", ["old"], query="SELECT * FROM df")
    assert problems(read(), turned, write(needs=["turn"])) == []
    assert problems(SOURCE, read(), write(needs=["src", "old"])) == []


@pytest.mark.parametrize(("one", "two"), [("a", "same"), ("env", "env_too"), (None, "a")])
def test_two_names_of_one_database_are_one(problems, one, two):
    first, second = write("one", connection=one), write("two", connection=two)
    assert problems(SOURCE, first, second) == [("CMP009", "/steps/2/config/table")]
    assert problems(SOURCE, first, {**second, "needs": ("src", "one")}) == []


@pytest.mark.parametrize(("family", "is_one"), [("duckdb", True), ("mysql", True), ("postgres", False)])
def test_names_that_differ_only_in_case_are_one_table_unless_case_counts(problems, family, is_one):
    key = {"write_mode": "replace", "connection": "w"}
    one, two = (use(name, f"{family}.writer", ["src"], table=name, **key) for name in ("Orders", "orders"))
    assert problems(SOURCE, one, two) == ([("CMP009", "/steps/2/config/table")] if is_one else [])


def test_every_two_writers_are_compared(problems):
    one, two, three = (write(name, write_mode="append") for name in ("one", "two", "three"))
    three["config"]["write_mode"] = "replace"
    assert problems(SOURCE, one, two, three) == [("CMP009", "/steps/3/config/table")] * 2
    after_two = {**three, "needs": ("src", "two")}
    assert problems(SOURCE, one, two, after_two) == [("CMP009", "/steps/3/config/table")]


ORDERS = {"table": "orders"}


@pytest.mark.parametrize("needs", [(), ("one",)], ids=["any order", "in order"])
@pytest.mark.parametrize("mode", ["append", "upsert"])
@pytest.mark.parametrize(
    ("family", "source", "other", "first", "second"),
    [
        ("duckdb", ORDERS, ORDERS, {}, {}),
        ("duckdb", ORDERS, {"table": "orders", "schema": "main"}, {}, {"table": "T", "schema": "MAIN"}),
        ("duckdb", ORDERS, ORDERS, {"connection": "a"}, {"connection": "same"}),
        ("duckdb", {"query": "SELECT id FROM x"}, {"query": "SELECT id FROM y"}, {}, {}),
        ("sqlite", {"table": "orders", "connection": None}, {"table": "orders", "connection": "a"}, {}, {"table": "T"}),
        ("mysql", ORDERS, ORDERS, {"table": "T"}, {"schema": "wh"}),
        ("postgres", ORDERS, ORDERS, {}, {"schema": "public"}),
    ],
    ids=["same", "schema", "alias", "queries", "case", "mysql", "postgres"],
)
def test_two_steps_keep_no_common_state(problems, family, source, other, first, second, mode, needs):
    key = {"primary_key": ["id"]} if mode == "upsert" else {}
    one = pair("one", source, family=family, mode=mode, **key, **first)
    two = pair("two", other, needs, family=family, mode=mode, **key, **second)
    assert problems(*one, *two) == [("CMP009", "/steps/3/config/table")]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_table_of_a_state_gets_other_rows_in_a_known_order(problems, is_first):
    """Whether rows are there is looked at before the first rows of a pair: chance must not decide that."""
    kept = pair("kept", ORDERS, ("plain",) if is_first else ())
    plain = write("plain", ("src", *(() if is_first else ("kept",))), write_mode="append")
    assert problems(SOURCE, *kept, plain) == []
    kept, plain = pair("kept", ORDERS), write("plain", write_mode="append")
    assert problems(SOURCE, *kept, plain) == [("CMP009", "/steps/3/config/table")]


def test_pairs_of_other_sources_wait_for_each_other(problems):
    one, two = pair("one", ORDERS), pair("two", {"table": "people"})
    assert problems(*one, *two) == [("CMP009", "/steps/3/config/table")]
    assert problems(*one, *pair("two", {"table": "people"}, ("one",))) == []
    assert problems(*one, *pair("two", ORDERS, table="u")) == []
