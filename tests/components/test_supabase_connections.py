"""Connections to Supabase: every spelling of an address, the role of a key, and the doctor's report."""

import base64
import json

import pyarrow as pa
import pytest
from psycopg.conninfo import make_conninfo
from tests.patience import SOON
from tests.servers import start_postgrest

from osiris.components.supabase_extractor.driver import Config, _as_postgres
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.families.supabase import doctor as supabase_doctor
from osiris.families.supabase.connect import key_of, rest_address, shares_connections, wire_fields
from osiris.registry import load_registry
from osiris.secret import Secret
from osiris.testing.trial import Trial, rows_of, table_of

REGISTRY = load_registry()
KEY = {"key": Secret("k")}
URL = "https://abc.supabase.co"


@pytest.fixture(scope="module")
def database(postgres):
    name = postgres.new_database()
    postgres.run(
        "CREATE TABLE orders (id int PRIMARY KEY, note text)", "INSERT INTO orders VALUES (1, 'a')", database=name
    )
    return name


@pytest.fixture(scope="module")
def project(postgres, database):
    with start_postgrest(postgres.fields(database), root_is_open=True) as server:
        yield server


@pytest.fixture
def step(tmp_path):
    def make(kind, fields, **config):
        return Trial(REGISTRY, f"supabase.{kind}", tmp_path, {"table": "orders", **config}, fields)

    return make


def refused(call, *args):
    with pytest.raises(OsirisError) as caught:
        call(*args)
    return [item.code for item in caught.value.diagnostics]


def spellings(fields):
    """The database address of a connection, in every spelling; a URL and a key may be given too."""
    secret = Secret(fields["password"])
    plain = {name: fields[name] for name in ("host", "port", "user", "database")}
    string = make_conninfo(dbname=fields["database"], **{k: fields[k] for k in ("host", "port", "user", "password")})
    yield {**plain, "password": secret}
    yield {f"pg_{name}": value for name, value in plain.items()} | {"pg_password": secret}
    yield {**plain, "pg_password": secret, "url": URL, "anon_key": Secret("k")}
    for name in ("dsn", "pg_dsn", "pg_url", "sql_dsn"):
        yield {name: Secret(string), "url": URL, "key": Secret("k")}


def test_every_spelling_of_an_address_leads_to_the_database(postgres, database, step):
    for fields in spellings(postgres.fields(database)):
        assert table_of(step("extractor", fields).read()).to_pylist() == [{"id": 1, "note": "a"}]
        assert not any(isinstance(value, str) and "pass" in value.lower() for value in fields.values())


def test_over_the_wire_it_writes_exactly_once(postgres, database, step):
    fields = next(spellings(postgres.fields(database)))
    rows = pa.table({"id": pa.array([1, 2], pa.int32()), "note": ["x", "y"]})
    for mode in ("append", "replace", "upsert"):
        trial = step("writer", fields, table=f"made_{mode}", write_mode=mode, primary_key=["id"])
        assert trial.confirm(rows_of(rows).schema) == "absent"
        run = trial.changed(run_key=f"run/{mode}", plan="0" * 64, digest=lambda: {"rows": 2})
        assert run.write(rows_of(rows)).rows == 2
        assert run.write(rows_of(rows)).earlier == {"rows": 2}
        assert ("delivery", {"channel": "wire", "class": "exactly_once"}) in trial.emitted
        with postgres.connect(database) as connection:
            assert connection.execute(f"SELECT * FROM made_{mode} ORDER BY 1").fetchall() == [(1, "x"), (2, "y")]


def test_queries_go_over_the_wire_and_types_come_from_there(postgres, database, step):
    fields = next(spellings(postgres.fields(database)))
    trial = Trial(
        REGISTRY, "supabase.extractor", step("extractor", fields).root, {"query": "SELECT id FROM orders"}, fields
    )
    assert table_of(trial.read()).to_pylist() == [{"id": 1}]
    assert refused(step("extractor", fields, dtype={"id": "int64"}).describe) == ["DRV024"]


