"""The config key `checks`: what must be true of rows before anything uses them."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.patience import started, wait_until

from osiris import api
from osiris.errors import OsirisError
from osiris.runner.host.run import RunOptions

PIPELINE = """
oml_version: "0.2.0"
name: shop
params: {least: {type: string, default: "x' OR true OR '"}, key: {type: string, sensitive: true, default: unset-secret}}
steps:
  - id: orders
    component: filesystem.csv_extractor
    mode: read
    config:
      path: orders.csv
      checks: ORDERS
  - id: total
    component: duckdb.processor
    mode: transform
    needs: [orders]
    config:
      query: SELECT status, sum(amount) AS amount FROM orders GROUP BY status ORDER BY status
      checks: TOTAL
  - id: report
    component: filesystem.csv_writer
    mode: write
    needs: [total]
    config:
      path: output/total.csv
      checks: REPORT
"""
GOOD = "{row_count: {min: 1}}"
ORDERS = (
    "id,status,amount,day\n1,new,1.50,2026-01-01\n2,new,2.50,2026-01-02\n2,odd,-3.25,2026-03-01\n3,,4.00,2026-01-03\n"
)


class Shop:
    """A project with one pipeline, into which checks are inserted."""

    def __init__(self, folder):
        self.folder = folder
        self.events = []
        self.key = "correct-horse-battery"
        (folder / "osiris.yaml").write_text("")
        (folder / "orders.csv").write_text(ORDERS)

    @property
    def workspace(self):
        return api.open_project(self.folder, {"OSIRIS_PARAM_KEY": self.key})

    def write(self, orders=GOOD, total=GOOD, report=GOOD, text=PIPELINE):
        for name, checks in (("ORDERS", orders), ("TOTAL", total), ("REPORT", report)):
            text = text.replace(name, f"[{checks}]")
        (self.folder / "shop.yaml").write_text(text.replace(", default: unset-secret", ""))

    def compile(self):
        return api.compile_file(self.workspace, self.folder / "shop.yaml", params={})

    def problems(self):
        with pytest.raises(OsirisError) as caught:
            self.compile()
        return [(d.code, d.location.line, d.location.column, d.hint) for d in caught.value.diagnostics]

    def run(self, *, new_run=True):
        workspace = self.workspace
        options = RunOptions(new_run=new_run, environ=workspace.environ)
        file = str(self.folder / "shop.yaml")
        result, _ = api.run_target(workspace, file, options, self.events.append, params={})
        return result

    def broken(self):
        """The diagnostics of a run about its failed checks, each with its position."""
        result = self.run()
        assert (result.status, result.exit_code) == ("failed", 6)
        return [(d.code, d.location.line, d.message) for d in result.diagnostics if d.severity == "error"]

    def rows(self):
        """The rows that violate the failed checks of the last run, as stored for people."""
        session = max(path.name for path in (self.folder / "logs").iterdir() if path.is_dir())
        return [each["row"] for each in api.checked_rows(self.workspace, session)]

    def told(self, event):
        return [each for each in self.events if each["event"] == event]


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


ODD = {"id": 2, "status": "odd", "amount": "-3.25", "day": "2026-03-01"}
EMPTY = {"id": 3, "status": None, "amount": "4.00", "day": "2026-01-03"}
KINDS = {
    "{row_count: {min: 5, max: 9}}": ("4 rows", [{"rows": 4}]),
    "{row_count: {max: 3}}": ("4 rows", [{"rows": 4}]),
    "{not_null: [status, id]}": ("1 row (columns status, id, amount, day)", [EMPTY]),
    "{unique: [id]}": ("1 row (columns id, count(*))", [{"id": 2, "count(*)": 2}]),
    "{accepted_values: {column: status, values: [new, old]}}": ("1 row (columns status, id, amount, day)", [ODD]),
    "{range: {column: amount, min: 0, max: 3.5}}": ("2 rows (columns amount, id, status, day)", [ODD, EMPTY]),
    '{range: {column: day, max: "2026-01-31"}}': ("1 row (columns day, id, status, amount)", [ODD]),
    '{name: pairs, sql: "SELECT a.id FROM output a JOIN output b ON a.id < b.id"}': (
        "5 rows (columns id)",
        [{"id": 1}, {"id": 1}, {"id": 1}, {"id": 2}, {"id": 2}],
    ),
}
"""The result of each check: the message, without any value of a row, and the rows, which stay in the session."""


def test_broken_checks_are_all_told_and_nothing_is_written(shop):
    shop.write(orders=", ".join([GOOD, *KINDS]))
    found = shop.broken()
    assert {(code, line) for code, line, _ in found} == {("DAT030", 11)}
    assert [message.partition(" found ")[2] for *_, message in found] == [told for told, _ in KINDS.values()]
    assert found[-1][2].startswith("step 'orders': check 'pairs' found ")
    assert found[3][2].startswith("step 'orders': check 'unique: [\"id\"]' found ")
    assert (len(shop.told("check_passed")), len(shop.told("check_failed"))) == (1, len(KINDS))
    assert not (shop.folder / "output").exists()


def test_rows_are_shown_to_the_person_who_asks_and_to_nobody_else(shop, osiris):
    """Page, package and answers to agents have columns and counts; rows are in the session, and shown with --rows."""
    shop.write(orders=", ".join([GOOD, *KINDS]))
    shop.broken()
    shown = json.loads(osiris("logs", "show", "last", "--rows", "--json", cwd=shop.folder).stdout)["data"]
    assert [row["row"] for row in shown["rows"]] == [row for _, rows in KINDS.values() for row in rows]
    osiris("logs", "html", cwd=shop.folder)
    osiris("logs", "aiop", cwd=shop.folder)
    (session,) = (path for path in (shop.folder / "logs").iterdir() if path.is_dir())
    told = [path for path in session.rglob("*") if path.is_file() and "artifacts" not in path.parts]
    texts = "".join(path.read_text() for path in told)
    assert len(told) > 6
    assert "-3.25" not in texts
    assert "2026-03-01" not in texts
    quiet = osiris("logs", "show", "last", cwd=shop.folder)
    assert "-3.25" not in quiet.stdout + quiet.stderr


def test_checks_of_a_writer_stand_before_it_writes(shop):
    (shop.folder / "output").mkdir()
    (shop.folder / "output" / "total.csv").write_text("as it was")
    shop.write(report="{not_null: [status]}, {unique: [status]}")
    assert shop.broken() == [
        (
            "DAT030",
            25,
            "step 'report': check 'not_null: [\"status\"]' found 1 row (columns status, amount)",
        )
    ]
    assert (shop.folder / "output" / "total.csv").read_text() == "as it was"
    assert [each["step"] for each in shop.told("step_complete")] == ["orders", "total"]


def test_checks_of_a_transform_run_once(shop):
    shop.write(total="{range: {column: amount, max: 3.99}}")
    assert [line for _, line, _ in shop.broken()] == [18]
    assert (len(shop.told("check_failed")), shop.told("step_unfused")) == (1, [])


def test_good_rows_pass_and_it_is_on_record(shop, osiris):
    values = "{accepted_values: {column: id, values: [1, 2, 3]}}, {range: {column: id, max: 3}}"
    shop.write(orders=f"{GOOD}, {values}", total='{sql: "SELECT * FROM output WHERE amount > 100"}')
    result = shop.run()
    assert (result.status, result.diagnostics) == ("complete", ())
    assert {step: told["checks"] for step, told in result.steps.items()} == {"orders": 3, "total": 1, "report": 1}
    passed = shop.told("check_passed")
    assert [(e["step"], e["found"]) for e in passed] == [("orders", 0)] * 3 + [("total", 0), ("report", 0)]
    assert (shop.folder / "output" / "total.csv").read_text().startswith("status,amount\n")
    shown = osiris("logs", "show", "last", cwd=shop.folder).stdout.splitlines()
    assert next(line for line in shown if line.startswith("step ")).endswith("checks passed")
    again = osiris("run", "--last-compile", "--new-run", "--json", cwd=shop.folder, env={"OSIRIS_PARAM_KEY": "other"})
    assert (again.returncode, json.loads(again.stdout)["data"]["status"]) == (0, "complete")


def test_checks_are_part_of_the_plan(shop):
    shop.write()
    before = shop.compile().manifest
    shop.write(total="{row_count: {min: 2}}")
    assert shop.compile().manifest.fingerprint != before.fingerprint


def test_what_does_not_fit_is_said_where_it_stands(shop):
    shop.write()
    api.save(shop.workspace, shop.compile())  # from here on the source is pinned, and not asked
    shop.write(
        orders="{not_null: [id, amuont]}, {range: {column: status, max: 5}}",
        total='{sql: "SELECT * FROM orders"}, {sql: "SELECT * FROM read_csv(\'x\')"}, {sql: "SELECT nope FROM output"}',
    )
    found = shop.problems()
    assert [each[:2] for each in found] == [
        ("DAT005", 11),
        ("OML006", 11),
        ("SQL006", 18),
        ("SQL005", 18),
        ("SQL009", 18),
    ]
    lines = (shop.folder / "shop.yaml").read_text().splitlines()
    places = [lines[line - 1][column - 1 :] for _, line, column, _ in found]
    starts = ["amuont", "5}", '"SELECT * FROM orders', '"SELECT * FROM read', '"SELECT nope']
    assert [place.startswith(start) for place, start in zip(places, starts, strict=True)] == [True] * 5
    assert found[0][3] == "did you mean 'amount'?"
    shop.write(report="{unique: [total]}")
    assert [each[:2] for each in shop.problems()] == [("DAT005", 25)]


@pytest.mark.parametrize(
    ("check", "codes"),
    [
        ("{accepted_values: {column: status, values: [new, 1, true]}}", ["OML006", "OML006"]),
        ("{accepted_values: {column: id, values: [1, a]}}", ["SQL011"]),
        ("{accepted_values: {column: id, values: [1, '2']}}", []),
        ("{range: {column: day, min: soon}}", ["SQL011"]),
        ("{range: {column: day, min: 5}}", ["SQL009"]),
        ("{range: {column: amount, min: much}}", ["SQL011"]),
    ],
)
def test_values_that_do_not_fit_their_column_are_found_before_any_row(shop, check, codes):
    shop.write(orders=check)
    if codes:
        assert [each[:2] for each in shop.problems()] == [(code, 11) for code in codes]
    else:
        assert shop.compile()


@pytest.mark.parametrize(
    ("checks", "codes"),
    [
        ("{row_cuont: {min: 1}}", ["OML040", "OML002"]),
        ("{not_null: [id], unique: [id]}", ["OML040"]),
        ("{name: x}", ["OML040"]),
        ("{row_count: {least: 1}}", ["OML002"]),
        ("{row_count: {min: -1}}", ["OML028"]),
        ("{row_count: {min: 2, max: 1}}", ["OML037"]),
        ("{range: {column: id, min: 0.5, max: 0}}", ["OML037"]),
        ("{not_null: id}", ["OML006"]),
        ("{range: {column: id}}", ["OML028"]),
        ("{accepted_values: {column: id}}", ["OML003"]),
        ("not_null", ["OML006", "OML040"]),
        ('{sql: "SELECT ${params.none} FROM output"}', ["OML019"]),
    ],
)
def test_shape_is_checked(shop, checks, codes):
    shop.write(total=checks)
    found = api.validate_file(shop.workspace, shop.folder / "shop.yaml", params={}).diagnostics
    assert [(d.code, d.location.line) for d in found if d.severity == "error"] == [(code, 18) for code in codes]


def test_earlier_version_of_the_language_has_no_checks(shop):
    shop.write(text=PIPELINE.replace("0.2.0", "0.1.0"))
    found = api.validate_file(shop.workspace, shop.folder / "shop.yaml", params={}).diagnostics
    errors = [(d.code, d.location.line, d.hint) for d in found if d.severity == "error"]
    assert errors == [("OML035", line, 'write oml_version: "0.2.0"') for line in (11, 18, 25)]


def test_parameters_are_values_and_secrets_stay_secret(shop):
    shop.write(
        orders='{sql: "SELECT * FROM output WHERE status = ${params.least}"}',
        total='{sql: "SELECT ${params.key} AS found, ${run.id} AS run FROM output"}',
    )
    ((code, line, message),) = shop.broken()
    assert (code, line) == ("DAT030", 18)
    assert "correct-horse-battery" not in message
    assert shop.rows()[0]["found"] == "***"
    assert "correct-horse-battery" not in json.dumps(shop.events)


@pytest.mark.parametrize("secret", ["short1", "correct-horse-battery-staple", 'quo"te\\and\u00e4'])
def test_examples_hold_no_secret_not_even_a_part_of_one(shop, secret):
    columns = [f"repeat('x', {room}) || ${{params.key}} AS cut" for room in range(90, 150, 5)]
    queries = [f'{{name: cut, sql: "SELECT {column} FROM output LIMIT 1"}}' for column in columns]
    own = "SELECT 1 AS id, ${params.key} AS k, 'hunter22' AS password, 4711 AS pwd FROM output LIMIT 1"
    shop.write(
        total=f'{", ".join(queries)}, {{name: own, sql: "{own}"}}'
        if len(secret) > 8
        else f'{{name: own, sql: "{own}"}}'
    )
    shop.key = secret
    found = shop.broken()
    assert found[-1][2].endswith("1 row (columns id, k, password, pwd)")
    assert shop.rows()[-1] == {"id": 1, "k": "***", "password": "***", "pwd": "***"}
    told = json.dumps(shop.events, ensure_ascii=False) + str(found) + str(shop.rows())
    assert [part for part in (secret[:5], "hunter", "4711") if part in told] == []


def test_broken_check_is_not_tried_again_unless_asked_for(shop):
    again = 'retry: {max: 1, backoff: 10ms, "on": [DAT030]}\n      checks'
    for text, attempts in ((PIPELINE, 1), (PIPELINE.replace("checks", again), 2)):
        shop.events.clear()
        shop.write(total="{row_count: {max: 1}}", text=text)
        assert [line for _, line, _ in shop.broken()] == [18 if attempts == 1 else 20]
        assert (shop.told("step_failed")[0]["attempts"], len(shop.told("check_failed"))) == (attempts, attempts)
        assert not (shop.folder / "output").exists()


READERS = """\
  - {id: copy, component: filesystem.csv_writer, mode: write, needs: [total], config: {path: output/copy.csv}}
  - {id: other, component: filesystem.csv_writer, mode: write, needs: [orders], config: {path: output/other.csv}}
