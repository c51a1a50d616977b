"""`osiris run --partitions N`: steps computed in N parts give the same rows, and end in the same ways."""

import json
import signal
import sqlite3
import subprocess
from decimal import Decimal

import duckdb
import pytest
from tests.conftest import OSIRIS, kept
from tests.patience import SOON, started, wait_until

ROWS = """
SELECT range AS id, CASE WHEN range % 11 = 0 THEN NULL ELSE range * 7919 % 83 END AS k,
    'Text ' || (range * 31 % 19) AS t, ((range % 1000) / 4)::DECIMAL(12,2) AS v,
    DATE '2026-01-01' + (range % 40)::INTEGER AS d
FROM range({count})
"""
OTHER = "SELECT range AS k, 'name ' || (range % 7) AS name FROM range(5, 95)"

STATEMENTS = {
    "group": "SELECT k, count(*) AS n, sum(v) AS s, min(t) AS least FROM a GROUP BY k",
    "group_two": "SELECT t, d, max(v) AS most FROM a GROUP BY t, d HAVING count(*) > 2",
    "distinct": "SELECT DISTINCT k, t FROM a",
    "window": "SELECT id, k, count(*) OVER (PARTITION BY k) AS n FROM a",
    "rows": "SELECT id, v * 2 AS w, upper(t) AS u FROM a WHERE id % 3 = 0",
    "joined": "SELECT a.k, b.name, sum(a.v) AS s FROM a JOIN b ON a.k = b.k GROUP BY a.k, b.name",
    "joined_rows": "SELECT a.id, b.name FROM a LEFT JOIN b ON a.k = b.k",
    "joined_with_more": "SELECT a.id, b.name FROM a LEFT JOIN b ON a.k = b.k AND a.v > b.k WHERE a.id > 7",
    "compared": "SELECT b.k, count(DISTINCT a.t) AS n FROM a, b WHERE a.k = b.k GROUP BY b.k",
    "sorted": "SELECT k, count(*) AS n FROM a GROUP BY k ORDER BY n DESC, k",
    "top": "SELECT t, sum(v) AS s FROM a GROUP BY t ORDER BY s DESC LIMIT 5",
    "with": "WITH m AS (SELECT k, t, sum(v) AS s FROM a GROUP BY k, t), b2 AS (SELECT k, name FROM b WHERE k > 9) "
    "SELECT m.k, b2.name, m.s, max(m.s) OVER (PARTITION BY m.k) AS top FROM m JOIN b2 ON b2.k = m.k",
    "nested": "SELECT q.n, count(*) AS times, sum(q.total) AS ids FROM "
    "(SELECT k, count(*) AS n, sum(id) AS total FROM a GROUP BY k) AS q GROUP BY q.n ORDER BY times DESC, n",
    "nested_rows": "SELECT id, upper(t) AS u FROM (SELECT id, t FROM a WHERE id % 3 > 0) AS q WHERE id % 2 = 0",
    "shares": "WITH total AS (SELECT sum(v) AS s, count(*) AS n FROM a), "
    "m AS (SELECT k, sum(v) AS s FROM a GROUP BY k) "
    "SELECT m.k, CAST(m.s AS DECIMAL(18,2)) AS s, total.n FROM m, total WHERE m.s * 10 < total.s",
    "bound_in_with": "WITH m AS (SELECT k, t FROM a WHERE length(${run.id}) > 0 AND k >= ${params.least}) "
    "SELECT t, count(*) AS n FROM m GROUP BY t",
    "bound": "SELECT k, count(*) AS n FROM a WHERE length(${run.id}) > 0 AND k >= ${params.least} GROUP BY k",
    "one_task": "SELECT count(*) AS n, max(k) AS k FROM a",
}
"""Statements, by name; all but the last can be cut."""

FUSED = ("distinct", "window", "joined_rows", "sorted", "nested", "nested_rows", "bound", "one_task")
"""Statements that read no decimals: DuckDB can then read the Parquet files itself."""

