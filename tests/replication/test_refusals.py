"""What a state does not fit is refused before a row is read: with a place and a hint, and the target as it was."""

import threading
import time
from contextlib import contextmanager

import pytest
from tests.replication.projects import Pair

STAMPED = {"column": "stamp"}
COLUMNS = "id, amount"
TABLE = {
    "postgres": "CREATE TABLE orders (id int PRIMARY KEY, amount int, stamp timestamptz NOT NULL DEFAULT now(), "
    "entered timestamptz NOT NULL DEFAULT now(), given timestamptz NOT NULL, nullable timestamptz DEFAULT now(), "
    "local timestamp NOT NULL DEFAULT now(), extra json NOT NULL DEFAULT '{}', flag boolean NOT NULL DEFAULT true)",
}
ROWS = "INSERT INTO orders (id, amount, given) SELECT n, n, now() FROM generate_series(1, 5) s(n)"
MORE = "INSERT INTO orders (id, amount, given) VALUES (6, 6, now())"
READ = "SELECT id, amount, stamp FROM orders"


@pytest.fixture
def shop(make_project):
    """A project with five rows in its source, of which nothing was copied yet."""
    project = make_project("postgres")
    project.source.run(TABLE["postgres"], ROWS)
    return project


def content(database):
    """Return all rows of a database, without empty tables of Osiris."""
    found = {name: sorted(map(repr, database.ask(f'SELECT * FROM "{name}"'))) for name in database.tables()}
    return {name: rows for name, rows in found.items() if rows or not name.startswith("_osiris_")}


def assert_refused(shop, codes, *, exits=(1, 2), step=None):
    """The run is refused with one of the codes, before the source was read; the target is as before."""
    before = content(shop.target)
    done = shop.run(code=None)
    assert done.code in exits, done.text
    assert content(shop.target) == before
    found = [each for each in done.errors if each["code"] in codes]
    assert found, done.text
    for each in found:
        assert each.get("hint"), each
        assert each.get("step") or (each.get("file") and each.get("line")), each
    for ended in ((done.answer["data"] or {}).get("steps") or {}).values():
        assert (ended.get("rows_in") or 0, ended.get("rows_out") or 0) == (0, 0), done.text
    return found[0]


def rows(shop, pair):
    return sorted(shop.target.ask(f"SELECT {COLUMNS} FROM {pair.target}"))


# What changed since the last run


def another_database(shop, pair):
    other = shop.source.__class__("postgres", shop.source.place, shop.source.place.new_database())
    other.run(TABLE["postgres"], ROWS, MORE)
    shop.connect("shop", "postgres", other.fields())


def target_dropped(shop, pair):
    shop.target.run(f"DROP TABLE {pair.target}")


def target_made_again(shop, pair):
    shop.target.run(
        f"CREATE TABLE kept (LIKE {pair.target} INCLUDING ALL)",
        f"INSERT INTO kept SELECT * FROM {pair.target}",
        f"DROP TABLE {pair.target}",
        f"ALTER TABLE kept RENAME TO {pair.target}",
    )


def target_truncated(shop, pair):
    shop.target.run(f"TRUNCATE {pair.target}")


def target_emptied(shop, pair):
    shop.target.run(f"DELETE FROM {pair.target}")


def another_cursor(shop, pair):
    shop.write(Pair(pair.name, pair.table, {"column": "entered"}, pair.mode))


def another_way(shop, pair):
    shop.write(Pair(pair.name, pair.table, {"column": "stamp", "late": {"lag": "1m"}}, pair.mode))


def another_query(shop, pair):
    where = {"query": f"{READ} WHERE amount > 0"}
    shop.write(Pair(pair.name, pair.table, pair.cursor, pair.mode, reading=where))


def source_made_again(shop, pair):
    shop.source.run("DROP TABLE orders", TABLE["postgres"], ROWS, MORE)


