"""Whoever can write a plan can sign it: every leaf of re-signed plans is rejected, or shown to do no harm.

The code of this file signs the plans: an independent implementation of RFC 8785 and the tree of
docs/decisions/0001-identity.md.
"""

import copy
import hashlib
import json
import re
from pathlib import Path

import pytest
from tests.chance import say_tried

from osiris.compiler.build import manifest_bytes
from osiris.compiler.compile import compile_pipeline, prepare
from osiris.compiler.manifest import verify_manifest
from osiris.connections import Connections
from osiris.errors import OsirisError
from osiris.model import Described, Field
from osiris.oml.parse import parse
from osiris.oml.validate import validate
from osiris.registry import load_registry
from osiris.runner.credentials import require_own

REGISTRY = load_registry()
ROOT = Path("/project")
CONNECTIONS = Connections(
    {
        "postgres": {"crm": {"host": "${CRM_HOST}", "database": "d", "user": "u", "password": "${CRM_PASSWORD}"}},
        "mysql": {"dwh": {"host": "h", "port": 3306, "database": "d", "user": "u", "password": "${DWH_PASSWORD}"}},
        "filesystem": {"drop": {"base_dir": "drop"}},
    }
)
PIPELINES = (
    """
oml_version: "0.2.0"
name: sums
description: "Sums by customer since ${params.since}"
metadata: {owner: team, tags: [a, b], intent: {text: count}}
x-team: {name: data}
params:
  since: {type: date, default: "2025-01-01"}
  least: {type: number, default: 1.5}
  huge: {type: number, default: 1.0e+300}
  names: {type: list, default: [a, b]}
  token: {sensitive: true}
steps:
  - {id: orders, component: filesystem.csv_extractor, mode: read, needs: [], description: All, x-note: [1],
     config: {path: data/orders.csv, dtype: {id: int64}, connection: "@filesystem.drop"}}
  - {id: plain, component: filesystem.parquet_extractor, mode: read, needs: [], config: {path: data/p.parquet}}
  - id: sums
    component: duckdb.processor
    mode: transform
    needs: [orders, plain]
    config:
      query: |
        SELECT o.id, sum(o.amount) AS total FROM orders o JOIN plain p ON o.id = p.id
        WHERE o.day >= ${params.since} AND o.amount > ${params.least} AND p.name = ${params.token}
        GROUP BY o.id ORDER BY total
  - id: save
    component: filesystem.csv_writer
    mode: write
    needs: [orders]
    inputs: {df: "@sums"}
    config:
      path: output/sums.csv
      checks: [{name: some, row_count: {min: 1}}, {unique: [id]}, {sql: "SELECT id FROM output WHERE total < 0"}]
      retry: {max: 2, "on": [unavailable]}
      timeout: 5m
""",
    """
oml_version: "0.1.0"
name: servers
steps:
  - id: customers
    component: postgres.extractor
    mode: read
    config:
      connection: "@postgres.crm"
      query: SELECT id AS id FROM customers WHERE day < ${run.started_at} ORDER BY id
  - id: load
    component: mysql.writer
    mode: write
    config: {connection: "@mysql.dwh", table: customers, write_mode: upsert, primary_key: [id], on_reject: quarantine}
""",
    """
oml_version: "0.1.0"
name: copy
steps:
  - {id: 1st, component: filesystem.csv_extractor, mode: read, config: {path: data/a.csv}}
  - {id: out, component: filesystem.csv_writer, mode: write, config: {path: output/a.csv}}
""",
)
SCHEMA = (
    Field("id", "int64"),
    Field("amount", "decimal(12,2)", False),
    Field("day", "date"),
    Field("name", "utf8"),
    Field("total", "decimal(38,2)"),
)
COLUMNS = {
    "orders": SCHEMA[:3],
    "plain": (SCHEMA[0], SCHEMA[3]),
    "sums": (SCHEMA[0], SCHEMA[4]),
    "customers": SCHEMA[:1],
    "1st": SCHEMA[:2],
}

LEAVES = """
manifest_version osiris fingerprint engines/* params/* sensitive/* connections/*/* pipeline/name pipeline/oml_version
pipeline/description pipeline/metadata/* pipeline/extensions/* leaves/params leaves/compiler leaves/engines
leaves/connections leaves/pipeline steps/*/id steps/*/component steps/*/version steps/*/spec steps/*/mode
steps/*/config/* steps/*/sql/* steps/*/connection steps/*/needs/* steps/*/inputs/* steps/*/delivery
steps/*/schema/*/name steps/*/schema/*/type steps/*/schema/*/nullable steps/*/order steps/*/lineage/columns/*/*/*
steps/*/lineage/rows/*/* steps/*/fused/* steps/*/leaves/about steps/*/leaves/component steps/*/leaves/config
steps/*/leaves/inputs steps/*/leaves/schema steps/*/leaves/sql steps/*/hash steps/*/description steps/*/extensions/*
"""
"""Every leaf that docs/reference has of a manifest; `*` is any key or index."""

