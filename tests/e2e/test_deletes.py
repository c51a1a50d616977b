"""Rows that are deleted in the source are deleted in the target; with the installed command and real databases."""

import json
import random
import sqlite3
from datetime import UTC, datetime

import pytest
import yaml
from tests.e2e.databases import Side

PIPELINE = """
oml_version: "0.3.0"
name: orders
steps:
  - id: orders
    component: {source}.extractor
    mode: read
    config: {{connection: "@{source}.shop", table: orders, cursor: {{column: num, late: none}}}}
  - id: copy
    component: {target}.writer
    mode: write
    needs: [orders]
    config: {{connection: "@{target}.copy", table: copied, write_mode: upsert, primary_key: {key}, deletes: {deletes}}}
"""
REPLICATE = """
oml_version: "0.3.0"
name: orders
replicate:
  - id: shop
    from: {connection: "@postgres.shop", tables: ["public.*"]}
    to: {connection: "@postgres.copy", table: "{table}"}
    defaults: {cursor: {column: num, late: none}, write_mode: upsert, deletes: {compare: keys}}
"""
FAMILIES = ("postgres", "mysql", "sqlite", "duckdb")
PAIRS = [(family, family) for family in FAMILIES]
PAIRS += [("postgres", "duckdb"), ("duckdb", "mysql"), ("mysql", "sqlite"), ("sqlite", "postgres")]
SOFT, HARD = "{compare: keys}", "{compare: keys, as: hard}"
TEXT = {"mysql": "varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"}


class Shop:
    """A project with a source table `orders` and a target table `copied`."""

    def __init__(self, root, osiris, source, target):
        self.root, self.osiris, self.source, self.target = root, osiris, source, target
        declared = {}
        for side in (source, target):
            declared.setdefault(side.family, {})[side.alias] = side.fields
        (root / "osiris.yaml").write_text("")
        (root / "osiris_connections.yaml").write_text(yaml.safe_dump({"connections": declared}))
        self.number = 0

    def create(self, columns="id bigint NOT NULL PRIMARY KEY, num bigint NOT NULL, amount bigint"):
        self.source.sql(f"CREATE TABLE orders ({columns})")

    def put(self, *keys, amount=1):
        """Insert or change rows; each gets the next number."""
        for key in keys:
            self.number += 1
            self.source.sql(
                f"DELETE FROM orders WHERE id = {key}", f"INSERT INTO orders VALUES ({key}, {self.number}, {amount})"
            )

    def fill(self, count):
        values = ", ".join(f"({n}, {n}, 1)" for n in range(1, count + 1))
        self.number = max(self.number, count)
        self.source.sql(f"INSERT INTO orders VALUES {values}")

    def write(self, deletes=SOFT, key="[id]"):
        path = self.root / "pipelines" / "orders.yaml"
        path.parent.mkdir(exist_ok=True)
        names = {"source": self.source.family, "target": self.target.family}
        path.write_text(PIPELINE.format(**names, key=key, deletes=deletes))
        return path

    def run(self, deletes=SOFT, *arguments, code=0, key="[id]", **env):
        given = {**self.source.env, **self.target.env, **env}
        path = self.write(deletes, key)
        done = self.osiris("run", path, "--json", *arguments, cwd=self.root, env=given)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout else {}

    def rows(self, table="copied", side=None):
        return sorted((side or self.target).sql(f"SELECT id, num, amount FROM {table}"))

    def sources(self):
        return self.rows("orders", self.source)

    def live(self):
        return sorted(self.target.sql("SELECT id, num, amount FROM copied WHERE deleted_at IS NULL"))

    def dead(self):
        return [key for (key,) in sorted(self.target.sql("SELECT id FROM copied WHERE deleted_at IS NOT NULL"))]

    def state(self):
        ((text,),) = self.target.sql("SELECT content FROM _osiris_state")
        return json.loads(text)


def codes(answer, severity="error"):
    return [each["code"] for each in answer["diagnostics"] if each["severity"] == severity]


@pytest.fixture
def shop_of(request, tmp_path, osiris):
    """Return a function that makes a project with databases of two families."""

    def side(family, alias):
        names = {"postgres": "postgres", "mysql": "mariadb"}
        return Side(family, alias, tmp_path, request.getfixturevalue(names[family]) if family in names else None)

    def make(source, target, columns=None):
        shop = Shop(tmp_path, osiris, side(source, "shop"), side(target, "copy"))
        shop.create(*([columns] if columns else []))
        return shop

    return make