"""


def test_checks_stand_before_all_readers(shop):
    shop.write(orders="{unique: [id]}", text=PIPELINE + READERS)
    assert [line for _, line, _ in shop.broken()] == [11]
    assert not (shop.folder / "output").exists()
    shop.write(text=PIPELINE + READERS)
    assert shop.run().status == "complete"
    assert len(shop.told("check_passed")) == 3
    assert sorted(path.name for path in (shop.folder / "output").iterdir()) == ["copy.csv", "other.csv", "total.csv"]


@pytest.mark.parametrize("checks", [{"orders": "{unique: [id]}"}, {"report": "{range: {column: amount, min: 0}}"}])
def test_mended_data_is_looked_at_again(shop, checks):
    shop.write(**checks)
    assert shop.broken()
    (shop.folder / "orders.csv").write_text(ORDERS.replace("3,,", "4,,").replace("2,odd,-", "3,odd,"))
    assert shop.run(new_run=False).status == "complete"


ENDLESS = (
    "SELECT count(*) AS n FROM output a, range(100000000) b, range(1000000) c "
    "WHERE b.range % 7 = c.range % 5 HAVING count(*) < 0"
)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_end_during_a_check_leaves_the_target_alone(shop, number, code):
    target = shop.folder / "output" / "total.csv"
    target.parent.mkdir()
    target.write_text("as it was")
    shop.write(report=f'{GOOD}, {{sql: "{ENDLESS}"}}')
    command = [str(Path(sys.executable).parent / "osiris"), "run", "shop.yaml"]
    environ = {"PATH": os.environ["PATH"], "OSIRIS_PARAM_KEY": shop.key}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with started(command, cwd=shop.folder, env=environ, **pipes) as process:
        wait_until(
            lambda: sum(log.read_text().count("check_passed") for log in shop.folder.glob("logs/*/events.jsonl")) == 3
        )
        process.send_signal(number)
        assert process.wait(timeout=300) == code
    assert (target.read_text(), [path.name for path in target.parent.iterdir()]) == ("as it was", ["total.csv"])


COPY = """
oml_version: "0.2.0"
name: copy
steps:
  - {id: orders, component: filesystem.csv_extractor, mode: read, config: {path: orders.csv}}
  - id: copy
    component: filesystem.csv_writer
    mode: write
    config: {path: output/copy.csv, checks: [{range: {column: amount, max: 3}}]}
