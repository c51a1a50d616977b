"""A database family with its own dialect from a package: Firebird needs no change to our code."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.chance import FEW, MANY, draw_seed, say_tried
from tests.strangers import install

PACKAGE = Path(__file__).parents[1] / "fixtures" / "firebird_package"
ROWS = 500
MODES = {"append": "", "replace": "", "upsert": ", primary_key: [id]"}
LOAD = """\
oml_version: "0.1.0"
name: load
steps:
  - {id: rows, component: filesystem.csv_extractor, mode: read, config: {path: rows.csv}}
""" + "".join(
    f"""\
  - id: {mode}
    component: firebird.writer
    mode: write
    needs: [rows]
    config: {{connection: "@firebird.shop", table: {mode.upper()}, write_mode: {mode}{key}}}
"""
    for mode, key in MODES.items()
)
ASK = """\
oml_version: "0.1.0"
name: ask
params:
  least: {type: integer, default: 490}
steps:
  - id: totals
    component: firebird.extractor
    mode: read
    config:
      connection: "@firebird.shop"
      query: |
        SELECT MOD("id", 2) AS half, COUNT(*) AS n, $run_id AS run
        FROM append WHERE "id" >= ${params.least} AND "name" STARTING WITH 'name'
        GROUP BY 1 ORDER BY half
  - id: out
    component: filesystem.csv_writer
    mode: write
    needs: [totals]
    config: {path: output/totals.csv}
"""
COUNT = """
import sys
from firebird import driver
from osiris_firebird.database import _load_engine
_load_engine()
with driver.connect(sys.argv[1]) as connection, connection.cursor() as cursor:
    rows = [cursor.execute(text).fetchone() for text in sys.argv[2:]]
    print(*(row[0] for row in rows))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of an environment in which the package is installed."""
    return install(tmp_path_factory.mktemp("firebird") / "venv", PACKAGE)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "osiris.yaml").touch()
    (tmp_path / "osiris_connections.yaml").write_text("version: 1\nconnections: {firebird: {shop: {path: shop.db}}}\n")
    (tmp_path / "load.yaml").write_text(LOAD)
    (tmp_path / "ask.yaml").write_text(ASK)
    lines = [f"{n},name {n},{n / 100:.2f},2024-02-{n % 28 + 1:02d}\n" for n in range(ROWS)]
    (tmp_path / "rows.csv").write_text("id,name,amount,day\n" + "".join(lines))
    return tmp_path


class Shell:
    """Calls of the interpreter in a project."""

    def __init__(self, python, root):
        self.python, self.root = python, root
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(root)}

    def start(self, *arguments, **environment):
        command = [self.python, "-I", *arguments]
        told = {**self.environment, **environment}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.root, env=told, stdout=pipe, stderr=pipe, text=True)

    def call(self, *arguments, code=0, **environment):
        process = self.start(*arguments, **environment)
        output, error = process.communicate(timeout=300)
        assert process.returncode == code, output + error
        return output

    def osiris(self, *arguments, code=0, **environment):
        return json.loads(self.call("-m", "osiris.cli.main", *arguments, "--json", code=code, **environment) or "null")

    def counts(self, *texts):
        return [*map(int, self.call("-c", COUNT, self.root / "shop.db", *texts).split())]


@pytest.fixture
def shell(python, project):
    return Shell(python, project)


def assert_whole(shell, runs):
    """Appended rows exist once per run, others as after one run; the ledger has every delivery once."""
    tables = [
        f"SELECT COUNT({what}) FROM {name}"
        for name in ("APPEND", "REPLACE", "UPSERT")
        for what in ("*", 'DISTINCT "id"')
    ]
    ledger = 'SELECT COUNT(*) FROM "_osiris_ledger"'
    found = shell.counts(*(text.replace("FROM REPLACE", 'FROM "REPLACE"') for text in tables), ledger)
    assert found == [ROWS * runs, ROWS, ROWS, ROWS, ROWS, ROWS, 3 * runs]


def test_it_passes_the_suite_that_every_component_inherits(shell):
    alone = ("-c", "/dev/null", "--noconftest", "-p", "no:cacheprovider")
    said = shell.call("-m", "pytest", "-q", *alone, PACKAGE / "suite.py")
    assert "21 passed" in said
    assert "skipped" not in said


LATE = """
import sys
from osiris.driver import StepContext
from osiris_firebird.extractor.driver import Config, Driver
root = __import__("pathlib").Path(sys.argv[1])
ctx = StepContext("step", root, root, root, {"path": "shop.db"})
for config in (Config(table="APPEND"), Config(query="SELECT COUNT(*) AS n FROM append")):
    Driver().describe(config, ctx)
    print("osiris_firebird.dialect" in sys.modules)
