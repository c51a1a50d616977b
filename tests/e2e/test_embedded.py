"""Databases in pipelines, with the installed command: read and written by one run, resumed, and rejected with
positions.
"""

import json
import re
import shutil
import sqlite3

import duckdb
import pytest

CONNECTIONS = """
connections:
  duckdb:
    default: {path: data/store.duckdb}
    other: {path: data/other.duckdb}
  sqlite:
    default: {file: "${APP_DATABASE:-data/app.db}"}
"""
PIPELINE = """
oml_version: "0.1.0"
name: %s
steps:
%s
"""
STEP = "  - {id: %s, component: %s, mode: %s, needs: [%s], config: {%s}}"


@pytest.fixture
def project(tmp_path, osiris):
    """`project(name, *steps)` writes a pipeline and runs it: its JSON output, and the run's events."""
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "osiris_connections.yaml").write_text(CONNECTIONS)
    (tmp_path / "data").mkdir()
    with duckdb.connect(str(tmp_path / "data" / "store.duckdb")) as client:
        client.execute("CREATE TABLE numbers AS SELECT range AS id, 'x' || range AS name FROM range(120000)")

    def run(name, *steps, code=0):
        path = tmp_path / "pipelines" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(PIPELINE % (name, "\n".join(STEP % step for step in steps)))
        return ran(path, code)

    def ran(path, code=0):
        done = osiris("run", path, "--json", cwd=tmp_path)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    run.root, run.run = tmp_path, ran
    return run


def errors(told):
    return [found["code"] for found in told["diagnostics"] if found["severity"] == "error"]


READ = ("rows", "duckdb.extractor", "read", "", "table: numbers")


def test_one_run_reads_and_writes_the_same_database(project):
    """A LIMIT stops the reader before its end; the writer must not wait for it."""
    few = ("few", "duckdb.processor", "transform", "rows", "query: 'SELECT id, name FROM df LIMIT 3'")
    told = project("same", READ, few, ("back", "duckdb.writer", "write", "few", "table: few, mode: overwrite"))
    assert told["data"]["status"] == "complete"
    with duckdb.connect(str(project.root / "data" / "store.duckdb")) as client:
        assert client.execute("SELECT * FROM few").fetchall() == [(0, "x0"), (1, "x1"), (2, "x2")]


def test_two_tables_of_one_database_are_joined(project):
    query = "query: 'SELECT a.id, b.name FROM df_rows a JOIN df_big b USING (id) ORDER BY id'"
    steps = [
        READ,
        ("big", "duckdb.extractor", "read", "", "query: 'SELECT id, name FROM numbers WHERE id >= 119999'"),
        ("joined", "duckdb.processor", "transform", "rows, big", query),
        ("out", "sqlite.writer", "write", "joined", "table: joined"),
    ]
    project("joined", *steps)
    client = sqlite3.connect(project.root / "data" / "app.db")
    assert client.execute("SELECT * FROM joined").fetchall() == [(119_999, "x119999")]
    client.close()


def test_a_resumed_run_delivers_only_what_is_missing(project):
    """The rejected target is in a database of its own, because correcting it there does not change the source."""
    with duckdb.connect(str(project.root / "data" / "other.duckdb")) as client:
        client.execute("CREATE TABLE copy (id BIGINT CHECK (id < 5), name VARCHAR)")
    target = 'connection: "@duckdb.other", table: copy, create_if_missing: false'
    steps = (
        READ,
        ("first", "sqlite.writer", "write", "rows", "table: copy"),
        ("second", "duckdb.writer", "write", "rows, first", target),
    )
    told = project("twice", *steps, code=1)
    assert errors(told)[:1] == ["DAT032"]
    with duckdb.connect(str(project.root / "data" / "other.duckdb")) as client:
        client.execute("DROP TABLE copy; CREATE TABLE copy (id BIGINT, name VARCHAR)")
    told = project("twice", *steps)
    assert "RUN011" in [found["code"] for found in told["diagnostics"]]
    client = sqlite3.connect(project.root / "data" / "app.db")
    assert client.execute("SELECT count(*) FROM copy").fetchone() == (120_000,)
    assert client.execute("SELECT step FROM _osiris_ledger").fetchall() == [("first",)]
    client.close()


FIRST = ("first", "sqlite.writer", "write", "rows", "table: first")


