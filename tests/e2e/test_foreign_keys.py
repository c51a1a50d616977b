"""Foreign keys among the targets of `replicate` order its pairs; with the installed command and real databases."""

import json
import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest
import yaml
from tests.e2e.databases import Side
from tests.patience import wait_until
from tests.replication.projects import OSIRIS

PIPELINE = """
oml_version: "0.3.0"
name: shop
replicate:
  - id: shop
    from: {{connection: "@{source}.shop", tables: {tables}}}
    to: {{connection: "@{target}.copy", table: "{{table}}"}}
    defaults: {defaults}
"""
HARD = "{cursor: {column: num, late: none}, write_mode: upsert, deletes: {compare: keys, as: hard}}"
MARKED = "{cursor: {column: num, late: none}, write_mode: upsert, deletes: {column: gone, as: hard}}"
REPLACE = "{write_mode: replace}"
FAMILIES = ("postgres", "mysql", "sqlite", "duckdb")
UPDATING = ("postgres", "mysql", "sqlite")
"""Families that update rows to which others refer; DuckDB does not if they refer to others themselves."""
CHAIN = {"a_lines": "b_orders", "b_orders": "c_people", "c_people": None}
"""Tables, each with the one to which it refers: a pipeline writes them in the order of their names."""


class Shop:
    """A project that copies tables of a source, which have no foreign keys, to a target whose tables have."""

    def __init__(self, root, osiris, source, target, parents):
        self.root, self.osiris, self.source, self.target, self.parents = root, osiris, source, target, parents
        declared = {}
        for side in (self.source, target):
            declared.setdefault(side.family, {})[side.alias] = side.fields
        (root / "osiris.yaml").write_text("")
        (root / "osiris_connections.yaml").write_text(yaml.safe_dump({"connections": declared}))
        self.path = root / "pipelines" / "shop.yaml"
        self.path.parent.mkdir()
        self.number = 0
        columns = "id bigint NOT NULL PRIMARY KEY, parent bigint, num bigint NOT NULL, gone boolean"
        self.source.sql(*(f"CREATE TABLE {table} ({columns})" for table in parents))

    def create(self, columns="id bigint NOT NULL PRIMARY KEY, parent bigint, num bigint, gone boolean", rule=""):
        """Create the targets, with their foreign keys; parents first."""
        for table in sorted(self.parents, reverse=True):
            key = f", FOREIGN KEY (parent) REFERENCES {parent} (id) {rule}" if (parent := self.parents[table]) else ""
            self.target.sql(f"CREATE TABLE {table} ({columns}{key})")

    def put(self, table, *rows, gone=False):
        """Insert or change rows, each a key and that of its parent."""
        for key, parent in rows:
            self.number += 1
            values = f"{key}, {'NULL' if parent is None else parent}, {self.number}, {gone}"
            self.source.sql(f"DELETE FROM {table} WHERE id = {key}", f"INSERT INTO {table} VALUES ({values})")

    def delete(self, *keys):
        """Delete rows with these keys from all tables."""
        listed = ", ".join(map(str, keys))
        self.source.sql(*(f"DELETE FROM {table} WHERE id IN ({listed})" for table in self.parents))

    def text(self, defaults=HARD, tables="['*']"):
        return PIPELINE.format(source=self.source.family, target=self.target.family, defaults=defaults, tables=tables)

    def run(self, defaults=HARD, *arguments, code=0, more="", **env):
        return self.run_text(self.text(defaults) + more, *arguments, code=code, **env)

    def run_text(self, text, *arguments, code=0, **env):
        self.path.write_text(text)
        given = {**self.source.env, **self.target.env, **env}
        done = self.osiris("run", self.path, "--json", *arguments, cwd=self.root, env=given)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout else {}

    def events(self):
        """Return the events of the last run."""
        session = max((self.root / "logs").iterdir(), key=lambda path: path.name[-5:])
        return [json.loads(line) for line in (session / "events.jsonl").read_text().splitlines()]

    def assert_equal(self, *tables):
        """Assert that the target has the live rows of the source."""
        for table in tables or self.parents:
            query = f"SELECT id, parent, num FROM {table}"
            assert sorted(self.target.sql(query)) == sorted(self.source.sql(f"{query} WHERE NOT gone")), table


def entry_of(text, name):
    """Return the entry of a pipeline with another name."""
    return text.partition("replicate:\n")[2].replace("id: shop", f"id: {name}")


def codes(answer):
    return sorted(each["code"] for each in answer["diagnostics"] if each["severity"] == "error")


