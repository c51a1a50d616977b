"""Runs as OpenLineage events: on demand, to a file, and to a real server that accepts them, fails, or hangs."""

import http.server
import json
import socket
import threading
import time
from contextlib import contextmanager

import pytest
from openlineage.client.naming.dataset import LocalFileSystem, MySQL, Postgres
from tests.e2e.sessions import new_project
from tests.openlineage_standard import check_event
from tests.patience import SOON

from osiris.report.openlineage import datasets_of

CANARY = "zQ7canary-9x4-secret"


@pytest.fixture
def shop(osiris, tmp_path):
    new_project(tmp_path / "shop")

    def call(*args, code=0, **options):
        done = osiris(*args, cwd=tmp_path / "shop", **options)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def run(*args, code=0, **options):
        done = call("run", "pipelines/example.yaml", "--json", *args, code=code, **options)
        return json.loads(done.stdout)

    call.folder = tmp_path / "shop"
    call.run = run
    call.config = lambda text: (call.folder / "osiris.yaml").write_text(text)
    call.events = lambda *args: [
        json.loads(line) for line in call("lineage", *args, "--format", "openlineage").stdout.splitlines()
    ]
    return call


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.server.got.append(
            (self.path, self.headers["Authorization"], self.rfile.read(int(self.headers["Content-Length"])))
        )
        if self.server.hang:
            self.server.over.wait(30)
            return
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def server(status=201, hang=False):
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    made.status, made.hang, made.got, made.over = status, hang, [], threading.Event()
    made.url = f"http://127.0.0.1:{made.server_port}"
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        made.shutdown()
        thread.join()
        made.server_close()


def codes(envelope):
    return [item["code"] for item in envelope["diagnostics"] if item["severity"] != "note"]


def by_job(events):
    return [(event["job"]["name"], event["eventType"]) for event in events]


def test_a_run_is_told_as_the_standard_has_it(shop):
    told = shop.run()
    events = shop.events()
    for event in events:
        check_event(event)
    steps = ("orders", "revenue", "report")
    assert by_job(events) == [
        ("example", "START"),
        *((f"example.{step}", kind) for step in steps for kind in ("START", "COMPLETE")),
        ("example", "COMPLETE"),
    ]
    last = events[-1]
    assert len({event["run"]["runId"] for event in events}) == 4
    (source,), (target,) = last["inputs"], last["outputs"]
    name = LocalFileSystem(str(shop.folder / "data" / "orders.csv"))
    assert (source["namespace"], source["name"]) == (name.get_namespace(), name.get_name())
    assert source["inputFacets"]["inputStatistics"]["rowCount"] == 8
    size = (shop.folder / "output" / "revenue.csv").stat().st_size
    figures = target["outputFacets"]["outputStatistics"]
    assert (figures["rowCount"], figures["size"], figures["fileCount"]) == (4, size, 1)
    assert [field["name"] for field in target["facets"]["schema"]["fields"]] == ["customer", "orders", "revenue"]
    lineage = target["facets"]["columnLineage"]
    (revenue,) = lineage["fields"]["revenue"]["inputFields"]
    assert (revenue["name"], revenue["field"]) == (source["name"], "amount")
    assert revenue["transformations"] == [{"type": "DIRECT", "subtype": "AGGREGATION"}]
    assert {field["field"] for field in lineage["dataset"]} >= {"ordered_on"}
    sql = next(e for e in events if e["job"]["name"] == "example.revenue")
    assert "sum(amount)" in sql["job"]["facets"]["sql"]["query"].lower().replace("orders.", "")
    assert sql["run"]["facets"]["parent"]["run"]["runId"] == last["run"]["runId"]
    assert events == shop.events(told["data"]["session"])


def test_a_failed_and_a_cut_short_run_are_told(shop):
    shop.run()
    (shop.folder / "data" / "orders.csv").write_text("code\n1\n")
    shop("run", "--last-compile", code=6)
    events = shop.events()
    for event in events:
        check_event(event)
    assert by_job(events)[-1] == ("example", "FAIL")
    assert events[-1]["run"]["facets"]["errorMessage"]["message"].startswith("DAT011 ")
    assert events[-1]["outputs"] == []
    assert ("example.orders", "FAIL") in by_job(events)