"""


def test_rows_that_are_only_copied_are_checked_by_their_types(shop):
    shop.write(text=COPY)
    ((code, line, message),) = shop.broken()
    assert (code, line) == ("DAT030", 9)
    assert message.endswith("found 1 row (columns amount, id, status, day)")


def test_preview_leaves_checks_to_a_run(shop):
    shop.write(orders="{row_count: {min: 100}}")
    seen = api.preview(shop.workspace, shop.folder / "shop.yaml", "total", params={}, sample=2)
    assert seen.tables[0].rows == [["new", "4.00"]]
    assert seen.unchecked == ["orders", "total"]
    assert api.preview(shop.workspace, shop.folder / "shop.yaml", params={}).unchecked == ["orders", "total", "report"]


FLOATS = """
oml_version: "0.2.0"
name: floats
steps:
  - id: floats
    component: duckdb.processor
    mode: transform
    needs: []
    config:
      query: SELECT x FROM (VALUES (CAST(1.5 AS DOUBLE)), (CAST('nan' AS DOUBLE)), (NULL)) AS t(x)
  - id: copy
    component: filesystem.parquet_writer
    mode: write
    config: {path: output/floats.parquet, checks: [{range: {column: x, LIMIT}}]}
"""


@pytest.mark.parametrize("limit", ["min: 0", "max: 9", "min: 0, max: 9"])
def test_no_range_has_nan_in_it(shop, limit):
    shop.write(text=FLOATS.replace("LIMIT", limit))
    ((code, _, message),) = shop.broken()
    assert (code, "found 1 row" in message) == ("DAT030", True)


NOTHING = {
    "a table": "{id: r, component: sqlite.extractor, mode: read, config: {connection: '@sqlite.a', table: t CHECKS}}",
    "a CSV file": "{id: r, component: filesystem.csv_extractor, mode: read, config: {path: none.csv CHECKS}}",
    "a Parquet file": "{id: r, component: filesystem.parquet_extractor, mode: read, config: {path: no.parquet CHECKS}}",
    "a query": """{id: orders, component: filesystem.csv_extractor, mode: read, config: {path: orders.csv}}
  - {id: r, component: duckdb.processor, mode: transform, needs: [orders],
     config: {query: "SELECT id FROM orders WHERE id > 99" CHECKS}}""",
}
COUNTED = """
oml_version: "0.2.0"
name: counted
steps:
  - SOURCE
  - {id: s, component: duckdb.processor, mode: transform, needs: [r], config: {query: SELECT count(*) AS n FROM r}}
  - {id: w, component: filesystem.csv_writer, mode: write, needs: [s], config: {path: output/s.csv}}
