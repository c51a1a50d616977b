"""What pages of `osiris ui --allow-run` start, and the page of a pipeline."""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import pytest
from tests.e2e.test_ui import FILE, files_of, text_of
from tests.patience import SOON, wait_until
from tests.servers.pages import serve_pages

from osiris.project import Project
from osiris.project_lock import hold_run
from osiris.ui.starts import PATIENCE


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "shop"
    for folder in ("pipelines/nightly", "data"):
        (root / folder).mkdir(parents=True)
    (root / "osiris.yaml").write_text("")
    (root / "data" / "orders.csv").write_text("id,amount\n1,5\n2,6\n")
    (root / "pipelines" / "nightly" / "a b.yaml").write_text(FILE.format(name="shop", more=""))
    return root


PAGE = "/pipelines/nightly/a%20b.yaml"


def send(server, client, path, **form):
    csrf = re.search(r'name="csrf" value="([^"]+)"', client.get(PAGE).text)[1]
    headers = {"origin": "null", "sec-fetch-site": "same-origin"}
    return client.post(path, data={"csrf": csrf, **form}, headers=headers)


def test_a_pipeline_is_compiled_and_run(project):
    with serve_pages(project, "--allow-run") as server:
        client = server.client()
        assert "There is no plan yet" in text_of(client.get(PAGE))
        done = send(server, client, PAGE, action="compile")
        assert (done.status_code, done.headers["location"]) == (303, PAGE)
        words = text_of(client.get(PAGE))
        assert "No run of this pipeline is on record" in words
        assert re.search(r"\bamount \w+", words), words[-900:]
        assert "osiris run &#39;pipelines/nightly/a b.yaml&#39;" in words
        done = send(server, client, PAGE, action="run")
        assert done.status_code == 303
        session = unquote(done.headers["location"]).removeprefix("/runs/")
        assert (project / "logs" / session).is_dir()
        assert (project / "output" / "shop.csv").exists() or client.get(f"/runs/{session}").status_code == 200


def test_what_changes_is_said(project, osiris):
    file = "pipelines/nightly/a b.yaml"
    assert osiris("run", file, cwd=project).returncode == 0
    with serve_pages(project) as server:
        client = server.client()
        assert "The plan is that of the last run" in text_of(client.get(PAGE))
        (project / file).write_text(FILE.format(name="shop", more="").replace("shop.csv", "other.csv"))
        assert "The file was changed after this plan was saved" in text_of(client.get(PAGE))
        assert osiris("compile", file, cwd=project).returncode == 0
        words = text_of(client.get(PAGE))
        assert "other.csv" in words
        assert "The plan is that of the last run" not in words


def test_a_refused_run_says_why(project):
    (project / "data" / "orders.csv").unlink()
    with serve_pages(project, "--allow-run") as server:
        client = server.client()
        for action in ("compile", "run"):
            answer = send(server, client, PAGE, action=action)
            page = client.get(answer.headers["location"]) if answer.status_code == 303 else answer
            assert "data/orders.csv" in text_of(page)
            assert "osiris explain" in text_of(page)


@pytest.mark.parametrize("words", [(), ("--show-values",)])
def test_errors_have_no_values_of_data_unless_they_are_shown(project, words):
    (project / "data" / "orders.csv").write_text("id,amount\n1,canary_in_data\n")
    file = project / "pipelines" / "nightly" / "a b.yaml"
    file.write_text(file.read_text().replace("data/orders.csv", "data/orders.csv, parse_dates: [amount]"))
    with serve_pages(project, "--allow-run", *words) as server:
        answer = send(server, server.client(), PAGE, action="compile")
    assert "DAT001" in answer.text
    assert ("canary_in_data" in answer.text) == bool(words)


def test_a_server_that_only_shows_offers_no_action(project):
    before = files_of(project)
    with serve_pages(project) as server:
        client = server.client()
        page = client.get(PAGE)
        assert "<form" not in page.text
        assert "osiris compile" in text_of(page)
        for action in ("compile", "run"):
            sent = client.post(PAGE, data={"csrf": "x", "action": action}, headers={"origin": server.base})
            assert sent.status_code == 403
    assert files_of(project) == before


