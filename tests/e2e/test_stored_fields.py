"""Fields of connections whose values are in a store: masked wherever they are shown, never on disk, and no paths."""

import json
import sqlite3

import duckdb
import pytest
from tests.e2e.agent import ask
from tests.e2e.test_secret_stores import CONNECTIONS, everything

from osiris.secret.references import shown_forms

FILE = "pipelines/reads.yaml"
READS = """
oml_version: "0.1.0"
name: reads
steps:
  - {{id: rows, component: {component}, mode: read, config: {{connection: "{reference}", {what}}}}}
  - {{id: keep, component: filesystem.csv_writer, mode: write, config: {{path: output/orders.csv}}}}
"""


def make_database(connect, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = connect(path)
    connection.execute("CREATE TABLE orders (id INTEGER, note VARCHAR)")
    connection.execute("INSERT INTO orders VALUES (1, 'a'), (2, 'b')")
    connection.commit()
    connection.close()


WRITES = """
oml_version: "0.1.0"
name: writes
steps:
  - {{id: rows, component: filesystem.csv_extractor, mode: read, config: {{path: rows.csv}}}}
  - {{id: keep, component: sqlite.writer, mode: write,
      config: {{connection: "{reference}", table: new, write_mode: append}}}}
"""


@pytest.fixture
def shop():
    """A function that makes a project which reads by a connection."""

    def make(root, reference, fields, component, what):
        family, alias = reference.removeprefix("@").split(".")
        (root / "osiris.yaml").write_text("")
        (root / "pipelines").mkdir(exist_ok=True)
        (root / FILE).write_text(READS.format(component=component, reference=reference, what=what))
        (root / CONNECTIONS).write_text(json.dumps({"connections": {family: {alias: fields}}}))
        return root

    return make


def of_file(name, connect):
    def make(_request, root, path):
        make_database(connect, root / path)
        return f"@{name}.app", {"path": path}, {}, f"{name}.extractor", "table: orders"

    return make


def of_folder(_request, root, path):
    (root / path).mkdir(parents=True)
    (root / path / "orders.csv").write_text("id,note\n1,a\n2,b\n")
    return "@filesystem.app", {"base_dir": path}, {}, "filesystem.csv_extractor", "path: orders.csv"


def of_server(fixture, name, quote):
    def make(request, _root, path):
        server, database = request.getfixturevalue(fixture), f"{path.replace('/', '_')}_{name}"
        server.run(f"CREATE DATABASE {quote}{database}{quote}")
        server.run(
            "CREATE TABLE orders (id int, note varchar(9))",
            "INSERT INTO orders VALUES (1, 'a'), (2, 'b')",
            database=database,
        )
        fields = server.fields(database)
        stored = {key: fields.pop(key) for key in ("database", "user", "password")}
        plain = fields | ({"sslmode": "disable"} if name == "postgres" else {})
        return f"@{name}.app", stored, plain, f"{name}.extractor", "table: orders"

    return make


def of_store(request, _root, path):
    s3 = request.getfixturevalue("s3")
    bucket = s3.new_bucket()
    s3.put(bucket, f"{path}/orders.csv", b"id,note\n1,a\n2,b\n")
    fields = s3.fields(bucket)
    plain = {key: fields.pop(key) for key in [*fields] if key not in ("bucket", "secret_access_key", "secret_key")}
    return "@s3.app", fields | {"prefix": path}, plain, "filesystem.csv_extractor", "path: orders.csv"


KINDS = {
    "sqlite": of_file("sqlite", sqlite3.connect),
    "duckdb": of_file("duckdb", duckdb.connect),
    "filesystem": of_folder,
    "postgres": of_server("postgres", "postgres", '"'),
    "mysql": of_server("mariadb", "mysql", "`"),
    "s3": of_store,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_of_a_store_is_in_no_output_and_in_no_file(request, shop, osiris, vault, tmp_path, kind):
    reference, stored, plain, component, what = KINDS[kind](request, tmp_path, "kept/Läger-7Kq/warehouse-of-42")
    vault.put("secret/shop", {key: str(value) for key, value in stored.items()})
    references = {key: f"${{vault:secret/shop#{key}}}" for key in stored}
    root = shop(tmp_path, reference, plain | references, component, what)
    table = "orders" if "table" in what else "orders.csv"

    def call(*args, code=0):
        done = osiris(*args, cwd=root, env=vault.environment)
        assert done.returncode == code, done.stdout + done.stderr
        shown.append(done)
        return json.loads(done.stdout)["data"] if "--json" in args else done.stdout

    shown, texts = [], []
    first, again = (call("discover", reference, "--json") for _ in range(2))
    assert [each["recalled"] for each in (first, again)] == [False, True]
    assert [each["name"].rpartition("/")[2] for each in first["tables"]] == [table]
    assert (first["tables"], first["source"]) == (again["tables"], again["source"])
    named = () if kind == "s3" else ("--table", table)  # whose tables are URLs with the bucket
    assert [each["step"] is None for each in first["tables"]] == [kind == "s3"]
    for options in (named, ("--refresh",), ("--profile",), ("--samples", "raw")):
        assert table in call("discover", reference, *options)
    profiled = call("discover", reference, "--profile", "--json")["tables"][0]["profile"]
    assert (profiled is None) == (kind == "s3")
    call("discover", reference, "--table", "nothing", code=1)
    call("connections", "doctor")
    for command in (("connections", "doctor"), ("preview", FILE), ("compile", FILE)):
        call(*command, "--json")
    session = call("run", FILE, "--json")["session"]
    call("run", FILE, "--verbose")
    assert (root / "output" / "orders.csv").read_text().split() == ["id,note", "1,a", "2,b"]
    for command in (("lineage", FILE), ("logs", "show", session), ("explain", session)):
        call(*command, "--json")
    call("logs", "html", session)

    @ask(root, env=vault.environment)
    async def _(agent):
        for name in ("discover", "connections_doctor"):
            await agent(name, **({"target": reference} if name == "discover" else {}))
            texts.append(agent.text)

    (root / CONNECTIONS).unlink()
    seen = everything(root, *shown) + "".join(texts).encode()
    for text in map(str, stored.values()):
        spellings = {text, json.dumps(text)[1:-1]} if len(text) >= 8 else set()
        assert not [each for each in spellings if each.encode() in seen]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("data//./d.sqlite", "data/d.sqlite"),
        ("./data/../d.sqlite", "d.sqlite"),
        ("postgresql://u:p@db.local/shop", "db.local"),
    ],
)
def test_what_messages_show_of_a_value(value, shown):
    assert {*shown_forms(value)} == {value, shown}