CHANGES = [
    (another_database, {"STA003"}),
    (target_dropped, {"STA004"}),
    (target_made_again, {"STA004"}),
    (target_truncated, {"STA004"}),
    (target_emptied, {"STA004"}),
    (another_cursor, {"STA002"}),
    (another_way, {"STA002"}),
    (another_query, {"STA002"}),
    (source_made_again, {"STA003"}),
]


@pytest.mark.parametrize("mode", ["append", "upsert"])
@pytest.mark.parametrize(("change", "codes"), CHANGES, ids=lambda value: getattr(value, "__name__", ""))
def test_what_a_state_does_not_fit(shop, change, codes, mode):
    pair = Pair("orders", "orders", STAMPED, mode)
    if change is another_query:
        pair = Pair("orders", "orders", STAMPED | {"stamped_by": "server"}, mode, reading={"query": READ})
    shop.write(pair)
    shop.run()
    shop.source.run(MORE)
    change(shop, pair)
    assert_refused(shop, codes)
    assert_refused(shop, codes)


@pytest.mark.parametrize("mode", ["append", "upsert"])
@pytest.mark.parametrize("column", ["amount", "id"])
def test_another_type(shop, column, mode):
    """The plan does not fit first; a plan and a target that fit find that the state does not."""
    pair = Pair("orders", "orders", {"column": "id", "late": {"lag": 2}}, mode)
    shop.write(pair)
    shop.run()
    shop.source.run(MORE, f"ALTER TABLE orders ALTER {column} TYPE bigint")
    assert_refused(shop, {"DAT011", "STA002"}, exits=(1, 6))
    shop.target.run(f"ALTER TABLE {pair.target} ALTER {column} TYPE bigint")
    shop.command("compile", shop.path, "--refresh")
    assert_refused(shop, {"STA002"})


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_a_new_column_is_allowed(shop, mode):
    """A plan and a target that have it continue; rows that are read again are recognized by the columns of then."""
    pair = Pair("orders", "orders", STAMPED, mode)
    shop.write(pair)
    shop.run()
    shop.source.run("ALTER TABLE orders ADD COLUMN note text", MORE)
    assert_refused(shop, {"DAT011"}, exits=(6,))
    shop.target.run(f"ALTER TABLE {pair.target} ADD COLUMN note text")
    shop.command("compile", shop.path, "--refresh")
    shop.run()
    assert rows(shop, pair) == [(n, n) for n in range(1, 7)]


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_another_source_that_comes_back_continues(shop, mode):
    pair, first = Pair("orders", "orders", STAMPED, mode), shop.source.fields()
    shop.write(pair)
    shop.run()
    another_database(shop, pair)
    assert_refused(shop, {"STA003"})
    shop.connect("shop", "postgres", first)
    shop.source.run(MORE)
    shop.run()
    assert rows(shop, pair) == [(n, n) for n in range(1, 7)]


@pytest.mark.parametrize("mode", ["append", "upsert"])
@pytest.mark.parametrize(
    "change", ["VACUUM FULL {}", "ALTER TABLE {} ADD COLUMN at timestamptz DEFAULT clock_timestamp()"]
)
def test_a_target_that_was_rewritten_continues(shop, change, mode):
    pair = Pair("orders", "orders", STAMPED, mode)
    shop.write(pair)
    shop.run()
    shop.source.run(MORE)
    shop.target.run(change.format(pair.target))
    shop.run()
    assert rows(shop, pair) == [(n, n) for n in range(1, 7)]


def test_a_renamed_pipeline_continues(shop):
    shop.write(Pair("orders", "orders", STAMPED))
    shop.run()
    shop.path.unlink()
    shop.source.run(MORE)
    shop.name = "renamed"
    step = Pair("others", "orders", STAMPED).steps(shop.source, shop.target)
    step[1]["config"]["table"] = "orders_copy"
    shop.write(more=step)
    shop.run()
    assert sorted(shop.target.ask("SELECT id, amount FROM orders_copy")) == [(n, n) for n in range(1, 7)]


