"""The page of a run, and the next commands after a failure, with the installed command."""

import json
import re

import pytest

PIPELINE = """oml_version: "0.1.0"
name: p
steps:
  - {id: orders, component: filesystem.csv_extractor, mode: read, needs: [], config: {path: orders.csv}}
  - id: large
    component: duckdb.processor
    mode: transform
    needs: [orders]
    config: {query: "SELECT id, qty FROM orders WHERE qty > 5"}
  - {id: save, component: filesystem.csv_writer, mode: write, needs: [large], config: {path: out.csv}}
"""


@pytest.fixture
def project(osiris, tmp_path):
    (tmp_path / "osiris.yaml").touch()
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/p.yaml").write_text(PIPELINE)
    (tmp_path / "orders.csv").write_text("id,qty\n1,7\n2,9\n")

    def call(*args):
        done = osiris(*args, "--json", cwd=tmp_path)
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout)

    call.folder = tmp_path
    return call


def page_of(project):
    code, told = project("logs", "html", "last", "--output", "page.html")
    assert code == 0, told
    return (project.folder / "page.html").read_text()


def test_a_source_that_lost_a_column_is_told_of(project):
    project("run", "pipelines/p.yaml")
    (project.folder / "orders.csv").write_text("id,quantity\n1,7\n")
    code, told = project("run", "pipelines/p.yaml")
    assert code == 6, told["diagnostics"]
    page = page_of(project)
    assert "Same plan and sources" not in page
    assert "Sources differ" in page
    assert re.search(r"osiris compile pipelines/p.yaml --refresh", page)
    assert "A retry is safe, but fails until the cause is fixed." in page
    assert "A retry is safe, and" not in page
    why = project("explain", "last")[1]["data"]["why"]["orders"]
    assert why.startswith("its source changed: ")
    assert "qty" in why


def test_a_complete_run_with_nothing_in_it_is_worth_a_look(project):
    (project.folder / "orders.csv").write_text("id,qty\n1,1\n2,2\n")
    assert project("run", "pipelines/p.yaml")[0] == 0
    page = page_of(project)
    assert "Yes, with findings" in page
    assert "Step large took 2 rows but produced none." in page


def test_a_replay_says_so(project):
    run = project("run", "pipelines/p.yaml")[1]["data"]["session"]
    assert project("replay")[0] == 0
    page = page_of(project)
    assert f"A replay of run <code>{run}</code>; no target was changed" in page
    assert "The output is the same." in page


def test_a_replay_that_differs_says_in_what(project):
    project("run", "pipelines/p.yaml")
    (project.folder / "orders.csv").write_text("id,qty\n1,7\n2,8\n")
    assert project("replay")[0] == 1
    assert "<strong>It differs</strong>: step &#39;save&#39;: column &#39;qty&#39; differs" in page_of(project)


def test_rows_that_were_set_aside_are_told_with_an_example(project):
    file = project.folder / "pipelines/p.yaml"
    file.write_text(
        PIPELINE.replace("path: orders.csv", "path: orders.csv, dtype: {qty: int64}, on_reject: quarantine")
    )
    (project.folder / "orders.csv").write_text("id,qty\n1,7\n2,many\n3,few\n")
    code, told = project("run", "pipelines/p.yaml")
    assert code == 0, told["diagnostics"]
    page = page_of(project)
    assert "reason" in page
    assert "many" in page


def test_a_file_that_is_no_page_is_refused(project):
    project("run", "pipelines/p.yaml")
    code, told = project("logs", "html", "last", "--output", "page.txt")
    assert (code, told["diagnostics"][0]["code"]) == (2, "PRJ008")
    assert not (project.folder / "page.txt").exists()
