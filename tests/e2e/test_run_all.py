"""`osiris run --all` and `--tag`: the pipelines of a project, in the order in which they feed each other."""

import json
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing

import duckdb
import pytest
from tests.conftest import OSIRIS, kept
from tests.patience import wait_until

PIPELINE = """\
oml_version: "0.1.0"
name: {name}
metadata: {{tags: {tags}}}
steps:
  - {{id: rows, component: filesystem.csv_extractor, mode: read, config: {{path: {source}}}}}
  - id: written
    component: filesystem.csv_writer
    mode: write
    inputs: {{df: "${{rows.df}}"}}
    config: {{path: {target}}}
"""


class Shop:
    def __init__(self, osiris, root):
        self.osiris, self.root = osiris, root
        (root / "pipelines").mkdir()
        (root / "data").mkdir()
        (root / "osiris.yaml").write_text("")
        (root / "data" / "a.csv").write_text("id,name\n1,a\n")

    def put(self, name, source, target, tags="[nightly]"):
        text = PIPELINE.format(name=name, source=source, target=target, tags=tags)
        (self.root / "pipelines" / f"{name}.yaml").write_text(text)

    def run(self, *options, code=0, env=None):
        done = self.osiris("run", *options, "--json", cwd=self.root, env=env)
        assert code in (None, done.returncode), done.stdout + done.stderr
        return json.loads(done.stdout)

    def ran(self):
        runs = [json.loads(path.read_text()) for path in self.root.glob("logs/*/run.json")]
        return [run["pipeline"] for run in sorted(runs, key=lambda run: run["session"].rpartition("-")[2])]


@pytest.fixture
def shop(osiris, tmp_path):
    """Three pipelines that feed each other against the order of their names, and one that is on its own."""
    shop = Shop(osiris, tmp_path)
    shop.put("alone", "data/a.csv", "output/alone.csv", tags="[weekly, 7]")
    shop.put("first", "output/second.csv", "output/first.csv")
    shop.put("second", "output/third.csv", "output/second.csv")
    shop.put("third", "data/a.csv", "output/third.csv")
    return shop


def entries(answer):
    return {each["pipeline"]: each["status"] for each in answer["data"]["pipelines"]}


REPLICATED = """\
oml_version: "0.3.0"
name: z_first
replicate:
  - id: e
    from: {connection: "@sqlite.src", tables: ["*"]}
    to: {connection: "@sqlite.tgt", table: "w_{table}"}
    defaults: {write_mode: replace}
"""
READS_IT = """\
oml_version: "0.1.0"
name: a_second
steps:
  - {id: rows, component: sqlite.extractor, mode: read, config: {connection: "@sqlite.tgt", table: w_orders}}
  - {id: written, component: filesystem.csv_writer, mode: write, needs: [rows], config: {path: output/second.csv}}
"""


def replicating(osiris, tmp_path):
    """Return a project in which an entry writes a table, and another pipeline reads it."""
    shop = Shop(osiris, tmp_path)
    connections = "sqlite: {src: {path: data/src.sqlite}, tgt: {path: data/tgt.sqlite}}"
    (tmp_path / "osiris_connections.yaml").write_text(f"connections:\n  {connections}\n")
    with closing(sqlite3.connect(tmp_path / "data" / "src.sqlite")) as source:
        source.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        source.execute("INSERT INTO orders VALUES (1)")
        source.commit()
    for name, text in (("z_first", REPLICATED), ("a_second", READS_IT)):
        (tmp_path / "pipelines" / f"{name}.yaml").write_text(text)
    return shop


def test_what_an_entry_feeds_is_known_before_its_tables_are_pinned(osiris, tmp_path):
    shop = replicating(osiris, tmp_path)
    shop.run("--all")
    assert shop.ran() == ["z_first", "a_second"]
    assert (tmp_path / "output" / "second.csv").read_text() == "id\n1\n"
    (tmp_path / "osiris.lock").unlink()
    (tmp_path / "data" / "src.sqlite").unlink()
    assert entries(shop.run("--all", code=1)) == {"a_second": "complete", "z_first": "refused"}


def test_all_run_in_the_order_in_which_they_feed_each_other(shop):
    answer = shop.run("--all")
    assert answer["ok"]
    assert shop.ran() == ["alone", "third", "second", "first"]
    assert entries(answer) == dict.fromkeys(shop.ran(), "complete")
    keys = {"pipeline", "file", "exit_code", "session", "status", "run_key", "steps", "outputs", "diagnostics"}
    assert all(each.keys() >= keys for each in answer["data"]["pipelines"])
    assert (shop.root / "output" / "first.csv").read_text() == "id,name\n1,a\n"
    assert list((shop.root / ".osiris" / "open").iterdir()) == []


