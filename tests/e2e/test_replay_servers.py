"""A replay of a run into a real server: its tables are not touched, and nothing of the target is needed."""

import json

import pytest
from openlineage.client.naming.dataset import MySQL, Postgres
from tests.openlineage_standard import check_event

PIPELINE = """
oml_version: "0.1.0"
name: load
steps:
  - {{id: rows, component: filesystem.csv_extractor, mode: read, config: {{path: rows.csv}}}}
  - {{id: copy, component: {family}.writer, mode: write, config: {{connection: "@{family}.main", table: copies}}}}
"""


@pytest.mark.parametrize(("family", "named"), [("postgres", "postgres"), ("mysql", "mariadb")])
def test_replaying_a_load(osiris, tmp_path, request, family, named):
    server = request.getfixturevalue(named)
    database = server.new_database()
    fields = server.fields(database) | {"password": "${SECRET}"}
    env = {"SECRET": server.password}
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "osiris_connections.yaml").write_text(json.dumps({"connections": {family: {"main": fields}}}))
    (tmp_path / "rows.csv").write_text("id,name\n1,a\n2,b\n")
    (tmp_path / "load.yaml").write_text(PIPELINE.format(family=family))

    def call(*args, code=0, env=env):
        done = osiris(*args, "--json", cwd=tmp_path, env=env)
        assert done.returncode == code, done.stdout + done.stderr
        assert server.password not in done.stdout + done.stderr
        return json.loads(done.stdout)

    def rows():
        with server.connect(database) as client:
            cursor = client.cursor()
            cursor.execute("SELECT count(*) FROM copies")
            return cursor.fetchone()[0]

    call("run", "load.yaml", "--run-id", "night")
    assert rows() == 2
    assert call("replay", "night", env={})["data"]["same"]
    assert rows() == 2
    (tmp_path / "rows.csv").write_text("id,name\n1,a\n2,c\n")
    told = call("replay", "night", code=1)
    assert [item["path"] for item in told["data"]["differences"]] == ["copy/columns/name"]
    assert [item["kind"] for item in told["data"]["reasons"]] == ["source"]
    assert rows() == 2
    call("replay", "night", "--to-targets", code=1)
    assert rows() == 4
    events = call("lineage", "night", "--format", "openlineage")["data"]["events"]
    for event in events:
        check_event(event)
    (target,) = events[-1]["outputs"]
    known = (server.host, str(server.port), database)
    standard = Postgres(*known, "public", "copies") if family == "postgres" else MySQL(*known, "copies")
    assert (target["namespace"], target["name"]) == (standard.get_namespace(), standard.get_name())
    assert target["outputFacets"]["outputStatistics"]["rowCount"] == 2
    events = call("lineage", "night", "--format", "openlineage", env={})["data"]["events"]
    assert events[-1]["outputs"][0]["namespace"] == f"@{family}.main"
