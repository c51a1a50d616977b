"""A YAML text as a tree that keeps its comments, and the tree as text in one form.

Reading: each comment is attached to the entry below or beside it. Only for texts that `read_document` accepts. Comments
are not libyaml events; they are found in the gaps between events, where nothing else has a `#`. Writing: two spaces per
level, and quotes only where needed.
"""

from __future__ import annotations

import json
import re
import textwrap
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from osiris.document.reader import NotANumber, TwoWays, resolve_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.model import JsonValue


Event: TypeAlias = Any
"""An event of PyYAML, none of which has types."""

_BLOCK_HEADER = re.compile(r"[|>][-+0-9]*[ \t]+(#[^\n]*)")
BLANK = ""
"""A blank line among comments."""


@dataclass(slots=True)
class Node:
    """A scalar (its value, and whether it was plain), or a list or mapping with its entries.

    `flow` tells how it was written; `after` has the comments after the last entry. `spaced` and `tall` are requests to
    the writer: a blank line between entries, and a block scalar for long text.
    """

    kind: Literal["scalar", "list", "mapping"]
    text: str = ""
    plain: bool = False
    flow: bool = False
    column: int = 0
    entries: list[Entry] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    spaced: bool = False
    tall: bool = False

    def child(self, key: str) -> Node | None:
        """Return the value of a key."""
        return next((entry.value for entry in self.entries if entry.key == key), None)

    def has_comments(self) -> bool:
        """Tell whether there is a comment inside."""
        entries = self.entries
        return any((self.after, *(e.before or e.beside or e.value.has_comments() for e in entries)))


@dataclass(slots=True)
class Entry:
    """One entry of a list or mapping, with the comments above it, blank lines among them, and the one beside it."""

    key: str | None = None
    value: Node = field(default_factory=lambda: Node("scalar", plain=True))
    before: list[str] = field(default_factory=list)
    beside: str | None = None

    def put_beside(self, comment: str) -> None:
        """Put a comment beside the entry; an existing one moves above it."""
        self.before += [self.beside] if self.beside else []
        self.beside = comment

    def put_above(self, comments: list[str]) -> None:
        """Put comments above the entry, after the one beside it, which comes earlier in the text."""
        self.before += [self.beside] if self.beside else []
        self.before += comments
        self.beside = None


