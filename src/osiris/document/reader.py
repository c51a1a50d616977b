"""Turns the events of libyaml into data, with a stack of its own, and gathers what is not allowed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from osiris.document.edits import drop, put, rename, retype
from osiris.document.places import Places, escape
from osiris.errors import Diagnostic, Fix, Location, diagnostic

if TYPE_CHECKING:
    from collections.abc import Callable

    from osiris.document.repair import Repair
    from osiris.model import JsonValue


MAX_NODES = 1_000_000
MAX_SCALAR = 1 << 20
MAX_DEPTH = 32
MAX_PROBLEMS = 100

REFERENCE = "@"
_PRIVATE = range(0xE000, 0xF900)
_DASH = "- "
_TEXT = "tag:yaml.org,2002:str"

# One letter of YAML 1.1's booleans; as a key every reader takes it for a name.
_WORDLIKE = frozenset("yYnN")

# libyaml looks ahead and gives up on many brackets before it tells of the first.
_DEEP = re.compile(rb"(?:[\[{]\s*){%d}" % (MAX_DEPTH + 1))

Event: TypeAlias = Any
"""An event, a mark or an error of PyYAML, none of which has types."""


def stand_in_for(text: str) -> str | None:
    """Return a character that the text does not have, if one is needed and there is one."""
    if REFERENCE not in text:
        return None
    return next((c for c in map(chr, _PRIVATE) if c not in text), None)


Weigh: TypeAlias = "Callable[[JsonValue], int]"
"""How odd data is, as the number of things in it that nobody would expect."""


@dataclass(slots=True)
class _Frame:
    """A list or mapping that is being filled. `key` is the pending key, `secret` whether its values stay unseen.

    `again` is the place of the pending key if it was there before.
    """

    items: Any
    pointer: str
    secret: bool
    flow: bool
    key: str | None = None
    seen: dict[str, int] = field(default_factory=dict)
    again: Event | None = None


class _Stop(Exception):
    """Nothing sensible can be read from here on."""


class Reader:
    """One reading of one text: builds the data with a stack of its own and gathers what is wrong.

    A text that is not YAML is told with what mends it, if `weigh` tells what a text of the kind should look like.
    """

    def __init__(
        self, file: str, conceal: Callable[[str], bool], stand_in: str | None, weigh: Weigh | None = None
    ) -> None:
        self.problems: list[Diagnostic] = []
        self.positions, self.keys = Places(file), Places(file)
        self.root: JsonValue = None
        self.stopped = False
        self._file = file
        self._conceal = conceal
        self._stand_in = stand_in
        self._weigh = weigh
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
            before = data[: error.position].decode(errors="replace")
            at = Location(self._file, before.count("\n") + 1, len(before) - before.rfind("\n"))
            self.problems.append(diagnostic("OML001", at=at, problem=f"not YAML: {error.reason}"))
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

    def report(
        self, code: str, mark: Event, *, at: str | None = None, hint: str | None = None, fix: Fix = (), **params: object
    ) -> None:
        """Note a problem at a mark, with the pointer `at`; ends the reading when there are too many."""
        place = Location(self._file, mark.line + 1, mark.column + 1, at)
        self.problems.append(diagnostic(code, at=place, hint=hint, fix=fix, **params))
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
        self.report("OML008", event.start_mark, at=self._next(), feature="an alias (*)")
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
        self._stack.append(_Frame(items, self._put(items, event), secret, bool(event.flow_style)))

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
        at = self._next()
        fix = put(at, text) if not (secret or self._wants_key()) else ()
        if text[:1] == REFERENCE:
            self.report("OML011", event.start_mark, at=at, fix=fix, quoted=quoted)
            return text
        try:
            return resolve_plain(text)
        except TwoWays:
            hint = f"write {quoted}" if text != "~" else 'write null, or "~" for the character'
            self.report("OML010", event.start_mark, at=at, fix=fix, value=shown, quoted=quoted, hint=hint)
        except NotANumber:
            name = (self._stack[-1].key if self._stack else None) or "the value"
            wanted, hint = "a finite number", "write it in quotes"
            self.report("OML006", event.start_mark, at=at, fix=fix, key=name, expected=wanted, found=shown, hint=hint)
        return text

    def _key(self, top: _Frame, text: str, event: Event) -> None:
        mark, at = event.start_mark, f"{top.pointer}/{escape(text)}"
        if event.implicit[0] and text == "<<":
            self.report("OML008", mark, at=at, feature="a merge key (<<)")
        elif (
            event.implicit[0]
            and text not in _WORDLIKE
            and not isinstance(value := self._value(text, event, secret=False), str)
        ):
            found = {bool: "a boolean", type(None): "null"}.get(type(value), "a number")
            fix, hint = rename(at, escape(text)), f'write "{text[:80]}"'
            self.report("OML006", mark, at=at, fix=fix, key="a key", expected="text", found=found, hint=hint)
        elif text in top.seen:
            top.again = mark
        top.key = text
        top.seen.setdefault(text, mark.line)
        self.keys.put(at, mark.line, mark.column)

    def _repeated(self, top: _Frame, key: str, value: JsonValue, at: str) -> None:
        """Report a key that stands there twice: by mistake, or because the dash of a new entry is lost."""
        mark: Event = top.again
        top.again = None
        outer = self._stack[-2] if len(self._stack) > 1 else None
        starts = outer is not None and isinstance(outer.items, list) and next(iter(top.items)) == key and not top.flow
        fix: Fix = ()
        if not isinstance(value, (list, dict)) and top.items[key] == value:
            fix = drop(at)
        elif starts and mark.column >= len(_DASH):
            fix = retype(mark.line + 1, mark.column - len(_DASH) + 1, " " * len(_DASH), _DASH)
        self.report("OML007", mark, at=at, fix=fix, key=key[:80], first=top.seen[key] + 1)

    def _next(self) -> str:
        """Return the pointer of the value that comes next; of the mapping around it where a key does."""
        top = self._stack[-1] if self._stack else None
        if top is None:
            return ""
        if isinstance(top.items, list):
            return f"{top.pointer}/{len(top.items)}"
        return top.pointer if top.key is None else f"{top.pointer}/{escape(top.key)}"

    def _put(self, value: JsonValue, event: Event) -> str:
        """Put a value where it belongs and return its pointer."""
        pointer = self._next()
        if not self._stack:
            self.root = value
        else:
            top = self._stack[-1]
            if top.key is None:
                top.items.append(value)
            else:
                if top.again:
                    self._repeated(top, top.key, value, pointer)
                top.items[top.key], top.key = value, None
        self.positions.put(pointer, event.start_mark.line, event.start_mark.column)
        return pointer

    def _enter(self, event: Event) -> None:
        """Look at what every node may have."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._end("OML009", event, what="the file", limit=f"{MAX_NODES:,} nodes")
        if event.anchor and type(event).__name__ != "AliasEvent":
            self.report("OML008", event.start_mark, at=self._next(), fix=self._bare(event), feature="an anchor (&)")
        if tag := getattr(event, "tag", None):
            fix = self._bare(event) if tag == _TEXT else ()  # any other may stand for another value than is written
            self.report("OML008", event.start_mark, at=self._next(), fix=fix, feature="a tag (!)")

    def _bare(self, event: Event) -> Fix:
        """Return the fix that leaves of a scalar nothing but its text; none for what else has an anchor or a tag."""
        text = getattr(event, "value", None)
        return put(self._next(), text) if isinstance(text, str) and not (self._wants_key() or self._is_secret()) else ()

    def _end(self, code: str, event: Event, *, hint: str | None = None, **params: object) -> None:
        self.report(code, event.start_mark, at=self._next(), hint=hint, fix=(), **params)
        raise _Stop

    def _not_yaml(self, data: bytes, error: Event) -> None:
        mark, text = error.problem_mark, data.decode().rstrip()
        at = Location(self._file, mark.line + 1, mark.column + 1)
        if mark.index >= len(text):
            at = Location(self._file, text.count("\n") + 1, len(text) - text.rfind("\n"))
        if _DEEP.search(data, 0, mark.index):
            self.problems.append(diagnostic("OML009", at=at, what="the nesting", limit=f"{MAX_DEPTH} levels"))
            return
        start = error.context_mark.line + 1 if error.context_mark else None
        problem = f"not YAML: {error.problem}{_context(error, start, at.line or 0)}"
        found = self._repair(text, mark.line + 1, start) if self._weigh and not self.problems else None
        if found:
            at = Location(self._file, found.line, found.column)
            self.problems.append(diagnostic("OML001", at=at, hint=found.hint, fix=found.fix, problem=problem))
        else:
            self.problems.append(diagnostic("OML001", at=at, problem=problem))

    def _repair(self, text: str, line: int, start: int | None) -> Repair | None:
        from osiris.document.repair import find_repair

        written = text.replace(self._stand_in, REFERENCE) if self._stand_in else text
        return find_repair(written, line, start, self._oddness)

    def _oddness(self, text: str) -> int | None:
        """Return how odd what a text says is; None if there is something to say of the text itself."""
        reader = Reader(self._file, self._conceal, self._stand_in)
        reader.read(text.encode())
        return None if reader.problems or self._weigh is None else self._weigh(reader.root)


