"""A target table in a database file that another table has replaced is refused, with rows or without.

What a database does to the same table, and what others do with its rows, is no such replacement.
"""

import re
import shutil

import pytest
from tests.replication.projects import Pair
from tests.replication.test_refusals import assert_refused

COPY = "orders_copy"
OWN = "_osiris_state"
FILES = ["sqlite", "duckdb"]
BY_ID = {"column": "id", "late": "none"}
TABLE = "(id BIGINT PRIMARY KEY NOT NULL, amount BIGINT)"


@pytest.fixture(params=FILES)
def shop(request, make_project):
    """A project with three rows in its SQLite source, and a database file as its target."""
    project = make_project("sqlite", request.param)
    project.source.run(f"CREATE TABLE orders {TABLE}", "INSERT INTO orders VALUES (1, 1), (2, 2), (3, 3)")
    return project


def copied_once(shop, mode):
    shop.write(Pair("orders", "orders", BY_ID, mode))
    shop.run()
    shop.source.run("INSERT INTO orders VALUES (4, 4)")


def ids(shop):
    return sorted(number for (number,) in shop.target.ask(f"SELECT id FROM {COPY}"))


# Another table with the name of the target


def made_again(shop):
    shop.target.run(f"DROP TABLE {COPY}", f"CREATE TABLE {COPY} {TABLE}", f"INSERT INTO {COPY} VALUES (99, 9)")


def made_again_with_the_rows(shop):
    rows = f"INSERT INTO {COPY} VALUES (1, 1), (2, 2), (3, 3)"
    shop.target.run(f"DROP TABLE {COPY}", f"CREATE TABLE {COPY} {TABLE}", rows)


def made_again_with_a_column_more(shop):
    columns = TABLE.replace(")", ", note TEXT)")
    shop.target.run(f"DROP TABLE {COPY}", f"CREATE TABLE {COPY} {columns}", f"INSERT INTO {COPY} VALUES (99, 9, 'x')")


def renamed_away(shop):
    shop.target.run(f"ALTER TABLE {COPY} RENAME TO old", f"CREATE TABLE {COPY} {TABLE}")
    shop.target.run(f"INSERT INTO {COPY} SELECT * FROM old WHERE id = 3")


def rebuilt_by_hand(shop):
    shop.target.run(f"CREATE TABLE new {TABLE}", f"INSERT INTO new SELECT id, amount FROM {COPY} WHERE id > 2")
    shop.target.run(f"DROP TABLE {COPY}", f"ALTER TABLE new RENAME TO {COPY}")


def made_again_before_others(shop):
    """The new table may get the old one's place in the catalogue."""
    shop.target.run(f"DROP TABLE {COPY}", "CREATE TABLE other (x INTEGER)", "DROP TABLE other")
    made = [f"CREATE TABLE {COPY} {TABLE}", f"INSERT INTO {COPY} VALUES (99, 9)"]
    shop.target.run(*made, "CREATE TABLE other (x INTEGER)")


REPLACED = [
    made_again,
    made_again_with_the_rows,
    made_again_with_a_column_more,
    renamed_away,
    rebuilt_by_hand,
    made_again_before_others,
]


@pytest.mark.parametrize(("change", "mode"), [*((each, "append") for each in REPLACED), (made_again, "upsert")])
def test_another_table_with_the_name_of_the_target_is_refused(shop, change, mode):
    copied_once(shop, mode)
    change(shop)
    assert_refused(shop, {"STA004"})


def test_after_a_reset_the_new_table_is_the_target(shop):
    copied_once(shop, "upsert")
    made_again(shop)
    shop.command("state", "reset", shop.path)
    shop.run()
    assert ids(shop) == [1, 2, 3, 4, 99]
    shop.source.run("INSERT INTO orders VALUES (5, 5)")
    made_again(shop)
    assert_refused(shop, {"STA004"})


# The same table


def vacuumed(shop):
    shop.target.run("VACUUM" if shop.target.kind == "sqlite" else "CHECKPOINT")


def opened_again(shop):
    shop.target.ask("SELECT 1")


def altered(shop):
    shop.target.run(f"ALTER TABLE {COPY} ADD COLUMN note TEXT", f"ALTER TABLE {COPY} RENAME COLUMN note TO notes")
    shop.target.run(f"ALTER TABLE {COPY} DROP COLUMN notes", "CREATE TABLE other (x INTEGER)")