def test_a_tag_selects_and_a_run_id_is_that_of_each(shop):
    assert entries(shop.run("--tag", "weekly")) == {"alone": "complete"}
    runs = shop.run("--tag", "nightly", "--run-id", "night-1")["data"]["pipelines"]
    assert [each["run_key"] for each in runs] == ["night-1"] * 3
    again = shop.run("--tag", "nightly", "--run-id", "night-1")
    assert {each["code"] for each in again["diagnostics"]} >= {"RUN009"}
    assert shop.ran() == ["alone", "third", "second", "first"]
    assert [each["code"] for each in shop.run("--tag", "hourly", code=2)["diagnostics"]] == ["RUN060"]


def test_one_that_fails_skips_those_that_need_it_and_the_same_command_does_only_the_rest(shop):
    shop.put("second", "data/none.csv", "output/second.csv")
    shop.put("third", "output/first.csv", "output/third.csv")
    answer = shop.run("--all", code=1)
    assert entries(answer) == {"alone": "complete", "second": "failed", "first": "skipped", "third": "skipped"}
    codes = {each["pipeline"]: {item["code"] for item in each["diagnostics"]} for each in answer["data"]["pipelines"]}
    assert "DRV001" in codes["second"]
    assert codes["first"] == codes["third"] == {"RUN062"}
    assert shop.ran() == ["alone", "second"]


def test_exit_codes_combine(shop):
    """An unreachable source (3) comes before one that fails (1)."""
    (shop.root / "osiris_connections.yaml").write_text(
        "connections: {postgres: {down: {host: 127.0.0.1, port: 1, database: d, user: u, password: '${NONE}'}}}\n"
    )
    shop.put("alone", "data/none.csv", "output/alone.csv")
    text = (shop.root / "pipelines" / "third.yaml").read_text()
    text = text.replace("filesystem.csv_extractor", "postgres.extractor").replace(
        "{path: data/a.csv}", "{connection: '@postgres.down', table: t}"
    )
    (shop.root / "pipelines" / "third.yaml").write_text(text)
    runs = shop.run("--all", code=3)["data"]["pipelines"]
    assert {each["pipeline"]: each["exit_code"] for each in runs} == {"alone": 1, "third": 3, "second": 0, "first": 0}


def test_a_cycle_is_refused_by_name(shop):
    shop.put("third", "output/first.csv", "output/third.csv")
    (problem,) = shop.run("--all", code=2)["diagnostics"]
    assert problem["code"] == "RUN061"
    assert all(f"'{name}'" in problem["message"] for name in ("first", "second", "third"))
    assert "alone" not in problem["message"]
    assert shop.ran() == []


def test_a_file_with_problems_stops_only_what_reads_its_output(shop):
    shop.put("third", "data/a.csv", "output/third.csv}\n    confg: {")
    for options in (["--all"], ["--all", "--dry-run"]):
        answer = shop.run(*options, code=2)
        runs = {each["pipeline"]: each for each in answer["data"]["pipelines"]}
        assert (runs["third"]["status"], runs["third"]["exit_code"]) == ("refused", 2)
        assert {each["file"] for each in runs["third"]["diagnostics"]} == {"pipelines/third.yaml"}
        assert "OML002" in {each["code"] for each in answer["diagnostics"]}
    statuses = {"alone": "complete", "third": "refused", "second": "skipped", "first": "skipped"}
    assert entries(shop.run("--all", "--new-run", code=2)) == statuses
    assert {*shop.ran()} == {"alone"}


def test_the_newest_plan_says_what_a_file_that_is_no_yaml_writes(shop):
    shop.run("--all")
    (shop.root / "pipelines" / "third.yaml").write_text("name: [")
    statuses = {"alone": "complete", "third": "refused", "second": "skipped", "first": "skipped"}
    assert entries(shop.run("--all", "--new-run", code=2)) == statuses
    nightly = {name: status for name, status in statuses.items() if name != "alone"}
    assert entries(shop.run("--tag", "nightly", code=2)) == nightly
    assert entries(shop.run("--tag", "weekly", code=2)) == {"alone": "complete", "third": "refused"}  # maybe it has it


