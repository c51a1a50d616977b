"""`osiris discover @supabase.x` with the installed command: over REST and the wire protocol, it shows what steps
output.
"""

import json
import socket
import time

import pytest
from tests.e2e.test_discover import Project, by_name, codes, feeding
from tests.patience import SOON
from tests.servers import start_postgrest

TABLES = (
    "CREATE TYPE mood AS ENUM ('sad', 'ok')",
    """CREATE TABLE customers (
        id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "e-mail" text NOT NULL, code varchar(9) DEFAULT 'none',
        feeling mood, spot point, since date, tags text[], visits int DEFAULT 0)""",
    """CREATE TABLE orders (
        id bigint, line smallint, customer int NOT NULL REFERENCES customers, total numeric(9, 2),
        PRIMARY KEY (id, line))""",
    "CREATE VIEW loose AS SELECT id, line FROM orders WHERE line > 1",
    "COMMENT ON TABLE orders IS 'what was bought; ask bob@corp.example'",
    "COMMENT ON COLUMN orders.customer IS 'who bought. Note: all of them'",
    """INSERT INTO customers ("e-mail", code, feeling, since)
        SELECT format('jane%s@example.com', n), 'c' || n % 3, 'ok', date '2000-01-01' + n
        FROM generate_series(1, 25) n""",
    "INSERT INTO orders SELECT n, n % 2 + 1, 1, n FROM generate_series(1, 25) n",
    "ANALYZE",
)


@pytest.fixture
def rest(postgres):
    with start_postgrest(postgres.fields(postgres.new_database()), max_rows=10, root_is_open=True) as server:
        server.run(*TABLES)
        yield server


@pytest.fixture
def project(tmp_path, osiris, rest):
    made = Project(tmp_path, osiris)
    made.env = {"KEY": rest.service_key, "ANON": rest.anon_key}
    made.declare("supabase", "main", url=rest.url, key="${KEY}")
    made.declare("supabase", "anon", url=rest.url, key="${ANON}")
    return made


@pytest.fixture
def wire(project, rest, postgres):
    """The same project through its database's address."""
    fields = postgres.fields(rest.rows("SELECT current_database()")[0][0])
    project.env["PASSWORD"] = fields["password"]
    project.declare("supabase", "wire", **{**fields, "password": "${PASSWORD}"})
    return "@supabase.wire"


def types(table):
    return {column["name"]: column["type"] for column in table["columns"]}


def test_over_rest(project, rest):
    code, data, envelope = project.discover("@supabase.main")
    assert (code, codes(envelope), data["schemas"]) == (0, [], {"public": 3})
    assert data["product"].startswith("PostgREST")
    assert rest.service_key not in json.dumps(envelope)
    tables = by_name(data)
    assert list(tables) == ["customers", "loose", "orders"]
    columns = {c["name"]: c for c in tables["customers"]["columns"]}
    assert [(c["source_type"], c["type"], c["nullable"], c["default"]) for c in columns.values()] == [
        ("integer", "int32", False, None),
        ("text", "utf8", False, None),
        ("character varying(9)", "utf8", True, "none"),
        ("mood", "utf8", True, None),
        ("point", "utf8", True, None),
        ("date", "date", True, None),
        ("text[]", "list<utf8>", True, None),
        ("integer", "int32", True, "0"),
    ]
    orders = tables["orders"]
    assert (orders["primary_key"], orders["rows"], orders["kind"]) == (["id", "line"], 25, "table or view")
    assert orders["foreign_keys"] == [{"columns": ["customer"], "table": "customers", "to": ["id"]}]
    assert orders["comment"] == "what was bought; ask <e-mail>"
    told = {c["name"]: c for c in orders["columns"]}
    assert (told["customer"]["comment"], told["id"]["comment"]) == ("who bought. Note: all of them", None)
    assert (told["total"]["type"], "dtype" in told["total"]["problem"]) == (None, True)
    assert orders["step"]["config"] == {"connection": "@supabase.main", "table": "orders"}


def test_over_the_wire_it_is_that_of_postgres(project, wire, rest):
    code, data, envelope = project.discover(wire)
    assert (code, codes(envelope)) == (0, [])
    assert data["product"].startswith("PostgreSQL")
    tables = by_name(data)
    assert tables["orders"]["step"] == {
        "component": "supabase.extractor",
        "mode": "read",
        "config": {"connection": wire, "table": "orders"},
    }
    assert types(tables["orders"])["total"] == "decimal(9,2)"
    other = by_name(project.discover("@supabase.main")[1])
    assert types(other["customers"]) == types(tables["customers"])