def read_commented(text: str) -> Entry:
    """Return the root of a text, as an entry without a key."""
    reader = _Reader(text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"))
    reader.read()
    return reader.root


class _Reader:
    """One reading: a stack of open collections, and the comments not attached yet."""

    def __init__(self, text: str) -> None:
        self.root = Entry()
        self._text = text
        self._end = 0
        self._stack: list[Node] = []
        self._closed: list[Node] = []
        self._keyed: Entry | None = None  # an entry whose key was read, and whose value was not
        self._last: Entry | None = None  # the entry of the scalar or bracket that was read last
        self._waiting: list[str] = []  # comments for the entry that comes next

    def read(self) -> None:
        import yaml

        handlers = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._open,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
        }
        for event in yaml.parse(self._text, Loader=yaml.CSafeLoader):
            if handler := handlers.get(type(event)):
                handler(event)
        self._gap(len(self._text))
        last = [self.root.beside, *self._waiting]
        self.root.value.after += [comment for comment in last if comment]
        self.root.beside = None

    def _scalar(self, event: Event) -> None:
        start, end = event.start_mark.index, event.end_mark.index
        self._gap(start)
        top = self._stack[-1] if self._stack else None
        if top is not None and top.kind == "mapping" and self._keyed is None:
            self._last = self._keyed = self._entry(event.value)
        else:
            self._last = self._put(Node("scalar", event.value, plain=event.implicit[0]))
        if event.style in ("|", ">"):
            end = start + len(self._text[start:end].rstrip())
            if match := _BLOCK_HEADER.match(self._text, start, end):
                self._last.put_beside(match[1].rstrip())
        self._end = end

    def _open(self, event: Event) -> None:
        flow = bool(event.flow_style)
        self._gap(event.start_mark.index)
        kind: Literal["list", "mapping"] = "mapping" if "Mapping" in type(event).__name__ else "list"
        node = Node(kind, flow=flow, column=event.start_mark.column)
        self._put(node)
        self._last = None
        self._stack.append(node)
        self._end = event.end_mark.index if flow else event.start_mark.index

    def _close(self, event: Event) -> None:
        node = self._stack[-1]
        if not node.flow:
            self._closed.append(self._stack.pop())
            return
        self._gap(event.start_mark.index)
        comments = [line for line in self._waiting if line != BLANK]
        self._waiting = []
        self._stack.pop()
        self._last = self._stack[-1].entries[-1] if self._stack else self.root
        if node.entries:
            node.after += comments
        elif comments:
            self._last.put_above(comments)
        if self._last.beside and node.has_comments():
            # The node is written on lines of its own, so a comment before its bracket comes before those inside.
            self._last.put_above([])
        self._end = event.end_mark.index

    def _entry(self, key: str | None) -> Entry:
        """Start an entry of the innermost collection."""
        entry = Entry(key, before=self._waiting)
        self._waiting = []
        self._stack[-1].entries.append(entry)
        return entry

    def _put(self, node: Node) -> Entry:
        """Attach a value and return its entry."""
        entry = self.root if not self._stack else self._keyed or self._entry(None)
        if entry is self.root:
            self._head(node)
        elif entry is self._keyed and (node.kind == "scalar" or node.flow):
            if comments := [line for line in self._waiting if line != BLANK]:
                entry.put_above(comments)
            self._waiting = []
        entry.value, self._keyed = node, None
        return entry

    def _head(self, root: Node) -> None:
        """Attach the file's head comments; those after the last blank line belong to the first entry."""
        cut = len(self._waiting)
        if BLANK in self._waiting and not root.flow:
            cut -= self._waiting[::-1].index(BLANK)
        self.root.before, self._waiting = self._waiting[:cut], self._waiting[cut:]

    def _gap(self, until: int) -> None:
        """Attach the comments up to here: to closed collections, or to the next entry."""
        here = self._column()
        levels, blank = self._closed, False
        for column, comment in self._comments(until):
            if comment == BLANK:
                blank = True
                continue
            if column is None and self._last is not None:
                self._last.put_beside(comment)
                continue
            levels = _levels(levels, column, here) if column is not None else levels
            target = levels[0].after if levels else self._waiting
            target += [BLANK, comment] if blank else [comment]
            blank = False
        self._waiting += [BLANK] if blank else []
        self._closed = []
        self._end = max(until, self._end)

    def _column(self) -> int:
        """Return the column of the next entry: -1 if there is none, and far right in a flow collection."""
        if not self._stack:
            return -1
        return 1 << 20 if self._stack[-1].flow else self._stack[-1].column

    def _comments(self, until: int) -> Iterator[tuple[int | None, str]]:
        """Yield the comments and blank lines of a gap with their column; None after other text."""
        lines = self._text[self._end : until].split("\n")
        for number, line in enumerate(lines):
            mark = line.find("#")
            if mark >= 0:
                behind = number == 0 and self._end > 0
                yield None if behind else len(line) - len(line.lstrip()), line[mark:].rstrip()
            elif number not in (0, len(lines) - 1) and not line.strip():
                yield None, BLANK


def _levels(closed: list[Node], column: int, here: int) -> list[Node]:
    """Return the collections that can still take comments after one at `column`; the first takes this one."""
    if column <= here:
        return []
    outermost = max((n for n, node in enumerate(closed) if node.column >= column), default=0)
    return closed[outermost:]


WIDTH = 100
TALL = 80
"""A `tall` text becomes a block if it is longer than this."""
MAX_KEY = 1000
"""Longer keys need a `?`: YAML requires the colon within 1024 characters."""

