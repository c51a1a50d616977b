"""Turns the events of libyaml into data, with a stack of its own, and gathers what is not allowed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from osiris.document.places import Places, escape
from osiris.document.scalars import NotANumber, TwoWays, resolve_plain
from osiris.errors import Diagnostic, Location, diagnostic

if TYPE_CHECKING:
    from collections.abc import Callable

    from osiris.model import JsonValue

MAX_NODES = 1_000_000
MAX_SCALAR = 1 << 20
MAX_DEPTH = 32
MAX_PROBLEMS = 100

REFERENCE = "@"

# One letter of YAML 1.1's booleans; as a key every reader takes it for a name.
_WORDLIKE = frozenset("yYnN")

# libyaml looks ahead and gives up on many brackets before it tells of the first.
_DEEP = re.compile(rb"(?:[\[{]\s*){%d}" % (MAX_DEPTH + 1))

Event: TypeAlias = Any
"""An event, a mark or an error of PyYAML, none of which has types."""


@dataclass(slots=True)
class _Frame:
    """A list or mapping that is being filled. `key` is the pending key, `secret` whether its values stay unseen."""

    items: Any
    pointer: str
    secret: bool
    key: str | None = None
    seen: dict[str, int] = field(default_factory=dict)


class _Stop(Exception):
    """Nothing sensible can be read from here on."""


class Reader:
    """One reading of one text: builds the data with a stack of its own and gathers what is wrong."""

    def __init__(self, file: str, conceal: Callable[[str], bool], stand_in: str | None) -> None:
        self.problems: list[Diagnostic] = []
        self.positions, self.keys = Places(file), Places(file)
        self.root: JsonValue = None
        self.stopped = False
        self._file = file
        self._conceal = conceal
        self._stand_in = stand_in
        self._stack: list[_Frame] = []
        self._nodes = self._documents = 0

    def read(self, data: bytes) -> None:
        """Read the whole text, or as far as it makes sense."""
        import yaml

        # A plain scalar cannot begin with '@', and libyaml would end there; a character of no meaning stands in for it.
        if self._stand_in:
            data = data.replace(REFERENCE.encode(), self._stand_in.encode())
        handlers = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._open,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }
        try:
            for event in yaml.parse(data, Loader=yaml.CSafeLoader):
                handler = handlers.get(type(event))
                if handler:
                    handler(event)
        except _Stop:
            return
        except yaml.reader.ReaderError as error:
            self._unreadable(data, error)
        except yaml.MarkedYAMLError as error:
            self._not_yaml(data, error)

    def count_nodes(self, data: bytes) -> None:
        """Refuse a text with too many nodes without building anything; what else is wrong is left to `read`."""
        import yaml

        nodes = 0
        starts = (yaml.ScalarEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent)
        try:
            for event in yaml.parse(data, Loader=yaml.CSafeLoader):
                nodes += isinstance(event, starts)
                if nodes > MAX_NODES:
                    self.report("OML009", event.start_mark, what="the file", limit=f"{MAX_NODES:,} nodes")
                    self.stopped = True
                    return
        except yaml.YAMLError:
            return

    def report(self, code: str, mark: Event, **params: object) -> None:
        """Note a problem at a mark; ends the reading when there are too many."""
        hint = params.pop("hint", None)
        at = Location(self._file, mark.line + 1, mark.column + 1) if mark else Location(self._file)
        self.problems.append(diagnostic(code, at=at, hint=hint if isinstance(hint, str) else None, **params))
        if len(self.problems) >= MAX_PROBLEMS:
            raise _Stop

    def _document(self, event: Event) -> None:
        self._documents += 1
        if event.version or event.tags:
            self.report("OML008", event.start_mark, feature="a directive", hint="remove the line")
        if self._documents > 1:
            self._end("OML008", event, feature="a second document", hint="give each document its own file")

    def _alias(self, event: Event) -> None:
        self._enter(event)
        self.report("OML008", event.start_mark, feature="an alias (*)")
        if self._wants_key():
            raise _Stop
        self._put(None, event)

    def _open(self, event: Event) -> None:
        self._enter(event)
        if len(self._stack) >= MAX_DEPTH:
            self._end("OML009", event, what="the nesting", limit=f"{MAX_DEPTH} levels", hint="make it flatter")
        if self._wants_key():
            hint = 'put quotes around it, as in "{{ name }}"' if event.flow_style else "make it text"
            self._end("OML006", event, key="a key", expected="text", found="a list or a mapping", hint=hint)
        secret = self._is_secret()
        items: Any = {} if type(event).__name__ == "MappingStartEvent" else []
        self._stack.append(_Frame(items, self._put(items, event), secret))

    def _close(self, _event: Event) -> None:
        self._stack.pop()

    def _scalar(self, event: Event) -> None:
        self._enter(event)
        text = event.value
        if self._stand_in and self._stand_in in text:
            text = text.replace(self._stand_in, REFERENCE)
        if len(text) > MAX_SCALAR // 4 and len(text.encode()) > MAX_SCALAR:
            self.report("OML009", event.start_mark, what="the value", limit=f"{MAX_SCALAR >> 20} MiB")
        if self._wants_key():
            self._key(self._stack[-1], text, event)
        else:
            self._put(self._value(text, event, secret=self._is_secret()) if event.implicit[0] else text, event)

    def _wants_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].items, dict) and self._stack[-1].key is None

    def _is_secret(self) -> bool:
        """Tell whether the value that comes next must not be shown."""
        top = self._stack[-1] if self._stack else None
        return top is not None and (top.secret or (top.key is not None and self._conceal(top.key)))

    def _value(self, text: str, event: Event, *, secret: bool) -> JsonValue:
        """Return the value of a plain scalar; one that has none is reported, and shown unless it may be a secret."""
        shown = "***" if secret else text[:80]
        quoted = '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'
        if text[:1] == REFERENCE:
            self.report("OML011", event.start_mark, quoted=quoted)
            return text
        try:
            return resolve_plain(text)
        except TwoWays:
            hint = f"write {quoted}" if text != "~" else 'write null, or "~" for the character'
            self.report("OML010", event.start_mark, value=shown, quoted=quoted, hint=hint)
        except NotANumber:
            name = (self._stack[-1].key if self._stack else None) or "the value"
            hint = "write it in quotes"
            self.report("OML006", event.start_mark, key=name, expected="a finite number", found=shown, hint=hint)
        return text

    def _key(self, top: _Frame, text: str, event: Event) -> None:
        top.key = text
        mark = event.start_mark
        if event.implicit[0] and text == "<<":
            self.report("OML008", mark, feature="a merge key (<<)")
        elif (
            event.implicit[0]
            and text not in _WORDLIKE
            and not isinstance(value := self._value(text, event, secret=False), str)
        ):
            found = {bool: "a boolean", type(None): "null"}.get(type(value), "a number")
            self.report("OML006", mark, key="a key", expected="text", found=found, hint=f'write "{text[:80]}"')
        elif text in top.seen:
            self.report("OML007", mark, key=text[:80], first=top.seen[text] + 1)
        top.seen.setdefault(text, mark.line)
        self.keys.put(f"{top.pointer}/{escape(text)}", mark.line, mark.column)

    def _put(self, value: JsonValue, event: Event) -> str:
        """Put a value where it belongs and return its pointer."""
        pointer = ""
        if not self._stack:
            self.root = value
        else:
            top = self._stack[-1]
            pointer = f"{top.pointer}/{len(top.items) if top.key is None else escape(top.key)}"
            if top.key is None:
                top.items.append(value)
            else:
                top.items[top.key], top.key = value, None
        self.positions.put(pointer, event.start_mark.line, event.start_mark.column)
        return pointer

    def _enter(self, event: Event) -> None:
        """Look at what every node may have."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._end("OML009", event, what="the file", limit=f"{MAX_NODES:,} nodes")
        if event.anchor and type(event).__name__ != "AliasEvent":
            self.report("OML008", event.start_mark, feature="an anchor (&)")
        if getattr(event, "tag", None):
            self.report("OML008", event.start_mark, feature="a tag (!)")

    def _end(self, code: str, event: Event, **params: object) -> None:
        self.report(code, event.start_mark, **params)
        raise _Stop

    def _unreadable(self, data: bytes, error: Event) -> None:
        before = data[: error.position].decode(errors="replace")
        at = Location(self._file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        self.problems.append(diagnostic("OML001", at=at, problem=f"not YAML: {error.reason}"))

    def _not_yaml(self, data: bytes, error: Event) -> None:
        mark, text = error.problem_mark, data.decode().rstrip()
        at = Location(self._file, mark.line + 1, mark.column + 1)
        if mark.index >= len(text):
            at = Location(self._file, text.count("\n") + 1, len(text) - text.rfind("\n"))
        if _DEEP.search(data, 0, mark.index):
            self.problems.append(diagnostic("OML009", at=at, what="the nesting", limit=f"{MAX_DEPTH} levels"))
            return
        start = error.context_mark.line + 1 if error.context_mark else None
        begin = f" that begins on line {start}" if start and start < (at.line or 0) else ""
        context = f", {error.context}{begin}" if error.context else ""
        self.problems.append(diagnostic("OML001", at=at, problem=f"not YAML: {error.problem}{context}"))
