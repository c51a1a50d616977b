"""Deleted rows: five cases of a source (some deleted, none, empty, read in part, NULL keys), and what guards them."""

import random

import pytest
from tests.chance import FEW, draw_seed
from tests.replication.histories import AN_HOUR_AGO, DECLARED, STAMP
from tests.replication.projects import Pair

KINDS = (("postgres", "postgres"), ("mariadb", "mariadb"), ("sqlite", "duckdb"), ("duckdb", "sqlite"))
NUMBER = 100


@pytest.fixture(params=KINDS, ids="-".join)
def shop(request, make_project):
    """A project whose source has a hundred rows."""
    project = make_project(*request.param)
    create(project.source, "orders", NUMBER)
    return project


@pytest.fixture
def postgres_shop(make_project):
    project = make_project("postgres")
    create(project.source, "orders", NUMBER)
    return project


def create(database, name, rows, key="id int NOT NULL PRIMARY KEY"):
    stamp = STAMP[database.kind]
    values = ", ".join(f"({n}, {n})" for n in range(1, rows + 1))
    database.run(f"CREATE TABLE {name} ({key}, amount int NOT NULL, stamp {stamp})")
    if rows:
        database.run(f"INSERT INTO {name} (id, amount) VALUES {values}")


def deleting(project, how, cursor=None, **more):
    """Write the pipeline with one pair that deletes; returns the pair."""
    deletes = {"compare": "keys", "every": "run", "as": how, **more}
    stamped = {"column": "stamp", **DECLARED.get(project.source.kind, {})}
    pair = Pair("orders", "orders", cursor or stamped, "upsert", more={"deletes": deletes})
    project.write(pair)
    return pair


def live(project, how):
    where = " WHERE deleted_at IS NULL" if how == "soft" else ""
    return project.target.count(f"orders_copy{where}", "id, amount")


def marked(project):
    return {key for (key,) in project.target.ask("SELECT id FROM orders_copy WHERE deleted_at IS NOT NULL")}


def everything(project):
    """Return all rows of the target, and of the tables that say what was delivered."""
    return {name: sorted(map(repr, project.target.ask(f"SELECT * FROM {name}"))) for name in project.target.tables()}


def assert_equal(project, how):
    assert live(project, how) == project.source.count("orders", "id, amount")


def assert_refused(project, code, exits=(1,)):
    """The run is refused with a hint, and nothing was written: neither rows, nor deletions, nor a state."""
    before = everything(project)
    done = project.run(code=None)
    assert done.code in exits, done.text
    assert code in done.codes, done.text
    assert all(each["hint"] and each["file"] for each in done.errors), done.text
    assert everything(project) == before


both = pytest.mark.parametrize("how", ["soft", "hard"])


@both
def test_some_are_deleted(shop, how):
    deleting(shop, how)
    shop.run()
    assert_equal(shop, how)
    shop.source.run("DELETE FROM orders WHERE id IN (3, 50, 100)", "INSERT INTO orders (id, amount) VALUES (101, 7)")
    shop.run()
    assert_equal(shop, how)
    if how == "soft":
        assert marked(shop) == {3, 50, 100}


@both
def test_none_is_deleted(shop, how):
    deleting(shop, how)
    shop.run()
    shop.run()
    shop.source.run("INSERT INTO orders (id, amount) VALUES (101, 7)")
    shop.run()
    assert_equal(shop, how)
    assert how == "hard" or not marked(shop)


@both
def test_an_empty_source(shop, how):
    deleting(shop, how)
    shop.run()
    shop.source.run("DELETE FROM orders")
    assert_refused(shop, "STA014")
    assert live(shop, how).total() == NUMBER


@both
def test_a_source_that_never_had_rows(shop, how):
    """An empty source is no problem for an empty target."""
    shop.source.run("DELETE FROM orders")
    deleting(shop, how)
    shop.run()
    shop.run()
    shop.source.run("INSERT INTO orders (id, amount) VALUES (1, 1)")
    shop.run()
    assert_equal(shop, how)


@both
def test_a_read_of_a_part(shop, how):
    """Whatever makes a read partial is refused before a row is read."""
    pair = deleting(shop, how)
    shop.run()
    before = everything(shop)
    for reading in ({"limit": 50}, {"query": "SELECT id, amount, stamp FROM orders WHERE id <= 50"}):
        shop.write(Pair("orders", "orders", pair.cursor | {"stamped_by": "server"}, "upsert", pair.more, reading))
        done = shop.run(code=2)
        assert all(each["hint"] and each["line"] for each in done.errors), done.text
        assert everything(shop) == before