HASHES = re.compile(r"(steps/[^/]+/)?(leaves(/.*)?|hash)|fingerprint|osiris|manifest_version")
"""What signing recomputes, or what is checked before it."""

OTHER_PLAN = "the compiler makes this very plan of a pipeline that says so; it has a fingerprint of its own"
HARMLESS = {
    r"pipeline/name": OTHER_PLAN,
    r"pipeline/(description|metadata|extensions)(/.*)?": "prose, which is shown and never followed",
    r"steps/[^/]+/(description|extensions)(/.*)?": "prose, which is shown and never followed",
    r"steps/[^/]+/config/.*": OTHER_PLAN,
    r"steps/[^/]+": OTHER_PLAN + "; it lacks the last step",
    r"steps/[^/]+/needs(/.*)?": OTHER_PLAN + "; it waits for one step more, or less",
    r"params(/.*)?": "values that were put into the config before; nothing that runs reads them",
    r"sensitive": OTHER_PLAN + "; only variables called OSIRIS_PARAM_… are read for it",
    r"steps/[^/]+/schema(/.*)?": "compared with the source or the statement before a row is written",
    r"steps/[^/]+/id": OTHER_PLAN + "; only of a step that nothing waits for",
    r"steps/[^/]+/fused(/.*)?": "less is computed together, and the same comes out",
}
"""Leaves that are accepted with another value, each with the reason why that is no harm."""


def canonical(value):
    """Return the RFC 8785 form of a value whose numbers have Python's spelling."""
    if isinstance(value, dict):
        pairs = sorted(value.items(), key=lambda pair: pair[0].encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(key)}:{canonical(item)}" for key, item in pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False)


def digest(value):
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def signed(data):
    """Return the bytes of a plan in which every hash matches its content."""
    done = {}
    for step in data["steps"]:
        sql = {name: text for name, text in step["config"].items() if name in step["sql"]}
        rest = {name: item for name, item in step["config"].items() if name not in step["sql"]}
        about = {key: step[key] for key in ("id", "description", "extensions") if key in step}
        sources = {
            name: {"step": source, "schema": done[source]["schema"], "order": done[source]["order"]}
            for name, source in step["inputs"].items()
        }
        parts = {
            "about": about,
            "component": {key: step[key] for key in ("component", "version", "spec", "mode", "delivery")},
            "config": {"config": rest, "connection": step["connection"]},
            "inputs": {"needs": {name: done[name]["hash"] for name in step["needs"]}, "inputs": sources},
            "schema": {key: step[key] for key in ("schema", "order", "lineage", "fused")},
            "sql": {"config": sql, "sql": step["sql"]} if step["sql"] else None,
        }
        step["leaves"] = {name: digest(part) if part is not None else None for name, part in parts.items()}
        step["hash"] = digest(step["leaves"])
        done[step["id"]] = step
    roots = {"params": ("params", "sensitive"), "compiler": ("manifest_version", "osiris")}
    roots |= {name: (name,) for name in ("engines", "connections", "pipeline")}
    data["leaves"] = {name: digest({key: data[key] for key in keys}) for name, keys in roots.items()}
    data["fingerprint"] = digest({"leaves": data["leaves"], "steps": [step["hash"] for step in data["steps"]]})
    return canonical(data).encode()


def compiled(text):
    pipeline, _ = validate(parse(text, "p.yaml"), REGISTRY, params={}, env={}, profile=None, defaults={})
    prepared, _ = prepare(pipeline, REGISTRY, CONNECTIONS, ROOT)
    native = {"plain": ("id", "name")}
    answers = {
        step.id: Described(COLUMNS.get(step.id), "free" if step.id == "orders" else "fixed", native=native.get(step.id))
        for step in pipeline.steps
    }
    return json.loads(manifest_bytes(compile_pipeline(prepared, answers)))


@pytest.fixture(scope="module")
def plans():
    return [compiled(text) for text in PIPELINES]


def accepted(data):
    """Return the problems that a run reports about a signed plan before it starts; empty if none."""
    try:
        manifest, notes = verify_manifest(data, REGISTRY, path="m.json", root=ROOT)
        require_own(CONNECTIONS, manifest.data["connections"])
    except OsirisError as error:
        return [f"{error.exit_code} {item.message}" for item in error.diagnostics]
    return [str(note) for note in notes]


def leaves(value, at=()):
    """Yield the path of each leaf, and of each list and object."""
    if at:
        yield at
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from leaves(item, (*at, key))


def shown(data, path):
    """Return a path as in messages: steps by id, and lists as one."""
    parts = [str(part) for part in path]
    if len(parts) > 1 and parts[0] == "steps":
        parts[1] = data["steps"][path[1]]["id"]
    return "/".join(parts)


ODD_KEYS = ("", " ", "\x00", "a/b", "../x", "${ANY_SECRET}", "é" * 300)


