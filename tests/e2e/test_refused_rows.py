"""Rows that a target rejects: comparisons and reports of such a run never count them as written."""

import csv
import json

import pytest

PIPELINE = """
oml_version: "0.1.0"
name: load
steps:
  - {{id: rows, component: filesystem.csv_extractor, mode: read, config: {{path: rows.csv, dtype: {{id: int64}}}}}}
  - id: copy
    component: {family}.writer
    mode: write
    config: {{connection: "@{family}.main", table: people, write_mode: append, on_reject: quarantine}}
"""


@pytest.fixture(params=[("postgres", "postgres"), ("mysql", "mariadb")], ids=lambda each: each[0])
def load(osiris, tmp_path, request):
    """Return a function that runs a command, one that sends SQL, and the family of the target."""
    family, named = request.param
    server = request.getfixturevalue(named)
    database = server.new_database()
    fields = server.fields(database) | {"password": "${SECRET}"}
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "osiris_connections.yaml").write_text(json.dumps({"connections": {family: {"main": fields}}}))
    (tmp_path / "rows.csv").write_text("id,v\n1,aa\n2,bb\n3,cc\n")
    (tmp_path / "load.yaml").write_text(PIPELINE.format(family=family))

    def call(*args, code=0):
        done = osiris(*args, cwd=tmp_path, env={"SECRET": server.password})
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def sql(*statements):
        with server.connect(database) as client:
            cursor = client.cursor()
            for statement in statements:
                cursor.execute(statement)
            found = cursor.fetchall() if statements[-1].startswith("SELECT") else None
            client.commit()
            return found

    return call, sql, family


def test_other_rows_in_the_target_are_not_the_same(load, tmp_path):
    call, sql, _ = load
    kept = []
    for refused in ("aa", "cc"):
        sql(
            "DROP TABLE IF EXISTS people",
            f"CREATE TABLE people (id bigint, v varchar(10), CONSTRAINT good CHECK (v <> '{refused}'))",
        )
        call("run", "load.yaml", "--new-run")
        kept.append([row[0] for row in sql("SELECT id FROM people ORDER BY id")])
    assert kept == [[2, 3], [1, 2]]
    runs = sorted(path.name for path in (tmp_path / "logs").iterdir())
    verified = json.loads(call("verify", *runs, "--json", code=2))
    assert [each["code"] for each in verified["diagnostics"]] == ["DAT009"]
    different = call("diff", *runs, code=2)
    assert "the runs are the same" not in different
    assert "step 'copy': the target rejected rows" in different
    assert json.loads(call("diff", *runs, "--json", code=2))["data"]["same"] is False
    assert call("diff", runs[0], runs[0], code=2)
    answer = json.loads(call("logs", "aiop", "last", "--json"))["data"]["package"]
    assert answer["delta"]["outputs"] == [{"step": "copy", "same": None}]
    replayed = call("replay", "last", code=2)
    assert replayed.startswith("not comparable")
    assert "differs" not in replayed


def test_what_is_shown_of_them(load, tmp_path):
    call, sql, family = load
    sql("CREATE TABLE people (id bigint, v varchar(10), CONSTRAINT good CHECK (v <> 'cc'))")
    told = call("run", "load.yaml")
    summary = json.loads(call("logs", "show", "--json"))["data"]["session"]
    output = summary["outputs"]["copy"]
    assert (output["rows"], output["digest"]["rows"]) == (2, 3)
    place = json.loads(call("logs", "show", "--json"))["data"]["targets"]["copy"]
    assert place == f"people in @{family}.main"
    for text in (told, call("logs", "show"), call("explain", "last")):
        assert output["digest"]["value"][:12] not in text
        (line,) = (line for line in text.splitlines() if line.startswith("copy") and place in line)
        assert line.split() == ["copy", *place.split(), "2"]
    (file,) = (tmp_path / "logs").glob("*/artifacts/copy/rejected.csv")
    with file.open(newline="") as rejects:
        (row,) = csv.DictReader(rejects)
    assert (row["file"], row["line"], row["row"]) == ("", "", "3")
    assert json.loads(row["value"]) == {"id": 3, "v": "cc"}
    (card,) = (tmp_path / "logs").glob("*/aiop/*_runcard.md")
    assert "[rejected.csv of copy](../artifacts/copy/rejected.csv)" in card.read_text()
    (card.parent / "../artifacts/copy/rejected.csv").resolve(strict=True)