def failed(answer):
    return sorted(name for name, step in answer["data"]["steps"].items() if step["status"] == "failed")


@pytest.fixture
def shop_of(request, tmp_path, osiris):
    """Return a function that makes a project with a target of a family, and tables with their parents."""

    def side(family, alias):
        names = {"postgres": "postgres", "mysql": "mariadb"}
        return Side(family, alias, tmp_path, request.getfixturevalue(names[family]) if family in names else None)

    def make(family, parents=CHAIN, source="sqlite"):
        return Shop(tmp_path, osiris, side(source, "shop"), side(family, "copy"), parents)

    return make


def watch(shop):
    """Have SQLite, which checks no foreign keys for us, reject rows without a parent, and deletes of parents."""
    for table, parent in shop.parents.items():
        if parent:
            missing = f"NEW.parent IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {parent} WHERE id = NEW.parent)"
            there = f"EXISTS (SELECT 1 FROM {table} WHERE parent = OLD.id)"
            reject = "BEGIN SELECT RAISE(ABORT, 'a foreign key leads nowhere'); END"
            shop.target.sql(
                f"CREATE TRIGGER {table}_rows BEFORE INSERT ON {table} WHEN {missing} {reject}",
                f"CREATE TRIGGER {table}_kept BEFORE DELETE ON {parent} WHEN {there} {reject}",
            )


def fill(shop):
    """Write rows of a chain: in each table those with the keys 1 to 30, of which each refers to its own number."""
    for table in shop.parents:
        shop.put(table, *((key, key if shop.parents[table] else None) for key in range(1, 31)))


def change(shop):
    """Add new rows that refer to new rows, and delete rows with those that refer to them."""
    for table in shop.parents:
        shop.put(table, *((key, key if shop.parents[table] else None) for key in range(41, 46)))
    shop.put("a_lines", (7, 41))
    shop.delete(3, 4, 5)


@pytest.mark.parametrize(
    ("source", "family"), [*(("sqlite", family) for family in FAMILIES), ("postgres", "postgres"), ("mysql", "mysql")]
)
def test_parents_are_written_first_and_deleted_last(shop_of, source, family):
    """Two sources are servers, whose tables are read in one snapshot."""
    shop = shop_of(family, source=source)
    shop.create()
    if family == "sqlite":
        watch(shop)
    fill(shop)
    shop.run()
    shop.assert_equal()
    change(shop)
    answer = shop.run()
    shop.assert_equal()
    steps = answer["data"]["steps"].values()
    assert [step["deleted"]["rows"] for step in steps if "deleted" in step] == [3, 3, 3]
    shop.run()
    shop.assert_equal()


def test_tables_of_two_entries_are_in_one_order(shop_of):
    shop = shop_of("postgres")
    shop.create()
    fill(shop)
    second = entry_of(shop.text(tables="[b_orders]"), "orders")
    shop.run_text(shop.text(tables="[a_lines, c_people]") + second)
    change(shop)
    shop.run_text(shop.text(tables="[a_lines, c_people]") + second)
    shop.assert_equal()


@pytest.mark.parametrize("family", UPDATING)
def test_rows_that_the_source_marks_as_deleted_go_in_the_same_order(shop_of, family):
    shop = shop_of(family)
    shop.create()
    if family == "sqlite":
        watch(shop)
    fill(shop)
    shop.run(MARKED)
    for table in CHAIN:
        shop.put(table, (3, 3 if shop.parents[table] else None), gone=True)
        shop.put(table, (41, 41 if shop.parents[table] else None))
    shop.run(MARKED)
    shop.assert_equal()


KILLS = [(family, HARD, f"{family}.commit", number) for family in FAMILIES for number in (1, 4, 5)]
KILLS += [(family, MARKED, f"{family}.commit", number) for family in UPDATING for number in (4, 5)]
KILLS += [("postgres", MARKED, "postgres.committed", 4), ("mysql", HARD, "deletes.applied", 2)]


@pytest.mark.parametrize(("family", "defaults", "point", "number"), KILLS)
def test_after_a_kill_between_two_deliveries_the_next_run_deletes_the_rest(shop_of, family, defaults, point, number):
    """The deliveries are the rows of people and orders, the lines, and the deletes of orders and people."""
    shop = shop_of(family)
    shop.create()
    fill(shop)
    shop.run(defaults)
    change(shop)
    for table in CHAIN if defaults == MARKED else ():
        shop.put(table, *((key, key if shop.parents[table] else None) for key in (3, 4, 5)), gone=True)
    shop.run(defaults, code=1, OSIRIS_FAULT=f"worker/{point}:{number}:kill")
    assert shop.target.sql("SELECT count(*) FROM c_people WHERE id = 4") == [(1,)]
    shop.run(defaults)
    shop.assert_equal()