MAX_DIGITS = 308

_SPECIAL = frozenset("0123456789+-.~=<nNyYtTfFoO")
_WORDS = {word: value for name, value in (("null", None), ("true", True), ("false", False))
          for word in (name, name.capitalize(), name.upper())}  # fmt: skip
_TWO_WAYS = re.compile(
    r"~|=|<<|[yn]|yes|no|on|off"  # words of YAML 1.1
    r"|[-+]?0[0-9_]+|0o[0-7]+|[-+]?0b[01_]+|[-+]0x[0-9a-f_]+"  # octal, binary, signed hexadecimal
    r"|[-+]?[0-9]*[0-9.]_[0-9._]*(e[-+]?[0-9]+)?|0x[0-9a-f]*_[0-9a-f_]*"  # digits in groups
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"  # base 60
    r"|[-+]?([0-9]+|[0-9]*\.[0-9]*)e[0-9]+|[-+]?[0-9]+e[-+][0-9]+"  # exponents without a sign or a point
    r"|[-+]\.[0-9]+(e[-+]?[0-9]+)?"  # a sign, and nothing before the point
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([t]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}.*",  # a date with a time
    re.IGNORECASE,
)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def _context(error: Event, start: int | None, line: int) -> str:
    """Return in what an error was noticed, and where that begins if it is on an earlier line."""
    begin = f" that begins on line {start}" if start and start < line else ""
    return f", {error.context}{begin}" if error.context else ""


def resolve_plain(text: str) -> JsonValue:
    """Return the value of a plain scalar; raises `TwoWays` or `NotANumber` where it has none."""
    if not text:
        return None
    if text[0] not in _SPECIAL:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _TWO_WAYS.fullmatch(text):
        raise TwoWays
    if _INTEGER.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise NotANumber
        return int(text, 0)
    if _NOT_FINITE.fullmatch(text):
        raise NotANumber
    if not _NUMBER.fullmatch(text):
        return text
    number = float(text)
    if math.isinf(number):
        raise NotANumber
    return number


class TwoWays(ValueError):
    """A plain scalar that means one thing in YAML 1.1 and another in YAML 1.2."""


class NotANumber(ValueError):
    """A plain scalar that looks like a number and is none that JSON could carry."""