def test_nothing_is_told_unasked(shop):
    with server() as there:
        shop.run(env={"OPENLINEAGE_URL": there.url, "OPENLINEAGE_API_KEY": CANARY})
    assert there.got == []


def test_a_server_is_told_with_the_key_and_nothing_of_it_is_kept(shop):
    with server() as there:
        shop.config(f'openlineage: {{url: "{there.url}", api_key: "${{LINEAGE_KEY}}", namespace: prod, timeout: 5m}}\n')
        assert codes(shop.run(env={"LINEAGE_KEY": CANARY})) == []
    events = [json.loads(body) for _, _, body in there.got]
    assert {(path, key) for path, key, _ in there.got} == {("/api/v1/lineage", f"Bearer {CANARY}")}
    assert by_job(events)[:2] == [("example", "START"), ("example", "COMPLETE")]
    assert {event["job"]["namespace"] for event in events} == {"prod"}
    for event in events:
        check_event(event)
    kept = b"".join(path.read_bytes() for path in shop.folder.rglob("*") if path.is_file())
    assert CANARY.encode() not in kept + b"".join(body for _, _, body in there.got)


def test_the_standard_variables_count_when_the_project_says_so(shop):
    shop.config("openlineage: {enabled: true, timeout: 5m}\n")
    parent = "airflow/nightly.load/0198c2b4-6f1e-7aaa-8bbb-0123456789ab"
    with server() as there:
        env = {"OPENLINEAGE_URL": f"{there.url}/", "OPENLINEAGE_API_KEY": "k1", "OPENLINEAGE_NAMESPACE": "env"}
        shop.run(env=env | {"OPENLINEAGE_PARENT_ID": parent})
        first = json.loads(there.got[0][2])
        check_event(first)
        assert there.got[0][1] == "Bearer k1"
        assert first["job"]["namespace"] == "env"
        assert first["run"]["facets"]["parent"]["job"] == {"namespace": "airflow", "name": "nightly.load"}
        there.got.clear()
        shop.run(env=env | {"OPENLINEAGE_DISABLED": "true"})
        assert there.got == []


@pytest.mark.parametrize(
    ("how", "reason"), [({"status": 500}, "it answered with status 500"), ({"hang": True}, "within 1 s")]
)
def test_a_server_that_does_not_take_events_costs_a_run_nothing_but_a_warning(shop, how, reason):
    with server(**how) as there:
        timeout = "1s" if "hang" in how else "5m"
        shop.config(f'openlineage: {{url: "{there.url}", timeout: {timeout}}}\n')
        began = time.monotonic()
        told = shop.run()
        assert time.monotonic() - began < SOON
        assert told["data"]["status"] == "complete"
        assert codes(told) == ["AIO010"]
        assert reason in next(item["message"] for item in told["diagnostics"] if item["code"] == "AIO010")


def test_a_server_that_is_down_costs_a_run_nothing_but_a_warning(shop):
    with socket.socket() as down:
        down.bind(("127.0.0.1", 0))  # nobody else gets this port, and nobody listens there
        shop.config(f'openlineage: {{url: "http://127.0.0.1:{down.getsockname()[1]}"}}\n')
        assert codes(shop.run()) == ["AIO010"]


def test_events_are_added_to_a_file(shop):
    shop.config("openlineage: {file: lineage/events.jsonl}\n")
    shop.run()
    shop.run()
    lines = (shop.folder / "lineage" / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["eventType"] for event in events if event["job"]["name"] == "example"] == ["START", "COMPLETE"] * 2
    assert sorted(map(str, events[8:])) == sorted(map(str, shop.events()))


def test_a_file_that_cannot_be_written_is_a_warning(shop):
    (shop.folder / "blocked").write_text("")
    shop.config("openlineage: {file: blocked/events.jsonl}\n")
    told = shop.run()
    assert (told["data"]["status"], codes(told)) == ("complete", ["AIO011"])


def test_a_replay_is_not_told(shop):
    shop.config("openlineage: {file: events.jsonl}\n")
    shop.run()
    told = (shop.folder / "events.jsonl").read_bytes()
    session = json.loads(shop("replay", "--json").stdout)["data"]["session"]
    assert (shop.folder / "events.jsonl").read_bytes() == told
    assert len(shop.events()) == 8
    assert "AIO014" in shop("lineage", session, "--format", "openlineage", code=2).stderr


