"""Same inputs, same bytes; anything that can change the result changes the fingerprint."""

import copy
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from osiris.canonical import canonical_bytes, fingerprint
from osiris.compare.differences import diff
from osiris.compiler.build import manifest_bytes
from osiris.compiler.compile import compile_pipeline, prepare
from osiris.connections import Connections
from osiris.model import Described, Field, Pipeline, Step
from osiris.oml.parse import parse
from osiris.oml.validate import validate
from osiris.registry import load_registry

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "decisions" / "0001-identity.md"
VECTOR = re.compile(r"^\| `(.+)` \| `([0-9a-f]{64})` \|$", re.MULTILINE)
REGISTRY = load_registry()
CONNECTIONS = Connections(
    {
        "filesystem": {"drop": {"base_dir": "${DROP_DIR}", "default": True}},
        "duckdb": {"default": {"path": "a.duckdb"}},
        "sqlite": {"default": {"path": "a.sqlite"}},
        **{
            family: {"default": {"host": "h", "database": "d", "user": "u", "password": "${PASSWORD}"}}
            for family in ("mysql", "postgres", "supabase")
        },
    }
)
SCHEMA = (Field("id", "int64"), Field("day", "date"), Field("amount", "decimal(12,2)", False))

DOCUMENT = {
    "oml_version": "0.1.0",
    "name": "sales",
    "description": "Žluťoučký kůň, 日本, 🐎",
    "metadata": {"owner": "team", "tags": ["b", "a"], "nested": {"z": 1, "a": [1.5, None, True]}},
    "params": {"since": {"type": "date", "default": "2025-01-01"}, "least": {"type": "integer", "default": 3}},
    "steps": [
        {
            "id": "orders",
            "component": "filesystem.csv_extractor",
            "mode": "read",
            "needs": [],
            "config": {"path": "data/orders.csv", "dtype": {"id": "int64", "amount": "decimal(12,2)"}},
        },
        {
            "id": "drops",
            "component": "filesystem.parquet_extractor",
            "mode": "read",
            "needs": [],
            "config": {"path": "x.parquet", "connection": "@filesystem.drop", "columns": ["id", "day"]},
        },
        {
            "id": "sums",
            "component": "duckdb.processor",
            "mode": "transform",
            "needs": ["orders", "drops"],
            "x-team": {"b": 2, "a": 1},
            "config": {
                "query": "SELECT o.id, o.day, o.amount FROM orders AS o JOIN drops USING (id)"
                " WHERE o.day >= ${params.since} AND o.id > ${params.least} ORDER BY o.day"
            },
        },
        {
            "id": "save",
            "component": "filesystem.csv_writer",
            "mode": "write",
            "needs": ["sums"],
            "description": "for the team",
            "config": {"path": "output/sums.csv", "delimiter": ";"},
        },
    ],
}


def compile_text(text, root=ROOT):
    pipeline, _ = validate(parse(text, "p.yaml"), REGISTRY, params={}, env={}, profile=None, defaults={})
    prepared, _ = prepare(pipeline, REGISTRY, CONNECTIONS, root)
    answers = {step.id: Described(None if step.mode == "write" else SCHEMA) for step in pipeline.steps}
    return compile_pipeline(prepared, answers)


def dump(document):
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)


TEXT = dump(DOCUMENT)
PLAN = compile_text(TEXT)


def vectors():
    return VECTOR.findall(PAGE.read_text(encoding="utf-8"))


def test_the_page_has_golden_vectors():
    assert len(vectors()) == 8


@pytest.mark.parametrize(("value", "digest"), vectors())
def test_golden_vectors_stand_still(value, digest):
    assert fingerprint(json.loads(value)) == digest
    assert hashlib.sha256(canonical_bytes(json.loads(value))).hexdigest() == digest


# --- what makes no difference ---------------------------------------------------------------------------------------


def shuffled(value, chance):
    if isinstance(value, dict):
        items = [(key, shuffled(item, chance)) for key, item in value.items()]
        chance.shuffle(items)
        return dict(items)
    return [shuffled(item, chance) for item in value] if isinstance(value, list) else value


def decorated(text, chance):
    """Put comments and blank lines between the lines of a block-style document."""
    lines = []
    for line in text.splitlines():
        lines += chance.choice([[], [], ["# a comment: [*&"], ["", "   # another"]])
        lines.append(line)
    return "\n".join([*lines, "# the end", ""])