"""
TWICE = """\
  - {id: copy, component: filesystem.parquet_writer, mode: write, needs: [r], config: {path: output/copy.parquet}}
"""


@pytest.mark.parametrize("twice", ["", TWICE], ids=["once", "twice"])
@pytest.mark.parametrize("checks", ["", ", checks: [{range: {column: id, min: 0}}]"], ids=["plain", "checked"])
@pytest.mark.parametrize("source", NOTHING)
def test_no_rows_are_kept_and_read_as_well_as_many(shop, source, checks, twice):
    with sqlite3.connect(shop.folder / "a.sqlite") as database:
        database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    (shop.folder / "osiris_connections.yaml").write_text("connections: {sqlite: {a: {path: a.sqlite}}}")
    (shop.folder / "none.csv").write_text("id\n")
    pq.write_table(pa.table({"id": pa.array([], pa.int64())}), shop.folder / "no.parquet")
    typed = ", dtype: {id: int64}" + checks if source == "a CSV file" else checks
    (shop.folder / "shop.yaml").write_text(COUNTED.replace("SOURCE", NOTHING[source].replace(" CHECKS", typed)) + twice)
    result = shop.run()
    assert [str(each) for each in result.diagnostics if each.severity == "error"] == []
    assert result.status == "complete"
    assert (shop.folder / "output" / "s.csv").read_text() == "n\n0\n"
    assert not twice or pq.read_table(shop.folder / "output" / "copy.parquet").num_rows == 0
    assert list((shop.folder / ".osiris" / "spools").glob("*")) == []