OTHERS = {
    str: (lambda old: f"{old}x", lambda _: "../../../../home/x", lambda _: "${ANY_SECRET}", lambda _: "", lambda _: 5),
    bool: (lambda old: not old, lambda old: int(old), str),
    int: (lambda old: old + 1, lambda _: -1, float, str),
    float: (lambda old: old + 1, str),
    type(None): (lambda _: "x", lambda _: {}, lambda _: []),
    list: (lambda _: [], lambda old: [*old, *old[:1]], lambda old: [*old, "x"], lambda _: {}, lambda _: None),
    dict: (lambda _: {}, lambda old: {**old, "extra": 1}, lambda old: {**old, "x-extra": "x"}, lambda _: []),
}


def forgeries(data, path):
    """Yield the plan with another value at a path, without one, and with a duplicate where that is possible."""
    for other in [*OTHERS[type(at_path(data, path))], None]:
        forged = copy.deepcopy(data)
        parent = at_path(forged, path[:-1])
        if other is None:
            del parent[path[-1]]
        else:
            parent[path[-1]] = other(parent[path[-1]])
        if canonical(forged) != canonical(data):
            yield forged


def at_path(data, path):
    for part in path:
        data = data[part]
    return data


def resigned(data):
    """Return the bytes of a forged plan, signed as far as it still has the form of one."""
    try:
        return signed(copy.deepcopy(data))
    except (KeyError, TypeError, AttributeError):
        return canonical(data).encode()


def test_signing_again_changes_nothing(plans):
    for plan in plans:
        assert json.loads(signed(copy.deepcopy(plan))) == plan
        assert accepted(canonical(plan).encode()) == []


def test_the_plans_have_every_leaf_of_the_schema(plans):
    found = {"/".join(map(str, path)) for plan in plans for path in leaves(plan)}
    for leaf in LEAVES.split():
        pattern = re.compile(leaf.replace("*", "[^/]+"))
        assert any(pattern.match(path) for path in found), leaf


def text_at(data, path):
    """Return the value at a path as text; empty if there is none."""
    try:
        return canonical(at_path(data, path))
    except LookupError:
        return ""


def named(problems, words):
    """Return whether a message names what was forged: a key on its path, or the old or new value."""
    return any(word in problem for word in re.findall(r"\w{3,}", words) for problem in problems)


@pytest.mark.parametrize("each", [False, pytest.param(True, marks=pytest.mark.long)], ids=["one", "each"])
def test_every_forged_leaf_is_refused_by_name_or_reviewed(plans, each):
    tried, forgeries_tried, used, passed, unnamed = 0, 0, set(), {}, []
    for plan in plans:
        for path in leaves(plan):
            name = shown(plan, path)
            if HASHES.fullmatch(name):
                continue
            tried += 1
            forged = list(forgeries(plan, path))
            for one in forged if each else forged[tried % len(forged) :][:1]:
                forgeries_tried += 1
                problems = accepted(resigned(one))
                assert all(problem.startswith("4 ") for problem in problems), problems
                reviewed = [pattern for pattern in HARMLESS if re.fullmatch(pattern, name)]
                if not problems:
                    used.update(reviewed)
                    passed.setdefault(name, reviewed)
                elif not named(problems, f"{name} {text_at(plan, path)} {text_at(one, path)}"):
                    unnamed.append((name, problems[:3]))
    say_tried("forged and signed plans, refused by the name of the leaf or reviewed as harmless", forgeries_tried)
    say_tried("leaves of plans that were forged", tried)
    print(f"{tried} leaves forged, {len(passed)} accepted and reviewed")
    assert [name for name, reviewed in passed.items() if not reviewed] == []
    assert unnamed == []
    assert not each or used == HARMLESS.keys()


@pytest.mark.parametrize("each", [False, pytest.param(True, marks=pytest.mark.long)], ids=["one", "each"])
def test_no_object_takes_an_odd_key(plans, each):
    """Each object of a plan with an extra key: it is rejected by name, or reviewed; none causes an internal error."""
    tried, unreviewed = 0, []
    for plan in plans:
        for path in [(), *leaves(plan)]:
            if not isinstance(at_path(plan, path), dict) or HASHES.fullmatch(shown(plan, path)):
                continue
            for key in ODD_KEYS if each or path == ("engines",) else ODD_KEYS[tried % len(ODD_KEYS) :][:1]:
                forged = copy.deepcopy(plan)
                at_path(forged, path)[key] = next(iter(at_path(plan, path).values()), "x")
                problems = accepted(resigned(forged))
                tried += 1
                assert all(problem.startswith("4 ") for problem in problems), problems
                name = shown(plan, (*path, key))
                if not problems and not any(re.fullmatch(pattern, name) for pattern in HARMLESS):
                    unreviewed.append(name)
    say_tried("odd keys in objects of plans that are signed anew", tried)
    assert unreviewed == []