@given(st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_key_order_comments_and_blank_lines_make_no_difference(chance):
    document = shuffled(copy.deepcopy(DOCUMENT), chance)
    chance.shuffle(document["steps"])
    for step in document["steps"]:
        chance.shuffle(step.get("needs", []))
    assert manifest_bytes(compile_text(decorated(dump(document), chance))) == manifest_bytes(PLAN)


def test_yaml_styles_make_no_difference():
    flow = json.dumps(DOCUMENT, ensure_ascii=False, indent=1)
    wide = yaml.safe_dump(DOCUMENT, default_style='"', sort_keys=True, width=40)
    assert manifest_bytes(compile_text(flow)) == manifest_bytes(PLAN)
    assert wide.count("\n") > 20


SCRIPT = """
import sys
from pathlib import Path
from osiris.compiler.compile import compile_pipeline, prepare
from osiris.compiler.build import manifest_bytes
from osiris.connections import load_connections
from osiris.model import Described, Field
from osiris.oml.parse import load_document
from osiris.oml.validate import validate
from osiris.registry import load_registry

root = Path(sys.argv[1])
registry = load_registry()
document = load_document(root / "pipelines" / "p.yaml", root)
pipeline, _ = validate(document, registry, params={}, env={}, profile=None, defaults={})
prepared, _ = prepare(pipeline, registry, load_connections(root / "osiris_connections.yaml"), root)
schema = (Field("id", "int64"), Field("day", "date"), Field("amount", "decimal(12,2)", False))
answers = {step.id: Described(None if step.mode == "write" else schema) for step in pipeline.steps}
sys.stdout.buffer.write(manifest_bytes(compile_pipeline(prepared, answers)))
"""

CONNECTIONS_FILE = "connections:\n  filesystem:\n    drop: {base_dir: '${DROP_DIR}', default: true}\n"


def project(folder):
    (folder / "pipelines").mkdir(parents=True)
    (folder / "osiris.yaml").write_text("", encoding="utf-8")
    (folder / "osiris_connections.yaml").write_text(CONNECTIONS_FILE, encoding="utf-8")
    (folder / "pipelines" / "p.yaml").write_text(TEXT, encoding="utf-8")
    return folder


def compiled_by_process(folder, cwd, **env):
    kept = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", **env}
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    return subprocess.run(command, cwd=cwd, env=kept, capture_output=True, check=True).stdout


SURROUNDINGS = [
    {"PYTHONHASHSEED": "1"},
    {"PYTHONHASHSEED": "4294967295", "LC_ALL": "C"},
    {"PYTHONHASHSEED": "77", "TZ": "Pacific/Kiritimati", "LANG": "cs_CZ.UTF-8"},
    {"TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8", "PYTHONUTF8": "0"},
    {"DROP_DIR": "/somewhere", "HOME": "/nonexistent", "USER": "someone", "PYTHONOPTIMIZE": "2"},
]


@pytest.mark.parametrize("env", SURROUNDINGS, ids=[",".join(env) for env in SURROUNDINGS])
def test_process_locale_time_zone_and_folder_make_no_difference(tmp_path, env):
    folder = project(tmp_path / "ein Ordner ü" / env.get("TZ", "x").replace("/", "-"))
    cwd = tmp_path if "TZ" in env else folder
    assert compiled_by_process(folder, cwd, **env) == manifest_bytes(PLAN)


def test_file_times_and_neighbours_make_no_difference(tmp_path):
    folder = project(tmp_path / "a")
    os.utime(folder / "pipelines" / "p.yaml", (0, 0))
    shutil.copytree(folder, tmp_path / "b")
    (tmp_path / "b" / "data").mkdir()
    (tmp_path / "b" / "data" / "orders.csv").write_text("id\n1\n", encoding="utf-8")
    assert compiled_by_process(folder, tmp_path) == compiled_by_process(tmp_path / "b", folder) == manifest_bytes(PLAN)


@st.composite
def graphs(draw):
    """Generate steps that each read any earlier ones, by id."""
    names = draw(st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True), min_size=1, max_size=12, unique=True))
    return {name: draw(st.sets(st.sampled_from(names[:i]), max_size=3)) if i else set() for i, name in enumerate(names)}