def test_a_file_with_problems_and_without_the_tag_is_left_alone(shop):
    shop.put("third", "data/a.csv", "/etc/passwd")
    assert entries(shop.run("--tag", "weekly")) == {"alone": "complete"}


@pytest.mark.parametrize("metadata", ["metadata: nightly", "metadata: {tags: nightly}", "metdata: {tags: [nightly]}"])
def test_a_file_with_problems_whose_tags_cannot_be_read_counts_as_one_with_the_tag(shop, metadata):
    shop.put("third", "data/a.csv", "/etc/passwd")
    path = shop.root / "pipelines" / "third.yaml"
    path.write_text(path.read_text().replace("metadata: {tags: [nightly]}", metadata))
    assert metadata in path.read_text()
    assert entries(shop.run("--tag", "weekly", code=2)) == {"alone": "complete", "third": "refused"}


def test_two_files_of_one_name_are_both_refused(shop):
    (shop.root / "pipelines" / "other.yaml").write_text((shop.root / "pipelines" / "third.yaml").read_text())
    answer = shop.run("--all", code=2)
    refused = {each["file"] for each in answer["data"]["pipelines"] if each["status"] == "refused"}
    assert refused == {"pipelines/other.yaml", "pipelines/third.yaml"}
    assert shop.ran() == ["alone"]


def test_without_a_valid_file_all_problems_are_told_and_nothing_runs(shop):
    (shop.root / "osiris_connections.yaml").write_text("connections: [")
    assert {each["code"] for each in shop.run("--all", code=2)["diagnostics"]} == {"CON001"}
    assert shop.ran() == []


def test_a_dry_run_runs_nothing(shop):
    for folder in ("first", "second", "third"):
        (shop.root / "output").mkdir(exist_ok=True)
        (shop.root / "output" / f"{folder}.csv").write_text("id,name\n1,a\n")
    answer = shop.run("--all", "--dry-run")
    assert [each["pipeline"] for each in answer["data"]["pipelines"]] == ["alone", "third", "second", "first"]
    assert all(each["dry_run"] for each in answer["data"]["pipelines"])
    assert shop.ran() == []


@pytest.mark.parametrize("compiled", [False, True])
def test_a_dry_run_knows_that_an_earlier_pipeline_writes_the_input(shop, compiled):
    if compiled:  # the schemas are pinned in osiris.lock
        shop.run("--all")
        shutil.rmtree(shop.root / "output")
    answer = shop.run("--all", "--dry-run")
    notes = [each for each in answer["diagnostics"] if each["code"] == "RUN063"]
    assert [(each["message"], each["file"], each["line"]) for each in notes] == [
        (
            f"pipeline '{one}' cannot be checked before '{other}' has run, which writes its input",
            f"pipelines/{one}.yaml",
            5,
        )
        for one, other in (("second", "third"), ("first", "second"))
    ]
    shop.put("first", "output/never.csv", "output/first.csv")
    assert "DRV001" in [each["code"] for each in shop.run("--all", "--dry-run", code=1)["diagnostics"]]


def test_a_dry_run_knows_that_an_entry_writes_the_table(osiris, tmp_path):
    shop = replicating(osiris, tmp_path)
    codes = [each["code"] for each in shop.run("--all", "--dry-run")["diagnostics"]]
    assert codes.count("RUN063") == 1
    assert not any(code.startswith("DRV") for code in codes)
    sqlite3.connect(tmp_path / "data" / "tgt.sqlite").close()
    (tmp_path / "data" / "tgt.sqlite").touch()
    assert "RUN063" in [each["code"] for each in shop.run("--all", "--dry-run")["diagnostics"]]


@pytest.mark.parametrize(
    "options",
    [
        ["--all", "--tag", "nightly"],
        ["--all", "pipelines/third.yaml"],
        ["--all", "--resume"],
        ["--all", "--select", "rows"],
        ["--tag", "nightly", "--last-compile"],
    ],
)
def test_options_that_make_no_sense_together_are_refused(shop, options):
    (problem,) = shop.run(*options, code=2)["diagnostics"]
    assert problem["code"] == "PRJ008"
    assert shop.ran() == []


