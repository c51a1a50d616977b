"""What a plan will do, where its columns come from and what they affect, with the real command."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

HEAD = 'oml_version: "0.1.0"\nname: {name}\nsteps:\n'
READ = "  - {{id: {id}, component: filesystem.csv_extractor, mode: read, needs: [], config: {{path: {path}}}}}\n"
QUERY = """  - id: {id}
    component: duckdb.processor
    mode: transform
    needs: [{needs}]
    config:
      query: {query}
"""
WRITE = "  - {{id: {id}, component: filesystem.csv_writer, mode: write, needs: [{needs}], config: {{path: {path}}}}}\n"

SALES = (
    "SELECT c.name, sum(o.amount) AS total, max(o.id) + 1 AS following FROM orders AS o, people AS c "
    "WHERE o.person = c.id GROUP BY c.name"
)


def sales(query=SALES):
    return HEAD.format(name="sales") + "".join(
        (
            READ.format(id="orders", path="data/orders.csv"),
            READ.format(id="people", path="data/people.csv"),
            QUERY.format(id="joined", needs="orders, people", query=query),
            WRITE.format(id="report", needs="joined", path="output/report.csv"),
        )
    )


def follow():
    return HEAD.format(name="follow") + "".join(
        (
            READ.format(id="load", path="output/report.csv"),
            QUERY.format(id="rich", needs="load", query="SELECT name, following FROM load WHERE total > 10"),
            WRITE.format(id="save", needs="rich", path="output/rich.csv"),
        )
    )


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A project with a pipeline over two files, compiled once for all tests of this file."""
    folder = tmp_path_factory.mktemp("shop")
    for name, text in {
        "osiris.yaml": "",
        "data/orders.csv": "id,person,amount,note\n1,1,2.50,x\n2,1,20.00,y\n",
        "data/people.csv": "id,name\n1,Ann\n",
        "pipelines/sales.yaml": sales(),
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    command = Path(sys.executable).parent / "osiris"
    subprocess.run([command, "compile", "pipelines/sales.yaml"], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def shop(osiris, compiled, tmp_path):
    """A copy of the project, and a function that runs a command in it."""
    folder = tmp_path / "shop"
    shutil.copytree(compiled, folder)

    def call(*args, code=0):
        done = osiris(*args, cwd=folder)
        assert done.returncode == code, done.stderr
        return done

    call.folder = folder
    (call.short,) = (path.name for path in (folder / "build" / "sales").iterdir())
    call.json = lambda *args, **options: json.loads(call(*args, "--json", **options).stdout)
    return call


def write(shop, name, text):
    (shop.folder / "pipelines" / f"{name}.yaml").write_text(text, encoding="utf-8")


def test_compile_shows_what_the_plan_will_do(shop):
    shutil.rmtree(shop.folder / "build")
    lines = shop("compile", "pipelines/sales.yaml").stdout.splitlines()
    assert [line.split()[0] for line in lines[3:8]] == ["step", "orders", "people", "joined", "report"]
    assert "report creates output/report.csv, atomic_replace" in lines
    assert "flow data/orders.csv -> output/report.csv: amount (aggregate), id (aggregate)" in lines
    assert "flow data/people.csv -> output/report.csv: name" in lines
    shop("run", "--last-compile")
    again = shop("compile", "pipelines/sales.yaml").stdout
    size = (shop.folder / "output" / "report.csv").stat().st_size
    assert f"report replaces output/report.csv ({size} bytes), atomic_replace" in again
    assert "flow" not in again.split("report replaces")[1]


def test_only_what_newly_flows_is_called_new_and_diff_names_the_cause(shop):
    write(shop, "sales", sales(SALES.replace("c.name,", "c.name, min(o.note) AS note,")))
    text = shop("compile", "pipelines/sales.yaml").stdout
    assert "new flow data/orders.csv -> output/report.csv: note (aggregate)" in text
    assert "people.csv -> output" not in text
    lines = shop("diff", shop.short, text.split()[2], code=1).stdout.splitlines()
    assert any(line.startswith("steps/joined/config/query") for line in lines)
    assert not any("lineage" in line for line in lines)


def test_the_plan_as_data(shop):
    plan = shop.json("compile", "pipelines/sales.yaml", "--check")["data"]["plan"]
    assert [step["id"] for step in plan["steps"]] == ["orders", "people", "joined", "report"]
    assert plan["targets"] == [
        {
            "step": "report",
            "target": "output/report.csv",
            "action": "creates",
            "delivery": "atomic_replace",
            "bytes": None,
            "note": "",
        }
    ]
    assert {flow["target"] for flow in plan["flows"]} == {"output/report.csv"}
    assert plan["new_flows"] == []
    lines = shop("run", "--last-compile", "--dry-run").stdout.splitlines()
    assert "report creates output/report.csv, atomic_replace" in lines
    assert lines[-1] == "nothing was run (--dry-run)"


def test_the_plan_as_a_diagram_and_a_page(shop):
    done = shop("compile", "pipelines/sales.yaml", "--format", "mermaid", "--html", "plan.html")
    assert done.stdout.splitlines()[0] == "flowchart TD"
    page = (shop.folder / "plan.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "output/report.csv" in page
    refused = shop("compile", "pipelines/sales.yaml", "--html", "nowhere/plan.html", code=2)
    assert "PRJ006" in refused.stderr


def test_lineage_of_every_target(shop):
    assert shop("lineage").stdout.splitlines() == [
        "report -> output/report.csv",
        "  name <- data/people.csv#name (copy)",
        "  total <- data/orders.csv#amount (aggregate)",
        "  following <- data/orders.csv#id (aggregate)",
        "  row selection and order <- data/orders.csv#person, data/people.csv#id, data/people.csv#name",
    ]


def test_lineage_of_a_pipeline_that_is_not_compiled(shop):
    write(shop, "sales", sales("SELECT c.id FROM people AS c, orders AS o"))
    lines = shop("lineage", "pipelines/sales.yaml").stdout.splitlines()
    assert lines == ["report -> output/report.csv", "  id <- data/people.csv#id (copy)"]
    assert [path.name for path in (shop.folder / "build" / "sales").iterdir()] == [shop.short]


def test_lineage_of_a_step_and_of_a_column(shop):
    assert shop("lineage", "joined").stdout.splitlines()[:2] == ["joined", "  name <- data/people.csv#name (copy)"]
    lines = [
        "report.total -> output/report.csv",
        "  <- copy joined.total",
        "    <- aggregate orders.amount  data/orders.csv#amount",
        "  row selection and order <- data/orders.csv#person, data/people.csv#id, data/people.csv#name",
    ]
    assert shop("lineage", "report.total").stdout.splitlines() == lines
    assert shop("lineage", "report.total", shop.short).stdout.splitlines() == lines
    data = json.loads(shop("lineage", "report.total", "--format", "json").stdout)["data"]
    assert data["steps"][0]["columns"][0]["arrows"] == [
        [["joined", "total"], ["report", "total"], "copy"],
        [["orders", "amount"], ["joined", "total"], "aggregate"],
    ]
    diagram = shop("lineage", "report.total", "--format", "mermaid").stdout.splitlines()
    assert diagram[0] == "flowchart LR"
    assert sum("-->|" in line for line in diagram) == 2


def test_unknown_steps_and_columns_have_a_nearest_name(shop):
    refused = shop("lineage", "repart.total", code=2).stderr
    assert "CMP042" in refused
    assert "did you mean 'report'?" in refused
    refused = shop("lineage", "report.totl", code=2).stderr
    assert "DAT005" in refused
    assert "did you mean 'total'?" in refused


def test_impact_goes_through_all_pipelines(shop):
    shop("run", "--last-compile")
    write(shop, "follow", follow())
    shop("compile", "pipelines/follow.yaml")
    assert shop("impact", "data/orders.csv#amount").stdout.splitlines()[1:] == [
        "  load: total (aggregate)",
        "  rich: row selection and order",
        "  save -> output/rich.csv: row selection and order",
        f"sales {shop.short}",
        "  orders: amount (copy)",
        "  joined: total (aggregate)",
        "  report -> output/report.csv: total (aggregate)",
        "2 pipelines, 2 targets",
    ]
    data = shop.json("impact", "data/people.csv#name")["data"]
    assert (data["source"], data["column"]) == ("data/people.csv", "name")
    assert {step["target"] for found in data["pipelines"] for step in found["steps"] if step["target"]} == {
        "output/report.csv",
        "output/rich.csv",
    }


def test_what_no_plan_reads_is_told_from_what_does_not_exist(shop):
    unread = shop("impact", "data/orders.csv#note")
    assert unread.stdout.splitlines() == ["no plan reads data/orders.csv#note", "0 pipelines, 0 targets"]
    assert unread.stderr == ""
    refused = shop("impact", "data/orders.csv#amont", code=2).stderr
    assert "CMP041" in refused
    assert "did you mean 'data/orders.csv#amount'?" in refused
    assert "did you mean 'data/orders.csv'?" in shop("impact", "data/order.csv", code=2).stderr


def test_plans_that_are_missing_or_out_of_date_are_named(shop):
    write(shop, "follow", follow())
    write(shop, "broken", "name: x\n")
    write(shop, "sales", sales(SALES.replace("max", "min")))
    found = {
        item["file"] or item["message"].split(":")[0]: item
        for item in shop.json("impact", "data/orders.csv")["diagnostics"]
    }
    assert {item["code"] for item in found.values()} == {"CMP040"}
    assert "has errors" in found["pipelines/broken.yaml"]["message"]
    assert "has no plan" in found["pipelines/follow.yaml"]["message"]
    assert "was edited after its plan" in found["pipelines/sales.yaml"]["message"]
    assert "MIN(o.id)" in found["pipelines/sales.yaml"]["message"]
    assert found["pipelines/sales.yaml"]["hint"] == "run 'osiris compile pipelines/sales.yaml'"


def test_a_plan_with_parameters_is_compared_with_them(shop):
    declared = "params:\n  least: {type: integer, default: 1}\n  names: {type: list, default: [Ann]}\nsteps:\n"
    query = "SELECT o.id FROM orders AS o, people AS c WHERE o.amount > ${params.least} AND c.name IN (${params.names})"
    write(shop, "sales", sales(query).replace("steps:\n", declared))
    shop("compile", "pipelines/sales.yaml", "--param", "least=5", "--param", "names=Ann,Bob")
    assert "CMP040" not in shop("impact", "data/orders.csv").stderr


def test_a_plan_that_was_tampered_with_is_not_believed(shop):
    (plan,) = (shop.folder / "build" / "sales").glob("*/manifest.json")
    plan.write_text(plan.read_text(encoding="utf-8").replace('"aggregate"', '"copy"'), encoding="utf-8")
    refused = shop("impact", "data/orders.csv#amount")
    assert "no plan reads data/orders.csv#amount" in refused.stdout
    assert "CMP040" in refused.stderr
    shop("lineage", code=4)


def test_tables_are_named_by_their_connection(shop):
    with duckdb.connect(shop.folder / "shop.duckdb") as database:
        database.execute("CREATE TABLE orders AS SELECT 1 AS id, 2.5 AS amount")
        database.execute("CREATE TABLE people AS SELECT 1 AS id, 'Ann' AS name")
    fields = "connections: {duckdb: {main: {path: shop.duckdb}}}\n"
    (shop.folder / "osiris_connections.yaml").write_text(fields, encoding="utf-8")
    read = """  - id: {id}
    component: duckdb.extractor
    mode: read
    needs: []
    config: {{connection: "@duckdb.main", {what}}}
"""
    save = """  - id: save
    component: duckdb.writer
    mode: write
    needs: [sums]
    config: {connection: "@duckdb.main", table: totals}
"""
    steps = (
        read.format(id="orders", what="table: orders"),
        read.format(id="people", what='query: "SELECT id, name FROM people"'),
        QUERY.format(id="sums", needs="orders, people", query="SELECT p.name, o.amount FROM orders AS o, people AS p"),
        save,
    )
    write(shop, "tables", HEAD.format(name="tables") + "".join(steps))
    compiled = shop("compile", "pipelines/tables.yaml").stdout.splitlines()
    assert "save creates @duckdb.main.totals, exactly_once" in compiled
    assert "flow @duckdb.main.orders -> @duckdb.main.totals: amount" in compiled
    assert shop("impact", "@duckdb.main.orders.amount").stdout.splitlines()[1:] == [
        "  orders: amount (copy)",
        "  sums: amount (copy)",
        "  save -> @duckdb.main.totals: amount (copy)",
        "1 pipeline, 1 target",
    ]
    assert "name (unknown)" in shop("impact", "@duckdb.main.people.name").stdout
    assert "did you mean '@duckdb.main.orders'?" in shop("impact", "@duckdb.main.order", code=2).stderr
