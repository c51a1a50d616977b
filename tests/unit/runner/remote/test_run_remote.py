"""The code that all remote targets share, over a transport whose remote side is a local folder."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest
from tests.parity.cases import READ, WRITE, Case, lay_out, read, source, sql, to, write
from tests.parity.elsewhere import Exec
from tests.patience import SOON

from osiris import api
from osiris.runner.adapter import start_worker
from osiris.runner.host.run import RunOptions, run
from osiris.runner.protocol import RENEW, encode
from osiris.runner.remote import bundle
from osiris.runner.remote.run_remote import Remote
from osiris.runner.remote.sandbox_scope import SandboxScope


class Desk:
    def __init__(self, folder):
        lay_out(folder)
        self.folder, self.transport, self.events = folder, Exec(), []
        self.workspace = api.open_project(folder, {})

    def run(self, *steps, upload=None, fetch=None, engines=None, listen=lambda _event: None, silence=30.0):
        (self.folder / "case.yaml").write_text(Case(steps).text("case"))
        plan = api.plan_of(self.workspace, str(self.folder / "case.yaml"), RunOptions(), params={})

        def hear(event):
            self.events.append(event)
            listen(event)

        pinned = plan.manifest.data["engines"] if engines is None else engines
        words = {"upload": upload, "fetch": fetch, "engines": pinned, "silence": silence}
        with Remote(self.transport, self.folder, **words) as remote:
            self.remote = remote
            project, config = self.workspace.project, self.workspace.config
            return run(project, plan.manifest, config, RunOptions(new_run=True), hear, remote, plan.asked)

    def codes(self, *steps, **words):
        result = self.run(*steps, **words)
        return result.status, [item.code for item in result.diagnostics]


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "project")


def test_outputs_are_here_before_a_step_is_told_complete(desk):
    seen = {}

    def listen(event):
        if event["event"] == "step_complete" and event["step"] == "out":
            seen["sha256"] = hashlib.sha256((desk.folder / "output" / "out.csv").read_bytes()).hexdigest()
            seen["told"] = event["files"][0]["sha256"]

    assert desk.run(READ, WRITE, listen=listen).status == "complete"
    assert seen["sha256"] == seen["told"]
    assert desk.transport.closed == 1
    figures = desk.remote.figures
    assert figures.keys() == {"bootstrap_ms", "upload_bytes", "fetch_bytes", "adapter_overhead_ms"}
    assert figures["fetch_bytes"] == (desk.folder / "output" / "out.csv").stat().st_size
    assert not list(desk.folder.glob("output/.*"))


@pytest.mark.long
@pytest.mark.parametrize("piece", [1, 7, 1 << 15])
def test_lines_come_in_any_pieces_and_broken_streams_are_repaired(desk, piece):
    desk.transport.faults.piece = piece
    desk.transport.faults.cuts = {"put": 2, "get": 1}

    def listen(event):
        if event["event"] == "step_start":
            desk.transport.faults.cuts["stream"] = 3
            desk.transport.faults.lose = 5

    assert desk.run(READ, sql("SELECT * FROM orders ORDER BY id"), WRITE, listen=listen).status == "complete"
    assert [e["seq"] for e in desk.events] == list(range(1, len(desk.events) + 1))
    told = [(e["event"], e.get("step")) for e in desk.events if e["event"] in ("step_start", "step_complete")]
    assert sorted(told) == sorted({*told})
    assert len(told) == 6


def test_a_worker_that_dies_is_told_and_nothing_is_half_there(desk):
    def listen(event):
        if event["event"] == "step_start" and event["step"] == "out":
            desk.transport.programs[-1].process.kill()

    steps = READ, sql("SELECT count(*) AS n FROM orders a, orders b, orders c, orders d, orders e, orders f"), WRITE
    assert desk.codes(*steps, listen=listen) == ("failed", ["RUN001"])
    assert list((desk.folder / "output").iterdir()) == [] if (desk.folder / "output").exists() else True


def test_a_result_counts_though_its_line_was_lost(desk):
    def listen(event):
        if event["event"] == "step_complete" and event["step"] == "out":
            desk.transport.faults.lose = 10**6

    assert desk.run(READ, WRITE, listen=listen).status == "complete"


def test_paths_that_mean_nothing_there_are_refused(desk):
    desk.workspace = api.open_project(desk.folder, {"OSIRIS_PATHS__READ": str(desk.folder.parent)})
    for path in (str(desk.folder / "data" / "orders.csv"), "../orders.csv"):
        (desk.folder.parent / "orders.csv").write_text("id\n1\n")
        assert desk.codes(read(path=path), WRITE) == ("failed", ["SBX010"])
    assert desk.transport.place == ""


def test_too_much_is_neither_sent_nor_fetched(desk):
    assert desk.codes(READ, WRITE, upload=10) == ("failed", ["SBX011"])
    assert desk.codes(READ, WRITE, fetch=10) == ("failed", ["SBX012"])
    assert not (desk.folder / "output" / "out.csv").exists()


def test_engines_must_be_those_of_the_plan(desk):
    assert desk.codes(READ, WRITE, engines={"duckdb": "0.0.1"}) == ("failed", ["SBX016"])


def test_a_connection_that_stays_broken(desk):
    desk.transport.faults.cuts = {"put": 99}
    assert desk.codes(READ, WRITE) == ("failed", ["SBX015"])


def test_files_that_arrive_as_others_are_refused(desk):
    class Careless(Exec):
        def start(self, command):
            program = super().start(command)
            if "tar -xzf" in command:
                program.process.wait()
                with open(f"{self.place}/project/data/orders.csv", "a") as file:
                    file.write("41,Zoë 1,1.50,2025-01-01\n")
            return program

    desk.transport = Careless()
    assert desk.codes(READ, WRITE) == ("failed", ["SBX013"])


def test_files_that_come_back_as_others_are_refused(desk):
    class Careless(Exec):
        def start(self, command):
            if "tar -chf" in command:
                with open(f"{self.place}/project/output/out.csv", "r+b") as file:
                    file.write(b"X")
            return super().start(command)

    desk.transport = Careless()
    assert desk.codes(READ, WRITE) == ("failed", ["SBX013"])
    assert list((desk.folder / "output").iterdir()) == []


def test_a_database_that_changed_on_both_sides_is_left_alone(desk):
    def listen(event):
        if event["event"] == "step_start" and event["step"] == "out":
            with (desk.folder / "data" / "shop.sqlite").open("ab") as file:
                file.write(b"\0")

    assert desk.codes(source("sqlite"), to("sqlite", "copies"), listen=listen) == ("failed", ["SBX014"])
    assert (desk.folder / "data" / "shop.sqlite").read_bytes().endswith(b"\0")


def test_a_host_that_is_not_heard_of_ends_the_worker(tmp_path):
    link = start_worker(tmp_path)
    try:
        began = time.monotonic()
        link._process.stdin.write(encode(RENEW | {"seconds": 1.5}))
        link._process.wait(timeout=300)
        assert time.monotonic() - began > 1
    finally:
        link.close()


def test_the_worker_starts_from_the_bundle_alone(tmp_path):
    archive = io.BytesIO()
    bundle.pack(archive, tmp_path, SandboxScope(), {}, None)
    archive.seek(0)
    with tarfile.open(fileobj=archive) as tar:
        tar.extractall(tmp_path, filter="data")
        assert not [name for name in tar.getnames() if "/cli/" in name or "/api/" in name or name.endswith(".pyc")]
    code = f"""import sys