@given(graphs(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_order_of_steps_in_the_text_makes_no_difference(graph, chance):
    def plan(names):
        steps = [
            Step(name, "filesystem.csv_extractor", "read", {"path": f"{name}.csv"}, needs=tuple(graph[name]))
            for name in names
        ]
        prepared, _ = prepare(Pipeline("p", tuple(steps)), REGISTRY, CONNECTIONS, ROOT)
        return compile_pipeline(prepared, {name: Described(SCHEMA) for name in graph})

    names = list(graph)
    first = plan(names)
    chance.shuffle(names)
    assert manifest_bytes(plan(names)) == manifest_bytes(first)
    order = [step["id"] for step in first.steps]
    for step in first.steps:
        assert set(step["needs"]) <= set(order[: order.index(step["id"])])


# --- what does ------------------------------------------------------------------------------------------------------


def alternatives(schema):
    """Return two different values of a property, whatever else its schema requires."""
    if "x-sql" in schema:
        return ["SELECT 1 AS a", "SELECT 2 AS a"]
    if "enum" in schema:
        return schema["enum"][:2]
    kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    return {
        "string": ["a", "b"],
        "integer": [7, 8],
        "number": [1.5, 2.5],
        "boolean": [True, False],
        "array": [["a"], ["b"]],
        "object": [{"a": "int64"}, {"a": "utf8"}],
    }[kind]


def fields():
    for spec in REGISTRY.all():
        for name, schema in spec.config["properties"].items():
            yield pytest.param(spec, name, alternatives(schema), id=f"{spec.name}:{name}")


def pipeline_of(spec, config):
    needed = range(0 if spec.inputs[1] == 0 else max(spec.inputs[0], 1))
    sources = [Step(f"in{i}", "filesystem.csv_extractor", "read", {"path": f"{i}.csv"}) for i in needed]
    inputs = {f"df{i}": source.id for i, source in enumerate(sources)}
    step = Step("step", spec.name, spec.modes[0], config, tuple(inputs.values()), inputs)
    return Pipeline("p", (*sources, step))


def plan_of(spec, config):
    prepared, _ = prepare(pipeline_of(spec, config), REGISTRY, CONNECTIONS, ROOT)
    return compile_pipeline(prepared, {step.id: Described(SCHEMA) for step in prepared.pipeline.steps})


@pytest.mark.parametrize(("spec", "name", "values"), list(fields()))
def test_every_field_of_every_component_moves_the_root(spec, name, values):
    example = dict(spec.examples[0]["config"])
    first, second = (plan_of(spec, {**example, name: value}) for value in values)
    assert first.fingerprint != second.fingerprint
    assert any(found.path.startswith(f"steps/step/config/{name}") for found in diff(first, second))


@pytest.mark.parametrize(("spec", "name", "values"), list(fields()))
def test_a_default_that_is_written_out_makes_no_difference(spec, name, values):
    schema = spec.config["properties"][name]
    example = {key: value for key, value in spec.examples[0]["config"].items() if key != name}
    if "default" in schema:
        assert plan_of(spec, {**example, name: schema["default"]}) == plan_of(spec, example)
    else:
        assert plan_of(spec, {**example, name: values[0]}) != plan_of(spec, {**example, name: values[1]})


@pytest.mark.parametrize("spec", REGISTRY.all(), ids=[spec.name for spec in REGISTRY.all()])
@pytest.mark.parametrize("change", [{"version": "9.9.9"}, {"digest": "0" * 64}], ids=["version", "digest"])
def test_every_component_moves_the_root(spec, change):
    config = dict(spec.examples[0]["config"])
    prepared, _ = prepare(pipeline_of(spec, config), REGISTRY, CONNECTIONS, ROOT)
    other = replace(prepared, specs={**prepared.specs, spec.name: replace(spec, **change)})
    answers = {step.id: Described(SCHEMA) for step in prepared.pipeline.steps}
    assert compile_pipeline(prepared, answers).fingerprint != compile_pipeline(other, answers).fingerprint


MUTATIONS = [
    lambda d: d.update(name="other"),
    lambda d: d.update(description="other"),
    lambda d: d["metadata"].update(owner="other"),
    lambda d: d["metadata"]["tags"].reverse(),
    lambda d: d["params"]["since"].update(default="2025-01-02"),
    lambda d: d["params"].update(unused={"type": "string", "default": "x"}),
    lambda d: d.update({"x-more": 1}),
    lambda d: d["steps"][0].update(id="orders2") or d["steps"][2].update(needs=["orders2", "drops"]),
    lambda d: d["steps"][1]["config"].update(path="y.parquet"),
    lambda d: d["steps"][1]["config"].pop("connection"),
    lambda d: d["steps"][1]["config"]["columns"].reverse(),
    lambda d: d["steps"][2]["config"].update(query=d["steps"][2]["config"]["query"].replace("o.day >=", "o.day >")),
    lambda d: d["steps"][2].update({"x-team": {"b": 2, "a": 2}}),
    lambda d: d["steps"][3].update(needs=["sums", "drops"], inputs={"df": "${sums.df}"}),
    lambda d: d["steps"][3].update(description="for us"),
    lambda d: d["steps"].pop(),
    lambda d: d.update(description=d["description"].replace("ť", "t\u030c")),
]


@pytest.mark.parametrize("mutate", MUTATIONS)
def test_what_the_text_says_moves_the_root_and_is_named(mutate):
    document = copy.deepcopy(DOCUMENT)
    mutate(document)
    text = dump(document)
    if "orders2" in text:
        text = text.replace("FROM orders", "FROM orders2")
    other = compile_text(text)
    assert other.fingerprint != PLAN.fingerprint
    assert diff(PLAN, other)
