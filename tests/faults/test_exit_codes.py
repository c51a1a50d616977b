"""The exit code of a command when a server rejects or fails: by the class of the problem, whichever server it is."""

import json
import socket
from contextlib import ExitStack, contextmanager

import pytest
from tests.faults.test_servers import MOUNTS, with_small_disk
from tests.servers import start_mariadb, start_postgres, start_postgrest

from osiris.codes import CODES

READ = """
oml_version: "0.1.0"
name: p
steps:
  - {id: rows, component: %s.extractor, mode: read, config: {connection: "@%s.here", table: %s}}
  - {id: out, component: filesystem.csv_writer, mode: write, config: {path: out.csv}}
"""
WRITE = """
oml_version: "0.1.0"
name: p
steps:
  - {id: rows, component: filesystem.csv_extractor, mode: read, config: {path: rows.csv}}
  - {id: out, component: %s.writer, mode: write, config: {connection: "@%s.here", table: orders}}
"""
FULL = json.dumps({"code": "53100", "message": "could not extend file", "details": None, "hint": None}).encode()
WRONG = "wr0ng-secret-canary"
EXPECTED = {
    "wrong password": {"postgres": "CON012", "mysql": "CON012", "supabase": "CON024"},
    "unknown table": dict.fromkeys(("postgres", "mysql", "supabase"), "DRV012"),
    "missing grant": dict.fromkeys(("postgres", "mysql", "supabase"), "DRV020"),
    "black hole": dict.fromkeys(("postgres", "mysql", "supabase"), "CON015"),
}
ENDS = {"wrong password": 3, "unknown table": 1, "missing grant": 1, "black hole": 3}
"""As docs/errors/README.md has it: 3 for what is out of reach, 1 for what a server that is reached does not do."""


@pytest.fixture
def ends(tmp_path, osiris):
    """`ends(family, fields, secret, text)` runs a pipeline; returns its exit code and the codes of errors."""
    (tmp_path / "osiris.yaml").write_text("")

    def call(family, fields, secret, text, command="run"):
        key = "key" if family == "supabase" else "password"
        declared = {family: {"here": {**fields, key: "${THE_SECRET}"}}}
        (tmp_path / "osiris_connections.yaml").write_text(json.dumps({"connections": declared}))
        (tmp_path / "p.yaml").write_text(text)
        done = osiris(command, "p.yaml", "--json", cwd=tmp_path, env={"THE_SECRET": secret}, timeout=240)
        found = {item["code"] for item in json.loads(done.stdout)["diagnostics"] if item["severity"] == "error"}
        assert secret not in done.stdout + done.stderr
        return done.returncode, found

    call.root = tmp_path
    return call


@contextmanager
def place(request, family):
    """Return a database with a table, with the fields and secret of a user who may read it and of one who may not."""
    server = request.getfixturevalue("mariadb" if family == "mysql" else "postgres")
    database = server.new_database()
    server.run("CREATE TABLE orders (id INT PRIMARY KEY)", database=database)
    if family == "supabase":
        with start_postgrest(server.fields(database)) as rest:
            rest.run("REVOKE ALL ON orders FROM anon")
            yield {"url": rest.url}, rest.service_key, {"url": rest.url}, rest.anon_key
        return
    right = f"`{database}`.*" if family == "mysql" else "orders"
    server.run(f"REVOKE SELECT ON {right} FROM {server.reader}", database=database)
    both = [server.fields(database, reader=reader) for reader in (False, True)]
    yield both[0], both[0]["password"], both[1], both[1]["password"]


@pytest.mark.parametrize("family", ["postgres", "mysql", "supabase"])
@pytest.mark.parametrize("case", EXPECTED)
def test_what_a_source_ends_with(request, ends, case, family):
    code, table = EXPECTED[case][family], "ordres" if case == "unknown table" else "orders"
    if case == "missing grant" and family == "supabase":  # this key does not see the columns
        table = "orders, primary_key: id, dtype: {id: int32}"
    with place(request, family) as (fields, secret, other, others), ExitStack() as stack:
        if case == "missing grant":
            fields, secret = other, others
        if case == "black hole":
            silent = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            where = {"url": f"http://127.0.0.1:{silent}"} if family == "supabase" else {"port": silent}
            fields = {**fields, **where, "connect_timeout": 1, "read_timeout": 1}
        text = READ % (family, family, table)
        given = WRONG if case == "wrong password" else secret
        assert ends(family, fields, given, text) == (ENDS[case], {code})
        assert ends(family, fields, given, text, "compile") == (ENDS[case], {code})
    assert CODES[code].exit_code == ENDS[case]


def test_what_a_full_disk_behind_rest_ends_with(postgres, ends):
    (ends.root / "rows.csv").write_text("id\n1\n")
    database = postgres.new_database()
    postgres.run("CREATE TABLE orders (id BIGINT PRIMARY KEY)", database=database)
    with start_postgrest(postgres.fields(database)) as rest:
        rest.faults.answer(503, FULL, method="POST", path="orders", times=None)
        text = WRITE % ("supabase", "supabase")
        assert ends("supabase", {"url": rest.url}, rest.service_key, text) == (1, {"DRV022"})


@MOUNTS
@pytest.mark.parametrize(
    ("family", "start", "size", "made"),
    [
        ("postgres", start_postgres, 2, "CREATE TABLE orders (id BIGINT, name TEXT) TABLESPACE small"),
        ("mysql", start_mariadb, 24, "CREATE TABLE orders (id BIGINT, name TEXT) DATA DIRECTORY = '{}'"),
    ],
)
def test_what_a_full_disk_ends_with(ends, family, start, size, made):
    (ends.root / "rows.csv").write_text("id,name\n" + "".join(f"{n},{'x' * 1000}\n" for n in range(60_000)))
    with with_small_disk(start(), size) as (server, small):
        database = server.new_database()
        if family == "postgres":
            server.run(f"CREATE TABLESPACE small LOCATION '{small}'", database=database)
        server.run(made.format(small), database=database)
        fields = server.fields(database)
        assert ends(family, fields, fields["password"], WRITE % (family, family)) == (1, {"DRV022"})
        server.run("DROP TABLE orders", database=database)