# What is refused from the first run on


def test_an_append_to_rows_without_a_state(shop):
    pair = Pair("orders", "orders", STAMPED)
    shop.write(pair)
    shop.run()
    shop.target.run("DELETE FROM _osiris_state")
    assert_refused(shop, {"STA006"})


def test_a_damaged_state(shop):
    shop.write(Pair("orders", "orders", STAMPED))
    shop.run()
    where = "table_name = '_osiris_state' AND data_type = 'text'"
    names = shop.target.ask(f"SELECT column_name FROM information_schema.columns WHERE {where}")
    shop.target.run(
        *(f"UPDATE _osiris_state SET {name} = left({name}, 20) WHERE {name} LIKE '{{%'" for (name,) in names)
    )
    before = content(shop.target)
    done = shop.run(code=4)
    assert done.codes == ["STA010"], done.text
    assert content(shop.target) == before


FIRST = {
    "missing column": ({"column": "stamps"}, {"STA007", "DAT005"}),
    "json": ({"column": "extra", "late": "none"}, {"STA007"}),
    "boolean": ({"column": "flag", "late": "none"}, {"STA007"}),
    "nullable": ({"column": "nullable"}, {"STA007"}),
    "nullable number": ({"column": "amount", "late": "none"}, {"STA007"}),
    "stamped by the application": ({"column": "given"}, {"STA008"}),
    "no zone": ({"column": "local"}, {"STA007", "STA008"}),
    "unknown zone": ({"column": "local", "zone": "Mars/Base"}, {"OML028"}),
    "number with open transactions": ({"column": "id", "late": "open_transactions"}, {"STA007", "STA008"}),
    "number with a duration": ({"column": "id", "late": {"lag": "1m"}}, {"STA007", "STA008"}),
    "time with a number": ({"column": "stamp", "late": {"lag": 10}}, {"STA007", "STA008"}),
    "number without a way": ({"column": "id"}, {"STA007", "STA008"}),
}


@pytest.mark.parametrize("mode", ["append", "upsert"])
@pytest.mark.parametrize("case", FIRST)
def test_a_column_that_cannot_be_a_cursor(shop, case, mode):
    cursor, codes = FIRST[case]
    shop.write(Pair("orders", "orders", cursor, mode))
    assert_refused(shop, codes)


def test_a_null_in_a_query(shop):
    """A query says nothing about NULL: the first one is refused, and the transaction is rolled back."""
    shop.source.run("UPDATE orders SET nullable = NULL WHERE id = 3")
    query = {"query": "SELECT id, amount, nullable FROM orders"}
    shop.write(Pair("orders", "orders", {"column": "nullable", "stamped_by": "server"}, reading=query))
    before = content(shop.target)
    done = shop.run(code=None)
    assert set(done.codes) & {"STA007", "STA009"}, done.text
    assert content(shop.target) == before


def test_views_have_no_row_ids(shop):
    shop.source.run("CREATE VIEW seen AS SELECT * FROM orders")
    shop.write(Pair("seen", "seen", {"column": "id", "late": "row_xids"}))
    assert_refused(shop, {"STA008"})


def test_a_user_who_cannot_see_transactions(shop):
    """Only that right is missing, and another user's transaction is open; with it the same command works."""
    fields = shop.source.place.fields(shop.source.name, reader=True)
    shop.source.run("GRANT SELECT ON orders TO reader")
    shop.connect("shop", "postgres", fields)
    pair = Pair("orders", "orders", STAMPED)
    shop.write(pair)
    with held(shop.source, "orders"):
        said = assert_refused(shop, {"STA008"})
    assert "pg_read_all_stats" in said["message"] + said["hint"] or "pg_monitor" in said["message"] + said["hint"], said
    shop.source.run("GRANT pg_read_all_stats TO reader")
    try:
        shop.run()
    finally:
        shop.source.run("REVOKE pg_read_all_stats FROM reader")
    assert rows(shop, pair) == [(n, n) for n in range(1, 6)]


