"""Page, package, console, agents and lineage events agree about every kind of session."""

import html
import json
import os
import re
import signal
import socket

import pytest
from tests.e2e.sessions import Shop

from osiris import api
from osiris.mcp.tools import run_explain, runs_list

TWO = """
oml_version: "0.1.0"
name: two
steps:
  - {id: left, component: filesystem.csv_extractor, mode: read, config: {path: data/left.csv, dtype: {n: int64}}}
  - {id: right, component: filesystem.csv_extractor, mode: read, needs: [], config: {path: data/right.csv}}
  - id: both
    component: duckdb.processor
    mode: transform
    needs: [left, right]
    config: {query: "SELECT df_left.n FROM df_left JOIN df_right USING (n)"}
  - {id: out, component: filesystem.csv_writer, mode: write, needs: [both], config: {path: output/two.csv}}
  - {id: copy, component: filesystem.csv_writer, mode: write, needs: [right], config: {path: output/copy.csv}}
"""
BAD, GOOD = "n\n1\nmany\n", "n\n1\n2\n"


class Told:
    """What each reader shows of one session: first cause, blocked steps, changes, last success."""

    def __init__(self, project, session):
        self.workspace = api.open_project(project, {})
        self.session = session

    def package(self):
        document = dict(api.package(self.workspace, self.session, {}).document)
        return self._of_answer(document["answer"], [each["text"] for each in document["delta"]["changes"]])

    def agent(self):
        reply = run_explain(self.workspace, {"session": self.session})
        document = reply.data["package"]
        return self._of_answer(document["answer"], [each["text"] for each in document["delta"]["changes"]])

    def _of_answer(self, answer, changes):
        failure = answer["failure"] or {"code": None, "steps": []}
        links = answer["chain"]["links"]
        blocked = [x["step"] for x in links if x["state"] != "failed" and x["step"] not in failure["steps"]]
        return failure["code"], failure["steps"], blocked, changes, answer["changes"]["base"]

    def console(self, shop):
        data = shop.json("explain", self.session)["data"]
        found = data["reading"]
        code = found["cause"]["code"] if found["cause"] else None
        text = " ".join(data["story"])
        assert code is None or code in text
        assert all(step in text for step in found["blocked"])
        assert found["last_success"] is None or code is None or found["last_success"] in text
        changes = [each["text"] for each in found["changes"]]
        return code, found["failed"], found["blocked"], changes, found["last_success"]

    def lineage(self):
        events = api.lineage_events(self.workspace, self.session)
        end = next(e for e in events if e["eventType"] != "START" and "parent" not in e["run"]["facets"])
        found = end["run"]["facets"]["osiris_history"]
        if "code" in found:
            assert end["run"]["facets"]["errorMessage"]["message"].startswith(found["code"])
        return found.get("code"), found["failed"], found["blocked"], found["changes"], found.get("lastSuccess")

    def page(self, file):
        """Return what the page shows: the code, the blocked steps, and the session of the last success."""
        api.write_report(self.workspace, self.session, file)
        text = file.read_text()
        code = re.search(r'class="answer toned".*?</div>', text, re.DOTALL)
        shown = re.search(r"<code>([A-Z]{3}\d{3})</code>", code[0])
        blocked = re.search(r'id="blocked">[^<]*did not finish[^:<]*: ([^<]*)<', text)
        named = html.unescape(text)
        return shown and shown[1], blocked[1].split(", ") if blocked else [], named


@pytest.fixture
def shop(osiris, tmp_path):
    made = Shop(osiris, tmp_path / "shop")
    (made.folder / "pipelines" / "two.yaml").write_text(TWO)
    (made.folder / "data" / "left.csv").write_text(GOOD)
    (made.folder / "data" / "right.csv").write_text(GOOD)
    return made


def all_alike(shop, session, tmp_path, *, lineage=True):
    told = Told(shop.folder, session)
    package = told.package()
    assert told.agent() == package
    assert told.console(shop) == package
    if lineage:
        assert told.lineage() == package
    code, broken, blocked, changes, last = package
    on_page = told.page(tmp_path / "page.html")
    if broken:
        assert on_page[0] == code
    assert on_page[1] == blocked[:12]
    assert last is None or last in on_page[2]
    listed = runs_list(told.workspace, {})
    (row,) = [listed.item(each) for each in listed.data["sessions"] if each["session"] == session]
    assert row.get("error") == code
    (line,) = [each for each in shop("logs", "list").stdout.splitlines() if session in each]
    assert re.findall(r"\b[A-Z]{3}\d{3}\b", line) == ([code] if code else [])
    return code, broken, set(blocked), changes, last


def last_of(shop):
    return max(path.name for path in (shop.folder / "logs").iterdir() if path.is_dir())