READERS = {
    "csv": {"component": "filesystem.csv_extractor", "config": {"path": "data/{}.csv"}},
    "json": {"component": "filesystem.json_extractor", "config": {"path": "data/{}.jsonl"}},
    "parquet": {"component": "filesystem.parquet_extractor", "config": {"path": "data/{}.parquet"}},
    "sqlite": {"component": "sqlite.extractor", "config": {"connection": "@sqlite.lite", "table": "{}"}},
    "duckdb": {"component": "duckdb.extractor", "config": {"connection": "@duckdb.duck", "table": "{}"}},
}
CONNECTIONS = {"sqlite": {"lite": {"path": "data/lite.db"}}, "duckdb": {"duck": {"path": "data/duck.db"}}}


def reader(name, kind):
    fields = json.loads(json.dumps(READERS[kind]).replace("{}", name))
    return {"id": name, "mode": "read", **fields}


def transform(name, query, needs=("a",), **config):
    step = {"id": name, "component": "duckdb.processor", "mode": "transform", "needs": list(needs)}
    return {**step, "config": {"query": query, **config}}


def writer(name):
    path = f"output/{name}.parquet"
    where = {"component": "filesystem.parquet_writer", "mode": "write", "config": {"path": path}}
    return {"id": f"write_{name}", "needs": [name], **where}


def needed(query):
    return ["a", "b"] if " b " in query else ["a"]


class Lab:
    """A project with the same rows in every kind of source, and a pipeline."""

    def __init__(self, osiris, folder, count=3000):
        self.osiris, self.folder = osiris, folder
        (folder / "data").mkdir()
        (folder / "osiris.yaml").write_text("{}\n")
        (folder / "osiris_connections.yaml").write_text(json.dumps({"connections": CONNECTIONS}))
        with duckdb.connect(str(folder / "data" / "duck.db")) as duck:
            for name, query in (("a", ROWS.format(count=count)), ("b", OTHER)):
                duck.execute(f"CREATE TABLE {name} AS {query}")
                for end, how in (("parquet", "parquet"), ("csv", "csv"), ("jsonl", "json")):
                    duck.execute(f"COPY {name} TO '{folder}/data/{name}.{end}' (FORMAT {how})")
                self._into_sqlite(name, duck)

    def _into_sqlite(self, name, duck):
        rows = duck.execute(f"FROM {name}").fetchall()
        columns = [each[0] for each in duck.description]
        lite = sqlite3.connect(self.folder / "data" / "lite.db")
        kinds = {"id": "INTEGER", "k": "INTEGER", "v": "DECIMAL(12,2)", "d": "DATE"}
        declared = ", ".join(f"{each} {kinds.get(each, 'TEXT')}" for each in columns)
        lite.execute(f"CREATE TABLE {name} ({declared})")
        texts = ([each if isinstance(each, int | None) else str(each) for each in row] for row in rows)
        lite.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(columns))})", texts)
        lite.commit()
        lite.close()

    def write(self, *steps, **more):
        params = {"least": {"type": "integer", "default": 10}}
        oml = {"oml_version": "0.1.0", "name": "p", "params": params, "steps": list(steps), **more}
        (self.folder / "p.yaml").write_text(json.dumps(oml))

    def of_statements(self, kind="csv", names=STATEMENTS):
        """Write a pipeline with some of the statements."""
        steps = [transform(name, STATEMENTS[name], needed(STATEMENTS[name])) for name in names]
        used = sorted({need for step in steps for need in step["needs"]})
        self.write(*(reader(name, kind) for name in used), *steps, *map(writer, names))

    def run(self, *args, code=0, env=None):
        """Run the pipeline; returns the content of run.json."""
        done = self.osiris("run", "p.yaml", "--json", *args, cwd=self.folder, env=env)
        answer = json.loads(done.stdout)
        assert done.returncode == code, (answer["diagnostics"], done.stderr)
        self.diagnostics = answer["diagnostics"]
        self.session = self.folder / "logs" / answer["data"]["session"]
        assert list((self.folder / ".osiris" / "scratch").glob("*")) == []
        return json.loads((self.session / "run.json").read_text())

    def events(self, name):
        lines = map(json.loads, (self.session / "events.jsonl").read_text().splitlines())
        return [each for each in lines if each["event"] == name]


