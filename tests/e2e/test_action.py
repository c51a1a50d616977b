"""The GitHub Action: its rules are read from its YAML, its steps are executed with bash and a local API of GitHub."""

import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from markdown_it import MarkdownIt
from tests.conftest import OSIRIS
from tests.docs.pages import GUIDE, ROOT, Page

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = ACTION["runs"]["steps"]
INSTALL, CHECK, COMMENT, RUN = STEPS
TOKEN = "ghs_canary_of_the_token"
EXAMPLE = Page(ROOT / "README.md").files["pipelines/example.yaml"]
HOSTILE = (
    "$(touch pwned)",
    "`touch pwned`",
    "'; touch pwned; '",
    '" && touch pwned #',
    "::error::pwned",
    "##[error]pwned",
    "a\nb ::error::pwned",
    "\n::add-mask::pwned",
    "--help",
    "-->",
    "````",
    "@everybody <img src=x onerror=alert(1)>",
    "${{ github.token }}",
    "\u202egnp.exe",  # the last one: no name of a column may be so
)


class GitHub(ThreadingHTTPServer):
    """The API of one repository: comments of one pull request."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.comments, self.asked, self.status = [], [], None
        self.url = f"http://127.0.0.1:{self.server_port}"

    def add(self, body, kind="User"):
        self.comments.append({"id": len(self.comments) + 1, "body": body, "user": {"type": kind}})


class Handler(BaseHTTPRequestHandler):
    def answer(self):
        server, url = self.server, urlsplit(self.path)
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server.asked.append((self.command, url.path, self.headers["Authorization"]))
        sent, found = json.loads(text or "{}"), {}
        if server.status is None and self.command == "GET":
            page = int(parse_qs(url.query)["page"][0])
            found = server.comments[(page - 1) * 100 : page * 100]
        elif server.status is None and self.command == "POST":
            server.add(sent["body"], "Bot")
        elif server.status is None:
            (found,) = (each for each in server.comments if each["id"] == int(url.path.rpartition("/")[2]))
            found["body"] = sent["body"]
        self.send_response(server.status or 200)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    do_GET = do_POST = do_PATCH = answer  # noqa: N815

    def log_message(self, *_):
        """Print nothing."""


@pytest.fixture
def github():
    with GitHub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class Job:
    """A job on a runner, in a project that is checked out, for a pull request."""

    def __init__(self, folder, url):
        self.folder, self.temp = folder / "checkout", folder / "temp"
        self.temp.mkdir()
        event = folder / "event.json"
        event.write_text(json.dumps({"pull_request": {"number": 7, "title": "$(touch pwned)"}}))
        self.inputs = {name: each["default"] for name, each in ACTION["inputs"].items()} | {"osiris": OSIRIS}
        self.inputs["token"] = TOKEN
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_API_URL": url,
            "GITHUB_EVENT_NAME": "pull_request",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_REPOSITORY": "somebody/shop",
            "GITHUB_RUN_ID": "4711",
            "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
            "RUNNER_TEMP": str(self.temp),
        }

    def step(self, step, code=0, **environ):
        """Execute a step as the runner does: a file for `bash --noprofile --norc -eo pipefail`."""
        script = self.temp / "script.sh"
        script.write_text(step["run"])
        given = {name: self.inputs[value[3:-2].strip().removeprefix("inputs.")] for name, value in step["env"].items()}
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", script]
        environment = self.environment | given | environ
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def pipeline(self, name, text=EXAMPLE):
        path = self.folder / "pipelines" / name
        path.write_text(text)
        return path


@pytest.fixture
def job(osiris, tmp_path, github):
    osiris("init", "checkout", cwd=tmp_path)
    return Job(tmp_path, github.url)


def commands_in(log):
    """Return the lines that the runner takes for commands."""
    found, ended = [], None
    for line in log.splitlines():
        if ended:
            ended = None if line.strip() == ended else ended
        elif match := re.match(r"\s*::stop-commands::(.+)", line):
            ended = f"::{match[1]}::"
        elif re.match(r"\s*::|.*##\[", line):
            found.append(line)
    assert ended is None
    return found


def code_of(body):
    """Return the code block of a comment, which has nothing else but a mark and a title."""
    tokens = MarkdownIt().parse(body)
    assert [token.type for token in tokens] == ["html_block", "heading_open", "inline", "heading_close", "fence"]
    assert re.fullmatch(r"<!-- osiris:[0-9a-f]{12} -->\n", tokens[0].content)
    assert tokens[2].content == "Osiris"
    return tokens[4].content


def test_every_step_is_a_script_without_expressions():
    assert ACTION["runs"]["using"] == "composite"
    for step in STEPS:
        assert {*step} <= {"name", "if", "shell", "env", "run"}
        assert step["shell"] == "bash"
        assert "${{" not in step["run"]
        for value in step.get("env", {}).values():
            assert re.fullmatch(r"\$\{\{ inputs\.(\w+) }}", value)[1] in ACTION["inputs"]
    assert ["token" in str(step.get("env")) for step in STEPS] == [False, False, True, False]
    assert [step.get("if") for step in STEPS] == [
        "inputs.osiris == ''",
        None,
        "${{ !cancelled() && inputs.comment == 'true' && github.event_name == 'pull_request' }}",
        "inputs.run == 'true'",
    ]
    used = {match for step in STEPS for match in re.findall(r"inputs\.(\w+)", str(step))}
    assert used == {*ACTION["inputs"]}
    assert "--require-hashes --only-binary :all:" in INSTALL["run"]


def test_the_workflow_of_the_guide_gives_least():
    text = Page(GUIDE / "ci.md").files[".github/workflows/osiris.yaml"]
    workflow = yaml.safe_load(text)
    events = workflow[True]  # what YAML 1.1 makes of "on"
    assert {*events} == {"pull_request", "push"}
    assert workflow["permissions"] == {}
    assert {name: job["permissions"] for name, job in workflow["jobs"].items()} == {
        "check": {"contents": "read", "pull-requests": "write"},
        "run": {"contents": "read"},
    }
    check, run = workflow["jobs"]["check"], workflow["jobs"]["run"]
    assert "secrets." not in json.dumps(check)
    assert check["if"] == "github.event_name == 'pull_request'"
    assert run["if"] == "github.event_name == 'push' && github.ref_protected"
    for step in (*check["steps"], *run["steps"]):
        assert re.fullmatch(r"actions/checkout@[0-9a-f]{40}|OWNER/osiris@COMMIT", step["uses"])
        assert {*step.get("with", {})} <= {"persist-credentials", "run"}
        assert step.get("with", {}).get("persist-credentials") is (False if "checkout" in step["uses"] else None)
    rows = dict(re.findall(r"(?m)^\| `(\w+)` \| .* \| (.*?) ?\|$", (GUIDE / "ci.md").read_text()))
    assert {*rows} == {*ACTION["inputs"]}
    assert rows["files"].strip("`") == ACTION["inputs"]["files"]["default"]


def test_the_plan_is_commented_and_then_changed(job, github):
    github.add("<!-- osiris:0 --> by a person")
    log = job.step(CHECK)
    job.step(COMMENT)
    (_, made) = github.comments
    shown = code_of(made["body"])
    assert re.match(r"pipelines/example\.yaml: plan [0-9a-f]{12} would change\nCMP026 ", shown)
    assert "revenue  duckdb.processor          orders" in shown
    assert "customer utf8, orders int64, revenue decimal(38,2)" in shown
    assert "report creates output/revenue.csv" in shown
    assert shown in log
    assert (job.temp.parent / "summary.md").read_text() == made["body"]
    subprocess.run([OSIRIS, "compile", "pipelines/example.yaml"], cwd=job.folder, check=True, capture_output=True)
    job.step(CHECK)
    job.step(COMMENT)
    assert len(github.comments) == 2
    assert "is up to date" in code_of(made["body"])
    assert github.comments[0]["body"] == "<!-- osiris:0 --> by a person"
    assert {token for _, _, token in github.asked} == {f"Bearer {TOKEN}"}
    assert {path for _, path, _ in github.asked} == {
        "/repos/somebody/shop/issues/7/comments",
        "/repos/somebody/shop/issues/comments/2",
    }


def test_another_persons_comment_with_the_mark_is_left(job, github):
    job.step(CHECK)
    body = json.loads((job.temp / "osiris-comment.json").read_text())["body"]
    for _ in range(120):
        github.add(body)
    github.add(body.replace("osiris:", "osiris:0"), "Bot")
    job.step(COMMENT)
    assert len(github.comments) == 122
    job.step(COMMENT)
    assert len(github.comments) == 122
    assert [method for method, _, _ in github.asked] == ["GET", "GET", "POST", "GET", "GET", "PATCH"]


def test_problems_fail_the_job_and_are_commented(job, github):
    job.pipeline("wrong.yaml", EXAMPLE.replace("name: example", "name: wrong").replace("sum(amount)", "sum(amuont)"))
    log = job.step(CHECK, code=2)
    job.step(COMMENT)
    shown = code_of(github.comments[0]["body"])
    assert "pipelines/wrong.yaml: rejected\npipelines/wrong.yaml:21:" in shown
    assert "SQL009" in shown
    assert "did you mean 'amount'" in shown
    assert "pipelines/example.yaml: plan" in shown
    assert commands_in(log) == []


def test_names_are_data(job, github):
    for name in HOSTILE:
        job.pipeline(f"../{name}.yml", "oml_version: '0.1.0'\n")  # lines begin with these names
    job.inputs["files"] = "*.yml\npipelines/*.yaml"
    steps = "\n".join(f"  - {{id: {json.dumps(name)}, component: {json.dumps(name)}, mode: read}}" for name in HOSTILE)
    job.pipeline("steps.yaml", f"oml_version: '0.1.0'\nname: steps\nsteps:\n{steps}\n")
    columns = ", ".join(f'amount AS "{name.replace(chr(34), "")}"' for name in HOSTILE[:-1])
    query = f"query: {json.dumps(f'SELECT {columns} FROM orders')}"
    text = re.sub(r"query: \|.*?(?=\n\n)", lambda _: query, EXAMPLE, flags=re.DOTALL)
    job.pipeline("columns.yaml", text.replace("name: example", "name: columns"))
    log = job.step(CHECK, code=2)
    log += job.step(COMMENT)
    assert commands_in(log) == []
    assert TOKEN not in log
    assert not list(job.folder.parent.rglob("pwned"))
    (made,) = github.comments
    shown = code_of(made["body"])
    assert all(character.isprintable() or character == "\n" for character in made["body"])
    assert sum(line.endswith(": rejected") for line in shown.splitlines()) == len(HOSTILE) + 1
    assert "pipelines/columns.yaml: plan" in shown
    for name in HOSTILE:
        flat = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in name)
        assert name == HOSTILE[-1] or f"{flat.replace(chr(34), '')} decimal(38,2)" in shown
        assert f"{flat}.yml: rejected" in shown


@pytest.mark.parametrize("line", ["```", "~~~", "`````text", "    ```", "-->", "<!--", "# title", "@everybody"])
def test_no_line_ends_the_code_block(line):
    script = "import sys; sys.path.insert(0, 'tools'); from action import block; print(block(sys.argv[1:]), end='')"
    command = [sys.executable, "-c", script, "first", line, "last"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert code_of(f"<!-- osiris:{0:012} -->\n### Osiris\n\n{printed}") == f"first\n{line}\nlast\n"


@pytest.mark.parametrize("files", ["$(touch pwned)\n`touch pwned`", "pipelines/*.yml", ""])
def test_inputs_are_data_too(job, files):
    job.inputs["files"] = files
    assert "no pipeline matches" in job.step(CHECK, code=1)
    assert not list(job.folder.parent.rglob("pwned"))


def test_a_project_in_a_folder(job, github):
    (job.folder / "my $(touch pwned) shop").mkdir()
    for path in list(job.folder.iterdir()):
        if path.name != "my $(touch pwned) shop":
            path.rename(job.folder / "my $(touch pwned) shop" / path.name)
    job.inputs |= {"project": "my $(touch pwned) shop", "files": "pipelines/*.yaml\n\n  nested/**/*.yaml  "}
    job.step(CHECK)
    job.step(COMMENT)
    assert code_of(github.comments[0]["body"]).startswith("pipelines/example.yaml: plan")
    assert not list(job.folder.parent.rglob("pwned"))


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_read_only_token_is_told_and_fails_nothing(job, github, status):
    job.step(CHECK)
    github.status = status
    (line,) = commands_in(job.step(COMMENT))
    assert line.startswith(f"::notice::The plans are in the job's summary: commenting failed with status {status}")


def test_without_the_api_nothing_fails(job, github):
    job.step(CHECK)
    assert "GitHub's API was not reached" in job.step(COMMENT, GITHUB_API_URL="http://127.0.0.1:9")
    (job.temp / "osiris-comment.json").unlink()
    assert job.step(COMMENT) == ""


def test_a_long_plan_is_cut(job, github):
    columns = ", ".join(f'amount AS "{"`" * 99}{number}"' for number in range(540))
    query = f"query: {json.dumps(f'SELECT {columns} FROM orders')}"
    job.pipeline("example.yaml", re.sub(r"query: \|.*?(?=\n\n)", lambda _: query, EXAMPLE, flags=re.DOTALL))
    log = job.step(CHECK)
    job.step(COMMENT)
    body = github.comments[0]["body"]
    assert 60_000 < len(body) < 65_536
    assert code_of(body).endswith("cut: the job's log has all of it\n")
    assert "`539 decimal(38,2)" in log


def test_the_command_does_not_get_the_token(job):
    seen = job.temp / "seen"
    fake = job.temp / "osiris"
    fake.write_text(f"#!/bin/sh\nenv >> {seen}; echo '{{}}'\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    job.inputs["osiris"] = str(fake)
    secret = {"GITHUB_TOKEN": TOKEN, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": TOKEN, "INPUT_TOKEN": TOKEN, "TOKEN": TOKEN}
    job.step(CHECK, **secret)
    job.step(RUN, GITHUB_EVENT_NAME="push", GITHUB_REF_PROTECTED="true", WAREHOUSE_PASSWORD="kept", **secret)
    assert TOKEN not in seen.read_text()
    assert "WAREHOUSE_PASSWORD=kept" in seen.read_text()


@pytest.mark.parametrize(
    ("event", "protected"),
    [("pull_request", "true"), ("pull_request_target", "true"), ("push", "false"), ("push", ""), ("issues", "true")],
)
def test_nothing_runs_but_on_a_protected_branch(job, event, protected):
    log = job.step(RUN, code=1, GITHUB_EVENT_NAME=event, GITHUB_REF_PROTECTED=protected)
    assert "pipelines run only on a protected branch" in log
    assert not (job.folder / "logs").exists()


def test_a_repeated_job_runs_nothing_again(job):
    there = {"GITHUB_EVENT_NAME": "push", "GITHUB_REF_PROTECTED": "true"}
    assert "pipelines/example.yaml: complete" in job.step(RUN, **there)
    assert (job.folder / "output/revenue.csv").is_file()
    job.step(RUN, **there)
    assert len(list(job.folder.glob("logs/*/run.json"))) == 1
    job.pipeline("wrong.yaml", "oml_version: '0.1.0'\n")
    log = job.step(RUN, code=2, **there | {"GITHUB_RUN_ID": "4712"})
    assert "pipelines/wrong.yaml: rejected" in log
    assert commands_in(log) == []


APPEND = """
oml_version: "0.1.0"
name: loaded
steps:
  - {id: orders, component: filesystem.csv_extractor, mode: read, config: {path: data/orders.csv}}
  - {id: load, component: sqlite.writer, mode: write,
     config: {connection: "@sqlite.shop", table: orders, write_mode: append}}
