"""A call loads the library that describes violations of a schema only for one, and no grammar of optional packages."""

import json
import subprocess
import sys

import pytest
from tests.e2e.sessions import new_project
from tests.e2e.test_mcp import copy

SCRIPT = "import sys; from osiris.mcp.call import main; main(); print(*sys.modules, file=sys.stderr, flush=True)"
BROKEN = copy().replace("mode: read", "mode: raed")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return new_project(tmp_path_factory.mktemp("call") / "shop")


def modules_of(project, name, arguments):
    """Return whether a call succeeded, and the modules that were loaded then."""
    call = {"name": name, "arguments": arguments, "allow_run": False}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-I", "-c", SCRIPT], cwd=project, text=True, **pipes) as process:
        process.stdin.write(json.dumps(call) + "\n")
        process.stdin.flush()  # left open: a call whose input is closed ends
        loaded = process.stderr.readline().split()
        answer = json.loads(process.stdout.readlines()[-1])["answer"]
    return answer["ok"], set(loaded)


VALID = [
    ("oml_validate", {"oml": copy()}),
    ("oml_save", {"oml": copy(), "file": "output/copy.yaml"}),
    ("oml_schema", {"of": "request"}),
    ("oml_schema", {"of": "oml", "detail": "full"}),
    ("component_get", {"name": "duckdb.processor"}),
    ("connections_list", {"limit": 3}),
]


@pytest.mark.parametrize(("name", "arguments"), VALID)
def test_what_is_valid_needs_no_library(project, name, arguments):
    ok, loaded = modules_of(project, name, arguments)
    assert ok
    assert not {"jsonschema", "lark"} & loaded


INVALID = [
    ("oml_validate", {"oml": BROKEN}),
    ("oml_save", {"oml": BROKEN, "file": "output/copy.yaml"}),
    ("oml_schema", {"of": "nothing"}),
]


@pytest.mark.parametrize(("name", "arguments"), INVALID)
def test_what_is_invalid_is_described_without_grammars(project, name, arguments):
    ok, loaded = modules_of(project, name, arguments)
    assert not ok
    assert "jsonschema" in loaded
    assert not {"lark", "arrow"} & loaded