NOWHERE = [
    ({}, "CON067"), ({"url": URL}, "CON067"), (KEY, "CON067"), ({**KEY, "url": URL, "password": Secret("x")}, "CON067"),
    ({**KEY, "url": URL, "anon_key": Secret("k")}, "CON068"), ({**KEY, "url": URL, "project_id": "other"}, "CON068"),
    ({"host": "h", "pg_host": "h"}, "CON068"), ({"dsn": Secret("a"), "pg_dsn": Secret("b")}, "CON068"),
    ({**KEY, "url": "ftp://x"}, "CON070"), ({**KEY, "url": "postgresql://u:c4nary@h/d"}, "CON070"),
    ({**KEY, "url": "h"}, "CON070"), ({**KEY, "url": "https://u@abc.supabase.co"}, "CON070"),
    ({**KEY, "url": "http://[x"}, "CON070"),
    ({"key": Secret("c4nary\n"), "url": URL}, "CON071"), ({"key": Secret(""), "url": URL}, "CON071"),
    ({**KEY, "url": URL, "sql_url": "https://x"}, "CON072"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "code"), NOWHERE)
def test_fields_that_do_not_say_where_to_go(fields, code):
    with pytest.raises(OsirisError) as caught:
        assert wire_fields(fields) or rest_address(fields)
    assert [item.code for item in caught.value.diagnostics] == [code]
    assert "c4nary" not in str(caught.value)


def test_a_connection_string_that_is_none(tmp_path, step):
    trial = step("extractor", {"dsn": Secret("postgresql://u:c4nary@[h/d")})
    with pytest.raises(OsirisError, match="connection string") as caught:
        trial.describe()
    assert "c4nary" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"url": URL}, f"{URL}/rest/v1"), ({"url": f"{URL}/"}, f"{URL}/rest/v1"),
        ({"url": f"{URL}/rest/v1/"}, f"{URL}/rest/v1"),
        ({"project_id": "abc"}, f"{URL}/rest/v1"), ({"url": "http://[::1]:8000/x"}, "http://[::1]:8000/x/rest/v1"),
        ({"url": URL, "project_id": "abc"}, f"{URL}/rest/v1"), ({"url": "http://kong:8000"}, "http://kong:8000/rest/v1"),
    ],
)  # fmt: skip
def test_urls(fields, url):
    assert rest_address({**KEY, **fields}).url == url


def test_encryption_is_asked_for_unless_the_database_is_here():
    far, here = {"host": "db.abc.supabase.co"}, {"host": "127.0.0.1"}
    assert wire_fields(far)["sslmode"] == "require"
    assert wire_fields({"dsn": Secret("postgresql://u@db.abc.supabase.co/d")})["sslmode"] == "require"
    assert "sslmode" not in wire_fields({"dsn": Secret("postgresql://u@db.abc.supabase.co/d?sslmode=verify-full")})
    assert "sslmode" not in wire_fields(here)
    assert wire_fields({**far, "sslmode": "verify-full"})["sslmode"] == "verify-full"
    assert {"database": "postgres", "user": "postgres"}.items() <= wire_fields(far).items()


def test_a_pooler_that_shares_connections_is_read_by_one(tmp_path):
    host = "aws-0-eu-west-1.pooler.supabase.com"
    shared = [{"host": host, "port": 6543}, {"dsn": Secret(f"postgresql://postgres.abc:x@{host}:6543/postgres")}]
    own = [
        {"host": host},
        {"host": host, "port": 5432},
        {"dsn": Secret(f"postgresql://postgres.abc:x@{host}/postgres")},
    ]
    assert ([shares_connections(f) for f in shared], [shares_connections(f) for f in own]) == ([True] * 2, [False] * 3)
    for fields, connections in [(shared[0], 1), (own[0], 2)]:
        ctx = StepContext("s", tmp_path, tmp_path, tmp_path, connection=fields)
        assert _as_postgres(Config(table="t"), ctx).connections == connections


