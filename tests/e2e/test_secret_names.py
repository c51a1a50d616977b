"""A source with a column or table named like a password: it is refused, and no byte of the name is shown or stored."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

NAME = "Sup3rS3cretColumn"
CONNECTIONS = "osiris_connections.yaml"
REPLICATE = """
oml_version: "0.3.0"
name: copies
replicate:
  - id: copies
    from: {connection: "@postgres.wh", tables: ["*"]}
    to: {folder: output/copies}
"""


def everything(folder, done):
    """All that a project has and printed, without the file of its secrets."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".env")
    return b"".join([*(path.read_bytes() for path in files), *(f"{one.stdout}{one.stderr}".encode() for one in done)])


@pytest.fixture
def project(tmp_path, osiris):
    """A function that makes a project with one connection and its secret, and returns one that runs commands in it."""

    def make(family, fields, secret, value=NAME):
        (tmp_path / "pipelines").mkdir()
        (tmp_path / "osiris.yaml").write_text("")
        (tmp_path / ".env").write_text(f"PW={value}\n")
        wh = {**fields, secret: "${PW}"}
        (tmp_path / CONNECTIONS).write_text(json.dumps({"connections": {family: {"wh": wh}}}))
        return lambda *words: osiris(*words, cwd=tmp_path)

    return make


def pipeline(folder, component, **config):
    read = {"id": "r", "component": component, "mode": "read", "config": config}
    path = {"path": "output/t.parquet"}
    keep = {"id": "w", "component": "filesystem.parquet_writer", "mode": "write", "needs": ["r"], "config": path}
    (folder / "pipelines" / "p.yaml").write_text(
        json.dumps({"oml_version": "0.1.0", "name": "p", "steps": [read, keep]})
    )


def login(postgres, *statements):
    """A database with a role that has `NAME` as its password, and the fields of a connection."""
    database = postgres.new_database()
    role = f"named_{database.split()[-1]}"
    postgres.run(
        f"CREATE ROLE {role} LOGIN PASSWORD '{NAME}'",
        *statements,
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
        database=database,
    )
    return {**postgres.fields(database), "user": role}


@pytest.mark.parametrize(
    "columns",
    [f'"{NAME}" int', f'"x_{NAME}_y" text', f'"{NAME.upper()}" int', f'id int, "{NAME}" int PRIMARY KEY'],
    ids=["whole", "inside", "upper case", "key"],
)
def test_a_column_of_a_server(project, tmp_path, postgres, columns):
    run = project("postgres", login(postgres, f"CREATE TABLE t ({columns})", "CREATE TABLE u (id int)"), "password")
    pipeline(tmp_path, "postgres.extractor", connection="@postgres.wh", table="t")
    found = [run("discover", "@postgres.wh", *more) for more in ((), ("--json",), ("--profile",))]
    assert [each.returncode for each in found] == [0, 0, 0]
    refused = [run(command, "pipelines/p.yaml") for command in ("compile", "run")]
    assert [each.returncode for each in refused] == [2, 2]
    assert all("CON079" in each.stderr and "column " in each.stderr for each in refused)
    assert NAME.lower().encode() not in everything(tmp_path, [*found, *refused]).lower()
    pipeline(tmp_path, "postgres.extractor", connection="@postgres.wh", table="u")
    assert run("run", "pipelines/p.yaml").returncode == 0


def test_a_column_that_comes_after_the_plan(project, tmp_path, postgres):
    fields = login(postgres, "CREATE TABLE t (id int)")
    run = project("postgres", fields, "password")
    pipeline(tmp_path, "postgres.extractor", connection="@postgres.wh", table="t")
    assert run("run", "pipelines/p.yaml").returncode == 0
    postgres.run(f'ALTER TABLE t ADD COLUMN "{NAME}" int', database=fields["database"])
    done = [run("run", "pipelines/p.yaml", "--new-run"), run("compile", "pipelines/p.yaml", "--refresh")]
    assert all(each.returncode for each in done)
    for each, code in zip(done, ("DAT011", "CON079"), strict=True):
        assert code in each.stderr, each.stderr
    assert NAME.encode() not in everything(tmp_path, done)


def test_a_table_that_is_replicated(project, tmp_path, postgres):
    run = project("postgres", login(postgres, f'CREATE TABLE "{NAME}" (id int)'), "password")
    (tmp_path / "pipelines" / "p.yaml").write_text(REPLICATE)
    done = [run("discover", "@postgres.wh"), run("compile", "pipelines/p.yaml"), run("run", "pipelines/p.yaml")]
    assert [each.returncode for each in done] == [0, 2, 2]
    for each in done[1:]:
        assert "CON079" in each.stderr, each.stderr
    assert NAME.encode() not in everything(tmp_path, done)


@pytest.mark.parametrize("kind", ["column", "field"])
def test_a_file_of_a_store(project, tmp_path, s3, kind):
    fields = s3.fields(bucket := s3.new_bucket())
    name = fields["secret_access_key"]
    run = project("s3", fields, "secret_access_key", name)
    cell = pa.array([1]) if kind == "column" else pa.array([{name: 1}])
    pq.write_table(pa.table({name if kind == "column" else "s": cell}), tmp_path / "made.parquet")
    s3.put(bucket, "t.parquet", (tmp_path / "made.parquet").read_bytes())
    (tmp_path / "made.parquet").unlink()
    pipeline(tmp_path, "filesystem.parquet_extractor", connection="@s3.wh", path=f"s3://{bucket}/t.parquet")
    done = [run("discover", f"s3://{bucket}/t.parquet"), run("compile", "pipelines/p.yaml")]
    assert done[1].returncode == 2, done[1].stderr
    assert "CON079" in done[1].stderr
    assert name.encode() not in everything(tmp_path, done)


def test_a_column_named_like_a_part_of_a_connection_string_is_no_secret(project, tmp_path, postgres):
    fields = login(postgres, "CREATE TABLE u (named_reader int)", f'CREATE TABLE t ("{NAME}x" int)')
    where = f"127.0.0.1:{fields['port']}/{fields['database'].replace(' ', '%20')}?application_name=named_reader"
    text = f"postgresql://{fields['user']}:${{PW}}@{where}"
    run = project("postgres", {}, "unused")
    (tmp_path / CONNECTIONS).write_text(json.dumps({"connections": {"postgres": {"wh": {"dsn": text}}}}))
    pipeline(tmp_path, "postgres.extractor", connection="@postgres.wh", table="u")
    found = run("discover", "@postgres.wh")
    assert "named_reader" in found.stdout
    assert run("run", "pipelines/p.yaml").returncode == 0
    assert NAME.encode() not in everything(tmp_path, [found])
