"""`osiris ui`: who may ask the server what, what Home shows, and how it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient
from tests.browser.sessions import plan, problem, shop, step, write_session
from tests.conftest import OSIRIS
from tests.patience import SOON, wait_until
from tests.servers.pages import serve_pages

from osiris.api import open_project
from osiris.ui.access import Access
from osiris.ui.app import App, Page
from osiris.ui.live import LiveRun
from osiris.ui.server import application
from osiris.ui.settings import Settings

FILE = """
oml_version: "0.2.0"
name: {name}
{more}
steps:
  - {{id: orders, component: filesystem.csv_extractor, mode: read, config: {{path: data/orders.csv}}}}
  - {{id: report, component: filesystem.csv_writer, mode: write, config: {{path: output/{name}.csv}}}}
"""


def ago(**span):
    """Return the time that was this long ago: a module is imported long before its last test."""
    return datetime.now(UTC).replace(microsecond=0) - timedelta(**span)


def put(root, name, more=""):
    (root / "pipelines" / f"{name}.yaml").write_text(FILE.format(name=name, more=more))


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "shop"
    (root / "pipelines").mkdir(parents=True)
    (root / "osiris.yaml").write_text("")
    return root


@pytest.fixture
def pages(project):
    with serve_pages(project) as server:
        yield server


def files_of(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def text_of(response):
    """Return the text of a page as people read it."""
    body = re.sub(r"<(style|script)\b.*?</\1>", "", response.text, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def test_the_printed_address_becomes_a_cookie_once(pages):
    client = pages.client(enter=False)
    first = client.get(pages.address)
    assert (first.status_code, first.headers["location"]) == (303, "/")
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "token" not in first.headers["location"]
    assert client.get("/").status_code == 200
    # Somebody who finds the address later, in a history or on a screen, gets nothing with it.
    stolen = pages.client(enter=False).get(pages.address)
    assert (stolen.status_code, "set-cookie" in stolen.headers) == (403, False)
    assert "Stop osiris ui and start it again" in stolen.text
    # The browser that has entered may open it again.
    assert client.get(pages.address).status_code == 303


@pytest.mark.parametrize("path", ["/", "/runs", "/runs/last", "/nothing", "/start", "/start?token=", "/start?token=x"])
def test_nobody_sees_a_page_without_the_cookie(pages, path):
    for headers in ({}, {"cookie": "osiris_1=x"}, {"cookie": f"osiris_{pages.base.rpartition(':')[2]}=x"}):
        answer = pages.client(enter=False).get(path, headers=headers)
        assert answer.status_code == 403
        assert "<" not in answer.text


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.2:{port}", "[::1]:{port}", ""]
)
def test_another_name_is_refused(pages, host):
    """A site whose name was bound to this machine has the browser send its own name."""
    client, port = pages.client(), pages.base.rpartition(":")[2]
    for path in ("/", pages.address.removeprefix(pages.base)):
        assert client.get(path, headers={"host": host.format(port=port)}).status_code in (400, 403)
    assert client.get("/", headers={"host": f"localhost:{port}"}).status_code == 200


def test_two_names_are_refused(pages):
    port = int(pages.base.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), SOON) as raw:
        raw.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil.example\r\n\r\n".encode())
        assert raw.recv(100).split()[1] in (b"400", b"403")


def test_it_listens_on_this_machine_only(pages):
    port = int(pages.base.rpartition(":")[2])
    others = {each[4][0] for each in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others - {"127.0.0.1"}:
        with pytest.raises(OSError, match=r"refused|unreachable"):
            socket.create_connection((address, port), 5)


FORMS = {
    "no origin": {},
    "another origin": {"origin": "https://evil.example"},
    "another port": {"origin": "http://127.0.0.1:1"},
    "null from elsewhere": {"origin": "null", "sec-fetch-site": "cross-site"},
    "null from nowhere": {"origin": "null"},
    "own from elsewhere": {"origin": "{base}", "sec-fetch-site": "cross-site"},
}


@pytest.mark.parametrize("words", [(), ("--allow-run",)])
@pytest.mark.parametrize("headers", FORMS.values(), ids=FORMS)
def test_a_form_from_elsewhere_is_refused(project, words, headers):
    with serve_pages(project, *words) as server:
        sent = {name: value.format(base=server.base) for name, value in headers.items()}
        assert server.client().post("/runs", data={"csrf": "x"}, headers=sent).status_code == 403


def test_a_form_needs_the_token_of_the_server(project):
    with serve_pages(project, "--allow-run") as server:
        client, own = server.client(), {"origin": server.base}
        for form in ({}, {"csrf": ""}, {"csrf": "x"}, {"csrf": "é"}, {"other": "x" * 100_000}):
            assert client.post("/runs", data=form, headers=own).status_code == 403
        assert client.post("/runs", json={"csrf": "x"}, headers=own).status_code == 403
        assert client.post("/runs", files={"csrf": b"x"}, headers=own).status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_a_server_that_only_shows_accepts_no_form(project, pages, method):
    before = files_of(project)
    answer = pages.client().request(method, "/runs", headers={"origin": pages.base})
    assert answer.status_code in (403, 405)
    assert not any(name.startswith("access-control") for name in answer.headers)
    assert files_of(project) == before


def test_every_answer_is_kept_by_nobody(pages):
    client = pages.client()
    answers = [client.get(path) for path in ("/", "/runs", "/nothing")]
    answers += [pages.client(enter=False).get("/")]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert not any(name.startswith("access-control") for name in answer.headers)
        assert "server" not in answer.headers


def test_looking_changes_nothing(project):
    write_session(project, shop(), start=ago(hours=1), seconds=5)
    put(project, "shop")
    before = files_of(project)
    with serve_pages(project) as server:
        client = server.client()
        for path in ("/", "/runs", "/runs/last", "/nothing"):
            client.get(path)
            client.head(path)
    assert files_of(project) == before


def test_the_token_is_in_no_argument_and_no_log(project):
    with serve_pages(project) as server:
        token = server.address.rpartition("=")[2]
        server.client()
        pages = [path.read_bytes() for path in Path(f"/proc/{server.process.pid}").glob("cmdline")]
        assert token.encode() not in b"".join(pages)
        assert server.stop() == 0
        rest = server.process.stdout.read() + server.process.stderr.read()
    assert token not in rest
    assert not any(token.encode() in content for content in files_of(project).values())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_it_ends_although_pages_are_open(project, number, code):
    with serve_pages(project) as server:
        client = server.client()
        client.get("/")  # the connection stays open
        port = int(server.base.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), SOON):
            assert server.stop(number) == code
        assert "Traceback" not in server.process.stderr.read()


def test_a_port_that_is_taken_is_said(project):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [OSIRIS, "ui", "--json", "--port", str(port)], cwd=project, capture_output=True, text=True, timeout=SOON
        )
    (found,) = json.loads(done.stdout)["diagnostics"]
    assert (done.returncode, found["code"]) == (2, "WEB002")
    assert str(port) in found["message"]
    assert "--port" in found["hint"]


def test_it_needs_a_project_and_its_packages(tmp_path, project):
    done = subprocess.run([OSIRIS, "ui"], cwd=tmp_path, capture_output=True, text=True, timeout=SOON)
    assert (done.returncode, "PRJ001" in done.stderr) == (2, True)
    text = "import sys; sys.modules['uvicorn'] = None; from osiris.cli.main import main; sys.exit(main(['ui']))"
    done = subprocess.run([sys.executable, "-c", text], cwd=project, capture_output=True, text=True, timeout=SOON)
    assert (done.returncode, "WEB001" in done.stderr) == (2, True)
    assert "pip install 'starlette" in done.stderr


def test_json_is_one_event_with_the_address(project):
    with subprocess.Popen(
        [OSIRIS, "ui", "--port", "0", "--json"], cwd=project, stdout=subprocess.PIPE, text=True
    ) as process:
        event = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        answer = json.loads(process.communicate(timeout=SOON)[0])
    assert (event["event"], event["address"].startswith("http://127.0.0.1:")) == ("listening", True)
    assert (answer["ok"], process.returncode) == (True, 0)


# --- Home -------------------------------------------------------------------------------------------------------------


def test_home_has_a_row_for_each_pipeline_and_what_needs_attention_first(project, pages):
    for name in ("alpha", "beta", "gamma", "delta"):
        put(project, name)
    put(project, "late", 'schedule: {cron: "* * * * *"}')
    old = (ago(days=2)).timestamp()
    os.utime(project / "pipelines" / "late.yaml", (old, old))
    (project / "pipelines" / "broken.yaml").write_text('oml_version: "0.1.0"\nname: broken\nstepz: []\n')
    write_session(project, shop(name="beta"), start=ago(hours=3.5), seconds=5, suffix="00001")
    failed = {"orders": problem("DAT001", "no")}
    write_session(project, shop(name="gamma"), start=ago(days=3.5), seconds=5, suffix="00002")
    write_session(project, shop(name="gamma"), start=ago(hours=5), failed=failed, suffix="00003")
    page = pages.client().get("/")
    assert page.status_code == 200
    names = re.findall(r'<strong><a href="[^"]+">(\w+)</a></strong>', page.text)
    assert names == ["late", "gamma", "broken", "beta", "alpha", "delta"]
    words = text_of(page)
    assert "3 pipelines need attention" in words
    assert "stepz" in words
    assert "OML" in words
    assert "DAT001 no" in words
    assert "stale, written 3 days ago" in words
    assert "written 3 hours ago" in words
    assert "and not run since" in words


def test_home_shows_what_changes_meanwhile(project, pages):
    client = pages.client()
    assert "There are no pipelines yet" in text_of(client.get("/"))
    put(project, "alpha")
    assert "never run: 1" in text_of(client.get("/"))
    folder = write_session(project, shop(name="alpha"), start=ago(hours=3), seconds=5)
    wait_until(lambda: "ok: 1" in text_of(client.get("/")))
    assert folder.name in client.get("/").text
    for each in sorted(folder.rglob("*"), reverse=True):
        each.unlink()
    folder.rmdir()
    wait_until(lambda: "never run: 1" in text_of(client.get("/")))
    # A run that was deleted while its page is open has no page, and says so.
    gone = client.get(f"/runs/{folder.name}")
    assert (gone.status_code, "RUN010" in gone.text) == (404, True)


@pytest.mark.parametrize("name", [b"caf\xe9.yaml", b"\xc3\xa9 #?%2F&.yaml", b"a'\"<b>.yaml"])
def test_a_file_of_any_name_has_a_row_and_a_page(project, pages, name):
    (project / "pipelines" / os.fsdecode(name)).write_text(FILE.format(name="odd", more=""))
    client = pages.client()
    (address,) = re.findall(r'<strong><a href="([^"]+)">odd</a></strong>', client.get("/").text)
    page = client.get(address)
    assert (page.status_code, "There is no plan yet" in page.text) == (200, True)
    assert client.get("/catalogue").status_code == 200


def rewrite(folder, **changes):
    """Change the run.json of a session; `steps` are merged by step."""
    run = json.loads((folder / "run.json").read_text())
    for name, fields in changes.pop("steps", {}).items():
        run["steps"][name] |= fields
    (folder / "run.json").write_text(json.dumps(run | changes))


def test_a_target_is_stale_only_if_the_last_run_was_to_write_it(project):
    """A step that an earlier run delivered, or that was not selected, is skipped: neither leaves its target stale."""
    at = [ago(hours=hours) for hours in (9.5, 6.5, 3.5)]
    skipped = {"report": {"status": "skipped"}}
    delivered = {"report": {"files": [], "rows": 5}}
    for name in ("resumed", "selected", "failed"):
        put(project, name)
        write_session(project, shop(name=name), start=at[0], seconds=5, suffix=f"00{len(name)}01")
    write_session(project, shop(name="resumed"), start=at[1], seconds=5, suffix="00711")
    rewrite(
        write_session(project, shop(name="resumed"), start=at[2], suffix="00712"), steps=skipped, deliveries=delivered
    )
    rewrite(write_session(project, shop(name="selected"), start=at[2], suffix="00812"), steps=skipped)
    failed = {"orders": problem("DAT001", "no")}
    write_session(project, shop(name="failed"), start=at[2], failed=failed, suffix="00612")
    with serve_pages(project) as pages:
        page = pages.client().get("/").text
    rows = {row.partition("</a>")[0].rpartition(">")[2]: row for row in page.split('<tr role="row" class="')[1:]}
    report = {name: row[row.index("output/report.csv") :].partition("</p>")[0] for name, row in rows.items()}
    assert "written 3 hours ago" in report["resumed"]
    assert "written 9 hours ago" in report["selected"]
    assert "stale, " in report["failed"]
    assert ["stale" in text for text in report.values()].count(True) == 1
    assert "1 pipeline needs attention" in page


def test_a_run_whose_process_is_gone_is_lost(project):
    put(project, "alpha")
    folder = write_session(project, shop(name="alpha"), start=ago(hours=3), status="running")
    rewrite(folder, ended_at=None, duration_ms=None)
    before = files_of(project)
    with serve_pages(project) as pages:
        client = pages.client()
        assert "failing: 1" in text_of(client.get("/"))
        assert "lost" in text_of(client.get("/runs"))
        assert "no longer exists" in text_of(client.get(f"/runs/{folder.name}"))
    assert files_of(project) == before


def test_a_run_whose_end_is_read_late_has_ended(project):
    """Its last event is written before run.json; the process may be gone when run.json is read."""
    folder = write_session(project, shop(name="alpha"), start=ago(hours=3), seconds=5)
    summary = json.loads((folder / "run.json").read_text())
    run = LiveRun(open_project(project, {}), folder.name, summary)
    (folder / "run.json").rename(folder / "aside")
    assert run.advance()
    assert run.status == "running"
    (folder / "aside").rename(folder / "run.json")
    run.check()
    assert (run.status, run.note) == ("complete", "")


def test_a_run_leads_to_its_pipeline_and_to_the_comparison_with_the_run_before(project):
    put(project, "alpha")
    before = write_session(project, shop(name="alpha"), start=ago(hours=3), seconds=5, suffix="00001")
    run = write_session(project, shop(name="alpha"), start=ago(hours=2), seconds=5, suffix="00002")
    rewrite(run, oml="pipelines/alpha.yaml", base={"success": before.name, "previous": before.name})
    with serve_pages(project) as pages:
        client = pages.client()
        links = dict(
            re.findall(r'<a class="no-print" href="([^"]+)">([^<]+)</a>', client.get(f"/runs/{run.name}").text)
        )
        assert list(links.values()) == ["its pipeline", "compare with the run before"]
        assert [client.get(unescape(link)).status_code for link in links] == [200, 200]


def test_rejected_rows_need_attention(project):
    put(project, "alpha")
    folder = write_session(project, shop(name="alpha"), start=ago(hours=3), seconds=5)
    rewrite(folder, steps={"report": {"rows_rejected": 5000}})
    with serve_pages(project) as pages:
        words = text_of(pages.client().get("/"))
    assert "1 pipeline needs attention" in words
    assert "5,000 rows rejected" in words


def test_a_broken_project_says_what_is_broken(project, pages):
    client = pages.client()
    (project / "osiris.yaml").write_text("run:\n  thredas: 1\n")
    page = client.get("/")
    assert page.status_code == 500
    assert "thredas" in text_of(page)
    (project / "osiris.yaml").write_text("")
    assert client.get("/").status_code == 200


def test_names_of_others_are_no_markup(project, pages):
    name = "<img src=x onerror=alert(1)>"
    (project / "pipelines" / "evil.yaml").write_text(f'oml_version: "0.1.0"\nname: "{name}"\nsteps: []\n')
    hostile = plan(step(name, "lake.extractor"), name=name)
    write_session(project, hostile, start=ago(hours=3))
    client = pages.client()
    for path in ("/", "/runs", "/runs/last"):
        page = client.get(path)
        assert page.status_code == 200
        assert "<img" not in page.text


REJECTING = """
oml_version: "0.1.0"
name: rejecting
steps:
  - id: orders
    component: filesystem.csv_extractor
    mode: read
    config: {path: data/orders.csv, dtype: {amount: int64}, on_reject: quarantine}
  - {id: report, component: filesystem.csv_writer, mode: write, config: {path: output/report.csv}}