@pytest.mark.parametrize("family", ["postgres", "sqlite"])
def test_a_comparison_that_was_killed_is_still_due(shop_of, family):
    daily = HARD.replace("compare: keys", "compare: keys, every: 24h")
    shop = shop_of(family)
    shop.create()
    fill(shop)
    shop.run(daily)
    for pair, text in shop.target.sql("SELECT pair, content FROM _osiris_state"):
        earlier = json.dumps({**json.loads(text), "compared_at": "2020-01-01T00:00:00+00:00"})
        shop.target.sql(f"UPDATE _osiris_state SET content = '{earlier}' WHERE pair = '{pair}'")
    change(shop)
    shop.run(daily, code=1, OSIRIS_FAULT=f"worker/{family}.commit:4:kill")
    shop.run(daily)
    shop.assert_equal()
    shop.delete(6)
    shop.run(daily)
    assert shop.target.sql("SELECT count(*) FROM c_people WHERE id = 6") == [(1,)]  # now it is not due


def test_deletes_that_wait_are_cancelled_with_the_run(shop_of):
    """A step fails that runs after the rows of all entries, and before deletes that are delivered apart."""
    shop = shop_of("sqlite", {**CHAIN, "d_free": None})
    shop.create()
    fill(shop)
    shop.run()
    change(shop)
    tables = shop.text(tables="[a_lines, b_orders, c_people]")
    failing = """
steps:
  - {id: one, component: duckdb.processor, mode: transform, needs: [zfree], config: {query: SELECT error('no') AS a}}
  - {id: out, component: filesystem.csv_writer, mode: write, needs: [one], config: {path: out.csv}}
"""
    free = entry_of(shop.text(tables="[d_free]"), "zfree")
    answer = shop.run_text(tables + free + failing, code=1, OSIRIS_RUN__PARALLEL="1")
    status = {name.removeprefix("shop-main-"): step["status"] for name, step in answer["data"]["steps"].items()}
    assert [status[name] for name in (*CHAIN, "one")] == ["complete", "cancelled", "cancelled", "failed"]
    assert shop.target.sql("SELECT count(*) FROM c_people WHERE id IN (4, 41)") == [(2,)]
    shop.run()
    shop.assert_equal()


def test_the_file_that_a_sandbox_hands_over_has_all_deliveries(shop_of, e2b):
    shop = shop_of("sqlite")
    shop.create()
    fill(shop)
    shop.run(HARD, "--target", "e2b", **e2b.environment)
    change(shop)
    shop.run(HARD, "--target", "e2b", **e2b.environment)
    shop.assert_equal()


# Self references and cycles

STAFF = {"staff": "staff", "x_free": None}


@pytest.mark.parametrize("family", ["postgres", "sqlite"])
def test_a_table_that_refers_to_itself_is_written_in_any_order(shop_of, family):
    shop = shop_of(family, STAFF)
    shop.create()
    shop.put("staff", (1, 3), (2, 1), (3, None))
    shop.run()
    shop.assert_equal()
    shop.put("staff", (4, 6), (5, 4), (6, 5))
    shop.delete(1, 2, 3)
    answer = shop.run()
    shop.assert_equal()
    assert answer["data"]["steps"]["shop-main-staff"]["deleted"]["rows"] == 3


@pytest.mark.parametrize("family", ["mysql", "duckdb"])
def test_a_table_that_refers_to_itself_is_refused_where_each_row_is_checked(shop_of, family):
    shop = shop_of(family, STAFF)
    shop.create()
    shop.put("staff", (1, None))
    shop.put("x_free", (1, None))
    answer = shop.run(code=1)
    assert codes(answer) == ["STA060"]
    name = {"mysql": "staff_ibfk_1", "duckdb": "staff_parent_id_fkey"}[family]
    assert f"'staff' refers to itself ({name} of staff)" in answer["diagnostics"][0]["message"]
    assert failed(answer) == ["shop-main-staff"]
    assert answer["data"]["steps"]["shop-main-staff-source"]["status"] == "not_run"
    shop.assert_equal("x_free")
    shop.target.sql("DROP TABLE staff")
    shop.run()  # the table that Osiris creates has no foreign key
    shop.assert_equal()


