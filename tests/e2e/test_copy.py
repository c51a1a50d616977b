"""`osiris copy`: one line moves a file or table, and leaves no pipeline behind unless it is asked to."""

import csv
import sqlite3
from contextlib import closing

import pexpect
import pytest
from tests.conftest import OSIRIS, kept
from tests.patience import SOON
from tests.terminal import read_until_closed

ROWS = [("1", "US", "10.50"), ("2", "AT", "-3.00"), ("3", "US", "4.25")]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "osiris_connections.yaml").write_text("connections: {sqlite: {shop: {path: shop.sqlite}}}\n")
    with closing(sqlite3.connect(tmp_path / "shop.sqlite")) as database:
        database.execute('CREATE TABLE "old.orders" (id INTEGER PRIMARY KEY, country TEXT)')
        database.execute("INSERT INTO \"old.orders\" VALUES (7, 'DE')")
        database.commit()
    put(tmp_path, ROWS)
    return tmp_path


def put(folder, rows):
    (folder / "data").mkdir(exist_ok=True)
    with (folder / "data/orders.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "country", "amount"), *rows])


def read(folder, table="orders"):
    with closing(sqlite3.connect(folder / "shop.sqlite")) as database:
        return database.execute(f'SELECT id, country FROM "{table}" ORDER BY id').fetchall()


def pipelines(folder):
    return [str(each.relative_to(folder)) for each in folder.rglob("*.yaml") if each.parent != folder]


def upsert(osiris, folder, target="@sqlite.shop.orders", *more):
    return osiris("copy", "data/orders.csv", target, "--mode", "upsert", "--key", "id", *more, cwd=folder)


def test_a_copy_repeated_with_a_changed_file_updates_the_table(osiris, folder):
    assert upsert(osiris, folder, "@sqlite.shop.orders", "--yes").returncode == 0
    put(folder, [("3", "CH", "4.25"), ("4", "US", "1.00")])
    assert upsert(osiris, folder, "@sqlite.shop/orders", "--yes").returncode == 0
    assert read(folder) == [(1, "US"), (2, "AT"), (3, "CH"), (4, "US")]
    assert pipelines(folder) == []


def test_without_a_yes_the_plan_is_shown_and_nothing_written(osiris, folder):
    done = upsert(osiris, folder)
    assert done.returncode == 1
    assert "CHT043" in done.stderr
    assert "save creates @sqlite.shop.orders" in done.stdout
    with closing(sqlite3.connect(folder / "shop.sqlite")) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("old.orders",)]
    assert not (folder / "build").exists()


def test_at_a_terminal_the_answer_decides(folder):
    for answer, there in (("no", False), ("n", False), ("yes", True), ("Y", True)):
        words = ["copy", "data/orders.csv", "output/x.csv"]
        process = pexpect.spawn(OSIRIS, words, cwd=str(folder), env=kept(), timeout=SOON, dimensions=(60, 160))
        process.expect(r"Run it\? \(yes, no\)")
        process.sendline(answer)
        read_until_closed(process)
        assert (folder / "output/x.csv").exists() == there
        (folder / "output/x.csv").unlink(missing_ok=True)
    assert pipelines(folder) == []


def test_a_copy_can_be_kept_as_a_pipeline(osiris, folder):
    done = upsert(osiris, folder, "@sqlite.shop.orders", "--save", "pipelines/nightly.yaml", "--yes")
    assert done.returncode == 0, done.stderr
    put(folder, [("5", "US", "2.00")])
    assert osiris("run", "pipelines/nightly.yaml", cwd=folder).returncode == 0
    assert read(folder) == [(1, "US"), (2, "AT"), (3, "US"), (5, "US")]


@pytest.mark.parametrize("file", ["../kept.yaml", "kept.yaml", "pipelines/kept.txt", "output/../osiris.yaml"])
def test_a_pipeline_is_kept_only_where_pipelines_are_and_nothing_runs_else(osiris, folder, file):
    done = upsert(osiris, folder, "@sqlite.shop.orders", "--yes", "--save", file)
    assert (done.returncode, "PRJ022" in done.stderr, pipelines(folder)) == (2, True, [])
    assert (folder / "osiris.yaml").read_text() == ""
    with closing(sqlite3.connect(folder / "shop.sqlite")) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("old.orders",)]


def test_rows_and_columns_can_be_chosen_as_in_new(osiris, folder):
    words = ("--where", "country = US", "--columns", "id, amount as price", "--dtype", "id = utf8")
    done = osiris("copy", "data/orders.csv", "output/us.csv", *words, "--yes", cwd=folder)
    assert done.returncode == 0, done.stderr
    with (folder / "output/us.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["id", "price"], ["1", "10.50"], ["3", "4.25"]]


def test_a_table_whose_name_has_a_dot_is_read(osiris, folder):
    done = osiris("copy", "@sqlite.shop.old.orders", "output/old.csv", "--yes", cwd=folder)
    assert done.returncode == 0, done.stderr
    with (folder / "output/old.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["id", "country"], ["7", "DE"]]


@pytest.mark.parametrize(
    ("source", "target", "more", "hint"),
    [
        ("data/order.csv", "output/x.csv", (), "did you mean 'data/orders.csv'?"),
        ("data/orders.csv", "@sqlite.shop.orders", (), "--mode append, --mode replace, or --mode upsert"),
        ("data/orders.csv", "output/x.csv", ("--mode", "upsert", "--key", "id"), "leave it out, or write to a table"),
        ("data/orders.csv", "@sqlite.shpo.orders", ("--mode", "append"), "did you mean '@sqlite.shop'?"),
        ("data/orders.csv", "output/x.xlsx", (), "a table is @FAMILY.ALIAS.TABLE"),
        ("@sqlite.shop.old.order", "output/x.csv", (), "did you mean '@sqlite.shop/old.orders'?"),
        ("data/orders.csv", "output/x.csv", ("--where", "contry = US"), "did you mean 'country'?"),
    ],
)
def test_a_mistake_names_what_to_write(osiris, folder, source, target, more, hint):
    done = osiris("copy", source, target, *more, "--yes", cwd=folder)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert hint in done.stderr
    assert not (folder / "output").exists()


def test_an_existing_file_is_only_replaced_by_name(osiris, folder):
    words = ("copy", "data/orders.csv", "output/x.csv", "--yes")
    assert osiris(*words, cwd=folder).returncode == 0
    put(folder, ROWS[:1])
    refused = osiris(*words, cwd=folder)
    assert "pass --mode replace" in refused.stderr
    assert len((folder / "output/x.csv").read_text().splitlines()) == 4
    assert osiris(*words, "--mode", "replace", cwd=folder).returncode == 0
    assert len((folder / "output/x.csv").read_text().splitlines()) == 2
