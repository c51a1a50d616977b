"""`import osiris` with odd values: nothing is read from elsewhere, changed silently, left without an end, or shown."""

import inspect
import json
import os
import pickle
import shutil
import sqlite3
from concurrent.futures import ProcessPoolExecutor

import pytest
from tests.e2e.test_python import PIPELINE, SALES, TOTALS

import osiris

QUARANTINE = """
oml_version: "0.1.0"
name: odd
steps:
  - id: sales
    component: filesystem.csv_extractor
    mode: read
    config: {path: odd.csv, dtype: {id: int64}, on_reject: quarantine}
  - {id: report, component: filesystem.csv_writer, mode: write, config: {path: out/odd.csv}}
"""


def project(folder, rows):
    (folder / "pipelines").mkdir(parents=True)
    (folder / "osiris.yaml").write_text("")
    (folder / "pipelines" / "totals.yaml").write_text(PIPELINE)
    text = "".join(",".join(map(str, row)) + "\n" for row in rows)
    (folder / "sales.csv").write_text(f"id,region,amount\n{text}")
    return folder


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(project(tmp_path / "shop", SALES))
    return tmp_path / "shop"


def test_another_project_runs_its_own_file_and_not_one_of_that_name_here(shop, tmp_path):
    other = osiris.open_project(project(tmp_path / "other", SALES[:1]))
    assert other.run("pipelines/totals.yaml").output("report").rows == 1
    assert other.compile("pipelines/totals.yaml").path.is_relative_to(tmp_path / "other")
    assert other.preview("pipelines/totals.yaml").rows == 1
    assert other.discover("sales.csv").tables["sales.csv"].rows in (None, 1)
    (tmp_path / "other" / "pipelines" / "totals.yaml").unlink()
    with pytest.raises(osiris.OsirisError, match="PRJ009"):
        other.run("pipelines/totals.yaml")
    assert osiris.run("pipelines/totals.yaml").output("report").arrow().to_pylist() == TOTALS


def test_a_plan_can_be_run(shop):
    plan = osiris.compile("pipelines/totals.yaml")
    assert osiris.run(plan).output("report").arrow().to_pylist() == TOTALS


@pytest.mark.parametrize("entries", [["a,b"], [""], [" a"], [["a"]], ["a\n"]])
def test_an_entry_of_a_list_that_would_become_another_is_refused(shop, entries):
    with pytest.raises(osiris.OsirisError, match="PRJ008 an entry of parameter 'least'"):
        osiris.compile("pipelines/totals.yaml", params={"least": entries})


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
def test_whatever_progress_raises_a_run_gets_its_end(shop, error):
    def progress(event):
        if event["event"] == "step_start":
            raise error

    with pytest.raises(type(error)):
        osiris.run("pipelines/totals.yaml", progress=progress)
    (ended,) = [json.loads(file.read_text()) for file in (shop / "logs").glob("*/run.json")]
    assert ended["status"] in ("cancelled", "complete")
    assert osiris.run("pipelines/totals.yaml").ok


@pytest.mark.parametrize("settings", [{"run.memori": "1GB"}, {"run": {"memory": "1GB"}}])
def test_an_unknown_setting_is_refused(shop, settings):
    with pytest.raises(osiris.OsirisError, match="PRJ002"):
        osiris.open_project(settings=settings)


def fail_here(folder):
    os.chdir(folder)
    (folder / "sales.csv").write_text("id,region,amount\n1,north,1\n")
    return osiris.run("pipelines/totals.yaml", params={"least": "x"})


def test_errors_come_back_from_other_processes(shop):
    for call in (
        lambda: osiris.run("nothing.yaml"),
        lambda: osiris.run("pipelines/totals.yaml", params={"least": "x"}),
    ):
        with pytest.raises(osiris.OsirisError) as raised:
            call()
        again = pickle.loads(pickle.dumps(raised.value))
        assert again.diagnostics == raised.value.diagnostics
    with ProcessPoolExecutor(1) as pool, pytest.raises(osiris.OsirisError, match="OML021"):
        pool.submit(fail_here, shop).result()