@pytest.fixture
def lab(osiris, tmp_path):
    return Lab(osiris, tmp_path)


def digests(run):
    return {step: output["digest"] for step, output in run["outputs"].items()}


def in_parts(number):
    return ["--new-run", *(["--partitions", number] if number else [])]


def truth(folder, name):
    """Return the rows of a statement as DuckDB alone computes them."""
    query = STATEMENTS[name].replace("${run.id}", "'x'").replace("${params.least}", "10")
    for table in "ab":
        duckdb.sql(f"CREATE OR REPLACE TEMP VIEW {table} AS FROM '{folder}/data/{table}.parquet'")
    return _texts(name, duckdb.sql(query).fetchall())


def written(folder, name):
    return _texts(name, duckdb.sql(f"FROM '{folder}/output/{name}.parquet'").fetchall())


def _texts(name, rows):
    """Return rows with their values as texts, numbers of any kind alike; sorted unless their order is fixed."""
    texts = [[str(float(each) if isinstance(each, int | Decimal) else each) for each in row] for row in rows]
    return texts if name in ("rows", "nested_rows", "nested", "sorted", "top") else sorted(texts)


def test_the_same_rows_in_any_number_of_parts(lab):
    lab.of_statements()
    whole = lab.run()
    assert not any("cut" in step or "one_task" in step for step in whole["steps"].values())
    for number in (1, 2, 7, 64):
        run = lab.run(*in_parts(number))
        assert digests(run) == digests(whole)
        assert run["fingerprint"] == whole["fingerprint"]
        cuts = {name: run["steps"][name].get("cut") for name in STATEMENTS}
        assert [name for name, cut in cuts.items() if cut is None] == ["one_task"]
        assert {cut["parts"] for cut in cuts.values() if cut} == {number}
        for name in STATEMENTS:
            assert written(lab.folder, name) == truth(lab.folder, name), name
            assert run["steps"][name]["rows_in"] == whole["steps"][name]["rows_in"]


@pytest.mark.parametrize("kind", [kind for kind in READERS if kind != "csv"])
def test_sources_of_all_kinds(lab, kind):
    lab.of_statements(kind)
    whole = lab.run()
    assert digests(lab.run(*in_parts(3))) == digests(whole)
    for name in STATEMENTS:
        assert written(lab.folder, name) == truth(lab.folder, name), name


@pytest.mark.parametrize("name", FUSED)
def test_files_that_the_engine_reads_itself(lab, name):
    lab.of_statements("parquet", [name])
    whole = lab.run()
    fused = json.loads((lab.session / "manifest.json").read_text())["steps"]
    assert any(step["fused"] for step in fused)
    run = lab.run(*in_parts(5))
    assert digests(run) == digests(whole)
    assert written(lab.folder, name) == truth(lab.folder, name)
    assert lab.events("step_unfused") == []
    assert ("cut" in run["steps"][name]) == (name != "one_task")
    assert {step: run["steps"][step].get("rows_in") for step in ("a", name)} == {
        step: whole["steps"][step].get("rows_in") for step in ("a", name)
    }


@pytest.mark.parametrize("kind", ["TINYINT", "INTEGER", "UBIGINT"])
def test_joined_inputs_with_integers_of_other_sizes_are_in_buckets_together(lab, kind):
    duckdb.sql(f"COPY (SELECT k::{kind} AS k, name FROM ({OTHER})) TO '{lab.folder}/data/b.parquet'")
    rows = f"SELECT * REPLACE (k - 9 AS k) FROM ({ROWS.format(count=3000)})"
    duckdb.sql(f"COPY ({rows}) TO '{lab.folder}/data/a.parquet'")
    names = ["joined", "joined_rows", "joined_with_more", "compared"]
    lab.of_statements("parquet", names)
    dry = json.loads(lab.osiris("run", "p.yaml", "--partitions", "7", "--dry-run", "--json", cwd=lab.folder).stdout)
    by_k = {"how": "bucket", "columns": ["k"]}
    assert [each["feeds"] for each in dry["data"]["plan"]["cuts"]] == [{"a": by_k, "b": by_k}] * len(names)
    whole = lab.run()
    assert digests(lab.run(*in_parts(7))) == digests(whole)
    for name in names:
        assert written(lab.folder, name) == truth(lab.folder, name), name