@pytest.mark.parametrize("deletes", [SOFT, HARD])
@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_deleted_lost_and_returned_rows(shop_of, source, target, deletes):
    shop = shop_of(source, target)
    shop.fill(100)
    shop.run(deletes)
    assert shop.rows() == shop.sources()
    # deleted in the source, together with a new row; and one that somebody deleted in the target
    shop.source.sql("DELETE FROM orders WHERE id IN (3, 4)")
    shop.put(200)
    shop.target.sql("DELETE FROM copied WHERE id = 50")
    answer = shop.run(deletes)
    assert codes(answer, "warning") == ["STA012"]
    live = shop.live if deletes == SOFT else shop.rows
    assert live() == shop.sources()
    assert answer["data"]["steps"]["copy"]["rows_out"] <= 3
    if deletes == SOFT:
        assert shop.dead() == [3, 4]
    # a row came back with an old value of the cursor: only the comparison can find it
    shop.source.sql("INSERT INTO orders VALUES (3, 1, 7)")
    answer = shop.run(deletes)
    assert live() == shop.sources()
    assert codes(answer, "warning") == ([] if deletes == SOFT else ["STA012"])
    # nothing happened
    before = shop.target.sql("SELECT * FROM copied ORDER BY id")
    shop.run(deletes)
    assert shop.target.sql("SELECT * FROM copied ORDER BY id") == before


def test_the_time_is_that_of_the_run(shop_of):
    shop = shop_of("sqlite", "duckdb")
    shop.fill(3)
    shop.run()
    shop.source.sql("DELETE FROM orders WHERE id = 2")
    earliest = datetime.now(UTC).replace(microsecond=0)  # as that of the run
    shop.run()
    ((when,),) = shop.target.sql("SELECT deleted_at FROM copied WHERE id = 2")
    assert earliest <= when.astimezone(UTC) <= datetime.now(UTC)
    assert datetime.fromisoformat(shop.state()["compared_at"]) >= earliest


def test_a_row_that_only_the_cursor_brings_back_is_undeleted(shop_of):
    shop = shop_of("sqlite", "postgres")
    shop.fill(5)
    shop.run("{compare: keys, every: 24h}")
    shop.target.sql("UPDATE copied SET deleted_at = now() WHERE id = 2")
    shop.put(2, amount=9)
    shop.run("{compare: keys, every: 24h}")
    assert shop.live() == shop.sources()


def test_keys_are_compared_when_due(shop_of):
    shop = shop_of("postgres", "sqlite")
    shop.fill(5)
    shop.run("{compare: keys, every: 24h}")
    shop.source.sql("DELETE FROM orders WHERE id = 2")
    shop.run("{compare: keys, every: 24h}")
    assert shop.dead() == []
    content = {**shop.state(), "compared_at": "2026-01-01T00:00:00+00:00"}
    shop.target.sql(f"UPDATE _osiris_state SET content = '{json.dumps(content)}'")
    shop.run("{compare: keys, every: 24h}")
    assert shop.dead() == [2]


# Kestra's five cases: normal and none are above.


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_an_empty_source_deletes_nothing(shop_of, source, target):
    shop = shop_of(source, target)
    shop.fill(5)
    shop.run()
    before, state = shop.target.sql("SELECT * FROM copied ORDER BY id"), shop.state()
    shop.source.sql("DELETE FROM orders")
    assert codes(shop.run(code=1)) == ["STA014"]
    assert shop.target.sql("SELECT * FROM copied ORDER BY id") == before
    assert shop.state() == state


@pytest.mark.parametrize("deletes", [SOFT, HARD])
@pytest.mark.parametrize("family", FAMILIES)
def test_too_many_deletes_are_refused_together_with_the_new_rows(shop_of, family, deletes):
    shop = shop_of(family, family)
    shop.fill(600)
    shop.run(deletes)
    before = shop.rows()
    shop.source.sql("DELETE FROM orders WHERE id <= 31")
    shop.put(1000)
    answer = shop.run(deletes, code=1)
    assert codes(answer) == ["STA016"]
    assert "31 rows" in answer["diagnostics"][0]["message"]
    assert shop.rows() == before
    shop.source.sql("INSERT INTO orders VALUES (31, 31, 1)")
    shop.run(deletes)
    assert len(shop.live() if deletes == SOFT else shop.rows()) == 571


