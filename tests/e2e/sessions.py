"""A shop whose runs are inspected afterwards: completed, failed, killed while running, compared."""

import json
import os
import signal
import subprocess
import time

from tests.conftest import KEPT, OSIRIS
from tests.patience import SOON

from osiris import api

SLOW = """
oml_version: "0.1.0"
name: slow
steps:
  - {id: orders, component: filesystem.csv_extractor, mode: read, config: {path: data/orders.csv}}
  - id: crossed
    component: duckdb.processor
    mode: transform
    config: {query: "SELECT count(*) AS n FROM CROSSED"}
  - {id: out, component: filesystem.csv_writer, mode: write, config: {path: output/slow.csv}}
"""


def slow(often):
    """Return the slow pipeline; each increment takes eight times as long, and 14 never ends."""
    return SLOW.replace("CROSSED", ", ".join(f"orders o{n}" for n in range(often)))


def new_project(folder):
    """Create what `osiris init` does, in this process; returns the folder."""
    api.lay_out("init", folder)
    api.wire_editor(folder)
    return folder


class Shop:
    """The example project; every call must exit with the expected code."""

    def __init__(self, osiris, folder):
        self._osiris = osiris
        self.folder = new_project(folder)
        self.orders = folder / "data" / "orders.csv"
        self.example = folder / "pipelines" / "example.yaml"

    def __call__(self, *args, code=0, **options):
        done = self._osiris(*args, cwd=self.folder, **options)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def call_any(self, *args, **options):
        """Return the outcome of a call, whatever its exit code."""
        return self._osiris(*args, cwd=self.folder, **options)

    def json(self, *args, **options):
        return json.loads(self(*args, "--json", **options).stdout)

    def run(self, *args, **options):
        """Run the example as a new run; returns the session's id."""
        anew = () if "--run-id" in args else ("--new-run",)
        return self.json("run", "pipelines/example.yaml", *anew, *args, **options)["data"]["session"]

    def summary(self, session):
        return json.loads((self.folder / "logs" / session / "run.json").read_text())

    def begin(self, *args):
        """Start the slow pipeline, and wait until it works; returns the process and its session."""
        (self.folder / "pipelines" / "slow.yaml").write_text(slow(14))
        return self.begin_any("run", "pipelines/slow.yaml", *args)

    def begin_any(self, *words):
        """Start a command that runs steps of the slow pipeline, and wait until it does."""
        env = {name: os.environ[name] for name in KEPT if name in os.environ}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        before = self._at_work()
        process = subprocess.Popen([OSIRIS, *words], cwd=self.folder, env=env, **quiet)
        deadline = time.monotonic() + SOON
        while not (found := self._at_work() - before):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return process, found.pop()

    def _at_work(self):
        """Return the sessions of the slow pipeline in which a step has begun."""
        files = self.folder.glob("logs/*-slow-*/events.jsonl")
        return {path.parent.name for path in files if b"step_start" in path.read_bytes()}

    def lose(self):
        """Kill a run while it works; returns its session, which is not closed yet."""
        process, session = self.begin()
        process.send_signal(signal.SIGKILL)
        process.wait()
        return session