def indexed(shop):
    shop.target.run(f"CREATE INDEX by_amount ON {COPY} (amount)")
    vacuumed(shop)
    shop.target.run("DROP INDEX by_amount")  # with an index, DuckDB alters no table


def renamed_and_back(shop):
    shop.target.run(f"ALTER TABLE {COPY} RENAME TO away", f"ALTER TABLE away RENAME TO {COPY}")


def changed_by_others(shop):
    shop.target.run(f"DELETE FROM {COPY} WHERE id = 1", f"INSERT INTO {COPY} VALUES (70, 7)")
    shop.target.run(f"UPDATE {COPY} SET amount = 0 WHERE id = 2")


def copied_as_a_whole(shop):
    place = shop.target.place
    shutil.copy(place, place.with_name("moved"))
    place.unlink()
    shutil.move(place.with_name("moved"), place)


def other_tables_dropped(shop):
    shop.target.run("CREATE TABLE a (x INTEGER)", "CREATE TABLE b (x INTEGER)", "DROP TABLE a", "DROP TABLE b")
    vacuumed(shop)


SAME = [
    vacuumed,
    opened_again,
    altered,
    indexed,
    renamed_and_back,
    changed_by_others,
    copied_as_a_whole,
    other_tables_dropped,
]


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_the_same_table_is_read_on(shop, mode):
    copied_once(shop, mode)
    for number, change in enumerate(SAME, start=5):
        change(shop)
        shop.source.run(f"INSERT INTO orders VALUES ({number}, 0)")
        shop.run()
        assert {2, 3, *range(4, number + 1)} <= set(ids(shop)), change.__name__


def test_a_table_that_was_there_before_the_first_run_is_known_too(shop):
    shop.target.run(f"CREATE TABLE {COPY} {TABLE}")
    copied_once(shop, "append")
    shop.run()
    made_again(shop)
    shop.source.run("INSERT INTO orders VALUES (5, 5)")
    assert_refused(shop, {"STA004"})


def test_another_database_file_with_such_a_table_is_refused(shop):
    copied_once(shop, "append")
    shop.target.place.unlink()
    shop.target.run(f"CREATE TABLE {COPY} {TABLE}", f"INSERT INTO {COPY} VALUES (99, 9)")
    assert_refused(shop, {"STA006"})


def test_a_table_of_two_pairs_is_known_to_both(shop):
    shop.source.run(f"CREATE TABLE more {TABLE}", "INSERT INTO more VALUES (50, 5)")
    shop.write(Pair("orders", "orders", BY_ID, "upsert"))
    shop.run()
    shop.name = "more"
    shop.write(Pair("orders", "more", BY_ID, "upsert"))
    shop.run()
    shop.source.run("INSERT INTO orders VALUES (4, 4)", "INSERT INTO more VALUES (51, 5)")
    shop.run()
    shop.name = "shop"
    shop.run()
    assert ids(shop) == [1, 2, 3, 4, 50, 51]


def test_the_state_of_an_earlier_version_is_read_on(shop):
    copied_once(shop, "append")
    mark = "?" if shop.target.kind == "sqlite" else "$1"
    ((content,),) = shop.target.ask(f"SELECT content FROM {OWN}")
    earlier = content[: content.index('"target": "')] + '"target": ""' + content[content.index(', "texts"') :]
    client = shop.target.connect()
    client.execute(f"UPDATE {OWN} SET content = {mark}", [earlier])
    client.close()
    shop.run()
    made_again(shop)
    shop.source.run("INSERT INTO orders VALUES (5, 5)")
    assert_refused(shop, {"STA004"})


def test_a_comment_in_duckdb_stays_and_is_shown_without_the_mark(make_project):
    shop = make_project("sqlite", "duckdb")
    shop.source.run(f"CREATE TABLE orders {TABLE}", "INSERT INTO orders VALUES (1, 1)")
    shop.target.run(f"CREATE TABLE {COPY} {TABLE}", f"COMMENT ON TABLE {COPY} IS 'Ada''s orders'")
    copied_once(shop, "append")
    shop.run()
    asked = f"SELECT comment FROM duckdb_tables() WHERE table_name = '{COPY}'"
    ((comment,),) = shop.target.ask(asked)
    assert re.fullmatch(r"Ada's orders \[osiris [0-9a-f]{16}\]", comment)
    shown = shop.command("discover", "@duckdb.copy").text
    assert "Ada's orders" in shown
    assert "[osiris" not in shown