@pytest.mark.parametrize(
    ("more", "codes", "status"),
    [("table: gone, create_if_missing: false", ["DRV012"], 1), ("table: narrow", ["DAT029"], 6)],
)
def test_a_target_that_takes_no_rows_stops_the_run_before_the_first(project, osiris, more, codes, status):
    with duckdb.connect(str(project.root / "data" / "store.duckdb")) as client:
        client.execute("CREATE TABLE narrow (id TINYINT, name VARCHAR)")
    told = project("asked", READ, FIRST, ("second", "duckdb.writer", "write", "rows", more), code=status)
    assert errors(told) == codes
    assert {name: step["status"] for name, step in told["data"]["steps"].items()} == {
        "rows": "not_run",
        "first": "not_run",
        "second": "failed",
    }
    assert not (project.root / "data" / "app.db").exists()
    done = osiris("compile", "pipelines/asked.yaml", "--json", cwd=project.root)
    assert done.returncode == status
    assert [(item["code"], item["line"]) for item in json.loads(done.stdout)["diagnostics"]] == [(codes[0], 7)]


def test_a_target_that_the_run_makes_is_not_asked(project):
    second = ("second", "duckdb.writer", "write", "rows, first", "table: made, create_if_missing: false")
    path = project.root / "pipelines" / "made.yaml"
    path.parent.mkdir()
    first = ("first", "duckdb.writer", "write", "rows", "table: made")
    text = PIPELINE % ("made", "\n".join(STEP % step for step in (READ, first, second)))
    path.write_text(text.replace("needs: [rows, first],", "needs: [rows, first], inputs: {df: '@rows'},"))
    assert project.run(path)["data"]["status"] == "complete"


def test_a_plan_tells_what_is_made_and_what_is_replaced(project, osiris):
    def targets():
        done = osiris("compile", "pipelines/shown.yaml", "--json", cwd=project.root)
        return [target["action"] for target in json.loads(done.stdout)["data"]["plan"]["targets"]]

    replace = "table: t, write_mode: replace"
    steps = (READ, *((f"to_{name}", f"{name}.writer", "write", "rows", replace) for name in ("duckdb", "sqlite")))
    path = project.root / "pipelines" / "shown.yaml"
    path.parent.mkdir()
    path.write_text(PIPELINE % ("shown", "\n".join(STEP % step for step in steps)))
    # The path of the SQLite database depends on a variable, which compiling does not read.
    assert targets() == ["creates", "creates or replaces"]
    project.run(path)
    assert targets() == ["replaces", "creates or replaces"]


def test_mistakes_are_told_before_anything_runs(project):
    told = project(
        "wrong",
        ("rows", "duckdb.extractor", "read", "", "table: numbers, query: SELECT 1 AS a"),
        ("app", "sqlite.extractor", "read", "", "query: SELECT 1"),
        ("out", "sqlite.writer", "write", "rows", "table: _OSIRIS_Ledger, write_mode: upsert"),
        code=2,
    )
    found = [(item["code"], item["line"]) for item in told["diagnostics"] if item["severity"] == "error"]
    assert {code for code, _ in found} == {"OML002", "OML003", "OML040", "OML045"}
    assert all(line for _, line in found)


def test_what_is_missing_is_told_with_a_place(project):
    told = project("lost", ("rows", "duckdb.extractor", "read", "", "table: number"), code=1)
    (found,) = [item for item in told["diagnostics"] if item["severity"] == "error"]
    assert (found["code"], found["hint"], found["line"]) == ("DRV012", "did you mean 'numbers'?", 5)


@pytest.mark.parametrize(
    ("mode", "waits", "codes"),
    [("replace", "rows", ["CMP009"]), ("append", "rows", []), ("replace", "rows, one", [])],
)
def test_two_steps_that_write_one_table(project, osiris, mode, waits, codes):
    one = "  - {id: one, component: duckdb.writer, mode: write, needs: [rows], config: {table: t}}"
    two = (
        "  - {id: two, component: duckdb.writer, mode: write, "
        f"needs: [{waits}], inputs: {{df: '@rows'}}, config: {{table: T, schema: main, write_mode: {mode}}}}}"
    )
    (project.root / "pair.yaml").write_text(PIPELINE % ("pair", "\n".join((STEP % READ, one, two))))
    done = osiris("compile", "pair.yaml", "--json", cwd=project.root)
    found = [item for item in json.loads(done.stdout)["diagnostics"] if item["severity"] == "error"]
    assert [item["code"] for item in found] == codes
    assert all("table 'main.t' of @duckdb.default" in item["message"] and item["line"] == 7 for item in found)


