"""Files written for the earlier implementation, with a Supabase project and the installed command."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.patience import wait_until
from tests.servers import start_postgrest

PIPELINE = """
oml_version: "0.1.0"
name: active-customers
steps:
  - id: extract-customers
    component: supabase.extractor
    mode: read
    config:
      connection: "@supabase.main"
      table: customers
      select: "id,name"
      filter: {state: eq.active}
      limit: 900
      offset: 0
      timeout: 30
      retries: 3
  - id: write-copies
    component: supabase.writer
    mode: write
    config:
      connection: "@supabase.main"
      table: copies
      mode: upsert
      primary_key: id
      batch_size: 100
      ddl_channel: auto
      prefer: return=minimal
      create_if_missing: true
"""
CUSTOMERS = """
CREATE TABLE customers (id bigint PRIMARY KEY, name text, state text, balance numeric);
INSERT INTO customers
  SELECT n, 'c' || n, CASE WHEN n % 2 = 0 THEN 'active' ELSE 'gone' END FROM generate_series(1, 2400) n;
CREATE TABLE copies (id bigint PRIMARY KEY, name text)"""


@pytest.fixture
def project(postgres):
    with start_postgrest(postgres.fields(postgres.new_database()), max_rows=500) as server:
        server.run(CUSTOMERS)
        yield server


@pytest.fixture
def call(osiris, tmp_path, project, postgres):
    """`call("run", …)` runs a command with a connection by URL and key; with `wire=True`, it also has a database
    address.
    """
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "active.yaml").write_text(PIPELINE)
    rest = {"url": "${SUPABASE_URL}", "service_role_key": "${SUPABASE_SERVICE_ROLE_KEY}"}

    def connect(fields):
        (tmp_path / "osiris_connections.yaml").write_text(json.dumps({"connections": {"supabase": {"main": fields}}}))

    def make(*args, **options):
        done = osiris(*args, "--json", cwd=tmp_path, env=make.env, **options)
        envelope = json.loads(done.stdout)
        assert project.service_key not in done.stdout + done.stderr
        return done.returncode, envelope, sorted({d["code"] for d in envelope["diagnostics"]})

    make.env = {"SUPABASE_URL": project.url, "SUPABASE_SERVICE_ROLE_KEY": project.service_key}
    make.root, make.rest, make.connect = tmp_path, rest, connect
    connect(rest)
    return make


def events(root, name):
    found = [json.loads(line) for file in root.glob("logs/*/events.jsonl") for line in file.read_text().splitlines()]
    return [event for event in found if event["event"] == name]


def copies(project):
    return project.rows("SELECT count(*), min(id), max(id) FROM copies")[0]


def test_a_file_of_the_earlier_implementation_runs_over_rest(call, project):
    code, envelope, said = call("run", "pipelines/active.yaml")
    assert (code, envelope["data"]["status"]) == (0, "complete"), envelope
    assert said == ["OML031", "OML032"]
    assert copies(project) == (900, 2, 1800)
    assert [e["fields"] for e in events(call.root, "delivery")] == [{"channel": "rest", "class": "idempotent_by_key"}]
    assert {request.headers["user-agent"] for request in project.requests} == {"osiris"}
    told = "".join(file.read_text() for file in call.root.rglob("*") if file.suffix in (".json", ".jsonl", ".yaml"))
    assert project.service_key not in told


def test_the_same_file_over_the_wire(call, project, postgres):
    given = postgres.fields(project.rows("SELECT current_database()")[0][0])
    call.connect(
        {**call.rest, **{f"pg_{k}": v for k, v in given.items() if k != "password"}, "password": "${PG_PASSWORD}"}
    )
    call.env["PG_PASSWORD"] = given["password"]
    project.run("DROP TABLE copies")
    code, envelope, _ = call("run", "pipelines/active.yaml")
    assert (code, envelope["data"]["status"]) == (0, "complete"), envelope
    assert project.rows("SELECT count(*) FROM copies") == [(900,)]
    assert [e["fields"] for e in events(call.root, "delivery")] == [{"channel": "wire", "class": "exactly_once"}]
    assert project.requests == []


def test_what_cannot_be_done_over_rest_is_said_before_the_first_row(call, project):
    file = call.root / "pipelines" / "active.yaml"
    file.write_text(PIPELINE.replace("mode: upsert", "mode: replace"))
    code, _, said = call("run", "pipelines/active.yaml")
    assert (code, "DRV024" in said) == (2, True)
    file.write_text(PIPELINE.replace("table: copies", "table: copied"))
    code, _, said = call("run", "pipelines/active.yaml")
    assert (code, "DRV012" in said) == (1, True)
    assert not [request for request in project.requests if request.method == "POST"]
    file.write_text(PIPELINE.replace("ddl_channel: auto", "ddl_channel: http_sql"))
    assert "PRJ010" in call("validate", "pipelines/active.yaml")[2]


def test_what_the_run_would_refuse_is_said_by_compile(call, project):
    file = call.root / "pipelines" / "active.yaml"
    file.write_text(PIPELINE.replace("mode: upsert", "mode: replace"))
    code, _, said = call("compile", "pipelines/active.yaml")
    assert (code, "DRV024" in said) == (2, True)
    file.write_text(PIPELINE.replace("table: copies", "table: not_made_yet"))
    code, envelope, said = call("compile", "pipelines/active.yaml")
    assert (code, "DRV012" in said) == (1, True)
    (hint,) = [d["hint"] for d in envelope["diagnostics"] if d["code"] == "DRV012"]
    project.run(hint[hint.index("CREATE TABLE") :])
    assert call("compile", "pipelines/active.yaml")[0] == 0
    assert call("run", "pipelines/active.yaml")[0] == 0
    assert project.rows("SELECT count(*), min(id), max(id) FROM not_made_yet") == [(900, 2, 1800)]


def test_a_plan_says_the_least_that_is_promised(call):
    _, envelope, _ = call("compile", "pipelines/active.yaml")
    manifest = json.loads((call.root / envelope["data"]["manifest"]).read_text())
    assert [step["delivery"] for step in manifest["steps"]] == [None, "at_least_once"]


def test_an_upsert_that_was_killed_is_finished_by_the_same_command(call, project):
    command = str(Path(sys.executable).parent / "osiris")
    project.faults.hang(times=None, method="POST", skip=3)
    env = {"PATH": os.environ["PATH"], **call.env}
    running = subprocess.Popen(
        [command, "run", "pipelines/active.yaml"], cwd=call.root, env=env, start_new_session=True
    )
    wait_until(lambda: sum(request.method == "POST" for request in project.requests) > 3)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert 0 < copies(project)[0] < 900
    project.faults.clear()
    code, envelope, said = call("run", "pipelines/active.yaml")
    assert (code, envelope["data"]["status"], "RUN011" in said) == (0, "complete", True)
    assert copies(project) == (900, 2, 1800)


def test_the_doctor_tells_of_the_key(call):
    code, envelope, said = call("connections", "doctor")
    (found,) = envelope["data"]["connections"]
    assert (code, found["grade"], said) == (0, "too powerful", ["CON018"])
    call.env["SUPABASE_SERVICE_ROLE_KEY"] = "eyJh.eyJi.c4nary"
    code, envelope, said = call("connections", "doctor")
    assert (code, said) == (3, ["CON024"])
    assert "c4nary" not in json.dumps(envelope)
