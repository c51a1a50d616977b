"""What a conversation finds in a folder that contains other files too."""

import csv
import os
import sqlite3

import pytest
from tests.unit.chat.scripted import environment, serving
from tests.unit.chat.talking import proposal

WORDS = "orders of region north to output/n.csv"
ANSWERS = {
    WORDS: proposal("data/orders.csv", sql="SELECT * FROM orders WHERE region = 'north'", name="n", path="output/n.csv")
}
ORDERS = "id,region,total\n" + "".join(f"{n},{('north', 'south')[n % 2]},{n}\n" for n in range(40))


@pytest.fixture(scope="module")
def model():
    with serving(ANSWERS) as server:
        yield environment(server)


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "osiris.yaml").write_text("{}\n")
    (tmp_path / "data" / "orders.csv").write_text(ORDERS)
    return tmp_path


def north(shop, osiris, model):
    done = osiris("chat", WORDS, "--yes", cwd=shop, env=model)
    assert done.returncode == 0, done.stderr
    with (shop / "output" / "n.csv").open() as file:
        return done.stderr, [row["id"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_database_beside_files_is_no_connection_of_theirs(shop, osiris, model, kind):
    import duckdb

    path = shop / "data" / f"app.{kind}"
    with sqlite3.connect(path) if kind == "sqlite" else duckdb.connect(str(path)) as file:
        file.execute("CREATE TABLE users (id INTEGER)")
    (shop / "osiris_connections.yaml").write_text(f"connections: {{{kind}: {{app: {{path: data/app.{kind}}}}}}}\n")

    told, ids = north(shop, osiris, model)

    assert "cannot be read" not in told
    assert sorted(map(int, ids)) == list(range(0, 40, 2))


def test_a_name_that_is_no_text_silences_no_other(shop, osiris, model):
    (shop / os.fsdecode(b"data/caf\xe9.csv")).write_text("a\n1\n")
    (shop / os.fsdecode(b"d\xe9")).mkdir()
    (shop / os.fsdecode(b"d\xe9/x.csv")).write_text("a\n1\n")

    told, ids = north(shop, osiris, model)

    assert "cannot be read" not in told
    assert len(ids) == 20
    seen = osiris("discover", "data/*", "--json", cwd=shop).stdout
    assert r'{"name": "data/caf\\xe9.csv", "reason": "its name is not UTF-8"}' in seen