def cyclic(shop_of, family):
    """Return a project in which eggs and hens refer to each other, and feathers to hens."""
    shop = shop_of(family, {"eggs": "hens", "feathers": "hens", "hens": None, "x_free": None})
    if family == "sqlite":  # it adds no foreign key to a table
        shop.parents["hens"] = "eggs"
    shop.create()
    if family != "sqlite":
        shop.target.sql("ALTER TABLE hens ADD FOREIGN KEY (parent) REFERENCES eggs (id)")
    shop.put("eggs", (1, 1))
    shop.put("hens", (1, 1))
    shop.put("x_free", (1, None))
    return shop


@pytest.mark.parametrize("family", ["postgres", "mysql"])
def test_a_cycle_of_two_tables_is_refused_before_a_row_is_read(shop_of, family):
    shop = cyclic(shop_of, family)
    answer = shop.run(code=1)
    assert codes(answer) == ["STA060", "STA060"]
    assert failed(answer) == ["shop-main-eggs", "shop-main-hens"]
    named = {
        "postgres": "eggs_parent_fkey of eggs, hens_parent_fkey of hens",
        "mysql": "eggs_ibfk_1 of eggs, hens_ibfk_1 of hens",
    }[family]
    messages = [each["message"] for each in answer["diagnostics"] if each["code"] == "STA060"]
    assert any(f"'eggs' is in a cycle of foreign keys with 'hens' ({named})" in message for message in messages)
    shop.assert_equal("x_free", "feathers")


def test_a_cycle_is_written_where_nothing_checks_it(shop_of):
    shop = cyclic(shop_of, "sqlite")
    shop.run()
    shop.delete(1)
    for table in ("eggs", "hens", "x_free"):
        shop.put(table, (2, None if table == "x_free" else 2))
    shop.run()
    shop.assert_equal()


# Deletes that reach other tables


@pytest.mark.parametrize("rule", ["ON DELETE CASCADE", "ON DELETE SET NULL"])
@pytest.mark.parametrize("defaults", [REPLACE, HARD])
@pytest.mark.parametrize("family", ["postgres", "mysql"])
def test_a_table_whose_deletes_reach_another_is_refused(shop_of, family, defaults, rule):
    shop = shop_of(family, {"items": "orders", "orders": None})
    shop.create(rule=rule)
    shop.put("orders", (1, None))
    shop.put("items", (1, 1))
    shop.target.sql(
        "INSERT INTO orders (id, num) VALUES (1, 100), (9, 109)", "INSERT INTO items (id, parent) VALUES (8, 9)"
    )
    answer = shop.run(defaults, code=1)
    assert codes(answer) == ["STA018"]
    assert failed(answer) == ["shop-main-orders"]
    assert shop.target.sql("SELECT id, num FROM orders ORDER BY id") == [(1, 100), (9, 109)]
    shop.assert_equal("items")


@pytest.mark.parametrize("family", ["postgres", "mysql"])
def test_a_step_that_would_replace_a_table_with_cascades_reads_no_row(shop_of, family):
    shop = shop_of(family, {"items": "orders", "orders": None})
    shop.create(rule="ON DELETE CASCADE")
    shop.target.sql("INSERT INTO orders (id) VALUES (9)", "INSERT INTO items (id, parent) VALUES (8, 9)")
    read = {"connection": "@sqlite.shop", "table": "orders"}
    write = {"connection": f"@{family}.copy", "table": "orders", "write_mode": "replace"}
    steps = [
        {"id": "read", "component": "sqlite.extractor", "mode": "read", "config": read},
        {"id": "save", "component": f"{family}.writer", "mode": "write", "needs": ["read"], "config": write},
    ]
    shop.path.write_text(json.dumps({"oml_version": "0.3.0", "name": "shop", "steps": steps}))
    done = shop.osiris("run", shop.path, "--json", cwd=shop.root, env=shop.target.env)
    assert codes(json.loads(done.stdout)) == ["STA018"]
    assert json.loads(done.stdout)["data"]["steps"]["read"]["status"] == "not_run"
    assert shop.target.sql("SELECT id, parent FROM items") == [(8, 9)]


@pytest.mark.parametrize("family", ["postgres", "mysql", "duckdb"])
def test_a_table_that_refers_to_itself_with_a_cascade_can_be_replaced(shop_of, family):
    """All of its rows are deleted anyway."""
    rule = "" if family == "duckdb" else "ON DELETE CASCADE"
    shop = shop_of(family, {"staff": "staff"} if family == "postgres" else {"staff": None})
    shop.create(rule=rule)
    shop.put("staff", (1, 2), (2, None))
    shop.run(REPLACE)
    shop.delete(1)
    shop.run(REPLACE)
    shop.assert_equal()


