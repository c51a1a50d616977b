"""Apply a suggested fix to a text: one place changes; the rest, including comments, stays as it is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from osiris.document.commented import inline
from osiris.document.places import unescape
from osiris.document.reader import MAX_DEPTH, REFERENCE, stand_in_for
from osiris.oml.parse import FILE_KEYS, STEP_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from osiris.errors import Diagnostic


_STEP = re.compile(r"/steps/[0-9]+")
_HEAD = re.compile(r"^[|>][1-9]?([-+]?)[1-9]?")
_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
_INDENT = 2
_EMPTY = {"mapping": "{}", "list": "[]"}


def apply_fix(text: str, diagnostic: Diagnostic) -> str:
    """Return OML text with the fix of one of its diagnostics applied; raises LookupError if it does not match the text.

    CR LF line endings and a byte order mark are kept.
    """
    if text.startswith(_MARK):
        return _MARK + apply_fix(text.removeprefix(_MARK), diagnostic)
    if text.count("\n") == text.count("\r\n") > 0:
        return apply_fix(text.replace("\r\n", "\n"), diagnostic).replace("\n", "\r\n")
    for operation in diagnostic.fix:
        text = _OPERATIONS[operation["op"]](text, operation)
    return text


def fix_words(fix: Iterable[Mapping[str, Any]]) -> str:
    """Return what a fix does, in words: `rename 'tabel' to 'table'`."""
    words = ", ".join(_WORDS[each["op"]](each) for each in fix)
    return words if len(words) <= _MOST_WORDS else words[: _MOST_WORDS - 1] + "…"


def _named(pointer: str) -> str:
    *_, above, last = pointer.split("/")
    return f"'{unescape(above)}[{last}]'" if last.isdecimal() else f"'{unescape(last)}'"


_MOST_WORDS = 120
_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "text": lambda each: f"replace {each['old']} by {each['value']}",
    "replace": lambda each: f"set {_named(each['path'])} to {inline(each['value'], flow=True)}",
    "remove": lambda each: f"remove {_named(each['path'])}",
    "add": lambda each: f"add {_named(each['path'])}: {inline(each['value'], flow=True)}",
    "move": lambda each: f"rename {_named(each['from'])} to {_named(each['path'])}",
}


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
        outer = _column(text, _edges(text, parent, index)[0])
        head, _, body = text[node.start : node.end].partition("\n")
        pad = re.match(r" *(?=[^ \n])", body.lstrip("\n"))
        is_indented = re.match(r"\n* ", value) is not None
        indent = pad[0] if pad and len(pad[0]) > outer and not is_indented else " " * (outer + _INDENT)
        depth = str(_INDENT) if is_indented else ""
        lines = [indent + line if line else "" for line in value.rstrip("\n").split("\n")]
        return text[: node.start] + "\n".join([_HEAD.sub(rf"|\g<1>{depth}", head), *lines]) + text[node.end :]
    return _put(text, node, inline(value, flow=parent.flow))


def _put(text: str, node: Span, value: str) -> str:
    """Return the text with a node replaced by a one-line value, which follows its key."""
    before = text[: node.start].rstrip()
    if node.kind != "scalar" and not node.flow and before.endswith(":"):
        return f"{before} {value}{text[node.end :]}"
    gap = " " if text[: node.start].endswith(":") else ""
    return f"{text[: node.start]}{gap}{value}{text[node.end :]}"


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
    if text[line:start].strip():  # after a dash, which the next entry takes over
        return text[:start] + text[_first(entries, index) :]
    after = text.find("\n", end)
    return text[:line] + (text[after + 1 :] if after >= 0 else "")


def _first(entries: list[tuple[Span | None, Span]], index: int) -> int:
    """Return where the next entry starts."""
    key, value = entries[index + 1]
    return (key or value).start


def _edges(text: str, parent: Span, index: int) -> tuple[int, int]:
    """Return where an entry starts, including the dash of a block list, and where its value ends."""
    key, value = parent.entries[index]
    start = (key or value).start
    if parent.kind == "list" and not parent.flow:
        start = text.rindex("-", 0, start)
    return start, value.end


def _add(text: str, operation: Mapping[str, Any]) -> str:
    parent_pointer, _, new_key = operation["path"].rpartition("/")
    parent = _read(text).find(parent_pointer)
    if parent.kind == "scalar":  # the value is empty
        return _put(text, parent, inline({unescape(new_key): operation["value"]}))
    if parent.kind == "list":
        return _appended(text, parent, inline(operation["value"], flow=parent.flow))
    line = f"{inline(unescape(new_key), flow=parent.flow)}: {inline(operation['value'], flow=parent.flow)}"
    later = _keys_after(parent_pointer, new_key)
    following = next((key for key, _ in parent.entries if key is not None and key.text in later), None)
    if following is None:
        return _appended(text, parent, line)
    gap = ", " if parent.flow else "\n" + " " * _column(text, following.start)
    return text[: following.start] + line + gap + text[following.start :]


def _keys_after(pointer: str, key: str) -> Sequence[str]:
    """Return the keys that follow one in the file, or in the step at a pointer."""
    keys = FILE_KEYS if not pointer else STEP_KEYS if _STEP.fullmatch(pointer) else ()
    return keys[keys.index(key) + 1 :] if key in keys else ()


def _appended(text: str, parent: Span, item: str) -> str:
    """Return the text with an entry appended to a list or mapping."""
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
    """Rename the key of a value in place."""
    parent, index = _around(text, operation["from"])
    key, new = parent.entries[index][0], unescape(operation["path"].rpartition("/")[2])
    if key is None or operation["from"].rpartition("/")[0] != operation["path"].rpartition("/")[0]:
        raise LookupError(operation["path"])
    return text[: key.start] + inline(new, flow=parent.flow) + text[key.end :]


def _around(text: str, pointer: str) -> tuple[Span, int]:
    """Return the list or mapping that contains the value at a pointer, and the value's index in it."""
    parent_pointer, _, key = pointer.rpartition("/")
    parent = _read(text).find(parent_pointer)
    return parent, parent.index(key)


