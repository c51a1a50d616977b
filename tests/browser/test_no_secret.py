"""No byte of a page contains a secret, including the files packed into it."""

import base64
import gzip
import json
import re

import yaml

OML = """
oml_version: "0.1.0"
name: kept
params: {pin: {type: string, sensitive: true}}
steps:
  - {id: people, component: postgres.extractor, mode: read, config: {connection: "@postgres.main", table: people}}
  - id: some
    component: duckdb.processor
    mode: transform
    inputs: {df: "@people"}
    config: {query: "SELECT id, name FROM df WHERE name <> ${params.pin}"}
  - {id: out, component: filesystem.csv_writer, mode: write, inputs: {df: "@some"}, config: {path: out.csv}}
"""
PIN = "canary-pin-8261537"


def test_no_secret_is_in_a_page(postgres, tmp_path, osiris):
    database = postgres.new_database()
    postgres.run("CREATE TABLE people (id int, name text)", "INSERT INTO people VALUES (1, 'a')", database=database)
    fields = postgres.fields(database, reader=True)
    secret = fields["password"]
    declared = {**{key: fields[key] for key in ("host", "port", "database", "user")}, "password": "${CANARY}"}
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "kept.yaml").write_text(OML)
    (tmp_path / "osiris_connections.yaml").write_text(
        yaml.safe_dump({"version": 1, "connections": {"postgres": {"main": declared}}})
    )
    env = {"CANARY": secret, "OSIRIS_PARAM_PIN": PIN}
    ran = osiris("run", "kept.yaml", cwd=tmp_path, env=env)
    assert ran.returncode == 0, ran.stderr
    postgres.run("DROP TABLE people", database=database)
    failed = osiris("run", "--last-compile", "--new-run", cwd=tmp_path, env=env)
    assert failed.returncode != 0
    assert json.loads(osiris("logs", "html", "--json", cwd=tmp_path).stdout)["ok"]
    pages = [path.read_text(encoding="utf-8") for path in sorted((tmp_path / "logs").glob("**/*.html"))]
    assert len(pages) == 3
    packed = [
        text for page in pages for text in re.findall('<script type="text/plain" class="packed">(.*?)</script>', page)
    ]
    files = [gzip.decompress(base64.b64decode(text)).decode() for text in packed]
    assert len(files) == 8
    for text in (*pages, *files):
        for canary in (secret, PIN):
            spelled = (canary, json.dumps(canary)[1:-1], canary.replace("&", "&amp;").replace("'", "&#39;"))
            assert not any(form in text for form in spelled)