def test_refusals(shop):
    shop.run()
    assert "RUN010" in shop("lineage", "nope", "--format", "openlineage", code=2).stderr
    assert "PRJ008" in shop("lineage", "last", "x.yaml", "--format", "openlineage", code=2).stderr
    (session,) = (shop.folder / "logs").glob("*-example-*")
    (session / "manifest.json").unlink()
    assert "CMP027" in shop("lineage", "--format", "openlineage", code=2).stderr
    for bad in ('url: "http://user:pw@host/"', 'url: "ftp://host"', "api_key: literal", "enabled: maybe"):
        shop.config(f"openlineage: {{{bad}}}\n")
        assert "PRJ004" in shop("logs", "list", code=2).stderr


def step(component, connection, sql=None, **config):
    return {"id": "s", "component": component, "connection": connection, "config": config, "sql": sql or {}}


def test_datasets_have_the_names_of_the_standard(tmp_path):
    fields = {
        "@postgres.main": {"host": "db.local", "database": "shop"},
        "@mysql.main": {"host": "my.local", "port": 3307, "database": "crm"},
        "@duckdb.main": {"path": "data/store.duckdb"},
    }

    def named(component, connection, **config):
        return [d[:2] for d in datasets_of(step(component, connection, **config), fields, tmp_path, {"run.id": "r1"})]

    standard = Postgres("db.local", "5432", "shop", "public", "orders")
    assert named("postgres.writer", "@postgres.main", table="orders") == [
        (standard.get_namespace(), standard.get_name())
    ]
    other = Postgres("db.local", "5432", "shop", "sales", "orders").get_name()
    assert named("postgres.writer", "@postgres.main", table="orders", schema="sales")[0][1] == other
    standard = MySQL("my.local", "3307", "crm", "people")
    assert named("mysql.writer", "@mysql.main", table="people") == [(standard.get_namespace(), standard.get_name())]
    assert named("filesystem.csv_writer", None, path="out/${run.id}.csv") == [
        ("file", str(tmp_path / "out" / "r1.csv"))
    ]
    assert named("duckdb.writer", "@duckdb.main", table="t") == [
        (f"duckdb://{tmp_path / 'data' / 'store.duckdb'}", "main.t")
    ]
    query = {"query": "SELECT a.id FROM a JOIN sales.b USING (id)"}
    assert named("postgres.extractor", "@postgres.main", sql={"query": "postgres"}, **query) == [
        ("postgres://db.local:5432", "shop.public.a"),
        ("postgres://db.local:5432", "shop.sales.b"),
    ]
    assert named("postgres.writer", "@postgres.gone", table="t") == [("@postgres.gone", "t")]


def test_supabase_is_named_as_the_database_that_it_is(shop):
    (shop.folder / "osiris_connections.yaml").write_text(
        "connections:\n  supabase:\n"
        '    default: {pg_dsn: "postgresql://ada:${PW}@127.0.0.1:9/crm", connect_timeout: 1}\n'
        '    rest: {url: "http://127.0.0.1:9", key: "${PW}", connect_timeout: 1}\n'
    )
    path = shop.folder / "pipelines" / "example.yaml"
    more = "  - {id: %s, component: supabase.writer, mode: write, needs: [revenue], config: {table: t, %s}}\n"
    wire, rest = (
        more % ("wire", "write_mode: append"),
        more % ("rest", "connection: '@supabase.rest', write_mode: append"),
    )
    path.write_text(path.read_text() + wire + rest)
    shop("run", "pipelines/example.yaml", code=3, env={"PW": CANARY})
    told = shop("lineage", "--format", "openlineage", env={"PW": CANARY}).stdout
    start = json.loads(told.splitlines()[0])
    check_event(start)
    names = [(item["namespace"], item["name"]) for item in start["outputs"] if item["namespace"] != "file"]
    assert names == [("@supabase.rest", "t"), ("postgres://127.0.0.1:9", "crm.public.t")]
    assert CANARY not in told