here = {str(tmp_path)!r}
sys.path = [here + "/{bundle.CODE}", *(p for p in sys.path if not p.endswith("/src"))]
from osiris.registry import load_registry
registry = load_registry()
for name in registry.names():
    registry.load_driver(name)
from osiris.runner.worker import describe_job, discover, doctor, main, steps
ours = [module for name, module in sys.modules.items() if name.partition(".")[0] == "osiris"]
print(len(registry.names()) > 10, [m.__name__ for m in ours if not m.__file__.startswith(here)])
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "True []"), done.stderr


def test_what_drivers_leave_and_print_comes_back(desk):
    bad = ', dtype: {id: int64, price: "decimal(9,2)"}, on_reject: quarantine'
    result = desk.run(read(path="data/bad.csv", more=bad), write())
    folder = desk.folder / "logs" / result.session_id
    assert "wrong" in (folder / "artifacts" / "orders" / "rejected.csv").read_text()
    assert json.loads((folder / "run.json").read_text())["remote"]["fetch_bytes"] > 0


def test_without_its_client_e2b_is_refused(tmp_path):
    code = """import sys
sys.modules["e2b"] = None
from osiris.errors import OsirisError
from osiris.runner.remote.e2b import sdk
try:
    sdk()
except OsirisError as error:
    print(error.diagnostics[0].code, error.diagnostics[0].hint)
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.startswith("SBX020 install it: pip install 'e2b"), done.stderr


def test_the_lock_of_sandboxes_is_that_of_the_project():
    root = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, str(root / "tools" / "lock.py"), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_place_in_which_nothing_can_be_unpacked_is_told(desk):
    class Full(Exec):
        def start(self, command):
            return super().start("echo no space left; exit 1" if "tar -xzf" in command else command)

    desk.transport = Full()
    result = desk.run(READ, WRITE)
    assert [item.code for item in result.diagnostics] == ["SBX015"]
    assert "could not be unpacked: no space left" in result.diagnostics[0].message


def test_a_place_without_a_python_is_told(desk):
    class Bare(Exec):
        def start(self, command):
            return super().start(f"PATH=; {command}" if "command -v" in command else command)

    desk.transport = Bare()
    result = desk.run(READ, WRITE)
    assert [item.code for item in result.diagnostics] == ["SBX015"]
    assert "could not be started: no Python" in result.diagnostics[0].message


class Silent(Exec):
    """Falls silent from a command on that contains a word, like a frozen connection."""

    def __init__(self, word):
        super().__init__()
        self.word, self.frozen = word, threading.Event()

    def start(self, command):
        program = super().start(command)
        if self.word in command:
            program.stream = self._nothing
        return program

    def _nothing(self):
        self.frozen.set()
        time.sleep(10**6)
        yield b""


BEGINNINGS = ["tar -xzf", "exec env -i"]


@pytest.mark.parametrize("word", BEGINNINGS)
def test_a_place_that_falls_silent_before_its_first_words_is_given_up(desk, word):
    desk.transport = Silent(word)
    began = time.monotonic()
    result = desk.run(READ, WRITE, silence=2.0)
    assert [item.code for item in result.diagnostics] == ["SBX015"]
    assert "no answer within 2 s" in result.diagnostics[0].message
    assert time.monotonic() - began < SOON
    assert desk.transport.closed == 1


@pytest.mark.parametrize("word", BEGINNINGS)
def test_ctrl_c_is_heard_while_a_place_says_nothing(desk, word):
    desk.transport = Silent(word)

    def interrupt():
        desk.transport.frozen.wait()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    began = time.monotonic()
    assert desk.run(READ, WRITE, silence=40.0).status == "cancelled"
    assert time.monotonic() - began < SOON
    assert desk.transport.closed == 1


def test_a_command_that_takes_its_time_is_waited_for(desk):
    class Slow(Exec):
        def start(self, command):
            return super().start(command.replace("tar -xzf", "sleep 12; tar -xzf"))

    desk.transport = Slow()
    assert desk.run(READ, WRITE, silence=10.0).status == "complete"