def test_no_rows(lab):
    lab.of_statements("parquet", ["group", "window", "rows", "joined", "top", "one_task"])
    duckdb.sql(f"COPY ({ROWS.format(count=0)}) TO '{lab.folder}/data/a.parquet'")
    whole = lab.run()
    run = lab.run(*in_parts(7))
    assert digests(run) == digests(whole)
    assert run["steps"]["group"]["cut"]["skew"] == 1.0
    assert run["steps"]["group"]["rows_out"] == 0


def test_one_key_has_most_rows(lab):
    hot = ROWS.replace("WHEN range % 11 = 0 THEN NULL", "WHEN range % 10 > 0 THEN 5")
    duckdb.sql(f"COPY ({hot.format(count=5000)}) TO '{lab.folder}/data/a.parquet'")
    lab.of_statements("parquet", ["group", "window"])
    whole = lab.run()
    run = lab.run(*in_parts(7))
    assert digests(run) == digests(whole)
    assert run["steps"]["group"]["cut"]["skew"] > 9
    assert written(lab.folder, "window") == truth(lab.folder, "window")


def test_more_parts_than_rows(lab):
    lab.of_statements("parquet", ["group", "rows", "joined", "top"])
    duckdb.sql(f"COPY ({ROWS.format(count=9)}) TO '{lab.folder}/data/a.parquet'")
    whole = lab.run()
    run = lab.run(*in_parts(10_000))
    assert digests(run) == digests(whole)
    assert run["steps"]["rows"]["cut"]["parts"] == 10_000
    assert written(lab.folder, "group") == truth(lab.folder, "group")


@pytest.mark.parametrize("number", ["0", "10001", "-1", "2.5", "many"])
def test_numbers_that_are_refused(osiris, tmp_path, number):
    (tmp_path / "osiris.yaml").write_text("{}\n")
    for done in (
        osiris("run", "p.yaml", "--partitions", number, "--json", cwd=tmp_path),
        osiris("run", "p.yaml", "--json", cwd=tmp_path, env={"OSIRIS_RUN__PARTITIONS": number}),
    ):
        assert done.returncode == 2
        (problem,) = json.loads(done.stdout)["diagnostics"]
        assert problem["code"] == "PRJ004"
        assert "must be a number from 1 to 10000, found" in problem["message"]


def test_what_is_said_of_parts(lab):
    lab.of_statements(names=["group", "one_task"])
    dry = lab.osiris("run", "p.yaml", "--partitions", "7", "--dry-run", cwd=lab.folder).stdout
    assert "group can be computed in parts (a by k). " in dry
    assert "one_task is one task. " in dry
    assert "in parts" not in lab.osiris("run", "p.yaml", "--dry-run", cwd=lab.folder).stdout
    answer = json.loads(lab.osiris("run", "p.yaml", "--partitions", 7, "--dry-run", "--json", cwd=lab.folder).stdout)
    cuts = {each["step"]: each for each in answer["data"]["plan"]["cuts"]}
    assert set(cuts) == {"group", "one_task"}
    assert cuts["group"]["feeds"] == {"a": {"how": "bucket", "columns": ["k"]}}
    done = lab.osiris("run", "p.yaml", "--partitions", "7", cwd=lab.folder)
    run = json.loads(next(lab.folder.glob("logs/*/run.json")).read_text())
    skew = run["steps"]["group"]["cut"]["skew"]
    assert f"computed in 7 parts: group (the largest {skew} times the median); as one task: one_task" in done.stdout
    assert len(run["steps"]["group"]["cut"]["digest"]) == 64
    assert run["settings"]["run.partitions"] == {"value": 7, "origin": "command line"}
    page = lab.osiris("logs", "html", cwd=lab.folder)
    assert page.returncode == 0, page.stderr
    text = next(lab.folder.glob("logs/*/report.html")).read_text()
    assert f"7 parts, the largest {skew} times the median" in text
    lab.of_statements(names=["one_task"])
    whole = lab.osiris("run", "p.yaml", "--partitions", "7", cwd=lab.folder).stdout
    assert "not computed in parts: one_task; 'osiris compile FILE --explain' says why" in whole