def test_twenty_rows_are_always_allowed(shop_of):
    shop = shop_of("sqlite", "sqlite")
    shop.fill(22)
    shop.run(HARD)
    shop.source.sql("DELETE FROM orders WHERE id <= 20")
    shop.run(HARD)
    assert [row[0] for row in shop.rows()] == [21, 22]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_null_key_in_the_source_deletes_nothing(shop_of, family):
    shop = shop_of(family, "sqlite", "id bigint, num bigint NOT NULL, amount bigint")
    shop.fill(5)
    shop.run()
    shop.source.sql("DELETE FROM orders WHERE id = 2", "INSERT INTO orders VALUES (NULL, 1, 1)")
    assert codes(shop.run(code=1)) == ["STA013"]
    assert shop.dead() == []
    assert len(shop.rows()) == 5


def test_a_null_key_in_the_target_deletes_nothing(shop_of):
    shop = shop_of("sqlite", "postgres")
    shop.target.sql(
        "CREATE TABLE copied (id bigint UNIQUE, num bigint, amount bigint, deleted_at timestamptz)",
        "INSERT INTO copied VALUES (NULL, 1, 1)",
    )
    shop.fill(5)
    assert codes(shop.run(code=1)) == ["STA013"]


def test_a_partial_read_is_refused_by_compile(shop_of):
    shop = shop_of("postgres", "sqlite")
    shop.write()
    path = shop.root / "pipelines" / "orders.yaml"
    text = path.read_text()
    path.write_text(text.replace("table: orders,", "table: orders, limit: 10,"))
    done = shop.osiris("run", path, "--json", cwd=shop.root, env=shop.source.env)
    assert codes(json.loads(done.stdout)) == ["STA026"]
    path.write_text(text.replace("table: orders,", "table: orders, on_reject: quarantine,"))
    done = shop.osiris("run", path, "--json", cwd=shop.root, env=shop.source.env)
    assert codes(json.loads(done.stdout)) == ["STA036"]


# Keys


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("uuid", ("'00000000-0000-0000-0000-0000000000aa'", "'10000000-0000-0000-0000-0000000000bb'")),
        ("timestamptz", ("'2026-01-01 00:00:00.000001+00'", "'2026-01-01 00:00:00.000002+00'")),
        ("date", ("'2026-01-01'", "'2026-01-02'")),
        ("bytea", ("'\\x00ff'", "'\\x00fe'")),
        ("text", ("'ä'", "'Ä '")),
    ],
)
@pytest.mark.parametrize("target", ["postgres", "mysql", "sqlite", "duckdb"])
def test_keys_of_all_types_are_compared(shop_of, target, kind, values):
    shop = shop_of("postgres", target, f"id {kind} NOT NULL, part int NOT NULL, num bigint NOT NULL, amount bigint")
    rows = [f"({value}, {part}, {number}, 1)" for number, value in enumerate(values) for part in (1, 2)]
    shop.source.sql(f"INSERT INTO orders VALUES {', '.join(rows)}")
    shop.run(key="[id, part]")
    shop.source.sql(f"DELETE FROM orders WHERE id = {values[0]} AND part = 2")
    shop.target.sql("DELETE FROM copied WHERE num = 1 AND part = 1")
    answer = shop.run(key="[id, part]")
    assert codes(answer, "warning") == ["STA012"]
    flags = "SELECT num, part, CASE WHEN deleted_at IS NULL THEN 0 ELSE 1 END FROM copied ORDER BY num, part"
    assert shop.target.sql(flags) == [(0, 1, 0), (0, 2, 1), (1, 1, 0), (1, 2, 0)]


LOOSE = [
    ("mysql", "id varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY"),
    ("sqlite", "id TEXT COLLATE NOCASE PRIMARY KEY"),
    ("duckdb", "id VARCHAR COLLATE NOCASE PRIMARY KEY"),
    ("postgres", "id citext PRIMARY KEY"),
]
"""Key columns, by family, that consider different texts equal."""


