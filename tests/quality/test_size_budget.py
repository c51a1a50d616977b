"""The code stays readable: files of limited size, functions that fit in one look."""

import ast
from collections import Counter
from pathlib import Path
from statistics import median, quantiles

SOURCE = Path(__file__).parents[2] / "src" / "osiris"
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BROAD = {"Exception", "BaseException"}


def trees():
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        yield path.relative_to(SOURCE), text, ast.parse(text)


def functions():
    for path, _text, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, FUNCTIONS):
                yield f"{path}:{node.lineno} {node.name}", node


def length(node):
    lines = node.end_lineno - node.lineno + 1
    docstring = ast.get_docstring(node, clean=False)
    return lines - (docstring.count("\n") + 1 if docstring else 0)


def depth(node, level=0):
    deepest = level
    for child in ast.iter_child_nodes(node):
        elif_branch = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, depth(child, level + (isinstance(child, BLOCKS) and not elif_branch)))
    return deepest


def test_files_are_short():
    assert [(str(p), n) for p, t, _ in trees() if (n := t.count("\n")) > 600] == []


def test_functions_are_short():
    assert [(name, length(node)) for name, node in functions() if length(node) > 50] == []


def test_typical_function_is_read_in_one_look():
    lengths = [length(node) for _, node in functions()]
    assert median(lengths) <= 10
    assert quantiles(lengths, n=20)[-1] <= 35


def test_nesting_is_shallow():
    assert [name for name, node in functions() if depth(node) > 4] == []


def test_broad_excepts_are_few_and_known():
    """The program's end, the worker's boundary, and code of other packages: anything may be raised there."""
    broad = Counter(
        str(path)
        for path, _, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or any(isinstance(n, ast.Name) and n.id in BROAD for n in ast.walk(node.type)))
    )
    assert broad == {
        "cli/main.py": 1,
        "distribution.py": 1,
        "runner/worker/failure.py": 1,
    }