def test_what_is_said_of_a_step_is_not_what_its_checks_do(lab):
    checks = [{"unique": ["k"]}, {"row_count": {"min": 1}}]
    steps = [transform(name, STATEMENTS[name], checks=checks) for name in ("group", "one_task")]
    lab.write(reader("a", "csv"), *steps, writer("group"), writer("one_task"), oml_version="0.2.0")
    run = lab.run(*in_parts(4))
    said = {name: {"cut", "one_task"} & run["steps"][name].keys() for name in ("group", "one_task")}
    assert said == {"group": {"cut"}, "one_task": {"one_task"}}
    lab.write(reader("a", "csv"), transform("group", STATEMENTS["group"]), writer("group"))
    assert run["steps"]["group"]["cut"] == lab.run(*in_parts(4))["steps"]["group"]["cut"]


def test_the_digest_of_a_cut_is_that_of_the_statement(lab):
    lab.of_statements(names=["group", "sorted"])
    two, three = lab.run(*in_parts(2)), lab.run(*in_parts(3))
    cuts = [[run["steps"][name]["cut"]["digest"] for name in ("group", "sorted")] for run in (two, three)]
    assert cuts[0] == cuts[1]
    assert len(set(cuts[0])) == 2


def test_a_statement_that_fails_at_run_time_fails_at_the_same_place(lab):
    query = "SELECT k,\n  sum(CAST(t AS BIGINT)) AS s\nFROM a\nWHERE length(${run.id}) > 0\nGROUP BY k\nORDER BY k"
    lab.write(reader("a", "csv"), transform("q", query), writer("q"))
    (lab.folder / "data" / "a.csv").write_text("k,t\n" + "".join(f"{n},{n}\n" for n in range(50)) + "7,seven\n")
    lab.run(code=1)
    told = [problem for problem in lab.diagnostics if problem["severity"] == "error"]
    lab.run(*in_parts(7), code=1)
    assert [problem for problem in lab.diagnostics if problem["severity"] == "error"] == told
    assert [problem["code"] for problem in told] == ["SQL011"]
    assert told[0]["line"] is not None


@pytest.mark.parametrize("outer", ["SELECT m.k, m.s FROM m", "SELECT CAST(m.t AS BIGINT) AS s FROM m"])
def test_an_error_of_a_query_in_with_has_the_place_of_the_query(lab, outer):
    inner = "sum(CAST(t AS BIGINT)) AS s" if "m.s" in outer else "max(t) AS t"
    query = f"WITH m AS (\n  SELECT k, {inner} FROM a GROUP BY k\n)\n{outer}"
    lab.write(reader("a", "csv"), transform("q", query), writer("q"))
    (lab.folder / "data" / "a.csv").write_text("k,t\n" + "".join(f"{n},{n}\n" for n in range(50)) + "7,seven\n")
    lab.run(*in_parts(7), code=1)
    (problem,) = [each for each in lab.diagnostics if each["severity"] == "error"]
    assert problem["code"] == "SQL011"
    assert "'seven'" in problem["message"]
    place = (lab.folder / "p.yaml").read_text()[problem["column"] - 1 :]
    assert place.startswith("SELECT k, sum" if "m.s" in outer else '"WITH m AS')


def test_a_killed_run_is_resumed_in_another_number_of_parts(lab):
    lab.of_statements(names=["group", "window", "sorted", "with"])
    whole = lab.run()
    lab.run(*in_parts(7), code=1, env={"OSIRIS_FAULT": "worker/part.remove:9:kill"})
    failed = json.loads((lab.session / "run.json").read_text())
    run = lab.run("--partitions", "3")
    assert run["continues"] == failed["session"]
    assert digests({"outputs": {**failed["outputs"], **run["outputs"]}}) == digests(whole)
    for name in ("group", "window", "sorted", "with"):
        assert written(lab.folder, name) == truth(lab.folder, name)


