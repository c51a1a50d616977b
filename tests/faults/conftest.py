"""A project, another author's package that is really installed, and runs of plans made by hand."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.unit.chat.scripted import environment, serving
from tests.unit.chat.talking import proposal

from osiris.canonical import fingerprint
from osiris.config import load_config
from osiris.model import Manifest
from osiris.project import Project
from osiris.registry import load_registry
from osiris.runner.adapter import start_worker
from osiris.runner.host.run import RunOptions, run
from osiris.runner.limits import limits_of
from osiris.runner.protocol import Job, Secrets
from osiris.secret import is_secret_name

STRANGER = Path(__file__).parent / "stranger"
ENTRY_POINTS = """[osiris.components]
strange.numbers = strange.numbers
strange.passing = strange.passing
strange.file_writer = strange.file_writer
strange.misbehaving = strange.misbehaving
strange.shifting = strange.shifting
"""


@pytest.fixture(scope="session")
def model_of_places():
    """The variables of a project whose model answers the conversation lab with a load into a table."""
    mart = {"component": "duckdb.writer", "connection": "@duckdb.mart", "table": "places", "mode": "append"}
    with serving({"append data/a.csv to table places in @duckdb.mart": proposal("data/a.csv", **mart)}) as server:
        yield environment(server)


@pytest.fixture(scope="session")
def python(tmp_path_factory):
    """An interpreter in which Osiris and that package are installed."""
    folder = tmp_path_factory.mktemp("stranger")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    packages = next((folder / "venv").glob("lib/python*/site-packages"))
    ours = sysconfig.get_paths()["purelib"]
    (packages / "all.pth").write_text(f"{STRANGER}\nimport site; site.addsitedir({ours!r})\n")
    info = packages / "strange-1.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return str(folder / "venv" / "bin" / "python")


def step(name, component, mode="read", reads=(), needs=None, **config):
    inputs = {f"df_{parent}": parent for parent in reads}
    return {
        "id": name,
        "component": f"strange.{component}" if "." not in component else component,
        "mode": mode,
        "config": config,
        "sql": {},
        "connection": None,
        "needs": sorted({*inputs.values(), *(needs or ())}),
        "inputs": inputs,
        "schema": None,
        "order": "free",
        "lineage": None,
        "fused": [],
    }


@dataclass(frozen=True)
class Desk:
    """A project, with everything that is needed to run something in it."""

    project: Project
    python: str

    @property
    def config(self):
        return load_config(self.project, {})

    def worker(self, **options):
        return start_worker(self.project.root, python=self.python, **options)

    def job(self, kind, steps, **fields):
        scratch = self.project.scratch / "job"
        limits = limits_of(10**9, 2)
        return Job(kind, str(self.project.root), str(scratch), str(scratch / "artifacts"), limits, steps, **fields)

    def plan(self, steps, name="trial"):
        """A plan with the schemas that the components describe."""
        events = []
        with self.worker() as link:
            end = link.ask(self.job("describe", steps), Secrets(), events.append)
        assert end["ok"], (events, end)
        told = {event["step"]: event for event in events if event["event"] == "described"}
        full = [{**s, "schema": told[s["id"]]["schema"], "order": told[s["id"]]["order"]} for s in steps]
        return self.by_hand(full, name)

    def by_hand(self, steps, name="trial"):
        data = {
            "pipeline": {"name": name},
            "engines": {},
            "connections": {},
            "sensitive": [],
            "steps": steps,
            "fingerprint": fingerprint(steps),
        }
        return Manifest(data)

    def write_plan(self, steps, connections, name="plan"):
        """Write a plan with the connections that its steps use, which the project declares too; returns its path.

        Secrets are in the project's .env, as usual.
        """
        declared, secrets, written = {}, {}, {}
        for reference, fields in connections.items():
            family, alias = reference.removeprefix("@").split(".")
            known = load_registry().family(family).fields["properties"]
            secret = {field for field in fields if known[field].get("x-secret") or is_secret_name(field)}
            secrets |= {f"{alias}_{field}".upper(): fields[field] for field in secret}
            written[reference] = fields | {field: f"${{{alias}_{field}}}".upper() for field in secret}
            declared.setdefault(family, {})[alias] = written[reference]
        (self.project.root / "osiris_connections.yaml").write_text(json.dumps({"connections": declared}))
        escaped = str.maketrans({"\\": "\\\\", '"': '\\"', "$": "\\$", "\n": "\\n"})
        lines = [f'{variable}="{value.translate(escaped)}"\n' for variable, value in secrets.items()]
        (self.project.root / ".env").write_text("".join(lines))
        path = self.project.root / f"{name}.json"
        path.write_text(json.dumps({**self.plan(steps).data, "connections": written}))
        return path

    def run(self, plan, progress=lambda _event: None, silence=30.0, config=None, **options):
        with self.worker(silence=silence) as link:
            return run(
                self.project, plan, config or self.config, RunOptions(**{"environ": {}, **options}), progress, link
            )

    def session(self, result):
        return self.project.logs / result.session_id

    def events(self, result):
        return [json.loads(line) for line in (self.session(result) / "events.jsonl").read_text().splitlines()]

    def summary(self, result):
        return json.loads((self.session(result) / "run.json").read_text())

    def left_over(self):
        """Files that no finished run should leave."""
        found = [p for p in self.project.root.rglob("*") if ".tmp" in p.name or p.name.startswith(".run.json")]
        return found + list(self.project.scratch.glob("*")) + list(self.project.open_sessions.glob("*"))


@pytest.fixture
def desk(tmp_path, python):
    (tmp_path / "osiris.yaml").write_text("run: {wait: 0}\n")
    return Desk(Project(tmp_path.resolve()), python)


@pytest.fixture
def make_step():
    return step


@pytest.fixture
def changed():
    return replace
