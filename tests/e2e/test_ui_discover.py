"""Discovering in `osiris ui`: forms connect, pages do not, and values of data are masked."""

import re
import sqlite3
from contextlib import closing

import pytest
from tests.e2e.test_lineage import HEAD
from tests.e2e.test_ui import text_of
from tests.servers.pages import serve_pages

VALUES = ("ann@example.org", "Prague", "4711", "-17")
CONNECTIONS = "connections:\n  sqlite:\n    shed: {path: data/shed.db}\n    gone: {path: data/gone.db}\n"
PIPELINE = HEAD.format(name="towns") + (
    "  - {id: load, component: sqlite.extractor, mode: read, needs: [], "
    "config: {connection: '@sqlite.shed', table: people}}\n"
    "  - {id: save, component: filesystem.csv_writer, mode: write, needs: [load], config: {path: towns.csv}}\n"
)


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "shop"
    for name, text in {
        "osiris.yaml": "",
        "osiris_connections.yaml": CONNECTIONS,
        "pipelines/towns.yaml": PIPELINE,
        "data/towns.csv": "town,number\nPrague,4711\nPrague,-17\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    with closing(sqlite3.connect(root / "data" / "shed.db")) as made, made:
        made.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, town TEXT NOT NULL DEFAULT 'x', mail TEXT)")
        made.executemany("INSERT INTO people (town, mail) VALUES ('Prague', ?)", [("ann@example.org",)] * 20)
        made.execute("CREATE TABLE other (id INTEGER REFERENCES people (id), number INTEGER)")
        made.executemany("INSERT INTO other VALUES (1, ?)", [(4711,), (-17,)] * 10)
    return root


@pytest.fixture
def serve(project):
    """Start a server with options; returns a client of it, whose `ask(...)` sends the form of the page."""
    opened = []

    def call(*words):
        server = serve_pages(project, *words)
        client = server.__enter__().client()
        opened.append(server)

        def ask(**fields):
            csrf = re.search(r'name="csrf" value="([^"]+)"', client.get("/discover").text)
            headers = {"origin": str(client.base_url).rstrip("/")}
            data = {"csrf": csrf[1] if csrf else "", **fields}
            return client.post("/discover", data=data, headers=headers, follow_redirects=True)

        client.ask = ask
        return client

    yield call
    for server in opened:
        server.__exit__(None, None, None)


def test_a_page_connects_to_nothing(serve, project):
    client = serve()
    text = text_of(client.get("/discover"))
    assert "@sqlite.shed used by towns osiris discover @sqlite.shed" in text
    assert "@sqlite.gone used by no pipeline" in text
    assert "This server only shows" in text
    assert "<form" not in client.get("/discover", params={"target": "@sqlite.shed"}).text
    assert client.ask(target="@sqlite.shed").status_code == 403
    assert not (project / ".osiris" / "cache" / "discovery.sqlite").exists()
    assert "was not discovered" in text_of(client.get("/discover", params={"target": "@sqlite.shed"}))


def test_a_connection_has_its_tables_and_who_uses_them(serve):
    client = serve("--allow-run")
    text = text_of(client.ask(target="@sqlite.shed"))
    assert "2 tables" in text
    assert re.search(r"people table, .*key id 3 read by towns", text)
    assert "other" in text
    assert "no pipeline" in text
    # It is kept: the page itself asks nobody.
    assert "2 tables" in text_of(client.get("/discover", params={"target": "@sqlite.shed"}))
    assert "Discovered since this server was started @sqlite.shed" in text_of(client.get("/discover"))
    page = client.get("/discover", params={"target": "@sqlite.shed", "table": "people"})
    assert "town utf8 never" in text_of(page)
    assert "osiris discover @sqlite.shed --table people --profile" in text_of(page)
    assert "refers to people (id)" in text_of(
        client.get("/discover", params={"target": "@sqlite.shed", "table": "other"})
    )


@pytest.mark.parametrize(("target", "tables"), [("@sqlite.shed", ["people", "other"]), ("data/towns.csv", [None])])
def test_values_are_masked_unless_they_are_asked_for(serve, target, tables):
    hidden, shown = serve("--allow-run"), serve("--allow-run", "--show-values")
    pages = dict.fromkeys((hidden, shown), "")
    for client, table in ((client, table) for client in pages for table in tables):
        client.ask(target=target)
        answer = client.ask(target=target, table=table or target)
        assert answer.status_code == 200
        assert "profile of" in answer.text
        pages[client] += text_of(answer)
    assert not [value for value in VALUES if value in pages[hidden]]
    assert "values of data are masked" in pages[hidden]
    assert "distinct" in pages[hidden]
    assert "4711" in pages[shown]
    assert "Prague" in pages[shown]
    assert "First rows" in pages[shown]


@pytest.mark.parametrize(
    "target", ["@sqlite.gone", "@sqlite.nothing", "@", "nowhere.csv", "\x00", "@postgres.x", "/etc/*"]
)
def test_what_cannot_be_discovered_says_why(serve, target):
    answer = serve("--allow-run").ask(target=target)
    assert answer.status_code in (200, 400)
    assert re.search(r"[A-Z]{3}\d{3}|0 tables|tables", text_of(answer))
    assert "Traceback" not in answer.text


def test_an_empty_table_is_profiled(serve, project):
    with closing(sqlite3.connect(project / "data" / "shed.db")) as made, made:
        made.execute("CREATE TABLE nobody (a TEXT, b INTEGER, c REAL, d BLOB)")
    for words in (("--allow-run",), ("--allow-run", "--show-values")):
        client = serve(*words)
        client.ask(target="@sqlite.shed")
        answer = client.ask(target="@sqlite.shed", table="nobody")
        assert (answer.status_code, "4 columns" in text_of(answer)) == (200, True)


def test_nothing_to_ask_and_what_is_not_there(serve):
    client = serve("--allow-run")
    assert client.ask(target=" ").status_code == 200
    assert client.get("/discover", params={"target": "@sqlite.shed", "table": "x"}).status_code == 404


def test_a_broken_connections_file_is_named(serve, project):
    client = serve("--allow-run")
    (project / "osiris_connections.yaml").write_text("connections: [", encoding="utf-8")
    assert "osiris_connections.yaml" in text_of(client.get("/discover"))