@pytest.mark.parametrize(("kind", "code"), [("raise", "DRV006"), ("no-space", "DRV004")])
def test_parts_that_cannot_be_written(lab, kind, code):
    lab.of_statements(names=["group"])
    lab.run(*in_parts(7), code=1, env={"OSIRIS_FAULT": f"worker/part.write:4:{kind}"})
    assert code in [problem["code"] for problem in lab.diagnostics]
    assert digests(lab.run()).keys() == {"write_group"}


def test_a_step_in_parts_is_retried(lab):
    again = {"retry": {"max": 1, "backoff": "10ms", "on": ["DRV006"]}}
    lab.write(reader("a", "csv"), transform("group", STATEMENTS["group"], **again), writer("group"))
    run = lab.run(*in_parts(7), env={"OSIRIS_FAULT": "worker/part.write:4:raise"})
    assert run["steps"]["group"]["attempts"] == 2
    assert written(lab.folder, "group") == truth(lab.folder, "group")


def test_parts_on_disk_are_limited(lab):
    lab.of_statements(names=["group"])
    lab.run(*in_parts(7), code=1, env={"OSIRIS_RUN__SPOOL_LIMIT": "50kB"})
    assert [problem["code"] for problem in lab.diagnostics if problem["severity"] == "error"] == ["RUN018"]
    assert lab.run("--new-run", env={"OSIRIS_RUN__SPOOL_LIMIT": "50kB"})["status"] == "complete"


def test_a_window_that_exceeds_the_memory_fails_the_step(lab):
    rows = "SELECT 1 AS k, repeat('x', 200) || range AS t FROM range(500000)"
    duckdb.sql(f"COPY ({rows}) TO '{lab.folder}/data/a.parquet'")
    query = "SELECT t, count(DISTINCT t) OVER (PARTITION BY k ORDER BY t) AS n FROM a"
    lab.write(reader("a", "parquet"), transform("q", query), writer("q"))
    run = lab.run(*in_parts(4), code=1, env={"OSIRIS_RUN__MEMORY": "100MB"})
    assert "cut" in run["steps"]["q"]
    problems = [problem for problem in lab.diagnostics if problem["severity"] == "error"]
    assert [problem["code"] for problem in problems] == ["RUN013"]
    assert "step 'q' exceeded the memory limit of 100 MB" in problems[0]["message"]


LONG = (
    "SELECT a.k, count(*) AS n FROM a, b AS x, b AS y, b AS z, b AS w WHERE x.k + y.k + z.k + w.k > a.id GROUP BY a.k"
)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_cancelled_ends(lab, sent, code):
    lab.write(reader("a", "csv"), reader("b", "csv"), transform("q", LONG, ["a", "b"]), writer("q"))
    command = [OSIRIS, "run", "p.yaml", "--partitions", "4", "--json"]
    with started(command, cwd=lab.folder, env=kept(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as host:
        wait_until(lambda: any('"cut"' in each.read_text() for each in lab.folder.glob("logs/*/events.jsonl")))
        host.send_signal(sent)
        host.communicate(timeout=SOON)
    assert host.returncode == code
    (run,) = (json.loads(each.read_text()) for each in lab.folder.glob("logs/*/run.json"))
    assert (run["status"], run["steps"]["q"]["status"]) == ("cancelled", "cancelled")
    assert list((lab.folder / ".osiris" / "scratch").glob("*")) == []


def test_a_step_that_takes_too_long_is_stopped(lab):
    lab.write(reader("a", "csv"), reader("b", "csv"), transform("q", LONG, ["a", "b"], timeout="2s"), writer("q"))
    lab.run(*in_parts(4), code=1)
    assert "RUN002" in [problem["code"] for problem in lab.diagnostics]