@both
def test_a_policy_that_hides_rows(postgres_shop, how):
    """A user who sees a part of the rows would delete the others."""
    shop = postgres_shop
    deleting(shop, how)
    shop.run()
    shop.source.run(
        "GRANT SELECT ON orders TO reader",
        "ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY half ON orders USING (id <= 50)",
    )
    shop.connect("shop", "postgres", shop.source.place.fields(shop.source.name, reader=True))
    before = everything(shop)
    shop.source.run("GRANT pg_read_all_stats TO reader")
    try:
        done = shop.run(code=None)
    finally:
        shop.source.run("REVOKE pg_read_all_stats FROM reader")
    assert done.code != 0, done.text
    assert everything(shop) == before


@both
@pytest.mark.parametrize("kind", ["postgres", "mariadb", "sqlite", "duckdb"])
def test_a_null_in_a_key(make_project, kind, how):
    shop = make_project(kind)
    create(shop.source, "orders", 5, key="id int")
    deleting(shop, how)
    first = shop.run(code=None)
    shop.source.run("INSERT INTO orders (id, amount) VALUES (NULL, 7)", "DELETE FROM orders WHERE id = 2")
    before = everything(shop)
    done = shop.run(code=None)
    assert done.code in (1, 2, 6), done.text
    assert done.errors[0]["hint"], done.text
    assert everything(shop) == before
    assert first.code == 0 or first.codes == done.codes


@both
def test_the_share_that_may_be_deleted(shop, how):
    """Twenty rows always; more only within the share, which is of the live rows."""
    create(shop.source, "more", 0)
    deleting(shop, how)
    shop.run()
    shop.source.run("DELETE FROM orders WHERE id <= 21")
    assert_refused(shop, "STA016")
    deleting(shop, how, at_most="22%")
    shop.run()
    assert_equal(shop, how)
    deleting(shop, how)
    shop.source.run("DELETE FROM orders WHERE id <= 41")
    shop.run()
    assert_equal(shop, how)


@both
def test_rows_that_the_target_lost(shop, how):
    """A row that somebody deleted in the target is fetched, and said."""
    deleting(shop, how)
    shop.source.run(f"UPDATE orders SET stamp = {AN_HOUR_AGO[shop.source.kind]} WHERE id < 50")
    shop.run()
    shop.target.run("DELETE FROM orders_copy WHERE id IN (1, 2)")
    done = shop.run()
    assert "STA012" in [each["code"] for each in done.answer["diagnostics"]], done.text
    assert_equal(shop, how)


@both
def test_a_key_that_comes_back_with_an_old_stamp(shop, how):
    deleting(shop, how)
    shop.run()
    shop.source.run("DELETE FROM orders WHERE id = 5")
    shop.run()
    hour = AN_HOUR_AGO[shop.source.kind]
    shop.source.run(f"INSERT INTO orders (id, amount, stamp) VALUES (5, 99, {hour})")
    shop.run()
    assert_equal(shop, how)
    assert how == "hard" or not marked(shop)


def test_a_comparison_that_is_not_due(shop):
    deleting(shop, "soft", every="1d")
    shop.run()
    shop.source.run("DELETE FROM orders WHERE id = 5", "INSERT INTO orders (id, amount) VALUES (101, 7)")
    shop.wipe()
    shop.run()
    assert not marked(shop)
    assert live(shop, "soft").total() == NUMBER + 1


def test_an_append_deletes_nothing(shop):
    pair = deleting(shop, "soft")
    shop.write(Pair("orders", "orders", pair.cursor, "append", pair.more))
    assert shop.run(code=2).codes == ["STA031"]


@both
def test_kills_while_rows_are_deleted(shop, how):
    """After each repeat rows, deletions and state agree."""
    chance = random.Random(draw_seed())
    deleting(shop, how, at_most="50%")
    shop.run()
    for turn in range(FEW):
        key = turn * 10
        shop.source.run(
            f"DELETE FROM orders WHERE id BETWEEN {key} AND {key + 7}",
            f"INSERT INTO orders (id, amount) VALUES ({1000 + turn}, 1)",
        )
        shop.kill(chance.uniform(0.3, 2.0), chance)
        shop.run()
        assert_equal(shop, how)