"""


def test_it_writes_is_seen_and_is_asked(shell, project):
    """All in one project: runs, a query with a parameter and a run value, the doctor and discovery."""
    shell.osiris("run", "load.yaml")
    assert_whole(shell, 1)
    assert shell.call("-c", LATE, project).split() == ["False", "True"]
    shell.osiris("run", "ask.yaml")
    header, *lines = (project / "output" / "totals.csv").read_text().splitlines()
    assert header == "HALF,N,RUN"
    assert [line.rpartition(",")[0] for line in lines] == ["0,5", "1,5"]
    (health,) = shell.osiris("connections", "doctor")["data"]["connections"]
    assert (health["grade"], health["facts"]["tables"]) == ("writer", 4)
    assert health["facts"]["server"].startswith("Firebird 5.")
    tables = {table["name"]: table for table in shell.osiris("discover", "@firebird.shop")["data"]["tables"]}
    assert {"APPEND", "REPLACE", "UPSERT"} <= tables.keys()
    assert tables["UPSERT"]["primary_key"] == ["id"]


CHECK = """
import json, sys
from osiris.sql import check
known = {"T": ["A", "B", "c d"], "t": ["x"]}
for text in json.loads(sys.argv[1]):
    verdict = check(text, "firebird", relations=known, parameters=["run_id"])
    print(json.dumps(" ".join(verdict.canonical.split()) if verdict.ok else verdict.diagnostics[0].code))
"""
ALLOWED = {
    "select a, count(*) n from t group by 1": "SELECT a, COUNT(*) AS n FROM t GROUP BY 1",
    'select "c d", "x" from T join "t" on a = "x"': 'SELECT "c d", "x" FROM T JOIN "t" ON a = "x"',
    "select a from t order by a offset 2 rows fetch next 3 rows only": (
        "SELECT a FROM t ORDER BY a OFFSET 2 ROWS FETCH NEXT 3 ROWS ONLY"
    ),
    "select substring(a from 1 for 2), trim(leading 'x' from b) from t": (
        "SELECT SUBSTRING(a FROM 1 FOR 2), TRIM(LEADING 'x' FROM b) FROM t"
    ),
    "select a from t where b starting 'x' or not b containing 'y'": (
        "SELECT a FROM t WHERE b STARTING WITH 'x' OR NOT b CONTAINING 'y'"
    ),
    "select $run_id, current_date, cast(1 as double precision) from rdb$database": (
        "SELECT $run_id, CURRENT_DATE, CAST(1 AS DOUBLE PRECISION) FROM rdb$database"
    ),
    "with recursive r(n) as (select 1 from t union all select n + 1 from r) select n from r": (
        "WITH RECURSIVE r(n) AS ( SELECT 1 FROM t UNION ALL SELECT n + 1 FROM r ) SELECT n FROM r"
    ),
}
REFUSED = {
    "SQL001": ["select first 1 a from t", "select a from t with lock", "select next value for g from t"],
    "SQL002": ["select a from t; select a from t"],
    "SQL003": ["delete from t", "execute block as begin end", "set term !"],
    "SQL004": [
        "select a from t limit 1", "select a from t for update", "select a into b from t", "select ? from t",
        "with x as (delete from t) select * from x", "select cast(a as dom) from t", "select $other from t",
    ],
    "SQL005": [
        "select gen_id(g, 1) from t", "select rdb$get_context('SYSTEM', 'X') from t", "select rdb$db_key from t",
        "select t.rdb$record_version from t", "select current_user from t", "select * from p(1)",
        "select mine(a) from t",
    ],
    "SQL006": [
        "select * from rdb$relations", "select * from mon$attachments", "select * from main.t", 'select * from "T " x',
    ],
    "SQL009": ['select "a" from t', "select x from t"],
}  # fmt: skip


def test_its_dialect_allows_what_is_on_its_list(shell):
    refused = {text: code for code, texts in REFUSED.items() for text in texts}
    said = [json.loads(line) for line in shell.call("-c", CHECK, json.dumps([*ALLOWED, *refused])).splitlines()]
    assert dict(zip([*ALLOWED, *refused], said, strict=True)) == {**ALLOWED, **refused}


POINTS = ("database.create:1", "ledger.record:2", "firebird.commit:2", "firebird.committed:3")


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_point_loses_and_doubles_nothing(shell, point):
    process = shell.start("-m", "osiris.cli.main", "run", "load.yaml", "--json", OSIRIS_FAULT=f"worker/{point}:kill")
    process.communicate(timeout=300)
    assert process.returncode != 0
    shell.osiris("run", "load.yaml")
    assert_whole(shell, 1)


def kill_and_continue(shell, number):
    chance = random.Random(draw_seed())
    began = time.monotonic()
    shell.osiris("run", "load.yaml")
    whole, runs = time.monotonic() - began, 1
    for _ in range(number):
        process = shell.start("-m", "osiris.cli.main", "run", "load.yaml", "--json", "--new-run")
        time.sleep(chance.uniform(0.3, 1.0) * whole)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers = children.read_text().split() if process.poll() is None else []
        for pid in [process.pid, *map(int, workers)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:  # it has ended by itself
                continue
        process.communicate(timeout=300)
        shell.osiris("run", "load.yaml")
        runs = shell.counts('SELECT COUNT(*) FROM "_osiris_ledger"')[0] // 3
        assert_whole(shell, runs)
    say_tried("kills while a package's Firebird is written in append, replace and upsert", number)


def test_kills_at_random(shell):
    kill_and_continue(shell, FEW - 1)


@pytest.mark.long
def test_many_kills_at_random(shell):
    kill_and_continue(shell, MANY)