def _read(text: str) -> Span:
    """Return the nodes of a text, with unquoted `@` allowed."""
    import yaml

    stand_in = stand_in_for(text)
    try:
        return read_spans(text.replace(REFERENCE, stand_in) if stand_in else text)
    except yaml.YAMLError as error:
        raise LookupError(str(error)) from error


_OPERATIONS: dict[str, Callable[[str, Mapping[str, Any]], str]] = {
    "text": _retype,
    "replace": _replace,
    "remove": _remove,
    "add": _add,
    "move": _move,
}


Event: TypeAlias = Any
"""An event of PyYAML, none of which has types."""

Kind: TypeAlias = Literal["scalar", "list", "mapping"]
_KINDS: dict[str, Kind] = {"MappingStartEvent": "mapping", "SequenceStartEvent": "list"}


@dataclass(slots=True)
class Span:
    """A node from `start` to `end`, without trailing white space and comments; `style` is a scalar's indicator.

    Entries of a mapping have a key; a list's do not. `text` is a scalar's value.
    """

    kind: Kind
    start: int
    end: int
    flow: bool = False
    style: str | None = None
    text: str = ""
    entries: list[tuple[Span | None, Span]] = field(default_factory=list)

    def index(self, part: str) -> int:
        """Return the index of the entry of a key or index; for a duplicate key, the last.

        Raises LookupError.
        """
        if self.kind == "list":
            if not part.isdigit() or int(part) >= len(self.entries):
                raise LookupError(part)
            return int(part)
        indexes = [n for n, (key, _) in enumerate(self.entries) if key is not None and key.text == unescape(part)]
        if not indexes:
            raise LookupError(part)
        return indexes[-1]

    def find(self, pointer: str) -> Span:
        """Return the node at a JSON Pointer; raises LookupError."""
        node = self
        for part in pointer.split("/")[1:]:
            node = node.entries[node.index(part)][1]
        return node


def read_spans(text: str) -> Span:
    """Return the root of a text that libyaml can read; raises its errors, and LookupError for a text without a node."""
    import yaml

    events: Iterator[Event] = yaml.parse(text, Loader=yaml.CSafeLoader)
    for event in events:
        if isinstance(event, yaml.NodeEvent):
            return _node(text, event, events)
    raise LookupError(text)


def _node(text: str, event: Event, events: Iterator[Event], depth: int = 0) -> Span:
    """Return the node that starts with an event."""
    name, start = type(event).__name__, event.start_mark.index
    if depth > MAX_DEPTH:
        raise LookupError(f"more than {MAX_DEPTH} levels")
    if name in _KINDS:
        node = Span(_KINDS[name], start, event.end_mark.index, bool(event.flow_style))
        while not type(inner := next(events)).__name__.endswith("EndEvent"):
            key = _node(text, inner, events, depth + 1) if node.kind == "mapping" else None
            node.entries.append((key, _node(text, next(events) if key else inner, events, depth + 1)))
        node.end = inner.end_mark.index if node.flow else (node.entries[-1][1].end if node.entries else node.end)
        return node
    end = start + len(text[start : event.end_mark.index].rstrip())
    return Span("scalar", start, end, style=getattr(event, "style", None), text=getattr(event, "value", ""))
