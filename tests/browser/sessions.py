"""Synthetic sessions: the four files of a run, as long and as unusual as a test needs them."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from osiris.model import Manifest

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
DIGEST = "f" * 64
MODES = {"extractor": "read", "processor": "transform", "writer": "write"}


def moment(seconds, start=START):
    return (start + timedelta(seconds=seconds)).isoformat(timespec="microseconds")


def step(name, component, *, columns=(), inputs=(), config=None, lineage=None, **more):
    """Return a step of a plan; `columns` are pairs of name and type, `component` ends in its kind."""
    mode = MODES[component.rpartition("_")[2].rpartition(".")[2]]
    fields = [{"name": column, "type": kind, "nullable": True} for column, kind in columns]
    return {
        "id": name,
        "component": component,
        "version": "1.0.0",
        "mode": mode,
        "config": config or {},
        "sql": {"query": "duckdb"} if "query" in (config or {}) else {},
        "connection": None,
        "needs": sorted(inputs),
        "inputs": {f"in{index}": source for index, source in enumerate(inputs)},
        "delivery": "atomic_replace" if mode == "write" else None,
        "schema": None if mode == "write" else fields,
        "order": "free",
        "lineage": lineage,
        "fused": [],
        "spec": DIGEST,
        "leaves": {**dict.fromkeys(("about", "component", "config", "inputs", "schema"), DIGEST), "sql": None},
        "hash": sha256(name.encode("utf-8", "surrogatepass")).hexdigest(),
        **more,
    }


def plan(*steps, name="shop", fingerprint="a" * 64, description=None):
    """Return a plan with the parts that pages read."""
    return Manifest(
        {
            "manifest_version": 1,
            "osiris": "0.1.0",
            "engines": {"duckdb": "2.0.1"},
            "params": {},
            "sensitive": [],
            "pipeline": {"name": name, "oml_version": "0.1.0", **({"description": description} if description else {})},
            "leaves": dict.fromkeys(("params", "compiler", "engines", "connections", "pipeline"), DIGEST),
            "fingerprint": fingerprint,
            "connections": {},
            "steps": list(steps),
        }
    )


def write_session(root, manifest, *, seconds=10.0, start=START, rows=1000, failed=None, adapter="local", **more):
    """Write the session of a run of `seconds` in which every step output `rows` rows; return its folder.

    `failed` maps a step to its diagnostic (as JSON): steps that read it are cancelled. `progress` is a list of
    (seconds, step, rows), `memory` one of (seconds, bytes), `status` the status of the run if it does not follow from
    the steps.
    """
    failed, steps = failed or {}, manifest.steps
    stamp = start.strftime("%Y%m%d-%H%M%S-000")
    session = f"{stamp}-shop-{more.get('suffix', '0001')}"
    folder = root / "logs" / session
    folder.mkdir(parents=True)
    told, events, blocked = {}, [(0.1, "run_start", {"pipeline": manifest.name, "steps": len(steps)})], set()
    for index, each in enumerate(steps):
        name, mode = each["id"], each["mode"]
        began, ended = 0.2 + index * (seconds - 0.4) / len(steps) / 2, seconds - 0.1
        head = {"step": name, "component": each["component"], "mode": mode}
        events.append((began, "step_start", head))
        if name in failed:
            said = failed[name]
            events.append((ended, "step_failed", {**head, "rows": 7, "attempts": 1, **_cause(said)}))
            told[name] = {"mode": mode, "status": "failed"}
        elif blocked & set(each["inputs"].values()) or failed.keys() & set(each["inputs"].values()):
            blocked.add(name)
            events.append((ended, "step_cancelled", {**head, "duration_ms": 5.0, "because": next(iter(failed))}))
            told[name] = {"mode": mode, "status": "cancelled"}
        else:
            counts = {"rows_in": rows, "rows_out": rows, "rows_rejected": 0}
            counts |= {"duration_ms": round(1000 * (ended - began), 3), "attempts": 1}
            events.append((ended, "step_complete", {**head, **counts}))
            told[name] = {"mode": mode, "status": "complete", **counts}
    events += [(at, "step_progress", {"step": name, "rows": n, "rate": n}) for at, name, n in more.get("progress", ())]
    status = more.get("status") or ("failed" if failed else "complete")
    events.append((seconds, f"run_{status}", {"duration_ms": 1000 * seconds}))
    summary = {
        "session": session,
        "kind": "run",
        "pipeline": manifest.name,
        "fingerprint": manifest.fingerprint,
        "adapter": adapter,
        "status": status,
        "run_key": session,
        "run_started_at": "2026-03-01T12:00:00Z",
        "continues": None,
        "selected": None,
        "started_at": moment(0, start),
        "ended_at": moment(seconds, start),
        "duration_ms": 1000 * seconds,
        "engines": {"duckdb": "2.0.1"},
        "limits": {"threads": 2, "memory_bytes": 2_000_000_000},
        "connections": {},
        "sources": {},
        "rows_in": sum(s.get("rows_in", 0) for s in told.values() if s["mode"] == "read"),
        "rows_out": sum(s.get("rows_out", 0) for s in told.values() if s["mode"] == "write"),
        "steps": told,
        "outputs": {},
        "deliveries": {},
        "spools": {},
        "diagnostics": [*failed.values(), *more.get("diagnostics", ())],
    }
    lines = [
        {"ts": moment(at, start), "seq": number, "session": session, "event": name, **fields}
        for number, (at, name, fields) in enumerate(sorted(events, key=lambda event: event[0]), 1)
    ]
    metrics = [
        {"ts": moment(at, start), "session": session, "metric": "memory_bytes", "value": n, "unit": "bytes", "tags": {}}
        for at, n in more.get("memory", ())
    ]
    (folder / "run.json").write_text(json.dumps(summary))
    (folder / "manifest.json").write_text(json.dumps(manifest.data))
    for file, content in (("events.jsonl", lines), ("metrics.jsonl", metrics)):
        (folder / file).write_text("".join(json.dumps(line) + "\n" for line in content))
    return folder


def problem(code, message, **more):
    """Return a diagnostic as run.json has it."""
    place = {"file": "data/x.csv", "line": 3, "column": 2, "pointer": None}
    return {"code": code, "severity": "error", "message": message, "hint": "look at it", **place, **more}


def _cause(said):
    return {"code": said["code"], "message": said["message"]}


def shop(**more):
    """Return a plan with a join, a step without lineage, and two targets."""
    orders = step(
        "orders",
        "filesystem.csv_extractor",
        columns=[("id", "int64"), ("customer", "int64"), ("amount", "float64")],
        config={"path": "data/orders.csv"},
    )
    people = step(
        "people", "filesystem.csv_extractor", columns=[("id", "int64"), ("name", "utf8")], config={"path": "data/p.csv"}
    )
    joined = step(
        "joined",
        "duckdb.processor",
        columns=[("name", "utf8"), ("total", "float64"), ("largest", "float64"), ("one", "int64")],
        inputs=["orders", "people"],
        config={"query": "SELECT name, sum(amount) AS total FROM orders JOIN people USING (id)"},
        lineage={
            "columns": {
                "name": [["people", "name", "copy"]],
                "total": [["orders", "amount", "aggregate"]],
                "largest": [["orders", "amount", "aggregate"], ["orders", "id", "value"]],
                "one": [],
            },
            "rows": [["orders", "customer"], ["people", "id"]],
        },
    )
    boxed = step("boxed", "lake.box_processor", columns=[("size", "int64"), ("note", "utf8")], inputs=["joined"])
    report = step("report", "filesystem.csv_writer", inputs=["joined"], config={"path": "output/report.csv"})
    boxes = step("boxes", "filesystem.csv_writer", inputs=["boxed"], config={"path": "output/boxes.csv"})
    return plan(orders, people, joined, boxed, boxes, report, **more)


def chain(size):
    """Return a plan of `count` steps: ten parallel chains, each from a file to a file."""
    steps = []
    for number in range(size):
        above = [] if number < 10 else [f"s{number - 10}"]
        kind = "filesystem.csv_extractor" if number < 10 else "duckdb.processor"
        kind = "filesystem.csv_writer" if number >= size - 10 else kind
        config = {"query": f"SELECT a, b + {number} AS b FROM input_df"} if kind == "duckdb.processor" else {}
        lineage = {"columns": {"a": [[*above, "a", "copy"]], "b": [[*above, "b", "value"]]}, "rows": []}
        steps.append(
            step(
                f"s{number}",
                kind,
                columns=[("a", "int64"), ("b", "int64")],
                inputs=above,
                config=config or {"path": f"data/{number}.csv"},
                lineage=lineage if config else None,
            )
        )
    return plan(*steps)


def long_run(root, *, steps=300, events=100_000, seconds=3600.0):
    """Write the session of an hour with many steps, and events that mostly report progress."""
    manifest = chain(steps)
    per_reader = -(-max(events - 2 * steps - 2, 0) // 10)
    progress = [
        (1 + index * (seconds - 2) / max(per_reader, 1), f"s{reader}", 1000 * (index + 1))
        for reader in range(10)
        for index in range(per_reader)
    ]
    memory = [(at, 200_000_000 + 1_000_000 * (at % 300)) for at in range(1, int(seconds))]
    rows = 1000 * max(per_reader, 1)
    return write_session(root, manifest, seconds=seconds, rows=rows, progress=progress, memory=memory)
