"""`import osiris`: pipelines from Python, their results, and the rows that they gave."""

import csv
import gc
import json
import os
import re
import sqlite3
import stat
import subprocess
import sys
import threading
import traceback
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import osiris

SALES = [(1, "north", "10.50"), (2, "south", "0.25"), (3, "north", "7.00"), (4, "east", "1.00")]
PIPELINE = """
oml_version: "0.1.0"
name: totals
params:
  least: {type: number, default: 0}
steps:
  - {id: sales, component: filesystem.csv_extractor, mode: read, config: {path: sales.csv}}
  - id: regions
    component: duckdb.processor
    mode: transform
    needs: [sales]
    config:
      query: |
        SELECT region, sum(amount) AS total FROM sales WHERE amount >= ${params.least} GROUP BY region ORDER BY region
  - {id: report, component: filesystem.csv_writer, mode: write, config: {path: out/totals.csv}}
"""
TOTALS = [
    {"region": "east", "total": Decimal("1.00")},
    {"region": "north", "total": Decimal("17.50")},
    {"region": "south", "total": Decimal("0.25")},
]
MOVING = re.compile(r"^(ts|.*_at|.*duration_ms|session|run_key|peak_.*|rate|base|seq)$")


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A project that is the working directory."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "pipelines" / "totals.yaml").write_text(PIPELINE)
    rows = "".join(",".join(map(str, row)) + "\n" for row in SALES)
    (tmp_path / "sales.csv").write_text(f"id,region,amount\n{rows}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pipeline(folder, text, name="x"):
    (folder / f"{name}.yaml").write_text(f'oml_version: "0.1.0"\nname: {name}\nsteps:\n{text}')
    return f"{name}.yaml"


def still(value):
    """Return a record without what differs from run to run."""
    if isinstance(value, dict):
        return {key: still(item) for key, item in value.items() if not MOVING.match(key)}
    return [*map(still, value)] if isinstance(value, list) else value


def on_record(run):
    events = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    return still(json.loads((run.folder / "run.json").read_text())), [still(event) for event in events]


def test_a_run_and_its_rows(shop):
    run = osiris.run("pipelines/totals.yaml")
    assert (run.ok, run.status, run.run_id) == (True, "complete", run.session)
    assert run.folder == shop / "logs" / run.session
    assert [*run.steps] == ["sales", "regions", "report"]
    report = run.steps["report"]
    assert (report.mode, report.rows_in, report.rows_out, report.target) == ("write", 3, 3, "out/totals.csv")
    assert 0 < report.seconds < 300
    assert len(report.digest) == 64
    assert run.steps["sales"].digest is None
    output = run.output("report")
    assert output.arrow().to_pylist() == TOTALS
    assert (output.rows, len(output), output.columns) == (3, 3, ("region", "total"))
    assert [(column.name, column.type) for column in output.schema] == [("region", "utf8"), ("total", "decimal(38,2)")]
    texts = [{"region": row["region"], "total": str(row["total"])} for row in TOTALS]
    assert [*csv.DictReader((shop / "out" / "totals.csv").read_text().splitlines())] == texts
    assert run.rejected == {}
    assert run.explain().startswith("It was a new run.\nIt completed 3 steps")


def test_every_frame_has_the_rows(shop):
    output = osiris.run("pipelines/totals.yaml").output("report")
    assert output.polars().to_dicts() == TOTALS
    assert output.pandas().to_dict("records") == TOTALS
    relation = output.duckdb()
    assert relation.columns == ["region", "total"]
    assert relation.fetchall() == [(row["region"], row["total"]) for row in TOTALS]
    assert pa.table(output).to_pylist() == TOTALS


def test_a_relation_of_duckdb_lives_longer_than_the_run(shop):
    relation = osiris.run("pipelines/totals.yaml").output("report").duckdb()
    gc.collect()
    assert len(relation.fetchall()) == 3


@pytest.mark.parametrize("keep", [True, ["sales", "regions", "report"], "sales"])
def test_what_is_on_record_is_the_same_as_without_keeping(shop, keep):
    kept, not_kept = osiris.run("pipelines/totals.yaml", keep=keep), osiris.run("pipelines/totals.yaml", keep=False)
    assert on_record(kept) == on_record(not_kept)
    assert osiris.verify(kept, not_kept).same
    assert not list((shop / ".osiris" / "spools").glob("*"))


def test_named_steps_are_kept(shop):
    run = osiris.run("pipelines/totals.yaml", keep=("sales", "regions"))
    assert [row["region"] for row in run.output("sales").arrow().to_pylist()] == [row[1] for row in SALES]
    assert run.output("regions").arrow().to_pylist() == TOTALS
    with pytest.raises(
        osiris.OsirisError, match=r"step 'report' are not available: they were not kept\n +hint: run it"
    ):
        run.output("report")
    with pytest.raises(osiris.OsirisError, match="CMP042"):
        run.output("reprot")
    with pytest.raises(osiris.OsirisError, match="CMP042"):
        osiris.run("pipelines/totals.yaml", keep=("sale",))


def test_rows_that_no_step_read_are_kept_too(shop):
    numbers = pa.table({"n": list(range(100_000))})
    pq.write_table(numbers, "n.parquet", row_group_size=1000)
    file = pipeline(
        shop,
        """
  - {id: numbers, component: filesystem.parquet_extractor, mode: read, config: {path: n.parquet}}
  - {id: few, component: duckdb.processor, mode: transform, config: {query: "SELECT n FROM numbers ORDER BY n LIMIT 3"}}
  - {id: none, component: duckdb.processor, mode: transform, needs: [numbers], config: {query: "FROM numbers LIMIT 0"}}
""",
    )
    run = osiris.run(file, keep=("numbers", "few", "none"))
    assert run.output("numbers").arrow()["n"].to_pylist() == numbers["n"].to_pylist()
    assert run.output("few").arrow()["n"].to_pylist() == [0, 1, 2]
    assert (run.output("none").rows, run.output("none").columns) == (0, ("n",))
    assert run.output("none").polars().shape == run.output("none").pandas().shape == (0, 1)
    assert run.output("none").duckdb().fetchall() == []


def test_a_reader_that_stops_early(shop):
    pq.write_table(pa.table({"n": list(range(200_000))}), "n.parquet", row_group_size=1000)
    file = pipeline(
        shop,
        """
  - {id: numbers, component: filesystem.parquet_extractor, mode: read, config: {path: n.parquet}}
  - {id: few, component: duckdb.processor, mode: transform, config: {query: "SELECT n FROM numbers LIMIT 3"}}
""",
    )
    run = osiris.run(file, keep=("numbers",))
    assert run.output("numbers").arrow()["n"].to_pylist() == list(range(200_000))


def test_fused_steps_have_rows_of_their_own(shop):
    pq.write_table(pa.table({"n": [3, 1, 2], "unused": ["a", "b", "c"]}), "n.parquet")
    file = pipeline(
        shop,
        """
  - {id: numbers, component: filesystem.parquet_extractor, mode: read, config: {path: n.parquet}}
  - {id: doubled, component: duckdb.processor, mode: transform, config: {query: "SELECT 2 * n AS m FROM numbers"}}
  - {id: out, component: filesystem.parquet_writer, mode: write, config: {path: out.parquet}}
""",
    )
    plan = osiris.compile(file)
    assert plan.steps["doubled"].fused == ("numbers",)
    run = osiris.run(plan.fingerprint, keep=("numbers", "doubled", "out"))
    assert run.output("numbers").arrow().to_pydict() == {"n": [3, 1, 2]}
    assert run.output("doubled").arrow().to_pydict() == run.output("out").arrow().to_pydict() == {"m": [6, 2, 4]}
    assert osiris.verify(run, osiris.run(plan.fingerprint)).same


def test_several_readers_of_one_step(shop):
    file = pipeline(
        shop,
        """
  - {id: sales, component: filesystem.csv_extractor, mode: read, config: {path: sales.csv}}
  - {id: a, component: filesystem.csv_writer, mode: write, needs: [sales], config: {path: a.csv}}
  - {id: b, component: filesystem.csv_writer, mode: write, needs: [sales], config: {path: b.csv}}
  - {id: c, component: duckdb.processor, mode: transform, needs: [sales], config: {query: "SELECT 4 AS m FROM sales"}}
""",
    )
    run = osiris.run(file)
    assert run.output("a").rows == run.output("b").rows == 4
    assert run.output("c").arrow().to_pydict() == {"m": [4, 4, 4, 4]}
    assert osiris.run(file, keep=["sales"]).output("sales").rows == 4


def test_rejected_rows(shop):
    (shop / "sales.csv").write_text("id,amount\n1,5\nx,6\n3,y\n")
    file = pipeline(
        shop,
        """
  - id: sales
    component: filesystem.csv_extractor
    mode: read
    config: {path: sales.csv, dtype: {id: int64, amount: int64}, on_reject: quarantine}
  - {id: out, component: filesystem.csv_writer, mode: write, config: {path: out.csv}}
""",
    )
    run = osiris.run(file, keep=("sales", "out"))
    assert run.steps["sales"].rows_rejected == 2
    assert {name: (each.count, len(each)) for name, each in run.rejected.items()} == {"sales": (2, 2)}
    rows = run.rejected["sales"].arrow().to_pylist()
    assert [(row["line"], row["column"], row["value"]) for row in rows] == [("3", "id", "x"), ("4", "amount", "y")]
    assert run.output("sales").arrow().to_pylist() == [{"id": "1", "amount": "5"}]
    assert "<td" in run.rejected["sales"]._repr_html_()


@pytest.mark.parametrize(
    ("kind", "value", "printed"),
    [
        ("string", "a b'c", "a b'c"),
        ("integer", 7, "7"),
        ("number", 2.5, "2.5"),
        ("number", Decimal("0.10"), "0.10"),
        ("boolean", True, "true"),
        ("date", date(2024, 2, 29), "2024-02-29"),
        ("string", datetime(2024, 2, 29, 1, 2, 3, tzinfo=UTC), "2024-02-29T01:02:03+00:00"),
    ],
)
def test_parameters(shop, osiris_command, kind, value, printed):
    (shop / "p.yaml").write_text(f"""
oml_version: "0.1.0"
name: p
params: {{v: {{type: {kind}}}}}
steps:
  - {{id: sales, component: filesystem.csv_extractor, mode: read, config: {{path: sales.csv}}}}
  - {{id: one, component: duckdb.processor, mode: transform, config: {{query: "SELECT ${{params.v}} AS v FROM sales"}}}}
""")
    plan = osiris.compile("p.yaml", params={"v": value})
    typed = json.loads(osiris_command("compile", "p.yaml", "--param", f"v={printed}", "--json", cwd=shop).stdout)
    assert plan.fingerprint == typed["data"]["fingerprint"]


@pytest.fixture
def osiris_command(request):
    return request.getfixturevalue("osiris")


def test_a_parameter_of_another_type(shop):
    with pytest.raises(osiris.OsirisError, match=r"parameter 'least' is a dict\n +hint: give str, int"):
        osiris.run("pipelines/totals.yaml", params={"least": {}})
    with pytest.raises(osiris.OsirisError, match="OML019"):
        osiris.run("pipelines/totals.yaml", params={"leest": 1})


def test_a_failed_run(shop):
    (shop / "sales.csv").write_text("id,region,amount\n1,north,2\n")
    osiris.compile("pipelines/totals.yaml")
    file = pipeline(
        shop,
        """
  - {id: sales, component: filesystem.csv_extractor, mode: read, config: {path: sales.csv, dtype: {region: int64}}}
  - {id: out, component: filesystem.csv_writer, mode: write, config: {path: out.csv}}
""",
    )
    with pytest.raises(osiris.RunFailed) as failed:
        osiris.run(file)
    error = failed.value
    assert (error.run.status, error.run.ok, error.exit_code) == ("failed", False, 1)
    assert error.diagnostics == error.run.diagnostics
    assert str(error).startswith(f"run {error.run.session} failed\n")
    assert "sales.csv" in str(error)
    assert error.run.steps["out"].status != "complete"
    with pytest.raises(osiris.OsirisError, match="RUN058"):
        error.run.output("out")
    assert "Step sales failed" in error.run.explain()
    again = osiris.run(file, check=False, new_run=True)
    assert again.status == "failed"
    assert "sales.csv" in again._repr_html_()


def test_errors_are_short_and_say_what_to_do(shop):
    with pytest.raises(osiris.OsirisError) as missing:
        osiris.run("pipelines/total.yaml")
    assert str(missing.value) == (
        "PRJ009 pipelines/total.yaml does not exist\n  hint: did you mean pipelines/totals.yaml?"
    )
    ours = [frame for frame in traceback.extract_tb(missing.value.__traceback__) if "/osiris/" in frame.filename]
    assert len(ours) == 1
    assert missing.value.__cause__ is None
    (shop / "bad.yaml").write_text('oml_version: "0.1.0"\nname: bad\nsteps:\n  - {id: a, mode: read}\n')
    with pytest.raises(osiris.OsirisError, match=r"^bad.yaml:4:5: OML\d+ "):
        osiris.compile("bad.yaml")
    with pytest.raises(osiris.OsirisError, match=r"no pipeline is given\n +hint: give a file"):
        osiris.run()
    with pytest.raises(osiris.OsirisError, match="cannot be combined"):
        osiris.run("pipelines/totals.yaml", new_run=True, run_id="x")
    with pytest.raises(osiris.OsirisError, match="PRJ001"):
        osiris.open_project("/")


def test_validation_does_not_raise(shop):
    assert osiris.validate().ok
    (shop / "pipelines" / "bad.yaml").write_text("name: bad\n")
    checked = osiris.validate()
    assert (checked.ok, bool(checked)) == (False, False)
    assert checked.files == {"pipelines/bad.yaml": False, "pipelines/totals.yaml": True}
    assert any(item.severity == "error" for item in checked.diagnostics)
    assert osiris.validate("pipelines/totals.yaml", params={"least": 1}).ok


def test_a_plan(shop):
    plan = osiris.compile("pipelines/totals.yaml", params={"least": 5})
    assert plan.path == shop / "build" / "totals" / plan.fingerprint[:12] / "manifest.json"
    assert json.loads(plan.path.read_bytes())["fingerprint"] == plan.fingerprint
    assert [step.mode for step in plan.steps.values()] == ["read", "transform", "write"]
    assert "sum of amount" in plan.explain()
    assert osiris.run(plan.path).output("report").arrow().to_pylist() == [TOTALS[1]]
    assert osiris.run(plan.fingerprint).ok


def test_a_preview_has_types(shop):
    output = osiris.preview("pipelines/totals.yaml")
    assert (output.step, output.arrow().to_pylist()) == ("regions", TOTALS)
    assert osiris.preview("pipelines/totals.yaml", "sales", rows=2).arrow()["id"].to_pylist() == [1, 2]
    assert osiris.preview("pipelines/totals.yaml", sample=1).arrow().to_pylist() == [
        {"region": "north", "total": Decimal("10.50")}
    ]
    assert not (shop / "out").exists()
    assert not (shop / "logs").exists()
    with pytest.raises(osiris.OsirisError, match="CMP042"):
        osiris.preview("pipelines/totals.yaml", "sale")


def test_sources_and_lineage(shop):
    table = osiris.discover("sales.csv").tables["sales.csv"]
    assert [(column.name, column.type) for column in table.columns] == [
        ("id", "int64"),
        ("region", "utf8"),
        ("amount", "decimal(38,2)"),
    ]
    assert table.read["component"] == "filesystem.csv_extractor"
    assert "sales.csv#amount" in osiris.lineage("pipelines/totals.yaml", "report.total")._repr_html_()
    with pytest.raises(osiris.OsirisError, match="DAT005"):
        osiris.lineage("pipelines/totals.yaml", "report.totals")


def test_a_comparison(shop):
    first = osiris.run("pipelines/totals.yaml")
    second = osiris.run("pipelines/totals.yaml", params={"least": 5})
    verdict = osiris.verify(first, second)
    assert not verdict.same
    assert "differs" in verdict._repr_html_()
    assert osiris.verify(second.session, "last").same


def test_delivered_rows_are_not_computed_again(shop):
    first = osiris.run("pipelines/totals.yaml", run_id="night-1")
    again = osiris.run("pipelines/totals.yaml", run_id="night-1")
    assert again.session == first.session
    with pytest.raises(osiris.OsirisError, match=r"had already finished, so nothing was run\n +hint: osiris\.preview"):
        again.output("report")


def connections(folder, text):
    (folder / "osiris_connections.yaml").write_text(f"connections:\n{text}")


STAGED = """
  - {{id: sales, component: filesystem.csv_extractor, mode: read, config: {{path: sales.csv}}}}
  - id: load
    component: {family}.writer
    mode: write
    config: {{connection: "@{family}.wh", table: sales, write_mode: {mode}{key}}}
"""


@pytest.mark.parametrize("mode", ["append", "upsert"])
@pytest.mark.parametrize("family", ["sqlite", "postgres"])
def test_rows_given_to_a_database(shop, request, family, mode):
    if family == "sqlite":
        connections(shop, "  sqlite: {wh: {path: wh.sqlite}}\n")
    else:
        server = request.getfixturevalue("postgres")
        fields = server.fields(server.new_database())
        os.environ["WH_SECRET_WORD"] = str(fields.pop("password"))
        request.addfinalizer(lambda: os.environ.pop("WH_SECRET_WORD"))
        connections(shop, f"  postgres: {{wh: {json.dumps({**fields, 'password': '${WH_SECRET_WORD}'})}}}\n")
    key = ", primary_key: [id]" if mode == "upsert" else ""
    file = pipeline(shop, STAGED.format(family=family, mode=mode, key=key))
    given = [{"id": row[0], "region": row[1], "amount": Decimal(row[2])} for row in SALES]
    assert osiris.run(file).output("load").arrow().to_pylist() == given
    (shop / "sales.csv").write_text("id,region,amount\n4,west,9.00\n5,west,2.00\n")
    second = osiris.run(file)
    assert second.output("load").polars()["id"].to_list() == [4, 5]
    assert second.steps["load"].rows_out == 2
    table = osiris.discover(f"@{family}.wh").tables["sales"]
    assert [column.name for column in table.columns] == ["id", "region", "amount"]
    if family == "sqlite":
        with sqlite3.connect("wh.sqlite") as database:
            ids = sorted(row[0] for row in database.execute("SELECT id FROM sales"))
        assert ids == ([1, 2, 3, 4, 5] if mode == "upsert" else [1, 2, 3, 4, 4, 5])


def test_kept_files_are_private_and_go_with_the_run(shop):
    run = osiris.run("pipelines/totals.yaml")
    files = [*(shop / ".osiris" / "scratch").rglob("*")]
    assert {path.name for path in files if path.is_file()} == {"report.arrow"}
    modes = {path.is_dir(): stat.S_IMODE(path.stat().st_mode) for path in files}
    assert modes == {True: 0o700, False: 0o600}
    output = run.output("report")
    del run
    gc.collect()
    assert output.rows == 3
    del output
    gc.collect()
    assert not list((shop / ".osiris" / "scratch").iterdir())
    assert "scratch" not in "".join(str(path) for path in (shop / "logs").rglob("*"))


def test_kept_files_go_with_the_process(shop):
    script = "import osiris; run = osiris.run('pipelines/totals.yaml'); print(run.output('report').rows)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("3\n", "")
    assert not list((shop / ".osiris" / "scratch").iterdir())


def state_of_process():
    gc.collect()
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    return len(os.listdir("/proc/self/fd")), threading.active_count(), children


def test_many_runs_leave_nothing_behind(shop):
    osiris.run("pipelines/totals.yaml").output("report").polars()
    before, files = state_of_process(), {path for path in shop.rglob("*") if "logs" not in path.parts}
    for number in range(20):
        run = osiris.run("pipelines/totals.yaml", params={"least": 0})
        assert run.output("report").polars().height == 3, number
        osiris.preview("pipelines/totals.yaml")
    del run
    assert state_of_process() == before
    assert {path for path in shop.rglob("*") if "logs" not in path.parts} == files


def test_the_project_is_that_of_the_file(shop, tmp_path_factory, monkeypatch):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    assert osiris.run(shop / "pipelines" / "totals.yaml").folder.parent == shop / "logs"
    project = osiris.open_project(shop, settings={"run.threads": 1})
    run = project.run("pipelines/totals.yaml")
    assert json.loads((run.folder / "run.json").read_text())["settings"]["run.threads"]["value"] == 1
    assert osiris.verify(run, run).same
    assert repr(project).startswith(f"Project(root={str(shop)!r}".replace("'/", "PosixPath('/"))
    monkeypatch.setenv("OSIRIS_HOME", str(shop))
    assert osiris.open_project() == osiris.open_project(shop)


def test_a_project_is_read_again_by_each_call(shop):
    project = osiris.open_project()
    (shop / "osiris.yaml").write_text("run: {threads: 1}\n")
    run = project.run("pipelines/totals.yaml")
    assert json.loads((run.folder / "run.json").read_text())["settings"]["run.threads"]["value"] == 1


def test_rows_without_room_fail_no_run(shop):
    run = osiris.open_project(settings={"run.spool_limit": "1kB"}).run("pipelines/totals.yaml")
    assert run.output("report").rows == 3
    small = osiris.open_project(settings={"run.spool_limit": 10}).run("pipelines/totals.yaml")
    assert small.ok
    with pytest.raises(osiris.OsirisError, match="they were not kept"):
        small.output("regions")
    with pytest.raises(osiris.OsirisError, match=r"there was no room for them \(run.spool_limit\)\n +hint:"):
        small.output("report")
    assert osiris.verify(run, small).same
    assert not list((shop / ".osiris" / "spools").glob("*"))


def test_rows_of_a_sandbox(shop):
    run = osiris.run("pipelines/totals.yaml", target="bwrap")
    assert json.loads((run.folder / "run.json").read_text())["adapter"] == "bwrap"
    assert run.output("report").arrow().to_pylist() == TOTALS
    assert osiris.verify(run, osiris.run("pipelines/totals.yaml", target="local", keep=False)).same


def test_rows_of_a_remote_run_stay_there(shop, e2b, monkeypatch):
    for name, value in e2b.environment.items():
        monkeypatch.setenv(name, value)
    run = osiris.run("pipelines/totals.yaml", target="e2b")
    assert run.ok
    with pytest.raises(
        osiris.OsirisError, match=r"was on target 'e2b', and rows stay there\n +hint: run it with target="
    ):
        run.output("report")
    with pytest.raises(osiris.OsirisError, match="PRJ004"):
        osiris.run("pipelines/totals.yaml", target="moon")


HOSTILE = "<script>alert(1)</script>&\"'\u202e"


def test_html_is_escaped_and_without_secrets(shop, monkeypatch):
    monkeypatch.setenv("WH_SECRET_WORD", "correct horse battery")
    connections(shop, '  postgres: {wh: {host: h, database: d, user: u, password: "${WH_SECRET_WORD}"}}\n')
    with open("sales.csv", "w", newline="") as file:
        csv.writer(file).writerows([["id", HOSTILE], ["1", HOSTILE], ["2", "correct horse battery"]])
    steps = """
  - {id: csv, component: filesystem.csv_extractor, mode: read, config: {path: sales.csv}}
  - {id: sales, component: duckdb.processor, mode: transform, config: {query: "SELECT * FROM csv"}}
"""
    file = pipeline(shop, steps)
    run = osiris.run(file)
    shown = [run, run.output("sales"), osiris.preview(file), osiris.compile(file), osiris.discover("sales.csv")]
    for result in shown:
        page = result._repr_html_()
        assert "<script" not in page
        assert "\u202e" not in page
        assert "correct horse battery" not in page
        assert len(repr(result)) < 200
    assert "&lt;script&gt;" in shown[1]._repr_html_()
    assert run.output("sales").arrow()[HOSTILE].to_pylist() == [HOSTILE, "correct horse battery"]
    with pytest.raises(osiris.OsirisError) as refused:
        osiris.run("correct horse battery.yaml")
    assert "correct horse" not in str(refused.value)


def test_a_missing_library(shop, monkeypatch):
    output = osiris.preview("pipelines/totals.yaml")
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(osiris.OsirisError, match=r"PRJ019 polars is not installed\n +hint: pip install polars"):
        output.polars()


def test_names_are_the_functions_whatever_was_imported_before():
    script = """
import importlib, pkgutil, osiris
for module in pkgutil.walk_packages(osiris.__path__, "osiris."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
for name in osiris.__all__:
    value = getattr(osiris, name)
    assert type(value).__name__ in ("function", "type", "str"), (name, value)
from osiris import *
assert run is osiris.run and callable(compile) and set(osiris.__all__) == set(dir(osiris))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_loads_nothing():
    script = "import sys; before = {*sys.modules}; import osiris; print({*sys.modules} - before)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "{'osiris'}\n"
    script = "import sys, osiris.cli.main, osiris.mcp; print('osiris.python' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "False\n"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        osiris.nothing  # noqa: B018


def test_the_version(osiris_command, tmp_path):
    assert osiris_command("--version", cwd=tmp_path).stdout.strip().endswith(osiris.__version__)
