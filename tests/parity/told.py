"""The results of a run, without what may differ between targets."""

from __future__ import annotations

import json
import re
import sqlite3

import duckdb

TIMES = ("ts", "at", "duration_ms", "started_at", "ended_at", "wait_ms", "run_started_at", "step_duration_ms")
PLACES = ("adapter", "session", "environment", "inode", "remote", "seq")
OF_TARGETS = ("bootstrap_ms", "upload_bytes", "fetch_bytes", "adapter_overhead_ms")
OF_MACHINES = ("memory_bytes", "peak_memory_bytes")
LEDGER = "_osiris_ledger"


def session_of(folder):
    (session,) = (path for path in (folder / "logs").iterdir() if path.is_dir())
    return session


def plain(value, session):
    """Remove times, ids, host and target from any JSON of a session's folder."""
    root = session.parents[1]
    if isinstance(value, dict):
        return {key: plain(item, session) for key, item in value.items() if key not in (*TIMES, *PLACES)}
    if isinstance(value, list):
        return [plain(item, session) for item in value]
    return value.replace(session.name, "SESSION").replace(str(root), "ROOT") if isinstance(value, str) else value


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def events(folder):
    session = session_of(folder)
    told = lines(session / "events.jsonl")
    return [plain(event, session) for event in told if event["event"] != "step_progress"]


def metrics(folder):
    session = session_of(folder)
    told = [m for m in lines(session / "metrics.jsonl") if m["metric"] not in (*OF_TARGETS, *OF_MACHINES)]
    return [plain(m | ({"value": 0} if m["metric"].endswith("_ms") else {}), session) for m in told]


def artifacts(folder):
    root = session_of(folder) / "artifacts"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def outputs(folder):
    """Return all files that steps may write; for databases their tables, because ledgers contain times."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if not name.startswith(("logs/", ".osiris/", "build/")):
            found[name] = READERS.get(path.suffix, lambda path: path.read_bytes())(path)
    return found


def _sqlite(path):
    with sqlite3.connect(path) as made:
        names = [name for (name,) in made.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")]
        found = {name: made.execute(f"SELECT * FROM {name}").fetchall() for name in names}
    made.close()
    return _without_times(found)


def _duckdb(path):
    with duckdb.connect(path, read_only=True) as made:
        names = [name for (name,) in made.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()]
        return _without_times({name: made.execute(f"SELECT * FROM {name}").fetchall() for name in names})


def _without_times(found):
    return found | {LEDGER: [row[:-1] for row in found.get(LEDGER, [])]}


READERS = {".sqlite": _sqlite, ".duckdb": _duckdb}


def package(folder):
    """Return the AIOP without times, transfer metrics and the target's name; progress is unordered."""
    session = session_of(folder)
    (file,) = (session / "aiop").glob("*_aiop.json")
    found = json.loads(file.read_text())
    del found["metadata"]["size"], found["metadata"]["settings"]["run.target"]
    figures = [m for m in found["evidence"]["metrics"] if m["metric"] not in (*OF_TARGETS, *OF_MACHINES)]
    found["evidence"]["metrics"] = sorted(
        (m | ({"value": 0} if m["metric"].endswith("_ms") else {}) for m in figures), key=lambda m: m["id"]
    )
    for step in found["evidence"]["steps"]:
        step.pop("began_ms", None)
    text = json.dumps(plain(found, session))
    target = json.loads((session / "run.json").read_text())["adapter"]
    return json.loads(re.sub(r"\bev\.\d+", "ev", text.replace(f", {target})", ")")))


def spoken(text, session):
    """Return the event lines of --verbose without times, for the run of a session's folder."""
    root = str(session.parents[1])
    kept = [line for line in text.splitlines() if re.match(r"\d{4}-\d\d-\d\dT", line) and " step_progress " not in line]
    words = (re.sub(r"^\S+ | (duration_ms|run_started_at|adapter|wait_ms)=\S+", "", line) for line in kept)
    return [re.sub(r'"inode":\d+', "", line).replace(session.name, "SESSION").replace(root, "ROOT") for line in words]
