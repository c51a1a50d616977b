"""Whatever a file contains that Osiris reads: the answer is JSON, with known codes, in bounded time."""

import json
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.trust.fuzz import strategies

CODES = set(re.findall(r"^\| \[([A-Z]{3}\d{3})\]", Path("docs/errors/README.md").read_text(), re.MULTILINE)) - {
    "INT000"
}
EXITS = {0, 1, 2, 3, 4, 5, 6}
PIPELINE = {
    "oml_version": "0.2.0",
    "name": "copy",
    "params": {"x": {"type": "integer", "default": 1, "min": 0}},
    "steps": [
        {"id": "read", "component": "filesystem.csv_extractor", "mode": "read", "config": {"path": "data/in.csv"}},
        {
            "id": "sql",
            "component": "duckdb.processor",
            "mode": "transform",
            "needs": ["read"],
            "config": {"query": "SELECT a, b FROM read WHERE a >= ${params.x}"},
        },
        {
            "id": "write",
            "component": "filesystem.csv_writer",
            "mode": "write",
            "needs": ["sql"],
            "config": {"path": "output/out.csv"},
        },
    ],
}
CONNECTIONS = {
    "connections": {
        "duckdb": {"w": {"path": "data/w.duckdb", "default": True}},
        "postgres": {"p": {"host": "localhost", "database": "d", "user": "u", "password": "${NO_SUCH_SECRET}"}},
    }
}  # fmt: skip
few = settings(
    max_examples=6,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def ran(osiris, tmp_path_factory):
    """A project in which a pipeline has run."""
    root = tmp_path_factory.mktemp("fuzz")
    (root / "osiris.yaml").touch()
    (root / "data").mkdir()
    (root / "data/in.csv").write_text("a,b\n1,x\n2,y\n")
    (root / "pipeline.yaml").write_text(json.dumps(PIPELINE))
    (root / "osiris_connections.yaml").write_text(json.dumps(CONNECTIONS))
    pq.write_table(pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]}), root / "data/in.parquet")
    done = osiris("run", "pipeline.yaml", "--json", cwd=root)
    assert done.returncode == 0, done.stdout
    return root


def coded(done):
    """Assert that a command answered properly, whatever its input."""
    assert done.returncode in EXITS, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stdout + done.stderr
    told = json.loads(done.stdout)["diagnostics"]
    assert {one["code"] for one in told} <= CODES, told


def in_copy(ran, tmp_path_factory, name, content):
    """Copy the project, and replace the content of one file."""
    root = tmp_path_factory.mktemp("copy") / "project"
    shutil.copytree(ran, root)
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    next(root.glob(name)).write_bytes(data)
    return root


KINDS = {
    "pipeline": ("pipeline.yaml", strategies.files(PIPELINE), ["validate", "pipeline.yaml"]),
    "connections": ("osiris_connections.yaml", strategies.files(CONNECTIONS), ["connections", "list"]),
    "settings": (
        "osiris.yaml",
        strategies.texts("run:\n  parallel: 2\n  memory: 1GB\n"),
        ["config", "explain", "run.memory"],
    ),
}
OF_RUN = {
    "manifest": ("build/copy/*/manifest.json", ["run", "--last-compile", "--dry-run"]),
    "summary": ("logs/*/run.json", ["logs", "show", "last"]),
    "summary in a list": ("logs/*/run.json", ["logs", "list"]),
    "plan of a session": ("logs/*/manifest.json", ["explain", "last"]),
    "events": ("logs/*/events.jsonl", ["logs", "show", "last"]),
    "last compile": (".osiris/last_compile.json", ["run", "--last-compile", "--dry-run"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_written_by_people(kind, ran, osiris, tmp_path_factory):
    name, strategy, command = KINDS[kind]

    @few
    @given(strategy)
    def check(content):
        coded(osiris(*command, "--json", cwd=in_copy(ran, tmp_path_factory, name, content)))

    check()


@pytest.mark.parametrize("kind", OF_RUN)
def test_written_by_osiris(kind, ran, osiris, tmp_path_factory):
    name, command = OF_RUN[kind]
    text = next(ran.glob(name)).read_text()
    whole = strategies.texts(text) | strategies.binaries(text.encode())
    strategy = whole | strategies.trees(json.loads(text)).map(json.dumps) if name.endswith(".json") else whole

    @few
    @given(strategy)
    def check(content):
        coded(osiris(*command, "--json", cwd=in_copy(ran, tmp_path_factory, name, content)))

    check()


def test_parquet(ran, osiris, tmp_path_factory):
    data = (ran / "data/in.parquet").read_bytes()

    @few
    @given(strategies.binaries(data))
    def check(content):
        coded(
            osiris(
                "discover", "data/in.parquet", "--json", cwd=in_copy(ran, tmp_path_factory, "data/in.parquet", content)
            )
        )

    check()


@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "mysql"])
def test_sql(dialect, ran, osiris):
    @few
    @given(st.lists(strategies.STATEMENTS, min_size=20, max_size=40))
    def check(statements):
        lines = "".join(json.dumps({"dialect": dialect, "sql": one}) + "\n" for one in statements)
        done = osiris("sql", "check", "--dialect", dialect, "--jsonl", cwd=ran, stdin=lines)
        assert done.returncode == 0, done.stderr
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(answers) == len(statements)
        assert {one["code"] for one in answers if not one["ok"]} <= CODES, answers

    check()
