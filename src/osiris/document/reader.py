"""Builds data from libyaml events, with a stack of its own, and collects all problems."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
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

# One-letter booleans of YAML 1.1; as keys, every reader takes them for text.
_WORDLIKE = frozenset("yYnN")

# libyaml looks ahead and may fail on many brackets before it emits the first.
_DEEP = re.compile(rb"(?:[\[{]\s*){%d}" % (MAX_DEPTH + 1))

Event: TypeAlias = Any
"""An event, a mark or an error of PyYAML, none of which has types."""


def stand_in_for(text: str) -> str | None:
    """Return a character that the text does not contain, if a stand-in for `@` is needed and there is one."""
    if REFERENCE not in text:
        return None
    return next((c for c in map(chr, _PRIVATE) if c not in text), None)


Weigh: TypeAlias = "Callable[[JsonValue], int]"
"""Returns how odd data is: the number of unexpected things in it."""


@dataclass(slots=True)
class _Frame:
    """A list or mapping being filled. `key` is the pending key; `secret`: its values must not be shown.

    `again` is the location of the pending key if it is a duplicate.
    """

    items: Any
    pointer: str
    secret: bool
    flow: bool
    key: str | None = None
    seen: dict[str, int] = field(default_factory=dict)
    again: Event | None = None


class _Stop(Exception):
    """Reading cannot continue."""


class Reader:
    """One reading of one text: builds the data and collects problems.

    For invalid YAML a repair is suggested, if `weigh` is given.
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
        """Read the text as far as possible."""
        import yaml

        # A plain scalar cannot start with '@': libyaml would stop there. So '@' is replaced by a private character.
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
            self.problems.append(
                diagnostic("OML001", at=at, problem=f"not YAML: {_CAUSES.get(error.reason, error.reason)}")
            )
        except yaml.MarkedYAMLError as error:
            self._not_yaml(data, error)

    def count_nodes(self, data: bytes) -> None:
        """Reject a text with too many nodes before building anything; other problems are left to `read`."""
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
        """Record a problem at a mark, with the pointer `at`; stops reading when there are too many."""
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
        """Tell whether the next value must not be shown."""
        top = self._stack[-1] if self._stack else None
        return top is not None and (top.secret or (top.key is not None and self._conceal(top.key)))

    def _value(self, text: str, event: Event, *, secret: bool) -> JsonValue:
        """Return the value of a plain scalar; an invalid one is reported, masked if it may be a secret."""
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
            value = _MEANT.get(text.lower())
            hint = f"write {value}, or {quoted} for the text" if value else f"write {quoted}"
            self.report("OML010", event.start_mark, at=at, fix=fix, value=shown, quoted=quoted, hint=hint)
        except NotANumber:
            name = (self._stack[-1].key if self._stack else None) or "the value"
            expected, hint = "a number that a float of 64 bits holds as written", "write it in quotes"
            self.report("OML006", event.start_mark, at=at, fix=fix, key=name, expected=expected, found=shown, hint=hint)
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
            kind = {bool: "a boolean", type(None): "null"}.get(type(value), "a number")
            fix, hint = rename(at, escape(text)), f'write "{text[:80]}"'
            self.report("OML006", mark, at=at, fix=fix, key="a key", expected="text", found=kind, hint=hint)
        elif text in top.seen:
            top.again = mark
        top.key = text
        top.seen.setdefault(text, mark.line)
        self.keys.put(at, mark.line, mark.column)

    def _repeated(self, top: _Frame, key: str, value: JsonValue, at: str) -> None:
        """Report a duplicate key: a mistake, or a lost dash of a new list entry."""
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
        """Return the pointer of the next value; for a key, that of its mapping."""
        top = self._stack[-1] if self._stack else None
        if top is None:
            return ""
        if isinstance(top.items, list):
            return f"{top.pointer}/{len(top.items)}"
        return top.pointer if top.key is None else f"{top.pointer}/{escape(top.key)}"

    def _put(self, value: JsonValue, event: Event) -> str:
        """Attach a value and return its pointer."""
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
        """Check what applies to every node."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._end("OML009", event, what="the file", limit=f"{MAX_NODES:,} nodes")
        if event.anchor and type(event).__name__ != "AliasEvent":
            self.report("OML008", event.start_mark, at=self._next(), fix=self._untagged(event), feature="an anchor (&)")
        if tag := getattr(event, "tag", None):
            fix = self._untagged(event) if tag == _TEXT else ()  # other tags may change the value
            self.report("OML008", event.start_mark, at=self._next(), fix=fix, feature="a tag (!)")

    def _untagged(self, event: Event) -> Fix:
        """Return the fix that keeps only the text of a scalar; none for others with an anchor or tag."""
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
        problem = f"not YAML: {_CAUSES.get(error.problem, error.problem)}{_context(error, start, at.line or 0)}"
        repair = self._repair(text, mark.line + 1, start) if self._weigh and not self.problems else None
        if repair:
            at = Location(self._file, repair.line, repair.column)
            self.problems.append(diagnostic("OML001", at=at, hint=repair.hint, fix=repair.fix, problem=problem))
        else:
            self.problems.append(diagnostic("OML001", at=at, problem=problem))

    def _repair(self, text: str, line: int, start: int | None) -> Repair | None:
        from osiris.document.repair import find_repair

        original = text.replace(self._stand_in, REFERENCE) if self._stand_in else text
        return find_repair(original, line, start, self._oddness)

    def _oddness(self, text: str) -> int | None:
        """Return how odd the data of a text is; None if the text itself has problems."""
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


_MEANT = {
    **dict.fromkeys(("y", "yes", "on"), "true"),
    **dict.fromkeys(("n", "no", "off"), "false"),
    "~": "null",
}
"""Values that words of YAML 1.1 have there."""

_CAUSES = {
    "mapping values are not allowed in this context": "a ':' is not allowed here",
    "found unexpected ':'": "a ':' is not allowed here",
    "mapping keys are not allowed in this context": "a '? ' is not allowed here",
    "could not find expected directive name": "a line cannot begin with '%'",
    "found unexpected non-alphabetical character": "a line cannot begin with '%'",
    "found unknown directive name": "a line cannot begin with '%'",
    "did not find expected alphabetic or numeric character": "a name is missing after '*' or '&'",
    "did not find expected whitespace or line break": "a '!' is not allowed here",
    "block sequence entries are not allowed in this context": "an entry of a list ('- ') is not allowed here",
    "did not find expected '-' indicator": "this line does not fit the indentation of the lines above it",
    "did not find expected key": "a key was expected here",
    "did not find expected node content": "a value was expected here",
    "did not find expected ',' or ']'": "',' or ']' is missing",
    "did not find expected ',' or '}'": "',' or '}' is missing",
    "could not find expected ':'": "':' is missing after a key",
    "did not find expected <document start>": "more text follows after the end of the document",
    "did not find expected comment or line break": "nothing may follow on this line",
    "found a tab character that violates indentation": "a line is indented with a tab",
    "found a tab character where an indentation space is expected": "a line is indented with a tab",
    "found character that cannot start any token": "a value cannot begin with this character",
    "found unexpected end of stream": "the closing quote is missing",
    "found unexpected document indicator": "the closing quote is missing",
    "found unknown escape character": "this escape (\\) does not exist",
    "control characters are not allowed": "a control character is not allowed",
}
"""Plain words for what libyaml says."""

_PARTS = {
    "while parsing a block collection": "list",
    "while parsing a block mapping": "mapping",
    "while parsing a flow sequence": "list in [ ]",
    "while parsing a flow mapping": "mapping in { }",
    "while scanning a quoted scalar": "quoted text",
    "while scanning a block scalar": "text block",
}
"""Plain words for the parts of a text in which libyaml found a problem."""


def _context(error: Event, start: int | None, line: int) -> str:
    """Return the part of the text in which the problem is, if that began on an earlier line."""
    part = _PARTS.get(error.context)
    return f" (in the {part} that begins on line {start})" if part and start and start < line else ""


def resolve_plain(text: str) -> JsonValue:
    """Return the value of a plain scalar; raises `TwoWays` or `NotANumber` where it is ambiguous or not JSON."""
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
    number = exact_float(text)
    if number is None:
        raise NotANumber
    return number


def exact_float(text: str) -> float | None:
    """Return the float of a decimal number; None if its shortest decimal form is another number.

    So `0.1` is one, and what has more digits than a float holds, or is beyond its range, is none.
    """
    number = float(text)
    with suppress(InvalidOperation):  # an exponent beyond all limits
        return number if Decimal(repr(number)) == Decimal(text) else None
    return None


class TwoWays(ValueError):
    """A plain scalar whose meaning differs between YAML 1.1 and 1.2."""


class NotANumber(ValueError):
    """A plain scalar that looks like a number but cannot be a JSON number."""
