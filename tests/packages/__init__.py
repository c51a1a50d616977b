"""What must be true of every package, whatever its run."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema

SCHEMA = json.loads((files("osiris.aiop") / "aiop.schema.json").read_text())
CHECKER = jsonschema.Draft202012Validator(SCHEMA)
SMALLEST = 11_000


def ids_of(document):
    """Return all ids that evidence defines, and fail if one is defined twice."""
    found = []
    for items in (*document["evidence"].values(), document["delta"]["changes"], document["semantic"]["nodes"]):
        found += [item["id"] for item in items]
    assert len(found) == len(set(found))
    return set(found)


def cited_in(value):
    """Return the ids that are cited anywhere in a value."""
    if isinstance(value, dict):
        own = value["evidence"] if isinstance(value.get("evidence"), list) else []
        return [*own, *(name for item in value.values() for name in cited_in(item))]
    return [name for item in value for name in cited_in(item)] if isinstance(value, list) else []


def paths_in(value):
    """Return the values at `path` in evidence."""
    if isinstance(value, dict):
        own = [value["path"]] if "path" in value else []
        return [*own, *(path for item in value.values() for path in paths_in(item))]
    return [path for item in value for path in paths_in(item)] if isinstance(value, list) else []


def check_package(project, content, *, exist=True):
    """Return a package as data, after all assertions on it; `exist`: its files exist."""
    document = json.loads(content)
    problems = [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in CHECKER.iter_errors(document)]
    assert problems == []
    known = ids_of(document)
    parts = [document[name] for name in ("answer", "narrative", "delta", "semantic", "metadata")]
    assert set(cited_in(parts)) <= known
    changes = {item["id"] for item in document["delta"]["changes"]}
    assert {item["id"] for item in document["answer"]["changes"]["top"]} <= changes
    assert all(sentence["evidence"] for sentence in document["narrative"]["sentences"])
    if exist:
        missing = [p for p in paths_in([document["evidence"], document["metadata"]]) if not (project / p).exists()]
        assert missing == []
    size = document["metadata"]["size"]
    assert size["bytes"] == len(content if isinstance(content, bytes) else content.encode())
    assert size["bytes"] <= max(size["limit"], SMALLEST)
    assert size["answer_bytes"] <= 5_000
    assert size["answer_tokens"] <= 2_000
    assert size["truncated"] == bool(size["cuts"])
    return document
