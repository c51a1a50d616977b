"""A small set of other authors' components, installed as an installer would, and pipelines over them."""

import importlib
import sys
from pathlib import Path

import pytest
import yaml

from osiris.compiler.compile import compile_pipeline, prepare
from osiris.connections import Connections
from osiris.model import Described, Field, Pipeline, Step
from osiris.registry import load_registry


def spec(name, modes, inputs, properties, **more):
    least, most = inputs
    described = {key: {"description": key, **value} for key, value in properties.items()}
    config = {"type": "object", "additionalProperties": False, "properties": described}
    return {
        "name": name,
        "version": "1.0.0",
        "title": name,
        "description": name,
        "family": "filesystem",
        "modes": modes,
        "inputs": {"min": least, "max": most},
        "output": modes != ["write"],
        "connection": "optional",
        "config": config,
        **({"delivery": "atomic_replace"} if modes == ["write"] else {}),
        **more,
    }


TEXT = {"type": "string"}
NESTED = {"type": "object", "properties": {"size": {"type": "integer", "default": 7}, "unit": TEXT}}
SPECS = (
    spec(
        "lake.reader",
        ["read"],
        (0, 0),
        {"path": TEXT, "limit": {"type": "integer", "default": 10}, "page": NESTED, "as_text": {"type": "boolean"}},
        capabilities=["text_source"],
        requirements=["pyyaml"],
    ),
    spec("lake.query", ["transform"], (0, None), {"query": {"type": "string", "x-sql": "duckdb"}}, connection="none"),
    spec("lake.join", ["transform"], (2, 2), {"on": TEXT}),
    spec(
        "lake.writer",
        ["write"],
        (1, 1),
        {"path": TEXT, "quoting": {**TEXT, "x-typed": ["numbers"]}},
        capabilities=["text_sink"],
    ),
    spec("lake.table", ["write"], (1, 1), {"table": TEXT, "key": TEXT}, family="lake", connection="required"),
    spec("lake.tokens", ["read"], (0, 0), {"auth": {"type": "object"}}, secrets=["/auth/code"]),
    spec("lake.needy", ["read"], (0, 0), {"path": TEXT}, requirements=["no-such-distribution"]),
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    lines = ["[osiris.components]"]
    for each in SPECS:
        folder = site / "lake" / each["name"].partition(".")[2]
        folder.mkdir(parents=True)
        (folder / "spec.yaml").write_text(yaml.safe_dump(each), encoding="utf-8")
        lines.append(f"{each['name']} = lake.{folder.name}")
    broken = site / "lake" / "broken"
    broken.mkdir()
    (broken / "spec.yaml").write_text("name: lake.broken\n", encoding="utf-8")
    lines.append("lake.broken = lake.broken")
    info = site / "lake-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lake\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    found = load_registry()
    for each in SPECS:
        found.get(each["name"])
    yield found
    sys.path.remove(str(site))


def read(name="load", **more):
    return Step(name, "lake.reader", "read", **{"config": {"path": f"data/{name}.csv"}, **more})


def query(sql, *sources, name="sums", **more):
    inputs = {source: source for source in sources}
    return Step(name, "lake.query", "transform", {"query": sql}, needs=sources, inputs=inputs, **more)


def write(source, name="save", **more):
    given = {"config": {"path": f"output/{name}.csv"}, "needs": (source,), "inputs": {"df": source}, **more}
    return Step(name, "lake.writer", "write", **given)


class Steps:
    """The three kinds of steps."""

    read, query, write = staticmethod(read), staticmethod(query), staticmethod(write)


@pytest.fixture
def steps():
    return Steps


CONNECTIONS = Connections(
    {
        "lake": {"main": {"host": "${LAKE_HOST}", "default": True}, "other": {"host": "h"}},
        "filesystem": {"drop": {"base_dir": "drop"}},
    }
)
SCHEMA = (Field("x", "int64"), Field("y", "utf8"))


class Bench:
    """Prepares and compiles pipelines of the given steps in a folder of their own."""

    def __init__(self, registry, root):
        self.registry, self.root, self.connections = registry, root, CONNECTIONS

    def pipeline(self, *steps, **more):
        numbered = [replace_pointer(step, index) for index, step in enumerate(steps)]
        return Pipeline(**{"name": "p", "steps": tuple(numbered), **more})

    def prepare(self, *steps, namesakes=(), **more):
        pipeline = self.pipeline(*steps, **more)
        return prepare(pipeline, self.registry, self.connections, self.root, namesakes=namesakes)

    def compile(self, *steps, described=None, **more):
        prepared, _ = self.prepare(*steps, **more)
        answers = {step.id: Described(None if step.mode == "write" else SCHEMA) for step in steps}
        return compile_pipeline(prepared, answers | (described or {}))


def replace_pointer(step, index):
    from dataclasses import replace

    return replace(step, pointer=f"/steps/{index}")


@pytest.fixture
def bench(registry, tmp_path):
    return Bench(registry, Path(tmp_path))
