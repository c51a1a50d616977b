"""A suggested fix is put into a text: one place changes, and all else, with its comments, stays as it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.document.places import unescape
from osiris.document.reader import REFERENCE, stand_in_for
from osiris.document.spans import Span, read_spans
from osiris.document.writer import inline
from osiris.oml.parse import FILE_KEYS, STEP_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from osiris.errors import Diagnostic

_STEP = re.compile(r"/steps/[0-9]+")
_EMPTY = {"mapping": "{}", "list": "[]"}


def apply_fix(text: str, diagnostic: Diagnostic) -> str:
    """Return OML text with the fix of one of its diagnostics; raises LookupError where it does not go with the text."""
    for operation in diagnostic.fix:
        text = _OPERATIONS[operation["op"]](text, operation)
    return text


def _retype(text: str, operation: Mapping[str, Any]) -> str:
    lines = text.split("\n")
    start = sum(len(line) + 1 for line in lines[: operation["line"] - 1]) + operation["column"] - 1
    if not text.startswith(operation["old"], start):
        raise LookupError(operation["old"])
    new: str = operation["value"]
    return text[:start] + new + text[start + len(operation["old"]) :]


def _replace(text: str, operation: Mapping[str, Any]) -> str:
    parent, index = _around(text, operation["path"])
    node, value = parent.entries[index][1], operation["value"]
    if node.style in ("|", ">") and isinstance(value, str) and value.strip():
        return text[: node.start] + _block(text, node, value) + text[node.end :]
    return _put(text, node, inline(value, flow=parent.flow))


def _put(text: str, node: Span, written: str) -> str:
    """Return the text with a value on one line in the place of a node: behind its key, if that has lines of its own."""
    before = text[: node.start].rstrip()
    if node.kind != "scalar" and not node.flow and before.endswith(":"):
        return f"{before} {written}{text[node.end :]}"
    gap = " " if text[: node.start].endswith(":") else ""
    return f"{text[: node.start]}{gap}{written}{text[node.end :]}"


def _block(text: str, node: Span, value: str) -> str:
    """Return a text as a literal block with the indentation of the one that stood there."""
    head, _, body = text[node.start : node.end].partition("\n")
    pad = re.match(r"\s*?(?=[^ \n])|", body.lstrip("\n"))
    indent = pad[0] if pad else ""
    lines = value.rstrip("\n").split("\n")
    return "\n".join([head.replace(">", "|"), *(indent + line if line else "" for line in lines)])


def _remove(text: str, operation: Mapping[str, Any]) -> str:
    parent, index = _around(text, operation["path"])
    entries = parent.entries
    start, end = _edges(text, parent, index)
    if len(entries) == 1:
        return _put(text, parent, _EMPTY[parent.kind])
    if parent.flow:
        last = index + 1 == len(entries)
        return text[: entries[index - 1][1].end] + text[end:] if last else text[:start] + text[_first(entries, index) :]
    line = text.rfind("\n", 0, start) + 1
    if text[line:start].strip():  # it stands behind a dash, which the next one takes over
        return text[:start] + text[_first(entries, index) :]
    after = text.find("\n", end)
    return text[:line] + (text[after + 1 :] if after >= 0 else "")


def _first(entries: list[tuple[Span | None, Span]], index: int) -> int:
    """Return where the entry after one begins."""
    key, value = entries[index + 1]
    return (key or value).start


def _edges(text: str, parent: Span, index: int) -> tuple[int, int]:
    """Return where an entry begins, with the dash of a block list, and where its value ends."""
    key, value = parent.entries[index]
    start = (key or value).start
    if parent.kind == "list" and not parent.flow:
        start = text.rindex("-", 0, start)
    return start, value.end


def _add(text: str, operation: Mapping[str, Any]) -> str:
    before, _, last = operation["path"].rpartition("/")
    parent = _read(text).find(before)
    if parent.kind == "scalar":  # nothing stood there yet
        return _put(text, parent, inline({unescape(last): operation["value"]}))
    if parent.kind == "list":
        return _appended(text, parent, inline(operation["value"], flow=parent.flow))
    line = f"{inline(unescape(last), flow=parent.flow)}: {inline(operation['value'], flow=parent.flow)}"
    keys = FILE_KEYS if not before else STEP_KEYS if _STEP.fullmatch(before) else ()
    later = keys[keys.index(last) + 1 :] if last in keys else ()
    following = next((key for key, _ in parent.entries if key is not None and key.text in later), None)
    if following is None:
        return _appended(text, parent, line)
    gap = ", " if parent.flow else "\n" + " " * _column(text, following.start)
    return text[: following.start] + line + gap + text[following.start :]


def _appended(text: str, parent: Span, item: str) -> str:
    """Return the text with one more entry at the end of a list or mapping."""
    if parent.flow:
        at = parent.end - 1
        while text[at - 1].isspace():
            at -= 1
        return f"{text[:at]}{', ' if parent.entries else ''}{item}{text[at:]}"
    start, end = _edges(text, parent, len(parent.entries) - 1)
    dash = "- " if parent.kind == "list" else ""
    line = text.find("\n", end)
    end = line if line >= 0 else len(text)
    return f"{text[:end]}\n{' ' * _column(text, start)}{dash}{item}{text[end:]}"


def _column(text: str, at: int) -> int:
    return at - text.rfind("\n", 0, at) - 1


def _move(text: str, operation: Mapping[str, Any]) -> str:
    """Give a value another key; the place stays."""
    parent, index = _around(text, operation["from"])
    key, new = parent.entries[index][0], unescape(operation["path"].rpartition("/")[2])
    if key is None or operation["from"].rpartition("/")[0] != operation["path"].rpartition("/")[0]:
        raise LookupError(operation["path"])
    return text[: key.start] + inline(new, flow=parent.flow) + text[key.end :]


def _around(text: str, pointer: str) -> tuple[Span, int]:
    """Return the list or mapping around the value at a pointer, and the value's number in it."""
    before, _, last = pointer.rpartition("/")
    parent = _read(text).find(before)
    return parent, parent.index(last)


def _read(text: str) -> Span:
    """Return the nodes of a text; an unquoted `@` is a character like others here."""
    stand_in = stand_in_for(text)
    return read_spans(text.replace(REFERENCE, stand_in) if stand_in else text)


_OPERATIONS: dict[str, Callable[[str, Mapping[str, Any]], str]] = {
    "text": _retype,
    "replace": _replace,
    "remove": _remove,
    "add": _add,
    "move": _move,
}
