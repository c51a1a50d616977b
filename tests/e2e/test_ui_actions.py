"""What pages of `osiris ui --allow-run` start, and the page of a pipeline."""

import re
from urllib.parse import unquote

import pytest
from tests.e2e.test_ui import FILE, files_of, text_of
from tests.servers.pages import serve_pages


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
        assert "osiris run pipelines/nightly/a b.yaml" in words.replace("'", "")
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
