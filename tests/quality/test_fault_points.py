"""Each durable action has a fault point beside it, so that tests can make it fail."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import osiris

ROOT = Path(osiris.__file__).parent

ACTIONS = {
    *("rename", "renames", "hardlink_to", "fsync", "fdatasync", "unlink", "truncate"),
    *("rmtree", "commit", "executescript", "mkstemp", "write_text", "write_bytes"),
}
"""Methods and functions that change files durably, or make changes durable."""

STATEMENTS = {"COMMIT"}
OF_OBSTORE = {"put", "delete", "copy", "rename"}

NOTHING_LOST = {
    ("cli/command.py", "write_text"): "a paragraph of help",
    ("components/duckdb_processor/parts.py", "rmtree"): "rows of a stage that was computed, in scratch",
    ("cli/project.py", "write_bytes"): "a copy of a plan that the demonstration changes, before anything is run",
    ("cli/project.py", "write_text"): "a pipeline of the demonstration, before anything is run",
    ("families/sql/writer.py", "unlink"): "rows that were staged for one transaction, in scratch",
    ("families/files/folders.py", "rename"): "files that are put together in scratch",
    ("files.py", "unlink"): "temporaries that were not renamed; a sweep removes what stays",
    ("runner/host/spools.py", "rename"): "rows for the caller of a run, who is told if they are not there",
    ("runner/worker/spools.py", "rename"): "rows for the caller of a run, who is told if they are not there",
    ("runner/worker/spools.py", "unlink"): "incomplete rows for the caller of a run",
    ("runner/worker/main.py", "rmtree"): "scratch of a job that has ended",
    **{
        (f"sql/{name}.py", "replace"): "a node of a tree in memory"
        for name in (
            *("explanation/read_back", "explanation/sources"),
            *("cuts", "safety/grammar", "safety/relations", "safety/tree", "stages"),
        )
    },
}
"""Files and actions in them that lose nothing wherever they end, each with the reason."""


@cache
def modules():
    """Return the tree of each module that has a durable action or a fault point."""
    texts = {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted(ROOT.rglob("*.py"))}
    words = (*ACTIONS, *STATEMENTS, *OF_OBSTORE, "replace", "fault", "send", "link")
    return {name: ast.parse(text) for name, text in texts.items() if any(word in text for word in words)}


def points():
    """Yield each fault point: file, line and name."""
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "fault":
                yield name, node.lineno, ast.literal_eval(node.args[0])


def is_durable(call):
    """Return whether a call is a durable action: by its method, its SQL, or its caller."""
    if not isinstance(call.func, ast.Attribute):
        return False
    name, words = call.func.attr, [arg.value for arg in ast.walk(call) if isinstance(arg, ast.Constant)]
    if name == "replace" and (len(call.args) == 1 or _asks(call, "os")) and not call.keywords:
        return True  # of a path; that of a text has two arguments
    if name == "link" and _asks(call, "os"):
        return True
    if _asks(call, "obstore"):
        return name in OF_OBSTORE
    return name in ACTIONS or bool(STATEMENTS.intersection(words)) or (name == "send" and "stream" in _keywords(call))


def _asks(call, module):
    return isinstance(call.func.value, ast.Name) and call.func.value.id == module


def _keywords(call):
    return {word.arg for word in call.keywords}


def bare(tree):
    """Yield line and name of each durable action of a module whose function has no fault point."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and is_durable(node)):
        around = [f for f in functions if f.lineno <= call.lineno <= f.end_lineno]
        inner = max(around, key=lambda f: f.lineno, default=tree)
        names = [n.func.id for n in ast.walk(inner) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
        if "fault" not in names:
            yield call.lineno, call.func.attr


def test_each_durable_action_has_a_point():
    found = {(name, action): line for name, tree in modules().items() for line, action in bare(tree)}
    assert [
        f"{name}:{line}: {action}" for (name, action), line in found.items() if (name, action) not in NOTHING_LOST
    ] == []
    assert NOTHING_LOST.keys() <= found.keys()


def test_names_are_told_apart():
    names = Counter(name for _, _, name in points())
    print("\n".join(f"{name:24} {file}:{line}" for file, line, name in sorted(points(), key=lambda p: p[2])))
    assert len(names) > 40
    assert [name for name, count in names.items() if count > 1] == []


def bare_in(text):
    return bare(ast.parse(text))


@pytest.mark.parametrize(
    "action",
    [
        "path.replace(target)",
        "os.rename(a, b)",
        "os.replace(a, b)",
        "os.fsync(fd)",
        "marker.unlink(missing_ok=True)",
        "connection.commit()",
        "session.run('COMMIT')",
        "obstore.put(store, key, content)",
        "http.send(request, stream=True)",
        "shutil.rmtree(folder)",
    ],
)
def test_a_bare_action_is_found(action):
    assert list(bare_in(f"def f():\n    {action}\n")) != []
    assert list(bare_in(f"def f():\n    fault('x.y')\n    {action}\n")) == []


@pytest.mark.parametrize("harmless", ["text.replace('a', 'b')", "replace(start, notes=())", "queue.put(1)"])
def test_what_changes_nothing_needs_none(harmless):
    assert list(bare_in(f"def f():\n    {harmless}\n")) == []
