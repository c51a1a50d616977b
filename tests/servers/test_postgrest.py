"""The local PostgREST, over real HTTP: its answers, by the documentation of PostgREST and Supabase."""

import time
from urllib.parse import quote

import pytest
from tests.servers import start_postgrest
from tests.servers.asking import ask

TABLES = r"""
CREATE TABLE people
  (id int PRIMARY KEY, name text NOT NULL, score numeric, tags text[], born date DEFAULT '2000-02-29');
INSERT INTO people (id, name, score)
  SELECT n, 'n' || n, CASE WHEN n > 1 THEN n + 0.10 END FROM generate_series(1, 5) n;
CREATE TABLE pets (id int PRIMARY KEY, owner int REFERENCES people);
CREATE TABLE odd ("a b" int, "q""c" text, x float8, raw bytea, big numeric, at timestamptz, j jsonb);
INSERT INTO odd VALUES
  (1, 'it''s', 'NaN', '\xdead', 12345678901234567890.10, '2024-01-02 03:04:05.678+02', '{"k": [1]}');
CREATE FUNCTION add(a int, b int DEFAULT 10) RETURNS int LANGUAGE sql STABLE AS 'SELECT a + b';
CREATE FUNCTION firsts(n int) RETURNS SETOF people LANGUAGE sql STABLE AS 'SELECT * FROM people ORDER BY id LIMIT n';
CREATE FUNCTION echo(jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION adopt() RETURNS void LANGUAGE sql AS 'INSERT INTO pets VALUES (9)';
"""

NOTES = """
CREATE TABLE notes (id int PRIMARY KEY, owner text);
INSERT INTO notes VALUES (1, 'ann'), (2, 'bob');
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON notes TO authenticated USING (owner = current_setting('request.jwt.claims')::json ->> 'sub');
REVOKE ALL ON pets FROM anon, authenticated;
"""


@pytest.fixture
def api(postgrest):
    postgrest.run(TABLES)
    return postgrest


@pytest.fixture(scope="module")
def kept(postgres):
    """One server for all tests that change nothing."""
    with start_postgrest(postgres.fields(postgres.new_database())) as server:
        server.run(TABLES)
        yield server


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("id=eq.2", [2]), ("id=neq.2&id=lt.4", [1, 3]), ("id=gte.4", [4, 5]), ("id=lte.1", [1]), ("name=like.*3", [3]),
        ("name=ilike.N4", [4]), ('name=in.(n1,"n2","a,b")', [1, 2]), ("id=in.()", []), ("score=is.null", [1]),
        ("score=not.is.null&id=gt.4", [5]), ("or=(id.eq.1,and(id.gt.2,not.or(id.eq.4,name.eq.n5)))", [1, 3]),
        ("not.and=(id.gt.1,name.neq.n5)", [1, 5]), ("order=score.desc.nullslast&limit=2", [5, 4]),
        ("order=score.asc.nullsfirst,id&offset=3", [4, 5]), ("name=eq(any).{n2,n3}", [2, 3]), ("limit=0", []),
    ],
)  # fmt: skip
def test_filters_and_order(kept, query, ids):
    status, _, rows = ask(kept, "GET", f"people?select=id&{quote(query, safe='=&')}")
    assert (status, [row["id"] for row in rows]) == (200, ids)


@pytest.mark.parametrize(
    ("query", "headers", "status", "shown", "rows"),
    [
        ("", {}, 200, "0-4/*", 5), ("", {"Range": "1-2", "Range_Unit": "items"}, 200, "1-2/*", 2),
        ("", {"Range": "3-"}, 200, "3-4/*", 2), ("limit=2&offset=1", {"Prefer": "count=exact"}, 206, "1-2/5", 2),
        ("", {"Prefer": "count=exact"}, 200, "0-4/5", 5), ("offset=5", {"Prefer": "count=exact"}, 206, "*/5", 0),
        ("offset=5", {}, 200, "*/*", 0), ("offset=6", {"Prefer": "count=exact"}, 416, "*/5", None),
        ("", {"Range": "2-1"}, 416, None, None), ("limit=-1", {}, 416, None, None),
        ("id=gt.9", {"Prefer": "count=exact"}, 200, "*/0", 0), ("", {"Prefer": "count=estimated"}, 200, "0-4/5", 5),
    ],
)  # fmt: skip
def test_ranges(kept, query, headers, status, shown, rows):
    got, told, body = ask(kept, "GET", f"people?{query}", **headers)
    assert (got, told["Content-Range"] if shown else None) == (status, shown)
    assert len(body) == rows if rows is not None else body["code"] == "PGRST103"
    if "Range" not in headers:
        assert ask(kept, "HEAD", f"people?{query}", **headers)[::2] == (status, "")