@pytest.mark.parametrize("record", ["deleted", "kept"])
def test_a_run_id_that_the_target_knows_is_said(project, osiris, record):
    """Another folder, or one whose sessions were deleted: the target has a delivery, and this run writes nothing."""
    project("known", READ, FIRST)
    client = sqlite3.connect(project.root / "data" / "app.db")
    (key,) = client.execute("SELECT run_key FROM _osiris_ledger").fetchone()
    client.close()
    if record == "deleted":
        shutil.rmtree(project.root / "logs")
        shutil.rmtree(project.root / ".osiris")
    done = osiris("run", "pipelines/known.yaml", "--run-id", key.rpartition("/")[2], "--json", cwd=project.root)
    told = json.loads(done.stdout)
    codes = [item["code"] for item in told["diagnostics"]]
    assert (done.returncode, "RUN065" in codes, "RUN009" in codes) == (0, record == "deleted", record == "kept"), told


def test_a_delivery_of_before_the_run_is_not_said_to_be_of_it(project, osiris):
    """In tables, in the explanation, in the package and in records the step was skipped and wrote nothing."""
    project("known", READ, FIRST)
    client = sqlite3.connect(project.root / "data" / "app.db")
    (key,) = client.execute("SELECT run_key FROM _osiris_ledger").fetchone()
    client.close()
    run_id = key.rpartition("/")[2]
    again = ("run", "pipelines/known.yaml", "--run-id", run_id)
    for folder in ("logs", ".osiris"):
        shutil.rmtree(project.root / folder)
    done = osiris(*again, cwd=project.root)
    shown = osiris("logs", "show", "last", cwd=project.root)
    for told in (done, shown):
        assert re.search(r"^first +skipped +0 +0 ", told.stdout, re.MULTILINE), told.stdout
        assert "written by" not in told.stdout
        assert "No rows were read" not in told.stdout
        assert "RUN065" in told.stdout + told.stderr
    explained = osiris("explain", "last", cwd=project.root).stdout
    assert f"Skipped: first (its target has a delivery of run '{run_id}' already)" in explained
    assert "0 written" in explained
    assert "written by" not in explained
    (session,) = (project.root / "logs").glob("*-known-*")
    record = json.loads((session / "run.json").read_text())
    assert (record["rows_out"], record["outputs"], record["steps"]["first"]["status"]) == (0, {}, "skipped")
    assert record["deliveries"]["first"]["rows"] == 120_000
    answer = json.loads((session / "aiop" / f"{session.name}_aiop.json").read_text())["answer"]
    assert [(each["state"], each["rows"]) for each in answer["written"]["writers"]] == [("nothing", 0)]


def test_strict_runs_fail_for_warnings_of_the_run_itself(project, osiris):
    project("known", READ, FIRST)
    for words, code, codes in ((), 0, {"RUN065"}), (("--strict",), 2, {"RUN065", "PRJ013"}):
        client = sqlite3.connect(project.root / "data" / "app.db")
        (key,) = client.execute("SELECT run_key FROM _osiris_ledger").fetchone()
        client.close()
        for folder in ("logs", ".osiris"):
            shutil.rmtree(project.root / folder)
        done = osiris(
            "run", "pipelines/known.yaml", "--run-id", key.rpartition("/")[2], "--json", *words, cwd=project.root
        )
        told = {each["code"] for each in json.loads(done.stdout)["diagnostics"] if each["severity"] != "note"}
        assert (done.returncode, told) == (code, codes)


def count_rows(path):
    client = sqlite3.connect(path)
    ((rows,),) = client.execute("SELECT count(*) FROM numbers")
    client.close()
    return rows