_STEP = "  "
_UNSAFE = re.compile(r"[^\t\n -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_NOT_PLAIN = re.compile(r"^[-?:,\[\]{}#&*!|>'\"%@` ]|^\.\.\.|: | #|[: ]$|[\t\n]")
_NOT_PLAIN_IN_FLOW = re.compile(r"[,\[\]{}:]")
_LIKE_A_NUMBER = re.compile(r"[-+.0-9][-+.:0-9_TZeE ]*")
_FOLDABLE = re.compile(r"\S+( \S+)+\n?")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_TO_ESCAPE = re.compile(rf"[\"\\\t\n]|{_UNSAFE.pattern}")
_CONSTANTS = {None: "null", True: "true", False: "false"}


def write(root: Entry) -> str:
    """Return the text of a mapping: its comments, its entries, one line break at the end."""
    above, lines = _collection(root.value, "")
    head = _comments([*root.before, *above], "", first=True)
    return "\n".join([*head, *(lines if root.value.entries else ["{}", *lines])]) + "\n"


def inline(value: JsonValue, *, flow: bool = False) -> str:
    """Return data on one line; `flow` if it is inside brackets."""
    if isinstance(value, str):
        return _text(value, flow=flow)
    if isinstance(value, list):
        return f"[{', '.join(inline(each, flow=True) for each in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_text(key, flow=True)}: {inline(each, flow=True)}' for key, each in value.items())}}}"
    return json.dumps(value)


def _collection(node: Node, pad: str) -> tuple[list[str], list[str]]:
    """Return the comments above the first entry of a block, and its lines."""
    head: list[str] = []
    lines: list[str] = []
    after_section = False
    for number, entry in enumerate(node.entries):
        above, block = _entry(entry, pad)
        section = not pad and entry.value.kind != "scalar" and len(block) > 1
        if number == 0:
            head = above
        else:
            apart = node.spaced or section or after_section
            lines += _comments([BLANK, *above] if apart else above, pad)
        lines += block
        after_section = section
    return head, [*lines, *_comments(node.after, pad)]


def _comments(comments: list[str], pad: str, *, first: bool = False) -> list[str]:
    """Return comment lines, without repeated blank lines, and without leading ones if they come first."""
    lines: list[str] = []
    for comment in comments:
        if comment != BLANK:
            lines.append(pad + comment)
        elif lines[-1:] != [BLANK] and (lines or not first):
            lines.append(BLANK)
    return lines


def _entry(entry: Entry, pad: str) -> tuple[list[str], list[str]]:
    """Return the comments above an entry, and its lines."""
    marked, head = _head(entry, pad)
    value = entry.value
    beside, tail = ([entry.beside], f"  {entry.beside}") if entry.beside else ([], "")
    if value.kind == "scalar":
        first, *more = _scalar(value, pad, len(head) + 1)
        return entry.before, [*marked, f"{head} {first}{tail}", *more]
    line = _on_one_line(value, WIDTH - len(head) - 1)
    if line is not None:
        return entry.before, [*marked, f"{head} {line}{tail}"]
    above, lines = _collection(value, pad + _STEP)
    if beside and value.flow and value.has_comments():
        # It was after the closing bracket, and so after those inside.
        lines += [pad + _STEP + comment for comment in beside]
        beside, tail = [], ""
    if marked:  # a comment after its colon goes on the lines below
        above, tail = [*beside, *above], ""
    if entry.key is None:
        lines[0] = f"{head} {lines[0].removeprefix(pad + _STEP)}"
        return [*entry.before, *beside, *above], lines
    return entry.before, [*marked, head + tail, *_comments(above, pad + _STEP, first=True), *lines]


def _head(entry: Entry, pad: str) -> tuple[list[str], str]:
    """Return the text before a value, and the preceding line of a very long key."""
    if entry.key is None:
        return [], f"{pad}-"
    key = _text(entry.key, flow=False)
    return ([], f"{pad}{key}:") if len(key) <= MAX_KEY else ([f"{pad}? {key}"], f"{pad}:")


def _scalar(node: Node, pad: str, column: int) -> list[str]:
    """Return the lines of a scalar that starts at a column; continuation lines are indented."""
    if _wants_block(node):
        return _block(node.text, pad)
    inline = _inline(node, flow=False)
    if not node.tall and column + len(inline) > WIDTH and _is_foldable(node):
        words = node.text.removesuffix("\n")
        width = max(WIDTH - len(pad + _STEP), WIDTH // 2)
        lines = textwrap.wrap(words, width, break_long_words=False, break_on_hyphens=False)
        return [">" if words != node.text else ">-", *(f"{pad}{_STEP}{line}" for line in lines)]
    return [inline]


def _is_foldable(node: Node) -> bool:
    return _is_text(node) and bool(_FOLDABLE.fullmatch(node.text)) and not _UNSAFE.search(node.text)


def _wants_block(node: Node) -> bool:
    """Tell whether a scalar should be, and can be, a block."""
    body = node.text.removesuffix("\n")
    if not ("\n" in node.text or (node.tall and len(body) > TALL)) or not _is_text(node):
        return False
    if not node.tall and "\n" not in body and len(body) > TALL and _is_foldable(node):
        return False
    return bool(body.rpartition("\n")[2].strip()) and not _UNSAFE.search(body)


def _block(text: str, pad: str) -> list[str]:
    indicator = str(len(_STEP)) if text.lstrip("\n")[:1] in (" ", "\t") else ""
    body = text.removesuffix("\n")
    chomp = "-" if body == text else ""
    return [f"|{indicator}{chomp}", *(f"{pad}{_STEP}{line}" if line else BLANK for line in body.split("\n"))]


def _on_one_line(node: Node, room: int) -> str | None:
    """Return a collection that was on one line, if it still fits in `room` characters."""
    if not node.entries:
        return "".join(part for part in _flow(node) if part)
    line = ""
    for part in _flow(node) if node.flow else (None,):
        if part is None or len(line) + len(part) > room:
            return None
        line += part
    return line


def _flow(node: Node) -> Iterator[str | None]:
    """Yield the parts of a value on one line; None where a comment or multi-line text prevents it."""
    if node.kind == "scalar":
        yield None if _wants_block(node) else _inline(node, flow=True)
        return
    begin, end = "{}" if node.kind == "mapping" else "[]"
    yield begin
    for number, entry in enumerate(node.entries):
        if entry.before or entry.beside:
            yield None
        separator = ", " if number else ""
        yield separator if entry.key is None else f"{separator}{_text(entry.key, flow=True)}: "
        yield from _flow(entry.value)
    yield None if node.after else end


def _inline(node: Node, *, flow: bool) -> str:
    """Return a scalar on one line; numbers as they were written."""
    if _is_text(node):
        return _text(node.text, flow=flow)
    value = resolve_plain(node.text)
    return _CONSTANTS[value] if value is None or isinstance(value, bool) else node.text


def _is_text(node: Node) -> bool:
    return not node.plain or isinstance(resolve_plain(node.text), str)


def _text(text: str, *, flow: bool) -> str:
    """Return text plain if every YAML reader takes it for text, else in double quotes."""
    marked = _NOT_PLAIN.search(text) or _UNSAFE.search(text) or (flow and _NOT_PLAIN_IN_FLOW.search(text))
    if text and not marked and not _LIKE_A_NUMBER.fullmatch(text):
        with suppress(TwoWays, NotANumber):
            if isinstance(resolve_plain(text), str):
                return text
    return '"' + _TO_ESCAPE.sub(lambda match: _escape(match[0]), text) + '"'


def _escape(character: str) -> str:
    number = ord(character)
    return _ESCAPES.get(character) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")