def test_an_answer_has_no_more_rows_than_the_server_allows(api):
    with start_postgrest(api.conninfo, max_rows=2) as server:
        assert len(ask(server, "GET", "people?limit=4")[2]) == 2
        assert ask(server, "GET", "people", Prefer="count=exact")[1]["Content-Range"] == "0-1/5"
        assert len(ask(server, "POST", "rpc/firsts", {"n": 4})[2]) == 2
        made = [{"id": n, "name": "x"} for n in range(10, 13)]
        assert len(ask(server, "POST", "people", made, Prefer="return=representation")[2]) == 3


def test_values_look_as_the_database_writes_them(kept):
    wanted = quote(r'"a b",v:"q\"c",x,raw,at,deep:j->k->0,big::text')
    row = ask(kept, "GET", f"odd?select={wanted}")[2][0]
    assert row.pop("at") == "2024-01-02T01:04:05.678+00:00"
    assert row == {"a b": 1, "v": "it's", "x": "NaN", "raw": "\\xdead", "big": "12345678901234567890.10", "deep": 1}
    assert ask(kept, "GET", "people?select=id,name,tags&id=lt.3", Accept="text/csv")[2] == "id,name,tags\n1,n1,\n2,n2,"
    assert ask(kept, "GET", "people?id=eq.1&select=id", Accept="application/vnd.pgrst.object+json")[2] == {"id": 1}


SPARSE = [{"id": 20, "name": "x"}, {"id": 21, "name": "y", "born": "1999-01-01"}]
FULL, MERGE, IGNORE = "return=representation", "resolution=merge-duplicates", "resolution=ignore-duplicates"


def test_writes(api):
    one, two, new = {"id": 10, "name": "a"}, {"id": 11, "name": "b"}, {"id": 12, "name": "c"}
    for method, path, body, prefer, status, shown, answer in (
        ("POST", "people", [one, two], "count=exact", 201, "*/2", ""),
        ("POST", "people", [one], "", 409, None, None),
        ("POST", "people", [one], f"{IGNORE},{FULL}", 201, "*/*", []),
        ("POST", "people?on_conflict=id&select=name", [one], f"{MERGE},{FULL}", 200, "*/*", [{"name": "a"}]),
        ("POST", "people", [one, new], MERGE, 201, "*/*", ""),
        ("POST", "people", SPARSE, "", 400, None, None),
        ("POST", "people?columns=id,name,born", SPARSE, "missing=default", 201, "*/*", ""),
        ("GET", "people?born=not.is.null&id=eq.20&select=born", None, "", 200, "0-0/*", [{"born": "2000-02-29"}]),
        ("PATCH", "people?id=gte.20&select=name", {"name": "z"}, FULL, 200, "0-1/*", [{"name": "z"}] * 2),
        ("PATCH", "people?id=gte.20", {"name": "z"}, "", 204, "0-1/*", ""),
        ("PATCH", "people?id=eq.99", {"name": "z"}, "count=exact", 204, "*/0", ""),
        ("DELETE", "people?id=gte.10", None, "count=exact", 204, "*/5", ""),
        ("GET", "people?select=id", None, "", 200, "0-4/*", [{"id": n} for n in range(1, 6)]),
    ):
        got, told, text = ask(api, method, path, body, Prefer=prefer)
        assert (got, told["Content-Range"]) == (status, shown)
        assert answer is None or text == answer
    _, told, _ = ask(api, "POST", "people", new, Prefer="return=headers-only,tx=rollback")
    assert (told["Location"], told["Preference-Applied"]) == ("/people?id=eq.12", "return=headers-only")
    assert ask(api, "POST", "people", b"id,name\n30,NULL\n", Content_Type="text/csv")[2]["code"] == "23502"


def test_without_a_filter_nothing_is_deleted_unless_that_is_switched_off(api):
    assert ask(api, "DELETE", "pets")[2]["message"] == "DELETE requires a WHERE clause"
    assert ask(api, "PATCH", "pets", {"owner": 1})[2]["code"] == "21000"
    with start_postgrest(api.conninfo, safe_update=False) as server:
        ask(server, "POST", "pets", [{"id": 1}, {"id": 2}])
        assert ask(server, "DELETE", "pets", Prefer="count=exact")[1]["Content-Range"] == "*/2"


def test_a_request_is_one_transaction(api):
    assert ask(api, "POST", "pets", [{"id": 1}, {"id": 1}])[0] == 409
    single = {"Accept": "application/vnd.pgrst.object+json", "Prefer": "return=representation"}
    assert ask(api, "PATCH", "people?id=lt.3", {"name": "x"}, **single)[2]["code"] == "PGRST116"
    assert ask(api, "DELETE", "people?id=lt.3", Prefer="handling=strict,max-affected=1")[2]["code"] == "PGRST124"
    assert api.rows("SELECT (SELECT count(*) FROM pets), count(*) FROM people WHERE name <> 'x'") == [(0, 5)]
    assert [request.committed for request in api.requests] == [False, False, False]