def test_a_finished_run_id_is_refused_for_another_target(project, osiris):
    """Not skipped as finished: the other database never got the rows. Nor is anything appended to the first again."""
    project("moved", READ, ("app", "sqlite.writer", "write", "rows", "table: numbers, write_mode: append"))
    again = ("run", "pipelines/moved.yaml", "--run-id", "may", "--json")
    first, other = (project.root / "data" / name for name in ("app.db", "other.db"))
    assert osiris(*again, cwd=project.root).returncode == 0
    assert count_rows(first) == 240_000
    done = osiris(*again, cwd=project.root, env={"APP_DATABASE": "data/other.db"})
    (found,) = [item for item in json.loads(done.stdout)["diagnostics"] if item["severity"] == "error"]
    assert (done.returncode, found["code"], other.exists()) == (2, "RUN016", False)
    assert "with other fields of connection @sqlite.default" in found["message"]
    done = osiris(*again, cwd=project.root)
    codes = [item["code"] for item in json.loads(done.stdout)["diagnostics"]]
    assert (done.returncode, "RUN009" in codes, count_rows(first)) == (0, True, 240_000)
    again = ("run", "pipelines/moved.yaml", "--run-id", "june", "--json")
    assert osiris(*again, cwd=project.root, env={"APP_DATABASE": "data/other.db"}).returncode == 0
    assert (count_rows(first), count_rows(other)) == (240_000, 120_000)


def test_a_finished_run_id_says_that_sensitive_values_are_not_compared(project, osiris):
    path = project.root / "pipelines" / "hidden.yaml"
    path.parent.mkdir()
    steps = [STEP % READ, STEP % ("app", "sqlite.writer", "write", "rows", "table: numbers")]
    steps[0] = steps[0].replace("table: numbers", "query: 'SELECT id FROM numbers WHERE name = ${params.token}'")
    head = PIPELINE.replace("steps:", "params: {token: {type: string, sensitive: true}}\nsteps:")
    path.write_text(head % ("hidden", "\n".join(steps)))
    for value, said in (("x1", False), ("x2", True)):
        again = ("run", path, "--run-id", "may", "--json")
        done = osiris(*again, cwd=project.root, env={"OSIRIS_PARAM_TOKEN": value})
        assert done.returncode == 0, done.stdout
        told = {item["code"]: item["message"] for item in json.loads(done.stdout)["diagnostics"]}
        assert (
            "sensitive parameters are not compared, as they are not recorded: 'token'" in told.get("RUN009", "")
        ) == said
    assert count_rows(project.root / "data" / "app.db") == 1


@pytest.mark.parametrize("create", ["true", "false"])
def test_a_resumed_run_names_the_delivered_table_that_was_dropped(project, create):
    app = sqlite3.connect(project.root / "data" / "app.db")
    app.execute("CREATE TABLE first (id INTEGER, name TEXT)")
    first = ("first", "sqlite.writer", "write", "rows", f"table: first, create_if_missing: {create}")
    second = ("second", "duckdb.writer", "write", "rows, first", "connection: '@duckdb.other', table: second")
    text = PIPELINE % ("resumed", "\n".join(STEP % step for step in (READ, first, second)))
    path = project.root / "pipelines" / "resumed.yaml"
    path.parent.mkdir()
    path.write_text(text.replace("needs: [rows, first],", "needs: [rows, first], inputs: {df: '@rows'},"))
    with duckdb.connect(str(project.root / "data" / "other.duckdb")) as client:
        client.execute("CREATE TABLE second (id BIGINT CHECK (id < 0), name VARCHAR)")
    assert errors(project.run(path, 1)) == ["DAT032"]
    assert app.execute("SELECT count(*) FROM first").fetchone() == (120_000,)
    app.execute("DROP TABLE first")
    app.commit()
    with duckdb.connect(str(project.root / "data" / "other.duckdb")) as client:
        client.execute("DROP TABLE second")
    told = project.run(path)
    found = {item["code"]: item for item in told["diagnostics"]}
    assert {"RUN011", "RUN066"} <= found.keys()
    assert (found["RUN066"]["severity"], "step 'first'" in found["RUN066"]["message"]) == ("warning", True)
    assert app.execute("SELECT count(*) FROM sqlite_master WHERE name = 'first'").fetchone() == (0,)
    app.close()


def test_a_dropped_table_of_a_run_that_only_the_target_knows_is_named(project, osiris):
    project("known", READ, FIRST)
    app = sqlite3.connect(project.root / "data" / "app.db")
    (key,) = app.execute("SELECT run_key FROM _osiris_ledger").fetchone()
    app.execute("DROP TABLE first")
    app.commit()
    app.close()
    shutil.rmtree(project.root / "logs")
    shutil.rmtree(project.root / ".osiris")
    done = osiris("run", "pipelines/known.yaml", "--run-id", key.rpartition("/")[2], "--json", cwd=project.root)
    assert {"RUN065", "RUN066"} <= {item["code"] for item in json.loads(done.stdout)["diagnostics"]}