@pytest.mark.parametrize(("target", "column"), LOOSE)
def test_a_key_that_equates_different_texts_is_refused_before_a_row_is_read(shop_of, target, column):
    shop = shop_of("postgres", target, "id text PRIMARY KEY, num bigint NOT NULL, amount bigint")
    stamp = {"mysql": "timestamp(6) NULL", "sqlite": "TIMESTAMPTZ_TEXT(6)"}.get(target, "timestamptz")
    first = ["CREATE EXTENSION IF NOT EXISTS citext"] if target == "postgres" else []
    shop.target.sql(*first, f"CREATE TABLE copied ({column}, num bigint, amount bigint, deleted_at {stamp})")
    answer = shop.run(code=1)
    assert codes(answer) == ["STA019"]
    assert answer["data"]["steps"]["orders"].get("rows_in") in (None, 0)


@pytest.mark.parametrize(("target", "column"), LOOSE)
def test_a_row_that_is_marked_as_deleted_deletes_no_row_with_another_key(shop_of, target, column):
    """`A` is marked, and `a` is live. Marks that are only delivered delete no row."""
    shop = shop_of("postgres", target, "id text PRIMARY KEY, num bigint NOT NULL, amount bigint, gone boolean")
    first = ["CREATE EXTENSION IF NOT EXISTS citext"] if target == "postgres" else []
    shop.target.sql(*first, f"CREATE TABLE copied ({column}, num bigint, amount bigint, gone boolean)")
    shop.source.sql("INSERT INTO orders VALUES ('a', 1, 1, false)")
    shop.run("{column: gone}")
    shop.source.sql("INSERT INTO orders VALUES ('A', 2, 1, true)")
    assert codes(shop.run("{column: gone, as: hard}", code=1)) == ["STA019"]
    assert shop.rows() == [("a", 1, 1)]


@pytest.mark.parametrize("deletes", ["{column: gone, as: hard}", HARD])
def test_a_column_of_sqlite_that_equates_texts_is_refused_whatever_its_unique_index_does(shop_of, deletes):
    """A DELETE compares by the column's own collation."""
    shop = shop_of("duckdb", "sqlite", "id text PRIMARY KEY, num bigint NOT NULL, amount bigint, gone boolean")
    column = "id TEXT NOT NULL COLLATE NOCASE"
    shop.target.sql(
        f"CREATE TABLE copied ({column}, num bigint, amount bigint, gone boolean)",
        "CREATE UNIQUE INDEX exact ON copied (id COLLATE BINARY)",
    )
    shop.source.sql("INSERT INTO orders VALUES ('a', 1, 1, false), ('A', 2, 1, true)")
    assert codes(shop.run(deletes, code=1)) == ["STA019"]


def test_only_the_collations_of_keys_are_asked_for(shop_of):
    shop = shop_of("duckdb", "sqlite", "id text PRIMARY KEY, num bigint NOT NULL, amount text, gone boolean")
    with sqlite3.connect(shop.root / shop.target.fields["path"]) as client:
        client.create_collation("mine", lambda a, b: (a > b) - (a < b))
        client.execute("CREATE TABLE copied (id TEXT PRIMARY KEY, num bigint, amount TEXT COLLATE mine, gone boolean)")
    shop.source.sql("INSERT INTO orders VALUES ('a', 1, 'x', false)")
    shop.run(HARD)
    assert len(shop.rows()) == 1


def test_a_table_without_the_column_of_the_time_is_refused_with_what_to_write(shop_of):
    shop = shop_of("sqlite", "postgres")
    shop.target.sql("CREATE TABLE copied (id bigint PRIMARY KEY, num bigint, amount bigint)")
    shop.fill(2)
    answer = shop.run(code=6)
    assert codes(answer) == ["DAT029"]
    (hint,) = [each["hint"] for each in answer["diagnostics"] if each["code"] == "DAT029"]
    shop.target.sql(hint[hint.index("ALTER TABLE") :])
    shop.run()
    assert shop.live() == shop.sources()


@pytest.mark.parametrize("family", ["postgres", "mysql"])
def test_a_hard_delete_that_reaches_other_tables_is_refused(shop_of, family):
    shop = shop_of("sqlite", family)
    shop.fill(3)
    shop.run(HARD)
    shop.target.sql(
        "CREATE TABLE items (id bigint, copied bigint, FOREIGN KEY (copied) REFERENCES copied (id) ON DELETE CASCADE)"
    )
    shop.source.sql("DELETE FROM orders WHERE id = 1")
    assert codes(shop.run(HARD, code=1)) == ["STA018"]
    assert len(shop.rows()) == 3