def test_functions(api):
    assert ask(api, "POST", "rpc/add", {"a": 1})[2] == 11
    assert ask(api, "GET", "rpc/add?a=1&b=2")[2] == 3
    told = ask(api, "POST", "rpc/firsts?id=gt.1&select=id&order=id.desc", {"n": 3}, Prefer="count=exact")
    assert (told[1]["Content-Range"], told[2]) == ("0-1/2", [{"id": 3}, {"id": 2}])
    assert ask(api, "POST", "rpc/echo", {"any": [1]})[2] == {"any": [1]}
    assert ask(api, "GET", "rpc/adopt")[::2][0] == 405
    assert ask(api, "POST", "rpc/adopt", {})[0] == 204
    assert api.rows("SELECT id FROM pets") == [(9,)]
    assert ask(api, "POST", "rpc/add", {"z": 1})[2]["code"] == "PGRST202"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "peopl", None, 404, "PGRST205"), ("GET", "people?select=nope", None, 400, "42703"),
        ("GET", "people?id=eq.x", None, 400, "22P02"), ("GET", "people?id=is", None, 400, "PGRST100"),
        ("GET", "people?select=count()", None, 400, "PGRST123"), ("GET", "people?pets.id=eq.1", None, 400, "PGRST108"),
        ("POST", "people", {"nope": 1}, 400, "PGRST204"), ("POST", "people", b"{", 400, "PGRST102"),
        ("POST", "pets", {"id": 1, "owner": 77}, 409, "23503"), ("POST", "people", {"id": 9}, 400, "23502"),
        ("POST", "people?on_conflict=name", {"id": 9}, 400, "42P10"), ("GET", "people/1", None, 404, "PGRST125"),
        ("PUT", "people", {"id": 9}, 405, "PGRST117"), ("DELETE", "rpc/add", None, 405, "PGRST101"),
    ],
)  # fmt: skip
def test_errors(kept, method, path, body, status, code):
    prefer = "resolution=merge-duplicates" if "on_conflict" in path else None
    got, told, text = ask(kept, method, path, body, Prefer=prefer)
    assert (got, text["code"], told["Proxy-Status"]) == (status, code, f"PostgREST; error={code}")
    assert set(text) == {"code", "message", "details", "hint"}


def test_keys_roles_and_row_level_security(api):
    api.run(NOTES)
    user = f"Bearer {api.token(sub='ann')}"
    seen = [
        ask(api, "GET", "notes?select=id", key=api.anon_key)[2],
        ask(api, "GET", "notes?select=id", key=api.publishable_key, Authorization=user)[2],
        ask(api, "GET", "notes?select=id", Authorization=f"Bearer {api.service_key}")[2],
        ask(api, "GET", "notes?select=id", key=api.secret_key, Authorization=f"Bearer {api.secret_key}")[2],
    ]
    assert seen == [[], [{"id": 1}], [{"id": 1}, {"id": 2}], [{"id": 1}, {"id": 2}]]
    assert ask(api, "POST", "notes", {"id": 3, "owner": "bob"}, Authorization=user)[::2][0] == 403
    refused = [ask(api, "GET", "pets", key=api.anon_key), ask(api, "GET", "pets", Authorization=user)]
    assert [answer[0] for answer in refused] == [401, 403]
    assert refused[0][2]["hint"].endswith("GRANT SELECT ON public.pets TO anon;")
    assert ask(api, "GET", "pets", apikey="")[2]["message"] == "No API key found in request"
    assert ask(api, "GET", "pets", key="wrong")[::2] == (
        401,
        {"message": "Invalid API key", "hint": "Double check your Supabase `anon` or `service_role` API key."},
    )
    bad = {"a.b": "PGRST301", api.token(exp=time.time() - 60): "PGRST303", api.token("nobody-knows"): "22023"}
    for token, code in bad.items():
        status, _, body = ask(api, "GET", "people", Authorization=f"Bearer {token}")
        assert (status, body["code"]) == (401, code)


def test_the_document_at_the_root(kept):
    people, pets = (ask(kept, "GET", "")[2]["definitions"][name] for name in ("people", "pets"))
    assert people["required"] == ["id", "name"]
    assert people["properties"]["tags"] == {"format": "text[]", "type": "array", "items": {"type": "string"}}
    assert people["properties"]["born"] == {"format": "date", "type": "string", "default": "2000-02-29"}
    assert "<pk/>" in pets["properties"]["id"]["description"]
    assert "<fk table='people' column='id'/>" in pets["properties"]["owner"]["description"]
    assert ask(kept, "GET", "", key=kept.anon_key)[0] == 401


def test_schemas(api):
    with start_postgrest(api.conninfo, schemas=("public", "other")) as server:
        server.run("CREATE TABLE other.t (a int)")
        assert ask(server, "POST", "t", {"a": 1}, Content_Profile="other")[0] == 201
        assert ask(server, "GET", "t", Accept_Profile="other")[2] == [{"a": 1}]
        assert ask(server, "GET", "t")[0] == 404
        assert ask(server, "GET", "t", Accept_Profile="third")[::2][0] == 406