@pytest.mark.parametrize("family", ["postgres", "mysql", "duckdb"])
def test_rows_to_which_others_refer_cannot_be_replaced(shop_of, family):
    shop = shop_of(family, {"items": "orders", "orders": None})
    shop.create()
    shop.put("orders", (1, None))
    shop.put("items", (1, 1))
    shop.run(REPLACE)
    shop.assert_equal()
    answer = shop.run(REPLACE, "--new-run", code=1)
    assert codes(answer) == ["STA061"]
    assert failed(answer) == ["shop-main-orders"]
    shop.assert_equal()


def test_rows_are_replaced_below_others_if_the_foreign_key_is_deferred(shop_of):
    shop = shop_of("postgres", {"items": "orders", "orders": None})
    shop.create(rule="DEFERRABLE INITIALLY DEFERRED")
    shop.put("orders", (1, None))
    shop.put("items", (1, 1))
    shop.run(REPLACE)
    shop.put("orders", (1, None), (2, None))
    shop.run(REPLACE, "--new-run")
    shop.assert_equal()


def test_a_table_whose_name_differs_only_in_case_is_another_one_in_mariadb(shop_of):
    shop = shop_of("mysql", {"users": None})
    shop.create()
    key = "id bigint NOT NULL PRIMARY KEY"
    child = f"CREATE TABLE logins ({key}, u bigint, FOREIGN KEY (u) REFERENCES Users (id) ON DELETE CASCADE)"
    shop.target.sql(f"CREATE TABLE Users ({key})", child)
    fill(shop)
    shop.run()
    shop.delete(3)
    shop.run()
    shop.assert_equal()


# Failures


@pytest.mark.parametrize("family", ["postgres", "mysql", "duckdb"])
def test_a_failed_parent_leaves_its_children_the_rows_that_are_there(shop_of, family):
    shop = shop_of(family)
    shop.create()
    fill(shop)
    shop.run()
    shop.source.sql("DELETE FROM c_people")  # an empty source deletes nothing (STA014)
    shop.put("b_orders", (50, 7))
    shop.put("a_lines", (50, 50))
    answer = shop.run(code=1)
    assert codes(answer) == ["STA014"]
    shop.assert_equal("a_lines", "b_orders")


@pytest.mark.parametrize("family", ["postgres", "mysql", "duckdb"])
def test_deletes_wait_for_a_failed_child_until_the_next_run(shop_of, family):
    shop = shop_of(family)
    shop.create()
    fill(shop)
    shop.run()
    change(shop)
    shop.source.sql("ALTER TABLE a_lines RENAME TO away")
    answer = shop.run(code=1)
    assert codes(answer) == ["DRV012", "STA061", "STA061"]
    kept, new = ([(key,) for key in keys] for keys in ((3, 4, 5), range(41, 46)))
    for table in ("b_orders", "c_people"):  # the new rows are there, and the old ones
        assert sorted(shop.target.sql(f"SELECT id FROM {table} WHERE id IN (3, 4, 5) OR id > 40")) == [*kept, *new]
    shop.source.sql("ALTER TABLE away RENAME TO a_lines")
    shop.run()
    shop.assert_equal()


def test_deletes_of_their_own_are_tried_again_alone(shop_of):
    """The server ends the connection of the deletes while they wait for a row that another client has locked."""
    retry = HARD.replace("write_mode", "retry: {max: 1, backoff: 1s}, write_mode")
    shop = shop_of("postgres")
    shop.create()
    fill(shop)
    shop.run(retry)
    change(shop)
    waiting = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with started(shop, "SELECT * FROM c_people WHERE id = 3 FOR UPDATE"):
        wait_until(lambda: shop.target.sql(f"SELECT pg_terminate_backend(pid) {waiting}"))
    events = [each["event"] for each in shop.events() if each.get("step") == "shop-main-c_people"]
    assert [each for each in events if each.startswith("step_") and each != "step_progress"] == [
        "step_start",
        "step_retry",
        "step_complete",
    ]
    shop.assert_equal()