@pytest.mark.parametrize(
    ("columns", "deletes", "code"),
    [
        ("id decimal(9, 2) NOT NULL PRIMARY KEY, num bigint NOT NULL", SOFT, "STA035"),
        ("id bigint NOT NULL PRIMARY KEY, num bigint NOT NULL, deleted_at timestamp", SOFT, "STA037"),
        ("id bigint NOT NULL PRIMARY KEY, num bigint NOT NULL, state varchar", "{column: state}", "STA038"),
    ],
)
def test_columns_that_do_not_fit_are_refused_by_compile(shop_of, columns, deletes, code):
    shop = shop_of("duckdb", "duckdb")
    shop.source.sql("DROP TABLE orders")
    shop.create(columns)
    assert code in codes(shop.run(deletes, code=2))


def test_a_second_pair_of_the_same_target_is_refused(shop_of):
    shop = shop_of("sqlite", "duckdb")
    shop.fill(3)
    shop.run()
    shop.target.sql("UPDATE _osiris_state SET pair = 'another', source = '@sqlite.other orders'")
    answer = shop.run(code=1)
    assert codes(answer) == ["STA017"]
    assert len(shop.rows()) == 3


# The column that marks deleted rows


@pytest.mark.parametrize("target", FAMILIES)
@pytest.mark.parametrize("kind", ["boolean", "smallint", "timestamp"])
def test_a_column_of_the_source_marks_deleted_rows(shop_of, target, kind):
    columns = f"id bigint PRIMARY KEY, num bigint NOT NULL, amount bigint, is_deleted {kind}"
    shop = shop_of("postgres", target, columns)
    live, dead = {"boolean": ("false", "true"), "smallint": ("0", "1"), "timestamp": ("NULL", "'2026-01-01'")}[kind]
    shop.source.sql(f"INSERT INTO orders SELECT n, n, 1, {live} FROM generate_series(1, 5) n")
    shop.source.sql(f"INSERT INTO orders VALUES (6, 6, 1, {dead})")
    for deletes, expected in (("{column: is_deleted}", 6), ("{column: is_deleted, as: hard}", 4)):
        answer = shop.run(deletes)
        assert len(shop.rows()) == (expected if "hard" not in deletes else 6)
        shop.source.sql(f"UPDATE orders SET is_deleted = {dead}, num = num + 100 WHERE id IN (1, 6)")
        answer = shop.run(deletes)
        assert len(shop.rows()) == expected
        assert answer["data"]["steps"]["copy"]["rows_out"] >= 1


@pytest.mark.parametrize(
    ("source", "kind"), [("postgres", "smallint"), ("postgres", "bigint"), ("mysql", "tinyint(1)")]
)
@pytest.mark.parametrize("value", [2, -1])
def test_a_number_that_is_neither_0_nor_1_marks_nothing_and_deletes_nothing(shop_of, source, kind, value):
    """The column may be one of several states, named by mistake."""
    shop = shop_of(source, "duckdb", f"id bigint PRIMARY KEY, num bigint NOT NULL, amount bigint, state {kind}")
    shop.source.sql("INSERT INTO orders VALUES (1, 1, 1, 0), (2, 2, 1, NULL), (3, 3, 1, 0)")
    shop.run("{column: state, as: hard}")
    shop.source.sql(
        f"INSERT INTO orders VALUES (4, 4, 1, {value})", "UPDATE orders SET state = 1, num = 5 WHERE id = 1"
    )
    assert codes(shop.run("{column: state, as: hard}", code=1)) == ["DAT031"]
    assert [row[0] for row in shop.rows()] == [1, 2, 3]
    shop.source.sql("DELETE FROM orders WHERE id = 4")
    shop.run("{column: state, as: hard}")
    assert [row[0] for row in shop.rows()] == [2, 3]


# Kills

KILLS = [
    (family, SOFT if point == "commit" else HARD, point)
    for family in FAMILIES
    for point in ("deletes.applied", "commit")
]
KILLS += [("sqlite", SOFT, "state.record"), ("postgres", HARD, "state.record"), ("duckdb", SOFT, "committed")]