def test_compiling_what_was_discovered_needs_no_connection(project, wire):
    assert feeding(project, "@supabase.main") == 2
    assert feeding(project, wire) == 3


def test_what_changed_is_seen_and_what_did_not_is_recalled(project, rest):
    for change in (None, "ALTER TABLE orders ADD more int", "COMMENT ON TABLE orders IS 'x'"):
        if change:
            rest.run(change)
        assert project.discover("@supabase.main")[1]["recalled"] is False
        assert project.discover("@supabase.main")[1]["recalled"] is True
    assert "more" in types(by_name(project.discover("@supabase.main", "-t", "orders")[1])["orders"])


@pytest.mark.parametrize("way", ["main", "wire"])
def test_profiles_and_samples(project, wire, way):
    words = ("-t", "customers", "-t", "loose", "--profile", "--samples", "masked")
    code, data, envelope = project.discover(f"@supabase.{way}", *words)
    assert (code, codes(envelope)) == (0, [])
    tables = by_name(data)
    profile = tables["customers"]["profile"]
    assert (profile["rows"], profile["whole"]) == (25, True)
    assert (profile["columns"]["e-mail"]["personal"], profile["columns"]["code"]["distinct"]) == ("e-mail", 3)
    assert profile["columns"]["since"]["max"] == "2000-01-26"
    assert "example.com" not in json.dumps(envelope)
    loose = tables["loose"]["profile"]
    assert (loose["rows"], loose["whole"]) == ((10, False) if way == "main" else (13, True))


def test_keys_see_what_is_theirs(project, rest):
    rest.run(
        "CREATE TABLE closed (a int)",
        "REVOKE ALL ON closed FROM anon",
        "CREATE TABLE filled (a int)",
        "REVOKE ALL ON filled FROM anon",
        "GRANT INSERT ON filled TO anon",
        "ALTER TABLE customers ENABLE ROW LEVEL SECURITY",
    )
    assert len(by_name(project.discover("@supabase.main")[1])) == 5
    code, data, envelope = project.discover("@supabase.anon")
    assert (code, codes(envelope), data["recalled"]) == (0, [], False)
    assert list(by_name(data)) == ["customers", "loose", "orders"]
    (left,) = data["closed"]
    assert (left["name"], "no permission" in left["reason"] or "right" in left["reason"]) == ("filled", True), left
    assert codes(project.discover("@supabase.anon", "-t", "filled")[2]) == ["DRV020"]
    shown = by_name(project.discover("@supabase.anon", "-t", "customers", "--profile")[1])["customers"]["profile"]
    assert shown["rows"] == 0
    assert project.discover("@supabase.anon")[1]["recalled"] is True
    project.env["ANON"] = rest.publishable_key
    assert project.discover("@supabase.anon")[1]["recalled"] is False


def test_what_is_wrong_is_said(project, rest, postgres):
    with start_postgrest(postgres.fields(postgres.new_database())) as silent:
        project.env["UNTOLD"] = silent.anon_key
        project.declare("supabase", "untold", url=silent.url, key="${UNTOLD}")
        project.declare("supabase", "gone", url="http://127.0.0.1:1", key="${KEY}")
        project.declare("supabase", "nowhere", url=rest.url)
        project.env["WRONG"] = "eyJh.e30.c4nary"
        project.declare("supabase", "wrong", url=rest.url, key="${WRONG}")
        expected = {
            ("@supabase.untold",): ("DRV023", 1),
            ("@supabase.gone",): ("CON011", 3),
            ("@supabase.nowhere",): ("CON067", 2),
            ("@supabase.wrong",): ("CON024", 3),
            ("@supabase.main", "-t", "ordres"): ("DRV012", 1),
            ("@supabase.main", "-t", "orders", "--profile", "--column", "lien"): ("DAT005", 2),
        }
        for words, (code, status) in expected.items():
            returned, _, envelope = project.discover(*words)
            assert (codes(envelope), returned) == ([code], status), words
            assert "c4nary" not in json.dumps(envelope)


def test_a_service_that_is_silent_is_given_up(project):
    with socket.create_server(("127.0.0.1", 0)) as asleep:
        project.declare(
            "supabase", "asleep", url=f"http://127.0.0.1:{asleep.getsockname()[1]}", key="${KEY}", read_timeout=1
        )
        began = time.monotonic()
        returned, _, envelope = project.discover("@supabase.asleep")
        assert (codes(envelope), returned) == (["CON015"], 3)
        assert time.monotonic() - began < SOON
