"""A newcomer's first hour: mistakes are located, and messages can be understood without further reading."""

import json
import re

import pytest
from tests.e2e.sessions import new_project

PIPELINE = """\
oml_version: "0.1.0"
name: first
steps:
  - {{id: orders, component: filesystem.csv_extractor, mode: read, config: {{path: data/orders.csv}}}}
{steps}
"""
WRITE = "  - {id: save, component: filesystem.csv_writer, mode: write, config: {path: output/first.csv}}"


@pytest.fixture
def project(osiris, tmp_path):
    folder = tmp_path / "shop"
    new_project(folder)

    def call(*words, steps=None, **options):
        if steps is not None:
            (folder / "pipelines/first.yaml").write_text(PIPELINE.format(steps=steps), encoding="utf-8")
        return osiris(*words, cwd=folder, **options)

    call.folder = folder
    return call


def problems(done):
    return json.loads(done.stdout)["diagnostics"]


def test_a_misplaced_query_is_one_problem(project):
    steps = f'  - {{id: sums, component: duckdb.processor, mode: transform, query: "SELECT 1"}}\n{WRITE}'
    (problem,) = problems(project("validate", "pipelines/first.yaml", "--json", steps=steps))
    assert (problem["code"], problem["hint"]) == ("OML002", "it belongs into the step's config: config: {query: …}")


def test_an_unknown_column_of_a_key_is_shown_in_the_key(project):
    (project.folder / "osiris_connections.yaml").write_text("version: 1\nconnections: {sqlite: {db: {path: x.db}}}\n")
    config = '{connection: "@sqlite.db", table: t, write_mode: upsert, primary_key: [order_id, nr]}'
    steps = f"  - {{id: save, component: sqlite.writer, mode: write, config: {config}}}"
    (problem,) = problems(project("compile", "pipelines/first.yaml", "--json", steps=steps))
    assert (problem["code"], problem["pointer"]) == ("DAT005", "/steps/1/config/primary_key/1")


def test_a_port_where_nobody_listens_is_shown_at_the_port(project):
    fields = "{host: 127.0.0.1, port: 1, database: shop, user: me, password: '${PASSWORD}'}"
    file = project.folder / "osiris_connections.yaml"
    file.write_text(f"version: 1\nconnections:\n  postgres:\n    shop: {fields}\n")
    (project.folder / ".env").write_text("PASSWORD=x\n")
    steps = '  - {id: r, component: postgres.extractor, mode: read, config: {connection: "@postgres.shop", table: t}}'
    (problem,) = problems(project("compile", "pipelines/first.yaml", "--json", steps=f"{steps}\n{WRITE}"))
    line = file.read_text().splitlines()[problem["line"] - 1]
    assert (problem["code"], line[problem["column"] - 1 :][:2]) == ("CON011", "1,")


def test_columns_that_may_be_meant_are_those_of_the_sources(project):
    query = "SELECT amount AS total, count(*) AS n FROM orders GROUP BY 1 HAVING bool_or(xyz)"
    steps = f'  - {{id: sums, component: duckdb.processor, mode: transform, config: {{query: "{query}"}}}}\n{WRITE}'
    (problem,) = problems(project("compile", "pipelines/first.yaml", "--json", steps=steps))
    assert (problem["code"], problem["hint"].startswith("columns: amount ")) == ("SQL009", True)
    assert "total" not in problem["hint"]


def test_notes_are_shown_by_the_option_that_is_named(project):
    project("discover", "data/orders.csv")
    done = project("compile", "pipelines/first.yaml", steps=WRITE)
    assert "(--verbose shows " in done.stdout
    assert " note " not in project("compile", "pipelines/first.yaml", "--verbose").stdout


def test_a_file_is_profiled_without_being_named_twice(project):
    assert project("discover", "data/orders.csv").stderr == "next: osiris discover data/orders.csv --profile\n"


def test_runs_are_listed_without_empty_columns_and_say_that_times_overlap(project):
    done = project("run", "pipelines/example.yaml")
    assert "their times overlap\n" in done.stdout
    header = re.split(" {2,}", project("logs", "list").stdout.splitlines()[0])
    assert header == ["session", "status", "started (UTC)", "pipeline", "where", "ms", "rows out"]
    card = project("logs", "aiop", "--format", "md").stdout
    assert "## Time\n\n| step | ms |\n" in card
    assert "so their times overlap." in card
    project("run", "pipelines/example.yaml", "--run-id", "day-1")
    assert "  run id  " in project("logs", "list").stdout.splitlines()[0]


def test_a_failed_step_is_explained_by_its_failure(project):
    query = "SELECT CAST(customer AS INTEGER) AS n FROM orders"
    steps = f'  - {{id: sums, component: duckdb.processor, mode: transform, config: {{query: "{query}"}}}}\n{WRITE}'
    assert project("run", "pipelines/first.yaml", steps=steps).returncode == 1
    why = json.loads(project("explain", "last", "--json").stdout)["data"]["why"]
    assert (why["sums"], why["save"]) == ("failed with SQL011", "cancelled because of sums")


def test_a_new_file_and_the_write_mode_are_not_confused(project):
    done = project("new", "--from", "data/orders.csv", "--to", "output/new.csv")
    assert "save creates output/new.csv, " in done.stdout
    assert "output/new.csv (step save, write mode replace)\n" in done.stdout