def test_a_run_that_failed_can_be_pickled_without_its_run(shop):
    (shop / "pipelines" / "totals.yaml").write_text(PIPELINE.replace("sum(amount)", "error('no')"))
    with pytest.raises(osiris.RunFailed) as raised:
        osiris.run("pipelines/totals.yaml")
    assert pickle.loads(pickle.dumps(raised.value)).diagnostics == raised.value.diagnostics


def test_a_rejected_value_that_is_a_secret_is_not_shown(shop, monkeypatch):
    monkeypatch.setenv("WH_SECRET_WORD", "correct horse battery")
    (shop / "osiris_connections.yaml").write_text(
        'connections:\n  postgres: {wh: {host: h, database: d, user: u, password: "${WH_SECRET_WORD}"}}\n'
    )
    (shop / "pipelines" / "odd.yaml").write_text(QUARANTINE)
    (shop / "odd.csv").write_text("id\n1\ncorrect horse battery\n")
    run = osiris.run("pipelines/odd.yaml")
    assert run.rejected["sales"].count == 1
    assert "correct horse" not in run.rejected["sales"]._repr_html_() + run._repr_html_() + repr(run)


def test_a_session_that_was_deleted_is_said_to_be(shop):
    run = osiris.run("pipelines/totals.yaml")
    shutil.rmtree(run.folder)
    for call in (lambda: run.steps, run.explain):
        with pytest.raises(osiris.OsirisError, match="RUN010"):
            call()
    assert run.output("report").rows == 3


@pytest.mark.parametrize("name", [5, ["a.yaml"], object()])
def test_a_name_of_another_type_is_refused(shop, name):
    with pytest.raises(osiris.OsirisError, match="PRJ008"):
        osiris.compile(name)


def test_of_a_selection_the_last_steps_are_kept(shop):
    assert osiris.run("pipelines/totals.yaml", select="regions").output("regions").arrow().to_pylist() == TOTALS


def test_rows_that_an_earlier_attempt_has_delivered_are_said_to_be(shop):
    """The records of the first attempt are gone, as on a new machine; the target knows of the delivery."""
    sqlite3.connect(shop / "shop.db").close()
    (shop / "osiris_connections.yaml").write_text("connections: {sqlite: {shop: {path: shop.db}}}\n")
    writer = "component: filesystem.csv_writer, mode: write, config: {path: out/totals.csv}"
    text = 'component: sqlite.writer, mode: write, config: {connection: "@sqlite.shop", table: t, write_mode: append}'
    (shop / "pipelines" / "totals.yaml").write_text(PIPELINE.replace(writer, text))
    assert osiris.run("pipelines/totals.yaml", run_id="night").output("report").rows == 3
    for folder in ("logs", "build", ".osiris"):
        shutil.rmtree(shop / folder)
    again = osiris.run("pipelines/totals.yaml", run_id="night")
    with pytest.raises(osiris.OsirisError, match="skipped: its target has a delivery of run 'night' already"):
        again.output("report")
    assert "No rows were read" not in again.explain()
    findings = json.loads((again.folder / "aiop" / f"{again.session}_aiop.json").read_text())["answer"]["findings"]
    assert [each["kind"] for each in findings] == ["warning"]
    assert "RUN065" in json.dumps(findings)


def test_functions_take_names_by_keyword_and_show_what_they_take(shop):
    assert osiris.run(pipeline="pipelines/totals.yaml").ok
    assert osiris.discover(source="sales.csv").tables["sales.csv"].columns[0].name == "id"
    assert str(inspect.signature(osiris.compile)).startswith("(pipeline: ")
    assert [*inspect.signature(osiris.Project.compile).parameters][:2] == ["self", "pipeline"]