def test_a_failure_its_repetition_and_its_replay(shop, tmp_path):
    first = shop.json("run", "pipelines/two.yaml")["data"]["session"]
    assert "run id" not in shop("explain", first).stdout + shop("logs", "show", first).stdout
    assert all_alike(shop, first, tmp_path) == (None, [], set(), [], None)
    (shop.folder / "data" / "left.csv").write_text(BAD)
    shop("run", "--last-compile", code=1)
    failed = last_of(shop)
    code, broken, blocked, changes, last = all_alike(shop, failed, tmp_path)
    assert (code, broken, last) == ("DAT001", ["left"], first)
    assert blocked >= {"both", "out"}
    assert len(changes) == 1
    assert "source of step 'left' changed" in changes[0]
    shop("run", "--last-compile", code=1)
    resumed = last_of(shop)
    assert shop.summary(resumed)["continues"] == failed
    again = all_alike(shop, resumed, tmp_path)
    assert (again[0], again[1], again[4]) == (code, broken, first)
    shop("replay", first, code=1)
    replayed = last_of(shop)
    assert shop.summary(replayed)["kind"] == "replay"
    assert all_alike(shop, replayed, tmp_path, lineage=False)[:2] == (code, broken)


READER = """
oml_version: "0.1.0"
name: reader
steps:
  - {id: again, component: filesystem.csv_extractor, mode: read, config: {path: output/two.csv}}
  - {id: out, component: filesystem.csv_writer, mode: write, config: {path: output/of_two.csv}}
"""


def test_what_other_pipelines_make_from_targets_that_were_not_renewed_is_named(shop, tmp_path):
    shop("run", "pipelines/two.yaml")
    first = last_of(shop)
    (shop.folder / "pipelines" / "reader.yaml").write_text(READER)
    shop("run", "pipelines/reader.yaml")
    assert shop.json("explain", first)["data"]["reading"]["stale"] == []
    (shop.folder / "data" / "left.csv").write_text(BAD)
    shop("run", "pipelines/two.yaml", "--new-run", code=1)
    failed = last_of(shop)
    shown = shop.json("explain", failed)["data"]
    assert shown["reading"]["stale"] == [{"pipeline": "reader", "step": "out", "target": "output/of_two.csv"}]
    assert "output/of_two.csv (reader)" in shop("explain", failed).stdout
    package = shop.folder / "logs" / failed / "aiop" / f"{failed}_aiop.json"
    (finding,) = [x for x in json.loads(package.read_text())["answer"]["findings"] if x["kind"] == "stale"]
    assert "output/of_two.csv (reader)" in finding["text"]
    api.write_report(api.open_project(shop.folder, {}), failed, tmp_path / "page.html")
    assert "output/of_two.csv (reader)" in (tmp_path / "page.html").read_text()


def test_who_is_killed_stopped_or_still_at_work(shop, tmp_path):
    process, session = shop.begin()
    told = Told(shop.folder, session)
    assert told.package()[:3] == (None, [], [])
    assert told.console(shop)[:3] == (None, [], [])
    shown = shop.json("logs", "show", session)["data"]["session"]
    assert shown["steps"]["orders"]["status"] in ("running", "complete")
    assert shown["steps"]["crossed"]["status"] in ("running", "not_run")
    assert "not_run" not in {shown["steps"]["orders"]["status"]}
    text = shop("logs", "show", session).stdout + shop("explain", session).stdout
    assert "not yet" in text
    assert "not reached" not in text
    process.send_signal(signal.SIGINT)
    process.wait()
    code, broken, blocked, _, _ = all_alike(shop, session, tmp_path)
    assert code == "RUN003"
    assert broken
    assert not set(broken) & blocked
    lost = shop.lose()
    shop("logs", "list")
    shop.run()
    code, broken, blocked, _, _ = all_alike(shop, lost, tmp_path)
    assert code == "RUN008"
    assert broken
    steps = shop.summary(lost)["steps"]
    assert blocked == {name for name, step in steps.items() if step["status"] == "not_run"}


def test_every_error_names_its_step(shop):
    """Whatever the code, the error names the step that failed."""
    (shop.folder / "data" / "left.csv").write_text("n\n1\n")
    shop("run", "pipelines/two.yaml")
    (shop.folder / "data" / "left.csv").write_text("m,k\n1,2\n")
    shop("run", "--last-compile", "--new-run", code=6)
    workspace = api.open_project(shop.folder, {})
    errors = api.package(workspace, last_of(shop), {}).document["evidence"]["errors"]
    assert {error["step"] for error in errors if error["severity"] == "error"} == {"left"}
    recorded = json.loads((shop.folder / "logs" / last_of(shop) / "run.json").read_text())["diagnostics"]
    assert {item["step"] for item in recorded} == {"left"}


