"""Synthetic sessions, line by line."""

import json
from hashlib import sha256

import pytest

from osiris.aiop.package import build_package
from osiris.aiop.sections import Options
from osiris.history.reading import Reading
from osiris.history.record import load_run

DIGEST = "f" * 64
STEP = {
    "version": "1",
    "spec": DIGEST,
    "config": {},
    "sql": {},
    "connection": None,
    "delivery": None,
    "schema": None,
    "order": "free",
    "lineage": None,
    "fused": [],
    "leaves": {**dict.fromkeys(("about", "component", "config", "inputs", "schema"), DIGEST), "sql": None},
}
MANIFEST = {
    "manifest_version": 1,
    "osiris": "1",
    "engines": {},
    "pipeline": {"name": "made", "oml_version": "0.1.0"},
    "params": {},
    "sensitive": [],
    "connections": {},
    "leaves": dict.fromkeys(("params", "compiler", "engines", "connections", "pipeline"), DIGEST),
    "fingerprint": DIGEST,
}


class Made:
    """A session below a folder; `step`, `event` and `problem` add to it, `facts` reads it."""

    def __init__(self, root):
        self.name = "20260101-000000-000-made-abcd"
        self.root, self.folder = root, root / "logs" / self.name
        self.folder.mkdir(parents=True)
        self.status, self.steps, self.plan, self.events = "complete", {}, [], []
        self.diagnostics, self.outputs, self.more = [], {}, {}

    def step(self, name, mode, status="complete", rows=None, *, reads=(), **plan):
        told = dict(zip(("rows_in", "rows_out", "rows_rejected"), (*rows, 0)[:3], strict=True)) if rows else {}
        self.steps[name] = {"mode": mode, "status": status, **told}
        inputs = {source: source for source in reads}
        step = {**STEP, "id": name, "mode": mode, "component": f"made.{mode}", "needs": list(reads), "inputs": inputs}
        self.plan.append({**step, "hash": sha256(name.encode()).hexdigest(), **plan})

    def event(self, name, **fields):
        at = f"2026-01-01T00:00:{len(self.events) % 60:02}.000000+00:00"
        self.events.append(
            {"ts": at, "seq": len(self.events) + 1, "session": self.name, "event": name, **fields},
        )

    def problem(self, item, step=None, **fields):
        self.diagnostics.append(item.to_json())
        if step:
            self.event("step_failed", step=step, code=item.code, message=item.message, duration_ms=1.0, **fields)

    def write(self):
        summary = {
            "session": self.name,
            "kind": "run",
            "pipeline": "made",
            "fingerprint": "f" * 64,
            "adapter": "local",
            "status": self.status,
            "run_key": self.name,
            "started_at": "2026-01-01T00:00:00.000000+00:00",
            "ended_at": "2026-01-01T00:01:00.000000+00:00",
            "duration_ms": 60_000.0,
            "engines": {},
            "limits": {},
            "steps": self.steps,
            "outputs": self.outputs,
            "diagnostics": self.diagnostics,
            **self.more,
        }
        manifest = {**MANIFEST, "steps": self.plan}
        (self.folder / "run.json").write_text(json.dumps(summary))
        (self.folder / "manifest.json").write_text(json.dumps(manifest))
        (self.folder / "events.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in self.events))
        (self.folder / "metrics.jsonl").write_text("")

    def facts(self, clean=str):
        self.write()
        return Reading(load_run(self.folder), None, None, None, clean)

    def package(self, clean=str, **options):
        return build_package(self.facts(clean), Options(**options), lambda _name: None)


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path)
