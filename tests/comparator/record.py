"""The answers of every command on a project, without texts and without what differs between runs.

Two versions whose records are equal behave alike: codes, exit codes, fingerprints, digests, rows and files are
compared, wording is not.
"""

from __future__ import annotations

import json
import re
import sqlite3
from hashlib import sha256

COMMANDS = """
--version
validate
validate pipelines/paid.yaml
validate pipelines/broken.yaml
fmt --check
schema
compile pipelines/copied.yaml
compile pipelines/paid.yaml
compile pipelines/paid.yaml --param status=open
compile pipelines/paid.yaml --explain
compile pipelines/broken.yaml
preview pipelines/paid.yaml
preview pipelines/paid.yaml sums
lineage pipelines/paid.yaml
impact data/orders.csv
impact data/orders.csv#amount
diff @1 @2
diff @2 @3
verify @2 @2
verify @2 @3
replay @2
explain DAT001
explain @1
explain @4
explain @7
explain @8
logs list
logs show @1
logs show @3
logs show @4
logs show @6
logs show @8
logs aiop @3
logs aiop @4
logs aiop @7
logs gc --keep 1 --dry-run
components list
components show filesystem.csv_writer
components show duckdb.processor
components validate
connections list
connections doctor
discover @sqlite.shop
discover data/*
discover data/orders.csv --profile
discover @sqlite.shop --table people --profile --samples masked
sql check --dialect duckdb query.sql
sql check --dialect duckdb delete.sql
prompts context
config explain run.memory
chat --replay @6
chat --replay @5
run pipelines/paid.yaml
run pipelines/paid.yaml
run pipelines/paid.yaml --new-run
run pipelines/copied.yaml
run pipelines/copied.yaml
run pipelines/refused.yaml
run pipelines/broken.yaml
run --last-compile
run --resume
run {fingerprint}
new --from data/orders.csv --where "status = paid" --group name --sum amount --to output/sums.parquet
new --from data/orders.csv --where "status = paid" --group name --sum amount --to output/sums.parquet --yes
new --resume @5
logs list
logs show
logs gc --keep 1
""".strip().splitlines()
"""`@N` is the N-th session of the project."""

TEXTS = {"message", "hint", "title", "description", "text", "reason", "what", "problem", "help", "words", "guidance"}
TEXTS |= {
    "lines",
    "sentence",
    "sentences",
    "summary",
    "narrative",
    "why",
    "note",
    "notes",
    "remedy",
    "cause",
    "label",
    "choices",
}
CHANGING = re.compile(r"(^|_)(ms|seconds|duration|inode|pid|rss|cpu|at|ts|time|age|mtime|bytes|tokens)$|^bytes_")
_SESSION = re.compile(r"\b\d{8}-\d{6}-\d{3}-([a-z0-9_]+?)-(\d{5})(?!\d)")
_EVENT = re.compile(r"\bev\.\d+\b")  # a slow machine reports progress more often
_TIME = re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?")
_CODE = re.compile(r"\b[A-Z]{3}\d{3}\b")
MARK = "…"


def masked(value, root, key=""):
    """Return a JSON value without texts, times and the times in session ids."""
    if key == "sources" and isinstance(value, dict) and all(isinstance(each, str) for each in value.values()):
        return dict.fromkeys(value, MARK)  # states of files: when they were written, and where they lie on this disk
    if isinstance(value, dict):
        return _without_changing({plain(k, root): masked(v, root, k) for k, v in value.items()}, key)
    if key in TEXTS or key in ("python", "machine", "system"):
        return value if value is None else MARK
    if isinstance(value, list):
        found = [masked(each, root) for each in value if not _is_sampled(each)]
        has_metrics = bool(found) and all(isinstance(each, dict) and "metric" in each for each in found)
        return sorted(found, key=lambda each: json.dumps(each, sort_keys=True)) if has_metrics else found
    if CHANGING.search(key) and value is not None:
        return MARK
    return plain(value, root) if isinstance(value, str) else value


def _without_changing(found, key):
    """Return an object without fields that differ between runs, and without the page of a code."""
    if found.get("area") == "source_data":
        found |= {"old": MARK, "new": MARK}
    if "meaning" in found:
        found |= {"meaning": MARK, "examples": MARK}  # the page of a code
    if found.get("unit") == "ms":
        found |= {"value": MARK}
    if key.endswith("duration_ms"):
        found = dict.fromkeys(found, MARK)
    if isinstance(found.get("columns"), list) and isinstance(found.get("rows"), list):
        changing = [
            n for n, name in enumerate(found["columns"]) if CHANGING.search(str(name)) or str(name).startswith("ms_")
        ]
        found["rows"] = [[MARK if n in changing else each for n, each in enumerate(row)] for row in found["rows"]]
    return found | {"fingerprint": MARK} if "looked_at" in found else found  # of files as they lie on this disk


def _is_sampled(value):
    """Return whether a value depends on the machine: sampled memory, or the finding that a run was slower."""
    if not isinstance(value, dict):
        return False
    return str(value.get("metric")).endswith("memory_bytes") or value.get("kind") == "slower"


def plain(text, root):
    """Return a text without the times and paths of this run."""
    text = text.replace(str(root), "<project>")
    return _TIME.sub("<time>", _SESSION.sub(r"<\1-\2>", _EVENT.sub("<event>", text)))


def answered(done, root):
    """Return the answer of a command: its exit code, its JSON, and the codes in its other output."""
    try:
        said = masked(json.loads(done.stdout), root)
    except ValueError:
        said = sorted(set(_CODE.findall(done.stdout)))
    return {"exit": done.returncode, "said": said, "codes": sorted(set(_CODE.findall(done.stderr)))}


def files(root):
    """Return the content of each file of a project, without what may differ between runs."""
    found = (path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink())
    return {plain(str(path.relative_to(root)), root): _content(path, root) for path in found if _counts(path, root)}


def _counts(path, root):
    parts = path.relative_to(root).parts
    return parts[:2] != (".osiris", "cache") and path.suffix not in (".lock", ".guard", ".html", ".md")


def _content(path, root):
    if path.suffix == ".json":
        return masked([json.loads(path.read_text())], root)
    if path.suffix == ".jsonl":
        return masked(_without_progress([json.loads(line) for line in path.read_text().splitlines()]), root)
    if path.suffix in (".db", ".sqlite"):
        return _rows(path, root)
    return sha256(path.read_bytes()).hexdigest()


def _without_progress(events):
    """Return the events without progress, which a slow machine reports more often, numbered anew."""
    others = [each for each in events if each.get("event") != "step_progress"]
    return [each | {"seq": number} if "seq" in each else each for number, each in enumerate(others, 1)]


def _rows(path, root):
    """Return the rows of a SQLite file; its texts may be JSON."""
    with sqlite3.connect(path) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: [list(row) for row in database.execute(f'SELECT * FROM "{name}"')] for name in sorted(tables)}
    database.close()
    return {name: [[_cell(cell, root) for cell in row] for row in rows] for name, rows in found.items()}


def _cell(cell, root):
    if isinstance(cell, bytes):
        return MARK
    if not isinstance(cell, str):
        return cell
    return masked(json.loads(cell), root) if cell[:1] in ("{", "[") else plain(cell, root)
