"""`osiris run --dry-run` finds what a run of tables with a cursor refuses before it reads a row."""

import pytest
from tests.e2e.test_cursor import APPEND, STAMPED, codes
from tests.e2e.test_cursor import shop as server_shop  # noqa: F401  a fixture
from tests.e2e.test_foreign_keys import REPLACE, shop_of  # noqa: F401  a fixture
from tests.e2e.test_state import BY_ID, UPSERT, files  # noqa: F401  a fixture

CYCLE = {"a_lines": "b_orders", "b_orders": "a_lines", "c_free": None}
FILE = "pipelines/orders.yaml"
DELETES = "write_mode: upsert, primary_key: [id], deletes: {compare: keys, as: hard}"

REPLICATE = """
oml_version: "0.3.0"
name: stamped
replicate:
  - id: shop
    from: {connection: "@sqlite.shop", tables: [stamped]}
    to: {connection: "@sqlite.copy", table: "{table}"}
    defaults: {cursor: {column: at, zone: UTC}, write_mode: upsert}
"""


@pytest.mark.parametrize("family", ["postgres", "mysql"])
def test_a_cycle_of_foreign_keys_is_found(shop_of, family):  # noqa: F811
    shop = shop_of(family, CYCLE)
    columns = "id bigint NOT NULL PRIMARY KEY, parent bigint, num bigint, gone boolean"
    shop.target.sql(*(f"CREATE TABLE {table} ({columns})" for table in CYCLE))
    for table, parent in CYCLE.items():
        if parent:
            shop.target.sql(f"ALTER TABLE {table} ADD FOREIGN KEY (parent) REFERENCES {parent} (id)")
    shop.put("c_free", (1, None))
    tried = shop.run(REPLACE, "--dry-run", code=1)
    assert codes(tried) == ["STA060", "STA060"]
    assert tried["diagnostics"][0]["file"] == "pipelines/shop.yaml"
    assert codes(shop.run(REPLACE, code=1)) == ["STA060", "STA060"]
    assert shop.target.sql("SELECT id FROM c_free") == [(1,)]
    free = "shop-main-c_free"
    assert codes(shop.run(REPLACE, "--dry-run", "--select", free)) == []


def _changed_cursor(project):
    return BY_ID.replace("id", "amount"), UPSERT


def _other_source(project):
    connections = project.root / "osiris_connections.yaml"
    project.sql("CREATE TABLE orders (id INTEGER PRIMARY KEY NOT NULL, amount INTEGER NOT NULL)", database="second")
    connections.write_text(connections.read_text().replace("shop.sqlite", "second.sqlite"))
    return BY_ID, UPSERT


def _emptied(project):
    project.sql("DELETE FROM orders_copy", database="copy")
    return BY_ID, UPSERT


def _lost_state(project):
    project.sql("DROP TABLE _osiris_state", database="copy")
    return BY_ID, APPEND


def _second_pair(project):
    project.sql("UPDATE _osiris_state SET pair = 'another', source = '@sqlite.other orders'", database="copy")
    return BY_ID, DELETES


def _damaged(project):
    project.sql("UPDATE _osiris_state SET content = '?'", database="copy")
    return BY_ID, UPSERT


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_changed_cursor, "STA002"),
        (_other_source, "STA003"),
        (_emptied, "STA004"),
        (_lost_state, "STA006"),
        (_second_pair, "STA017"),
        (_damaged, "STA010"),
    ],
)
def test_a_state_that_does_not_fit_is_found(files, change, code):  # noqa: F811
    files.sql("DROP TABLE orders", "CREATE TABLE orders (id INTEGER PRIMARY KEY NOT NULL, amount INTEGER NOT NULL)")
    files.add(1, 2)
    files.run(mode=UPSERT)
    cursor, mode = change(files)
    before = files.dump()
    number = 4 if code == "STA010" else 1
    tried = files.run(cursor, mode, "--dry-run", code=number)
    assert codes(tried) == [code]
    assert tried["diagnostics"][0]["file"] == FILE
    assert files.dump() == before
    ran = files.run(cursor, mode, code=number)
    assert codes(ran) == [code]
    assert tried["diagnostics"][-1]["message"] == ran["diagnostics"][-1]["message"]


def test_a_dry_run_shows_warnings_and_notes(files):  # noqa: F811
    files.add(1)
    files.run()
    said = files.osiris("run", FILE, "--dry-run", cwd=files.root).stderr
    assert "pipelines/orders.yaml:8:65: note: STA053 " in said
    assert "STA053" not in files.osiris("run", FILE, cwd=files.root).stderr


@pytest.mark.parametrize("words", [("--dry-run",), ()], ids=["dry run", "run"])
def test_a_missing_schema_of_the_target_is_found(server_shop, words):  # noqa: F811
    answer = server_shop.run(STAMPED, f"{UPSERT}, schema: nowhere", *words, code=1)
    problem = next(each for each in answer["diagnostics"] if each["severity"] == "error")
    assert (problem["code"], problem["file"]) == ("DRV071", FILE)
    statement = {"postgres": "CREATE SCHEMA", "mysql": "CREATE DATABASE"}[server_shop.family]
    assert problem["hint"].startswith(f"run {statement}")


def test_updates_that_may_be_lost_unseen_are_always_shown(files):  # noqa: F811
    files.sql("CREATE TABLE stamped (id INTEGER PRIMARY KEY, at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)")
    path = files.root / "pipelines" / "stamped.yaml"
    path.parent.mkdir()
    path.write_text(REPLICATE)
    for command in ("compile", "run"):
        shown = files.osiris(command, path, cwd=files.root).stderr
        assert shown.count("note: STA054 entry 'shop' (1 table: stamped)") == 1
        assert "STA055" not in shown
