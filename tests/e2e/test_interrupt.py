"""Ctrl-C ends any command with 130 and SIGTERM with 143, never with a traceback; a run that had ended stays ended."""

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conftest import KEPT, OSIRIS
from tests.e2e.agent import ask
from tests.e2e.sessions import Shop
from tests.patience import SOON, started, wait_until


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_while_it_waits_for_input(tmp_path, sent, code):
    command = [str(Path(sys.executable).parent / "osiris"), "sql", "check", "--dialect", "duckdb", "--json"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    status = Path(f"/proc/{process.pid}/wchan")
    deadline = time.monotonic() + SOON
    while "pipe" not in status.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(sent)
    out, err = process.communicate(timeout=300)
    assert process.returncode == code
    assert "Traceback" not in err
    assert [d["code"] for d in json.loads(out)["diagnostics"]] == ["PRJ012"]


REPORTS = {
    "notify": 'notify: {{webhook: "${{URL}}", timeout: 10m}}',
    "telemetry": "otel: {{enabled: true, timeout: 10m}}",
    "lineage": 'openlineage: {{url: "{url}", timeout: 10m}}',
}
PIPELINE = "pipelines/example.yaml"
IN_PYTHON = f"""
import osiris
run = osiris.run({PIPELINE!r}, new_run=True)
print(run.status, *(item.code for item in run.diagnostics if item.severity == "warning"))
"""


class Reporting(Shop):
    """A project whose runs are reported to a server that accepts a request and never answers it."""

    def __init__(self, osiris, folder, hooks, report):
        super().__init__(osiris, folder)
        if report == "notify":  # of a recovery
            content = self.orders.read_text()
            self.orders.unlink()
            self("run", PIPELINE, code=1)
            self.orders.write_text(content)
        hooks.faults.hang = True
        self.hooks = hooks
        (folder / "osiris.yaml").write_text(REPORTS[report].format(url=hooks.url) + "\n")
        (folder / ".env").write_text(f"URL={hooks.url}\nOTEL_EXPORTER_OTLP_ENDPOINT={hooks.url}\n")

    def interrupt(self, process, sent):
        """Send a signal once the run has ended and its report is waited for; returns the output."""
        wait_until(lambda: self.hooks.requests and len(self.packages()) == len(self.statuses()) > 0)
        process.send_signal(sent)
        out, err = process.communicate(timeout=SOON)
        assert "Traceback" not in err
        return out

    def statuses(self):
        return [json.loads(file.read_text())["status"] for file in self.folder.glob("logs/*/run.json")]

    def packages(self):
        """Return what is written of each run once it has ended, before it is reported."""
        return [*self.folder.glob("logs/*/aiop/*_aiop.json")]

    @property
    def unreported(self):
        return [*(self.folder / ".osiris" / "open").iterdir()]


def begin(folder, *command, env=None):
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return started([*map(str, command)], cwd=folder, env=kept | (env or {}), **pipes)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("report", REPORTS)
def test_the_result_of_a_run_stands_when_its_reports_are_interrupted(report, sent, osiris, tmp_path, hooks):
    shop = Reporting(osiris, tmp_path / "shop", hooks, report)
    with begin(shop.folder, OSIRIS, "run", PIPELINE, "--new-run", "--json") as process:
        envelope = json.loads(shop.interrupt(process, sent))
        assert process.returncode == 0, envelope
    assert envelope["data"]["status"] == "complete"
    assert [each["code"] for each in envelope["diagnostics"] if each["severity"] != "note"] == ["NTF007"]
    assert shop.unreported == []


def test_a_failed_run_keeps_its_code(osiris, tmp_path, hooks):
    shop = Reporting(osiris, tmp_path / "shop", hooks, "notify")
    shop.orders.unlink()
    with begin(shop.folder, OSIRIS, "run", PIPELINE, "--new-run", "--json") as process:
        envelope = json.loads(shop.interrupt(process, signal.SIGINT))
        assert process.returncode == 1
    assert {each["code"] for each in envelope["diagnostics"] if each["severity"] != "note"} == {"DRV001", "NTF007"}


def test_python_gets_the_result_of_a_run_whose_reports_are_interrupted(osiris, tmp_path, hooks):
    shop = Reporting(osiris, tmp_path / "shop", hooks, "notify")
    with begin(shop.folder, sys.executable, "-c", IN_PYTHON) as process:
        out = shop.interrupt(process, signal.SIGINT)
        assert (process.returncode, out.split()) == (0, ["complete", "NTF007"])
    assert shop.unreported == []


def test_an_agent_that_gives_up_a_run_during_its_reports_is_told_of_it_by_the_same_call(osiris, tmp_path, hooks):
    shop = Reporting(osiris, tmp_path / "shop", hooks, "notify")
    fingerprint = shop.json("compile", PIPELINE)["data"]["fingerprint"]

    @ask(shop.folder, "--allow-run", mode="legacy")
    async def _(agent):
        running = asyncio.create_task(agent.client.call_tool("run", {"fingerprint": fingerprint}))
        async with asyncio.timeout(SOON):
            while not hooks.requests:
                await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        async with asyncio.timeout(SOON):
            while len(shop.unreported) != 1 or _is_held(shop):
                await asyncio.sleep(0.05)
        answer = await agent("run", fingerprint=fingerprint)
        assert "RUN032" in agent.text
        assert answer["data"]["status"] == "complete"

    assert sorted(shop.statuses()) == ["complete", "failed"]
    assert shop.unreported == []


def _is_held(shop):
    from osiris.project import Project
    from osiris.project_lock import is_held

    return any(map(is_held, Project(shop.folder).locks.glob("*.lock")))


RUN = ("run", PIPELINE, "--new-run")
TOOL = """#!/bin/sh
[ -e {pids} ] || exec echo .
echo $$ > {pids}.new
sleep 300 &
echo $! >> {pids}.new
mv {pids}.new {pids}
wait
"""


@pytest.fixture
def asking(osiris, hooks, tmp_path):
    """A project whose files are in a folder that a command printed once and does not again; and how to start Osiris."""
    shop, home = Shop(osiris, tmp_path / "shop"), tmp_path / "home"
    tool, own = home / "tool", home / ".config" / "osiris" / "config.yaml"
    own.parent.mkdir(parents=True)
    tool.write_text(TOOL.format(pids=shlex.quote(str(home / "pids"))))
    tool.chmod(0o755)
    own.write_text(json.dumps({"secrets": {"commands": [[str(tool)]]}}))
    text = shop.example.read_text()
    shop.example.write_text(text.replace("config:\n", 'config:\n      connection: "@filesystem.files"\n', 1))
    files = {"connections": {"filesystem": {"files": {"base_dir": f"${{cmd:{tool}}}"}}}}
    (shop.folder / "osiris_connections.yaml").write_text(json.dumps(files))
    shop("run", PIPELINE, env={"HOME": str(home)})  # so that its schema is known
    (home / "pids").touch()
    (shop.folder / "osiris.yaml").write_text('notify: {webhook: "${URL}"}\n')
    (shop.folder / ".env").write_text(f"URL={hooks.url}\n")

    @contextmanager
    def start(*words):
        with begin(shop.folder, OSIRIS, *words, env={"HOME": str(home)}) as process:
            wait_until((home / "pids").read_text)
            process.tool = [int(text) for text in (home / "pids").read_text().split()]
            assert all(map(is_alive, process.tool))
            yield process

    start.folder = shop.folder
    return start


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
@pytest.mark.parametrize("words", [RUN, ("preview", PIPELINE), ("connections", "doctor")], ids=" ".join)
def test_a_signal_ends_a_command_that_waits_for_a_secret_and_what_it_asks(words, sent, code, asking, hooks):
    with asking(*words, "--json") as process:
        process.send_signal(sent)
        out, err = process.communicate(timeout=SOON)
        assert process.returncode == code, out + err
        if code > 0:
            assert [each["code"] for each in json.loads(out)["diagnostics"]] == ["PRJ012"]
        wait_until(lambda: not any(map(is_alive, process.tool)))
    assert hooks.requests == []
    assert len([*asking.folder.glob("logs/*/run.json")]) == 1


def test_what_a_command_asks_ends_even_if_the_command_was_killed_while_it_started(asking, tmp_path):
    """The tool kills the command that starts it as the first thing that it does."""
    home = tmp_path / "home"
    (home / "tool").write_text(f"#!/bin/sh\necho $$ > {home}/pids\nkill -KILL $PPID\nsleep 300\n")
    for _ in range(5):
        (home / "pids").write_text("")
        with begin(asking.folder, OSIRIS, "connections", "doctor", env={"HOME": str(home)}) as process:
            assert process.wait(SOON) == -signal.SIGKILL
        tool = int((home / "pids").read_text())
        wait_until(lambda tool=tool: not is_alive(tool))