@pytest.mark.parametrize("defaults", [HARD, MARKED])
def test_deletes_of_their_own_do_nothing_if_another_run_has_written_meanwhile(shop_of, tmp_path, defaults):
    """People are deleted when the first run reads them, and are back when the second one does."""
    people = [(key, None) for key in (3, 4, 5)]
    shop = shop_of("postgres", source="postgres")
    shop.create()
    fill(shop)
    shop.run(defaults)
    change(shop)
    if defaults == MARKED:
        shop.put("c_people", *people, gone=True)
    other = shutil.copytree(shop.root, tmp_path / "other", ignore=shutil.ignore_patterns("logs", ".osiris", "build"))
    with started(shop, "LOCK TABLE a_lines IN EXCLUSIVE MODE", code=1):
        wait_until(lambda: shop.target.sql("SELECT id FROM c_people WHERE id = 41"))
        shop.put("c_people", *people)
        path = other / "pipelines" / "shop.yaml"
        path.write_text(shop.text(defaults, "[c_people]"))
        done = shop.osiris("run", path, "--json", cwd=other, env={**shop.source.env, **shop.target.env})
        assert done.returncode == 0, done.stdout + done.stderr
    (failure,) = [each for each in shop.events() if each["event"] == "step_failed"]
    assert (failure["step"], failure["code"]) == ("shop-public-c_people", "STA001")
    shop.assert_equal("c_people")
    shop.run(defaults)
    shop.assert_equal("c_people")


# Which pairs wait


def test_only_pairs_with_foreign_keys_wait(shop_of):
    shop = shop_of("postgres", {**CHAIN, "d_free": None})
    shop.create()
    fill(shop)
    shop.run()
    for table in shop.parents:
        shop.put(table, (50, 50 if shop.parents[table] else None))
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    free = {f"shop-main-{name}{kind}" for name in ("c_people", "d_free") for kind in ("", "-source")}

    def begun():
        return {each["step"] for each in shop.events() if each["event"] == "step_start"}

    with started(shop, "LOCK TABLE c_people IN EXCLUSIVE MODE"):
        wait_until(lambda: shop.target.sql("SELECT id FROM d_free WHERE id = 50") and shop.target.sql(waiting))
        wait_until(lambda: begun() >= free)
        assert begun() == free
        assert shop.target.sql("SELECT id FROM c_people WHERE id = 50") == []
    shop.assert_equal()


@contextmanager
def started(shop, lock, code=0):
    """Run the pipeline as written while another client of the target holds a lock in the block; it ends with a code."""
    with shop.target.connect() as client:
        client.autocommit = False
        client.execute(lock)
        environment = {**os.environ, **shop.source.env, **shop.target.env}
        process = subprocess.Popen([OSIRIS, "run", shop.path], cwd=shop.root, env=environment)
        try:
            yield
        finally:
            client.rollback()
            ended = process.wait(60)
    assert ended == code


def test_what_needs_an_entry_sees_its_deletes(shop_of):
    shop = shop_of("sqlite")
    shop.create()
    fill(shop)
    more = """
steps:
  - id: people
    component: sqlite.extractor
    mode: read
    needs: [shop]
    config: {connection: "@sqlite.copy", table: c_people}
  - id: count
    component: duckdb.processor
    mode: transform
    needs: [people]
    config: {query: SELECT count(*) AS n FROM people}
  - {id: out, component: filesystem.csv_writer, mode: write, needs: [count], config: {path: out.csv}}
"""
    shop.run(more=more)
    shop.delete(3, 4, 5)
    shop.run(more=more)
    assert (shop.root / "out.csv").read_text() == "n\n27\n"


@pytest.mark.parametrize("family", ["postgres", "mysql"])
def test_rejected_rows_are_kept_and_tried_again_beside_deletes_that_are_delivered_apart(shop_of, family):
    shop = shop_of(family, {"items": "orders", "orders": None})
    shop.create()
    shop.target.sql("ALTER TABLE orders ADD CONSTRAINT checked CHECK (id <> 77)")
    fill(shop)
    marks = MARKED.replace("late: none", "late: {lag: 1000}").replace("upsert,", "upsert, on_reject: quarantine,")
    shop.run(marks)
    shop.put("orders", (77, None))
    shop.put("items", (3, 3), gone=True)
    shop.put("orders", (3, None), gone=True)
    answer = shop.run(marks)
    assert shop.target.sql("SELECT id FROM orders WHERE id IN (3, 77)") == []
    (rejected,) = (shop.root / "logs" / answer["data"]["session"]).rglob("rejected.csv")
    assert "77" in rejected.read_text()
    shop.target.sql("ALTER TABLE orders DROP CONSTRAINT checked")
    shop.run(marks)
    shop.assert_equal()