def signed(claims):
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, claims))
        + ".x"
    )


@pytest.mark.parametrize(
    ("text", "kind", "role"),
    [
        ("sb_publishable_x", "publishable", "anon"), ("sb_secret_x", "secret", "service_role"),
        ("x", "unknown", "unknown"),
        (signed({"role": "service_role", "exp": 1}), "jwt", "service_role"), (signed({}), "jwt", "anon"),
        (signed([]), "unknown", "unknown"), ("a.b.c", "unknown", "unknown"),
        (signed({"exp": "x"}), "unknown", "unknown"),
    ],
)  # fmt: skip
def test_what_a_key_says_of_itself(text, kind, role):
    key = key_of(Secret(text))
    assert (key.kind, key.role) == (kind, role)


def test_what_tokens_claim_tells_their_users_apart():
    one, two = (key_of(Secret(signed({"role": "authenticated", "sub": name}))) for name in ("a", "b"))
    assert (one.role, one.claims == two.claims) == (two.role, False)


# --- The doctor -------------------------------------------------------------------------------------------------------


@pytest.fixture
def doctor(tmp_path, project):
    def make(text=None, **fields):
        given = fields or {"url": project.url, "key": Secret(text or project.service_key)}
        ctx = StepContext("@supabase.x", tmp_path, tmp_path, tmp_path, connection=given)
        return supabase_doctor.examine(ctx, ("read",), 10)

    return make


def test_a_service_key_is_too_powerful(doctor, project):
    for key, kind in ((project.service_key, "jwt"), (project.secret_key, "secret")):
        health = doctor(key)
        assert (health.grade, health.user, health.facts["key"]) == ("too powerful", "service_role", kind)
        assert (health.facts["channel"], health.facts["encrypted"]) == ("rest", False)
        assert health.facts["tables"] >= 1
        assert abs(health.facts["clock_skew_seconds"]) < SOON
        assert 0 < health.facts["query_ms"] < 1000 * SOON
        assert list(health.diagnostics) == []
        assert any("osiris_reader" in line for line in health.scripts["reader"])
    assert doctor(project.service_key).facts["key_expires_in_days"] > 1000


def test_keys_that_row_level_security_binds(doctor, project):
    project.run(
        "CREATE TABLE hidden (id int); INSERT INTO hidden VALUES (1)", "ALTER TABLE hidden ENABLE ROW LEVEL SECURITY"
    )
    for key, role in ((project.anon_key, "anon"), (project.publishable_key, "anon")):
        health = doctor(key)
        assert (health.grade, health.user) == ("writer", role)
        (found,) = health.diagnostics
        assert (found.code, "hidden" in found.message, "orders" in found.message) == ("CON028", True, False)
    project.run("DROP TABLE hidden")


def test_a_key_that_is_not_told_what_tables_there_are(postgres, database, doctor):
    with start_postgrest(postgres.fields(database)) as closed:
        health = doctor(url=closed.url, key=Secret(closed.anon_key))
        assert (health.facts["tables"], list(health.diagnostics)) == (None, [])


def test_a_doctor_says_what_does_not_work(doctor, project):
    assert refused(doctor, "eyJh.e30.c4nary") == ["CON024"]
    with pytest.raises(OsirisError) as caught:
        doctor(url="http://127.0.0.1:1", key=Secret("c4nary"))
    assert [item.code for item in caught.value.diagnostics] == ["CON011"]
    project.faults.bad_gateway()
    assert refused(doctor) == ["CON026"]
    project.faults.answer(200, b"<html>")
    assert refused(doctor) == ["CON027"]
    project.faults.clear()


def test_a_database_address_is_examined_as_one(postgres, database, doctor):
    health = doctor(**next(spellings(postgres.fields(database, reader=True))))
    assert (health.grade, health.facts["channel"], health.facts["shares_connections"]) == ("reader", "wire", False)
    assert health.facts["server"].startswith("PostgreSQL")