def test_a_signal_ends_the_running_one_and_the_rest_is_not_started(shop):
    log = shop.root / "log"
    env = kept() | {"OSIRIS_FAULT": "worker/file.sync:1:hang", "OSIRIS_FAULT_LOG": str(log)}
    command = [OSIRIS, "run", "--all", "--json"]
    with subprocess.Popen(command, cwd=shop.root, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_until(lambda: process.poll() is not None or " hang" in (log.read_text() if log.exists() else ""))
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        answer = json.loads(process.communicate(timeout=60)[0])
    assert process.returncode == 130, answer
    assert entries(answer) == {"alone": "cancelled", "third": "skipped", "second": "skipped", "first": "skipped"}


FILE = {"component": "filesystem.csv_extractor"}
PLACES = {
    "a link to a folder": ({"path": "output/real/a.csv"}, FILE | {"path": "output/link/a.csv"}),
    "a URL": ({"path": "output/b.csv"}, FILE | {"path": "file://{root}/output/b.csv"}),
    "a folder of a connection": ({"path": "output/c.csv"}, FILE | {"connection": "@filesystem.out", "path": "c.csv"}),
    "a pattern behind a link": ({"path": "output/real/d.csv"}, FILE | {"path": "output/link/*.csv"}),
    "files of a published folder": (
        {"component": "filesystem.parquet_writer", "path": "output/e/"},
        {"component": "filesystem.parquet_extractor", "path": "output/e/*.parquet"},
    ),
    "a partition of a published folder": (
        {"component": "filesystem.parquet_writer", "path": "output/f/", "partition_by": ["name"]},
        {"component": "filesystem.parquet_extractor", "path": "output/f/name=a/*.parquet"},
    ),
    **{
        f"a database file {how}": (
            {"component": "duckdb.writer", "connection": "@duckdb.w", "table": f"t_{alias}"},
            {"component": "duckdb.extractor", "connection": f"@duckdb.{alias}", "table": f"T_{alias}"},
        )
        for alias, how in {
            "w2": "with dots",
            "w3": "by its full path",
            "w4": "by a link",
            "w5": "in a variable",
        }.items()
    },
    "a query of another spelling": (
        {"component": "duckdb.writer", "connection": "@duckdb.w", "table": "q"},
        {
            "component": "duckdb.extractor",
            "connection": "@duckdb.w",
            "query": 'SELECT * FROM (SELECT * FROM "Q")',
        },
    ),
    **{
        f"a table of PostgreSQL {how}": (
            {"component": "postgres.writer", "connection": "@postgres.p", "schema": schema, "table": f"p{number}"},
            {"component": "postgres.extractor", **{key: text.format(number) for key, text in read.items()}},
        )
        for number, (how, schema, read) in enumerate(
            (
                ("of a connection string", "public", {"connection": "@postgres.p2", "table": "p{}"}),
                ("of another name of the host", "public", {"connection": "@postgres.p3", "table": "p{}"}),
                ("in the schema of a connection", "other", {"connection": "@postgres.p4", "table": "p{}"}),
                ("in a query", "public", {"connection": "@postgres.p", "query": "SELECT * FROM public.p{}"}),
                (
                    "in a query of another schema",
                    "other",
                    {"connection": "@postgres.p", "query": "SELECT * FROM other.p{}"},
                ),
                ("of a secret that is not set", "public", {"connection": "@postgres.p5", "table": "p{}"}),
                (
                    "of a secret in a store",
                    "public",
                    {"connection": "@postgres.p6", "query": "SELECT * FROM public.p{}"},
                ),
                ("in a query without it", "other", {"connection": "@postgres.p4", "query": "SELECT * FROM p{}"}),
            )
        )
    },
    **{
        f"a table of MySQL {how}": (
            {"component": "mysql.writer", "connection": "@mysql.m", "table": f"m{number}"},
            {"component": "mysql.extractor", **{key: text.format(number) for key, text in read.items()}},
        )
        for number, (how, read) in enumerate(
            (
                ("of another name of the host", {"connection": "@mysql.m2", "table": "m{}"}),
                ("of another database", {"connection": "@mysql.m3", "schema": "shop", "table": "m{}"}),
                ("in a query of another database", {"connection": "@mysql.m3", "query": "SELECT * FROM shop.m{}"}),
            )
        )
    },
}
SERVERS = {
    "filesystem": {"out": {"base_dir": "output"}},
    "duckdb": {
        "w": {"path": "data/w.duckdb"},
        "w2": {"path": "./data/../data/w.duckdb"},
        "w3": {"path": "{root}/data/w.duckdb"},
        "w4": {"path": "data/link.duckdb"},
        "w5": {"path": "${WHERE:-data/w.duckdb}"},
    },
    "postgres": {
        "p": {"host": "127.0.0.1", "port": 9, "database": "shop", "user": "u", "password": "${PW}"},
        "p2": {"dsn": "${DSN}"},
        "p3": {"host": "localhost", "port": "${PORT:-9}", "database": "shop", "user": "other", "password": "${PW}"},
        "p4": {"host": "127.0.0.1", "port": 9, "database": "shop", "user": "u", "password": "${PW}", "schema": "other"},
        "p5": {"host": "127.0.0.1", "port": 9, "database": "shop", "user": "u", "password": "${NOT_SET}"},
        "p6": {"host": "127.0.0.1", "port": 9, "database": "shop", "user": "u", "password": "${vault:a/b#c}"},
        "p7": {"dsn": "${NO_ADDRESS}"},
    },
    "mysql": {
        "m": {"host": "127.0.0.1", "port": 9, "database": "shop", "user": "u", "password": "${PW}"},
        "m2": {"host": "localhost", "port": 9, "database": "shop", "user": "u", "password": "${PW}"},
        "m3": {"host": "127.0.0.1", "port": 9, "database": "else", "user": "u", "password": "${PW}"},
    },
}


def step(mode, root, needs=(), component="filesystem.csv_writer", **config):
    config = {
        key: value.replace("{root}", str(root)) if isinstance(value, str) else value for key, value in config.items()
    }
    return {"id": mode, "component": component, "mode": mode, "needs": list(needs), "config": config}


def test_what_reads_a_place_under_another_name_waits_for_what_writes_it(osiris, tmp_path):
    """The feeders fail, so all that read from them are skipped, though by their names they come first."""
    (tmp_path / "output" / "real").mkdir(parents=True)
    (tmp_path / "output" / "link").symlink_to("real")
    shop = Shop(osiris, tmp_path)
    (tmp_path / "data" / "link.duckdb").symlink_to("w.duckdb")
    with duckdb.connect(tmp_path / "data" / "w.duckdb") as database:
        database.execute("CREATE TABLE q (id int)")
    (tmp_path / ".env").write_text(
        "PW=a-password-of-no-use\nDSN=postgresql://u:a-password-of-no-use@127.0.0.1:9/shop\n"
    )
    (tmp_path / "osiris_connections.yaml").write_text(
        json.dumps({"connections": SERVERS}).replace("{root}", str(tmp_path))
    )
    for number, (write, read) in enumerate(PLACES.values()):
        source = step("read", tmp_path, **FILE, path="data/none.csv")
        feeder = [source, step("write", tmp_path, ["read"], **write)]
        reader = [step("read", tmp_path, **read), step("write", tmp_path, ["read"], path=f"out/{number}.csv")]
        for name, steps in (("z", feeder), ("a", reader)):
            (tmp_path / "pipelines" / f"{name}{number}.yaml").write_text(
                json.dumps({"oml_version": "0.2.0", "name": f"{name}{number}", "steps": steps})
            )
    found = entries(shop.run("--all", code=None))
    for number, what in enumerate(PLACES):
        assert found[f"z{number}"] in ("failed", "refused"), what
        assert found[f"a{number}"] == "skipped", what


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        ({"table": "t"}, "failed"),
        ({"query": "SELECT * FROM public.t"}, "failed"),
        ({"table": "t", "schema": "other"}, "skipped"),
        ({"query": "SELECT * FROM other.T"}, "skipped"),
    ],
    ids=str,
)
def test_a_connection_that_leads_nowhere_known_is_compared_by_its_name(osiris, tmp_path, read, expected):
    shop = Shop(osiris, tmp_path)
    (tmp_path / "osiris_connections.yaml").write_text(
        json.dumps({"connections": {"postgres": {"p7": SERVERS["postgres"]["p7"]}}})
    )
    written = {"component": "postgres.writer", "connection": "@postgres.p7", "schema": "other", "table": "t"}
    feeder = [step("read", tmp_path, **FILE, path="data/none.csv"), step("write", tmp_path, ["read"], **written)]
    source = step("read", tmp_path, component="postgres.extractor", connection="@postgres.p7", **read)
    reader = [source, step("write", tmp_path, ["read"], path="out/a.csv")]
    for name, steps in (("z", feeder), ("a", reader)):
        content = {"oml_version": "0.2.0", "name": name, "steps": steps}
        (tmp_path / "pipelines" / f"{name}.yaml").write_text(json.dumps(content))
    assert entries(shop.run("--all", code=None))["a"] == expected