WORDS = (
    "/opt/tools/show",
    "../tools/show",
    "//tools//show",
    "tools./show",
    "tools/*[a]?/show",
    "/".join(["a folder"] * 40),
    "n" * 300,
    "https://tools/show",
)


@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "filesystem", "writer"])
def test_a_reference_is_no_path(request, shop, osiris, tmp_path, kind):
    """What it stands for is a path, and checked: doctor and run agree."""
    make = KINDS["sqlite" if kind == "writer" else kind]
    reference, fields, _, component, what = make(request, tmp_path / "shop", "data/here.sqlite")
    root, home = tmp_path / "shop", tmp_path / "home"
    tool = home / "show"
    (home / ".config" / "osiris").mkdir(parents=True)
    allowed = {"secrets": {"commands": [[str(tool), word] for word in WORDS]}}
    (home / ".config" / "osiris" / "config.yaml").write_text(json.dumps(allowed))

    def call(*args):
        done = osiris(*args, "--json", cwd=root, env={"HOME": str(home)})
        diagnostics = json.loads(done.stdout)["diagnostics"]
        return [each["code"] for each in diagnostics if each["severity"] == "error"]

    def prints(value):
        tool.write_text(f"#!/bin/sh\necho {value}\n")
        tool.chmod(0o755)

    def write(word):
        (key,) = fields
        shop(root, reference, {key: f"${{cmd:{tool} '{word}'}}"}, component, what)
        if kind == "writer":
            (root / "rows.csv").write_text("id\n3\n")
            (root / FILE).write_text(WRITES.format(reference=reference))

    write(WORDS[0])
    prints("data/here.sqlite.")
    assert [call(*args) for args in (("connections", "doctor"), ("run", FILE))] == [["DRV007"], ["DRV007"]]
    prints("data/here.sqlite")
    for word in WORDS:
        write(word)
        assert [call(*args) for args in (("validate", FILE), ("run", FILE, "--new-run"))] == [[], []]
    assert call("connections", "doctor") == []