"""


def test_a_job_that_is_repeated_on_another_runner_delivers_once(job, tmp_path):
    """The new runner has the checkout alone; the record of the delivery is in the target."""
    job.inputs["files"] = "pipelines/loaded.yaml"
    job.pipeline("loaded.yaml", APPEND)
    database = tmp_path / "shop.db"
    sqlite3.connect(database).close()
    (job.folder / "osiris_connections.yaml").write_text(f"connections: {{sqlite: {{shop: {{path: {database}}}}}}}\n")
    (job.folder / "osiris.yaml").write_text(f"paths: {{read: [{tmp_path}], write: [{tmp_path}]}}\n")
    for _ in range(2):
        job.step(RUN, GITHUB_EVENT_NAME="push", GITHUB_REF_PROTECTED="true")
        for folder in ("logs", "build", ".osiris"):
            shutil.rmtree(job.folder / folder)
    with closing(sqlite3.connect(database)) as target:
        assert target.execute("SELECT count(*), count(DISTINCT order_id) FROM orders").fetchone() == (8, 8)


@pytest.mark.long
def test_it_installs_itself(job, github):
    """With pip's own registry, and code in the checkout that must not be imported instead of pip."""
    for name in ("pip", "venv", "json"):
        (job.folder / f"{name}.py").write_text("raise SystemExit('imported from the checkout')\n")
    certificates = {name: os.environ[name] for name in ("PIP_CERT", "PIP_INDEX_URL") if name in os.environ}
    job.step({**INSTALL, "env": {}}, **certificates)
    job.inputs["osiris"] = ""
    job.step(CHECK)
    job.step(COMMENT)
    assert "would change" in code_of(github.comments[0]["body"])
