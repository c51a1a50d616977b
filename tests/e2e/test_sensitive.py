"""A sensitive parameter in the SQL of an extractor: not needed to compile, bound at run time, and in no record."""

import json

import duckdb
import pytest

PIPELINE = """
oml_version: "0.1.0"
name: opened
params: {pin: {type: string, sensitive: true}}
steps:
  - id: rows
    component: %s.extractor
    mode: read
    config: {query: "SELECT id, name FROM doors WHERE pin = ${params.pin} AND code = ${params.pin}"}
  - id: file
    component: filesystem.csv_writer
    mode: write
    config: {path: output/doors.csv}
"""
TABLE = (
    "CREATE TABLE doors (id int, name varchar(9), pin varchar(9), code int)",
    "INSERT INTO doors VALUES (1, 'front', '47110815', 47110815), (2, 'back', '47110816', 47110816)",
)


@pytest.fixture
def connection(request, tmp_path):
    """The fields of a connection of a family whose database has the table."""
    if request.param == "duckdb":
        with duckdb.connect(str(tmp_path / "doors.duckdb")) as client:
            for statement in TABLE:
                client.execute(statement)
        return {"path": "doors.duckdb"}
    server = request.getfixturevalue({"postgres": "postgres", "mysql": "mariadb"}[request.param])
    name = server.new_database()
    server.run(*TABLE, database=name)
    return server.fields(name) | {"password": "${DB_PASSWORD}"}, server.password


@pytest.mark.parametrize(
    ("family", "connection"), [(name, name) for name in ("duckdb", "postgres", "mysql")], indirect=["connection"]
)
def test_it_is_bound_when_it_runs(family, connection, tmp_path, osiris):
    fields, password = connection if isinstance(connection, tuple) else (connection, "")
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "osiris_connections.yaml").write_text(
        json.dumps({"connections": {family: {"doors": {**fields, "default": True}}}})
    )
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "opened.yaml").write_text(PIPELINE % family)
    given = {"DB_PASSWORD": password}
    compiled = osiris("compile", "pipelines/opened.yaml", cwd=tmp_path, env=given)
    assert compiled.returncode == 0, compiled.stderr
    ran = osiris("run", "pipelines/opened.yaml", cwd=tmp_path, env={**given, "OSIRIS_PARAM_PIN": "47110815"})
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "output" / "doors.csv").read_text().splitlines() == ["id,name", "1,front"]
    kept = [path for folder in ("build", "logs") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    assert [path.name for path in kept if b"47110815" in path.read_bytes()] == []