@pytest.mark.parametrize(
    "path", ["/pipelines/nothing.yaml", "/pipelines/../osiris.yaml", "/pipelines/%2e%2e/osiris.yaml"]
)
def test_only_files_of_pipelines_have_a_page(project, path):
    with serve_pages(project, "--allow-run") as server:
        client = server.client()
        assert client.get(path).status_code == 404
        assert send(server, client, path, action="run").status_code == 404
        assert send(server, client, "/runs/nothing").status_code == 303


def test_a_broken_file_says_what_is_wrong(project):
    (project / "pipelines" / "broken.yaml").write_text('oml_version: "0.1.0"\nname: broken\nstepz: []\n')
    with serve_pages(project) as server:
        words = text_of(server.client().get("/pipelines/broken.yaml"))
    assert "stepz" in words
    assert "pipelines/broken.yaml:" in words


def test_a_file_that_is_broken_keeps_its_plan_and_its_runs(project, osiris):
    file = project / "pipelines" / "nightly" / "a b.yaml"
    assert osiris("run", file, cwd=project).returncode == 0
    file.write_text(file.read_text().replace("config: {path: data", "confg: {path: data"))
    (session,) = (folder.name for folder in project.glob("logs/*-shop-*"))
    with serve_pages(project) as server:
        client = server.client()
        words, home = text_of(client.get(PAGE)), client.get("/").text
    assert "confg" in words
    assert "There is no plan yet" not in words
    assert session in words
    assert session in home


def test_a_file_with_errors_that_is_run_says_what_is_wrong(project):
    file = project / "pipelines" / "nightly" / "a b.yaml"
    file.write_text(file.read_text().replace("mode: write", "mood: write"))
    with serve_pages(project, "--allow-run") as server:
        client = server.client()
        done = send(server, client, PAGE, action="run")
    assert "INT000" not in done.text
    assert "OML002 unknown key" in text_of(done)


def test_a_lost_run_is_not_taken_for_the_one_that_records_it(project, osiris):
    """A run reads the events of a lost one to record it as lost: here, long enough to be seen."""
    assert osiris("run", "pipelines/nightly/a b.yaml", cwd=project).returncode == 0
    (events,) = project.glob("logs/*-shop-*/events.jsonl")
    record = events.with_name("run.json")
    lost = json.loads(record.read_text()) | {"status": "running", "ended_at": None, "duration_ms": None}
    record.write_text(json.dumps(lost))
    *lines, _end = events.read_text().splitlines(keepends=True)
    events.write_text("".join([*lines, lines[-1] * 5000]))
    with serve_pages(project, "--allow-run") as server:
        client = server.client()
        client.timeout = PATIENCE + SOON
        done = send(server, client, PAGE, action="run")
    assert done.status_code == 303
    assert done.headers["location"].startswith("/runs/")
    assert not done.headers["location"].endswith(events.parent.name)


def begin_another(session):
    """Add a newer session of the same pipeline, as a run that somebody else started has it."""
    other = session.with_name(session.name[:-5] + "99999")
    shutil.copytree(session, other)
    run = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps(run | {"session": other.name, "run_key": other.name}))


def test_a_run_that_waits_for_another_is_named_until_it_begins(project, osiris):
    """A session of the same pipeline that somebody else begins meanwhile is not taken for its own."""
    assert osiris("run", "pipelines/nightly/a b.yaml", cwd=project).returncode == 0
    (before,) = project.glob("logs/*-shop-*/run.json")
    with serve_pages(project, "--allow-run") as server:
        client = server.client()
        client.timeout = PATIENCE + SOON
        with hold_run(Project(project), "shop", "run of 'shop'", ()), ThreadPoolExecutor() as pool:
            answer = pool.submit(send, server, client, PAGE, action="run")
            threads = Path(f"/proc/{server.process.pid}/task")
            wait_until(lambda: any(each.read_text() for each in threads.glob("*/children")))
            begin_another(before.parent)
            done = answer.result()
            assert (done.status_code, done.headers["location"]) == (303, PAGE)
            assert "A run was started and has no session yet" in text_of(client.get(PAGE))
        wait_until(lambda: len(list(project.glob("logs/*-shop-*/run.json"))) == 3)
        wait_until(lambda: "has no session yet" not in text_of(client.get(PAGE)))
