"""A YAML text as a tree that keeps its comments: each goes with the entry it stands above or beside.

Only for texts that `read_document` accepts. Comments are no events of libyaml; they stand in the gaps between those
that are, where nothing else has a `#`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Event: TypeAlias = Any
"""An event of PyYAML, none of which has types."""

_BLOCK_HEADER = re.compile(r"[|>][-+0-9]*[ \t]+(#[^\n]*)")
BLANK = ""
"""Stands among comments for a blank line."""


@dataclass(slots=True)
class Node:
    """A scalar (its value, and whether it was plain), or a list or mapping with its entries.

    `flow` tells how it was written; `after` has the comments behind the last entry. `spaced` and `tall` are wishes for
    the writer: a blank line between entries, and a text as a block if it is long.
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
        """Tell whether a comment stands inside."""
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
        """Put a comment beside the entry; the one that stood there goes above it."""
        self.before += [self.beside] if self.beside else []
        self.beside = comment

    def put_above(self, comments: list[str]) -> None:
        """Put comments above the entry, behind the one beside it, which comes earlier in the text."""
        self.before += [self.beside] if self.beside else []
        self.before += comments
        self.beside = None


def read_commented(text: str) -> Entry:
    """Return the root of a text, as an entry without a key."""
    reader = _Reader(text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"))
    reader.read()
    return reader.root


class _Reader:
    """One reading: a stack of open collections, and the comments that nobody has yet."""

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
            # The node gets lines of its own, and a comment that stood before its bracket comes before those inside.
            self._last.put_above([])
        self._end = event.end_mark.index

    def _entry(self, key: str | None) -> Entry:
        """Begin an entry of the innermost collection."""
        entry = Entry(key, before=self._waiting)
        self._waiting = []
        self._stack[-1].entries.append(entry)
        return entry

    def _put(self, node: Node) -> Entry:
        """Put a value where it belongs and return its entry."""
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
        """Give the file the comments at its head; what stands behind a blank line there is about the first entry."""
        cut = len(self._waiting)
        if BLANK in self._waiting and not root.flow:
            cut -= self._waiting[::-1].index(BLANK)
        self.root.before, self._waiting = self._waiting[:cut], self._waiting[cut:]

    def _gap(self, until: int) -> None:
        """Give the comments up to here to whom they belong: to collections that ended, or to the entry that comes."""
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
        """Return where the entry stands that comes next: -1 if none does, and far right in a flow collection."""
        if not self._stack:
            return -1
        return 1 << 20 if self._stack[-1].flow else self._stack[-1].column

    def _comments(self, until: int) -> Iterator[tuple[int | None, str]]:
        """Yield the comments and blank lines of a gap with the column of their line; None behind something."""
        lines = self._text[self._end : until].split("\n")
        for number, line in enumerate(lines):
            mark = line.find("#")
            if mark >= 0:
                behind = number == 0 and self._end > 0
                yield None if behind else len(line) - len(line.lstrip()), line[mark:].rstrip()
            elif number not in (0, len(lines) - 1) and not line.strip():
                yield None, BLANK


def _levels(closed: list[Node], column: int, here: int) -> list[Node]:
    """Return the collections that may still take comments after one at `column`; the first takes this one."""
    if column <= here:
        return []
    outermost = max((n for n, node in enumerate(closed) if node.column >= column), default=0)
    return closed[outermost:]
