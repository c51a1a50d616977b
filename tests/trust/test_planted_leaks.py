"""The search for canaries works: each of these leaks, put into a copy of the code, is found at its place.

Each writes a secret without the scrubber. Without a leak, the same commands leave no canary anywhere.
"""

import ast
import json
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from tests.chance import say_tried
from tests.trust.canary_project import lay_out

SOURCE = Path(__file__).parents[2] / "src" / "osiris"
LEAKS = sorted(Path(__file__).with_name("leaks").glob("*.toml"))
KEYS = {"title", "file", "find", "replace", "where"}
PACKAGES = "aiop: {annex: {enabled: true, compress: gzip}}\n"
FIRST = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
ASKED = (
    {"id": 1, "method": "initialize", "params": FIRST},
    {"method": "notifications/initialized"},
    {"id": 2, "method": "tools/call", "params": {"name": "connections_list", "arguments": {}}},
)
SPOKEN = b"".join(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n" for message in ASKED)
COMMANDS = {
    ("compile", "kept.yaml"): 0,
    ("run", "kept.yaml"): 0,
    ("run", "broken.yaml"): 1,
    ("run", "broken.yaml", "--new-run", "--json"): 1,
    ("logs", "html"): 0,
    ("logs", "aiop"): 0,
}
"""Each with its exit status where nothing leaks."""


def read(path):
    return tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(params=LEAKS, ids=lambda path: path.stem)
def leak(request):
    return read(request.param)


def found_with(folder, script):
    """Return the exit codes of all commands, and where canaries are found after them."""
    project = lay_out(folder, script)
    (project.folder / "osiris.yaml").write_text(PACKAGES)
    seen = [project.watch(*words) for words in COMMANDS]
    seen.append(project.watch("mcp", say=SPOKEN, answers=2))
    return [each.code for each in seen], project.canaries.hits(*(each.parts() for each in seen), project.files())


def test_each_leak_is_one_change():
    """One test of all, as a sample of the cases would leave some out."""
    assert len(LEAKS) >= 12
    for leak in map(read, LEAKS):
        assert set(leak) == KEYS
        text = (SOURCE / leak["file"]).read_text(encoding="utf-8")
        assert text.count(leak["find"]) == 1, leak
        ast.parse(text.replace(leak["find"], leak["replace"]))


@pytest.mark.trust
def test_without_a_leak_nothing_is_found(copy, tmp_path):
    assert found_with(tmp_path, copy / ".venv/bin/osiris") == ([*COMMANDS.values(), 0], [])


@pytest.mark.trust
def test_each_leak_is_found(leak, copy, tmp_path):
    path = copy / "src" / "osiris" / leak["file"]
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace(leak["find"], leak["replace"]), encoding="utf-8")
    try:
        _, hits = found_with(tmp_path, copy / ".venv/bin/osiris")
    finally:
        path.write_text(before, encoding="utf-8")
    say_tried("leaks planted in a copy of the code, each found by the search for canaries", 1)
    assert {hit.slot for hit in hits} == {"params.pin"}, leak["title"]
    assert any(fnmatch(hit.where, leak["where"]) for hit in hits), sorted({hit.where for hit in hits})