@pytest.mark.parametrize(("target", "deletes", "point"), KILLS)
def test_after_a_kill_rows_state_and_deletes_agree(shop_of, target, deletes, point):
    shop = shop_of("sqlite", target)
    shop.fill(40)
    shop.run(deletes)
    before, state = shop.target.sql("SELECT * FROM copied ORDER BY id"), shop.state()
    shop.source.sql("DELETE FROM orders WHERE id IN (3, 4)")
    shop.put(50, 51)
    shop.target.sql("DELETE FROM copied WHERE id = 7")
    before = [row for row in before if row[0] != 7]
    name = f"{target}.{point}" if point.startswith("commit") else point
    path = shop.write(deletes)
    env = {**shop.source.env, **shop.target.env, "OSIRIS_FAULT": f"worker/{name}:1:kill"}
    done = shop.osiris("run", path, "--json", cwd=shop.root, env=env)
    assert done.returncode != 0, done.stdout
    if point != "committed":
        assert shop.target.sql("SELECT * FROM copied ORDER BY id") == before
        assert shop.state() == state
    shop.run(deletes)
    assert (shop.live() if deletes == SOFT else shop.rows()) == shop.sources()
    assert shop.state()["compared_at"] > state["compared_at"]


# A model


@pytest.mark.parametrize("seed", range(7))
@pytest.mark.parametrize("target", ["sqlite", "duckdb"])
@pytest.mark.parametrize("deletes", [SOFT, HARD])
def test_the_target_is_the_model_after_random_histories(shop_of, target, deletes, seed):
    shop, chance, model = shop_of("sqlite", target), random.Random(seed), {}
    shop.put(999)
    model[999] = (999, 1, 1)
    for _ in range(4):
        for _ in range(chance.randrange(8)):
            key = chance.randrange(12)
            if chance.random() < 0.4 and key in model:
                shop.source.sql(f"DELETE FROM orders WHERE id = {key}")
                del model[key]
            elif chance.random() < 0.3 and key in model:  # the key changes
                other = 100 + chance.randrange(12)
                shop.source.sql(
                    f"DELETE FROM orders WHERE id = {other}", f"UPDATE orders SET id = {other} WHERE id = {key}"
                )
                model[other] = (other, *model.pop(key)[1:])
            else:
                amount = chance.randrange(100)
                shop.put(key, amount=amount)
                model[key] = (key, shop.number, amount)
        shop.run(deletes)
        assert (shop.live() if deletes == SOFT else shop.rows()) == sorted(model.values())
        if chance.random() < 0.4 and len(model) > 1:  # an empty target is refused (STA004)
            shop.target.sql(f"DELETE FROM copied WHERE id = {chance.choice(list(model))}")


def test_an_entry_of_replicate_deletes_rows_of_all_its_tables(shop_of):
    shop = shop_of("postgres", "postgres")
    for table in ("orders", "lines"):
        shop.source.sql(
            *([f"CREATE TABLE {table} (id bigint PRIMARY KEY, num bigint NOT NULL)"] if table != "orders" else []),
            f"INSERT INTO {table} (id, num) SELECT n, n FROM generate_series(1, 30) n",
        )
    path = shop.write()
    path.write_text(REPLICATE)
    env = {**shop.source.env, **shop.target.env}
    for keys in ("0", "3, 4"):
        for table in ("orders", "lines"):
            shop.source.sql(f"DELETE FROM {table} WHERE id IN ({keys})")
        done = shop.osiris("run", path, "--json", cwd=shop.root, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
    for table in ("orders", "lines"):
        assert shop.target.sql(f"SELECT id FROM public.{table} WHERE deleted_at IS NOT NULL ORDER BY 1") == [(3,), (4,)]
    shown = shop.osiris("logs", "show", "last", cwd=shop.root).stdout
    assert "2 rows marked as deleted in 'public.orders'" in shown


@pytest.mark.parametrize("family", FAMILIES)
def test_source_and_target_in_one_database(shop_of, family):
    shop = shop_of(family, family)
    shop.fill(30)
    path = shop.write()
    path.write_text(path.read_text().replace(".copy", ".shop"))
    for keys in ("0", "3, 4"):
        shop.source.sql(f"DELETE FROM orders WHERE id IN ({keys})")
        done = shop.osiris("run", path, "--json", cwd=shop.root, env=shop.source.env)
        assert done.returncode == 0, done.stdout + done.stderr
    dead = shop.source.sql("SELECT id FROM copied WHERE deleted_at IS NOT NULL ORDER BY 1")
    assert dead == [(3,), (4,)]
