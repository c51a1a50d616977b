"""Rejects the words of `tools/words.toml` in names of `src/osiris` and in texts that users read."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Place = tuple[str, str]

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "osiris"
TABLE = ROOT / "tools" / "words.toml"
PAGES = (
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md"),
    *(f"docs/{folder}*.md" for folder in ("", "authors/", "decisions/", "errors/", "guide/", "reference/")),
    *("src/osiris/codes/codes.txt", "src/osiris/codes/pages/*.md"),
)
TEMPLATES = ("src/osiris/**/*.jinja", "src/osiris/components/**/*.yaml", "src/osiris/families/**/*.yaml")
CODE = re.compile(r"^ *(```.*?```)|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def main() -> int:
    """Print rejected words of the given kinds, each with its place; returns 1 if there are any."""
    words = tomllib.loads(TABLE.read_text(encoding="utf-8"))["word"]
    kinds = {"names": (names, _in_name), "texts": (texts, _in_text)}
    problems = [line for kind in sys.argv[1:] for line in refused(words, kind, kinds[kind][0](), kinds[kind][1])]
    print("\n".join(problems), end="\n" if problems else "")
    return bool(problems)


def refused(words: list[dict[str, Any]], kind: str, places: Iterable[Place], has: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield a line for each of `places` whose text has a word that is rejected in that kind."""
    rows = [(row, re.compile(rf"\b(?:{row['words']})\b", re.IGNORECASE)) for row in words if kind in row["in"]]
    for place, text in places:
        for row, pattern in rows:
            if match := has(row, pattern, text, place):
                yield f"{place}: '{match}'; write: {row['write']}"


def _in_name(row: dict[str, Any], pattern: re.Pattern[str], name: str, place: str) -> str | None:
    parts = [name.strip("_")] if row.get("alone") else name.split("_")
    is_allowed = not {name, f"{place.partition(':')[0]}: {name}"}.isdisjoint(row.get("allow", ()))
    return name if not is_allowed and any(map(pattern.fullmatch, parts)) else None


def _in_text(row: dict[str, Any], pattern: re.Pattern[str], text: str, _place: str) -> str | None:
    right = [span.span() for phrase in row.get("allow", ()) for span in re.finditer(phrase, text, re.IGNORECASE)]
    wrong = (m for m in pattern.finditer(text) if not any(a <= m.start() and m.end() <= b for a, b in right))
    return next((m[0] for m in wrong), None)


def names() -> Iterator[Place]:
    """Yield the names of modules, functions, parameters and locals, once per file; fields are named as their data."""
    for path in sorted(SOURCE.rglob("*.py")):
        tree, lines = ast.parse(path.read_text(encoding="utf-8")), {path.stem: 1}
        fields = {id(name) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for name in _fields(node)}
        for node in ast.walk(tree):
            name = getattr(node, "name", None) or getattr(node, "arg", None) or getattr(node, "id", None)
            is_bound = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.arg) or (
                isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in fields
            )
            if is_bound and name:
                lines.setdefault(name, node.lineno)
        yield from ((f"{path.relative_to(ROOT)}:{line}", name) for name, line in lines.items())


def _fields(node: ast.ClassDef) -> Iterator[ast.expr]:
    for each in node.body:
        if isinstance(each, ast.Assign | ast.AnnAssign):
            yield from each.targets if isinstance(each, ast.Assign) else [each.target]


def texts() -> Iterator[Place]:
    """Yield the lines of pages, messages and templates without code, and the strings of the source."""
    for pattern in (*PAGES, *TEMPLATES):
        for path in sorted(ROOT.glob(pattern)):
            text = CODE.sub(lambda match: "\n" * match[0].count("\n"), path.read_text(encoding="utf-8"))
            for number, line in enumerate(text.splitlines(), 1):
                if not line.lstrip().startswith("#" if path.suffix in (".yaml", ".txt") else "<!--"):
                    yield f"{path.relative_to(ROOT)}:{number}", line
    for path in sorted(SOURCE.rglob("*.py")):
        yield from _strings(path)


def _strings(path: Path) -> Iterator[Place]:
    """Yield the strings of a module except its docstrings; those of one word are names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and " " in node.value
            and id(node) not in docs
        ):
            yield f"{path.relative_to(ROOT)}:{node.lineno}", " ".join(node.value.split())


if __name__ == "__main__":
    sys.exit(main())