SERVER = """
oml_version: "0.1.0"
name: far
metadata: {intent: "Keep the shop's orders near.", owner: data team}
description: Copies orders.
steps:
  - id: orders
    component: postgres.extractor
    mode: read
    config: {connection: "@postgres.shop", query: "SELECT 1 AS n"}
  - {id: out, component: filesystem.csv_writer, mode: write, config: {path: output/far.csv}}
"""
SHOP = """connections:
  postgres:
    shop: {host: 127.0.0.1, port: PORT, database: shop, user: u, password: "${PW}"}
"""


@pytest.fixture
def unused_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("connections", "password", "code"),
    [(SHOP, "x", "CON011"), (SHOP, None, "CON005"), ("connections: {}\n", "x", "CON002")],
    ids=["server down", "variable not set", "connection missing"],
)
def test_a_run_that_could_not_start_is_a_session(shop, tmp_path, unused_port, connections, password, code):
    (shop.folder / "pipelines" / "far.yaml").write_text(SERVER)
    (shop.folder / "osiris_connections.yaml").write_text(connections.replace("PORT", str(unused_port)))
    env = {"PW": password} if password else {}
    done = shop.call_any("run", "pipelines/far.yaml", "--json", env=env)
    session = json.loads(done.stdout)["data"]["session"]
    assert done.returncode in (2, 3)
    assert shop.summary(session)["kind"] == "refused"
    told = all_alike(shop, session, tmp_path, lineage=False)
    assert told[:3] == (code, ["orders"], {"out"})
    assert (shop.folder / "logs" / session / "aiop" / f"{session}_aiop.json").is_file()
    assert (shop.folder / "logs" / session / "artifacts").is_dir()
    events = shop.call_any("lineage", session, "--format", "openlineage")
    assert (events.returncode, "AIO021" in events.stderr) == (2, True)


def test_a_refused_start_does_not_stand_between_a_run_and_its_continuation(shop, unused_port):
    """After a start that was refused, the next one resumes the run that was interrupted before."""
    shop("run", "pipelines/two.yaml")
    (shop.folder / "data" / "left.csv").write_text(BAD)
    shop("run", "--last-compile", code=1)
    failed = last_of(shop)
    text = TWO.replace("component: filesystem.csv_extractor", "component: postgres.extractor", 1)
    before = "config: {path: data/left.csv, dtype: {n: int64}}"
    text = text.replace(before, 'config: {connection: "@postgres.gone", table: t}')
    (shop.folder / "pipelines" / "two.yaml").write_text(text)
    refused = shop.call_any("run", "pipelines/two.yaml")
    assert refused.returncode
    assert shop.summary(last_of(shop))["kind"] == "refused"
    shop("run", "--resume", code=1)
    assert shop.summary(last_of(shop))["continues"] == failed


def test_the_newest_package_is_where_every_link_leads(shop):
    names = [shop.run() for _ in range(3)]
    for name in names:
        link = shop.folder / "logs" / name / "aiop" / "latest.json"
        assert link.is_symlink()
        assert json.loads(link.read_text())["@id"] == f"osiris://run/{names[-1]}"
    lines = (shop.folder / "logs" / names[2] / "aiop" / "index" / "runs.jsonl").read_text().splitlines()
    assert [json.loads(line)["session"] for line in lines] == [names[2], names[1]]
    assert all((shop.folder / "logs" / name / "artifacts").is_dir() for name in names)
    shop("logs", "gc", "--keep", "1")
    kept = {path.name for path in (shop.folder / "logs").iterdir() if path.is_dir()}
    assert names[2] in kept


def test_a_touch_is_no_change_of_a_source(shop):
    """A source has changed if its content has, whatever its time or size."""
    left = shop.folder / "data" / "left.csv"
    shop("run", "pipelines/two.yaml")
    os.utime(left, (1_000_000_000, 1_000_000_000))
    shop("run", "pipelines/two.yaml")
    workspace = api.open_project(shop.folder, {})
    assert api.package(workspace, last_of(shop), {}).document["delta"]["changes"] == []
    assert "nothing changed" in shop("explain", "last").stdout
    left.write_text(GOOD.replace("2", "1"))
    os.utime(left, (1_000_000_000, 1_000_000_000))
    shop("run", "pipelines/two.yaml")
    changes = api.package(workspace, last_of(shop), {}).document["delta"]["changes"]
    assert [change["path"] for change in changes] == ["sources/left"]


def test_a_package_says_what_the_pipeline_is_for(shop):
    text = shop.example.read_text()
    metadata = 'metadata: {intent: "Tell which customers pay.", owner: data team}\n'
    shop.example.write_text(text.replace("steps:", f"{metadata}steps:", 1))
    session = shop.run()
    document = api.package(api.open_project(shop.folder, {}), session, {}).document
    intent = document["narrative"]["intent"]
    assert (intent["text"], intent["known"]) == ("Tell which customers pay.", True)
    assert [each["source"] for each in intent["provenance"]] == ["metadata.intent", "description"]
    assert document["semantic"]["metadata"] == {"intent": "Tell which customers pay.", "owner": "data team"}