def test_replace_has_no_state(shop):
    shop.write(Pair("orders", "orders", STAMPED, "replace"))
    assert_refused(shop, {"STA020", "STA021", "STA022", "STA023", "STA024", "STA025"}, exits=(2,))


def test_a_single_file_has_no_state(shop):
    read = Pair("orders", "orders", STAMPED).steps(shop.source, shop.target)[0]
    config = {"path": "output/orders.csv"}
    write = {"id": "file", "component": "filesystem.csv_writer", "mode": "write", "needs": ["orders"], "config": config}
    shop.write(more=[read, write])
    assert_refused(shop, {f"STA0{n}" for n in range(20, 30)}, exits=(2,))
    assert not (shop.root / "output").exists()


BETWEEN = {
    "groups": "SELECT amount, count(*) AS n FROM input_df GROUP BY amount",
    "one value": "SELECT DISTINCT amount FROM input_df",
    "window": "SELECT id, row_number() OVER (ORDER BY id) AS n FROM input_df",
    "union": "SELECT id FROM input_df UNION ALL SELECT id FROM input_df",
    "limit": "SELECT id FROM input_df ORDER BY id LIMIT 3",
}


@pytest.mark.parametrize("name", BETWEEN)
def test_steps_that_need_all_rows(shop, name):
    read, write = Pair("orders", "orders", STAMPED).steps(shop.source, shop.target)
    sql = {"id": "between", "component": "duckdb.processor", "mode": "transform", "needs": ["orders"]}
    write["needs"] = ["between"]
    shop.write(more=[read, {**sql, "config": {"query": BETWEEN[name]}}, write])
    assert_refused(shop, {f"STA0{n}" for n in range(20, 30)}, exits=(2,))


def test_an_older_version_has_no_cursors(shop):
    shop.write(Pair("orders", "orders", STAMPED))
    shop.path.write_text(shop.path.read_text().replace('"0.3.0"', '"0.2.0"'))
    done = shop.run(code=2)
    assert any(each["line"] and "0.3.0" in each["message"] + each["hint"] for each in done.errors), done.text


def test_the_doctor_prints_the_grant(shop):
    shop.connect("shop", "postgres", shop.source.place.fields(shop.source.name, reader=True))
    doctor = shop.command("connections", "doctor", "@postgres.shop")
    assert any(right in doctor.text for right in ("pg_read_all_stats", "pg_monitor")), doctor.text


# Two hosts


@contextmanager
def held(database, table):
    """Let nobody write a table until the block ends."""
    with database.connect() as client:
        client.autocommit = False
        client.execute(f"LOCK TABLE {table} IN SHARE MODE")
        yield
        client.commit()


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_two_hosts_that_read_one_mark(shop, tmp_path, mode):
    """Both read the state before either writes: one delivers, the other is refused or finds it delivered."""
    pair = Pair("orders", "orders", STAMPED, mode)
    shop.write(pair)
    shop.run()
    other = shop.checkout(tmp_path / "other")
    shop.source.run(MORE)
    ended = []
    threads = [threading.Thread(target=lambda each=each: ended.append(each.run(code=None))) for each in (shop, other)]
    with held(shop.target, pair.target):
        for thread in threads:
            thread.start()
        until = time.monotonic() + 60
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        while shop.target.ask(waiting)[0][0] < 2 and time.monotonic() < until:
            time.sleep(0.05)
    for thread in threads:
        thread.join()
    assert 0 in (ended[0].code, ended[1].code)
    assert all(done.code == 0 or done.codes == ["STA001"] for done in ended), [done.text for done in ended]
    assert rows(shop, pair) == [(n, n) for n in range(1, 7)]
    other.run()
    assert rows(shop, pair) == [(n, n) for n in range(1, 7)]