"""


@pytest.mark.parametrize("words", [(), ("--show-values",)])
def test_values_of_data_are_masked(project, osiris, words):
    (project / "data").mkdir()
    (project / "data" / "orders.csv").write_text("id,amount\n1,5\n2,canary_in_data\n")
    (project / "pipelines" / "rejecting.yaml").write_text(REJECTING)
    assert osiris("run", "pipelines/rejecting.yaml", cwd=project).returncode == 0
    (file,) = project.glob("logs/*/artifacts/orders/*")
    with serve_pages(project, *words) as server:
        client = server.client()
        text = client.get("/runs/last").text
        assert "canary_in_data" not in text
        links = re.findall(r'href="([^"]*artifacts/[^"]*)"', text)
        assert bool(links) == bool(words)
        assert ("data-file=" in text) == bool(words)  # files of the session, which the page has packed
        answer = client.get(f"/runs/{file.relative_to(project / 'logs')}")
        assert ("canary_in_data" in answer.text, answer.status_code) == (bool(words), 200 if words else 403)
        for other in ("manifest.json", "..%2f..%2frun.json"):
            assert client.get(f"/runs/last/artifacts/report/{other}").status_code in (403, 404)
        for link in links:
            assert client.get(f"/runs/{link}").text == file.read_text()


def test_an_unexpected_fault_is_a_page_and_a_line_in_the_terminal(project):
    def fail(_request):
        raise ZeroDivisionError("by a fault of ours")

    events = []
    settings = Settings(project, {}, None, allow_run=False, show_values=False)
    app = App(
        settings, Access(1, allow_run=False), [Page("Broken", "/broken", (Route("/broken", fail),))], events.append
    )
    answer = TestClient(application(app), raise_server_exceptions=False).get("/broken")
    assert answer.status_code == 500
    assert "unexpected ZeroDivisionError: by a fault of ours" in text_of(answer)
    assert 'href="/"' in answer.text
    (event,) = events
    assert (event["event"], event["request"]) == ("fault", "GET /broken")
    assert event["message"] == "INT000 unexpected ZeroDivisionError: by a fault of ours"


def test_events_of_a_run_that_is_gone(pages):
    answer = pages.client().get("/runs/nothing/events")
    assert (answer.status_code, "RUN010" in answer.text) == (404, True)


def test_many_look_at_once(project, pages):
    for number in range(20):
        put(project, f"p{number}")
        write_session(project, shop(name=f"p{number}"), start=ago(hours=number), suffix=f"{number:05}")
    client, found = pages.client(), []
    cookies = dict(client.cookies)

    def look():
        import httpx

        answer = httpx.get(pages.base + "/", cookies=cookies, timeout=SOON, trust_env=False)
        found.append((answer.status_code, "ok: 20" in text_of(answer)))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(200, True)] * 8
