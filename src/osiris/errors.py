"""Everything Osiris can say is wrong: one shape, one table of codes, a handful of exceptions.

A raise site names a code and gives parameters; the words live in the table of `codes/codes.txt`, so that they read
alike, the error reference is made from them, and rewording one never changes its code.

    OsirisError
      InvalidInput      what was given cannot be accepted; mend it and try again
      StepFailed        a run or a check failed
      Unavailable       a connection or a secret is missing or out of reach; may work later
      IntegrityError    something is not what it claims to be; refuse to go on
      Bug               our own mistake
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from osiris.codes import CODES, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

Fix: TypeAlias = tuple[Mapping[str, Any], ...]
"""What mends a text, in order: operations of RFC 6902 on the document, or a change of its characters where it is none.

The latter is `{"op": "text", "line", "column", "old", "value"}`: at that place, `value` instead of `old`.
"""

# Several problems at once: the gravest decides the exit code (integrity, then missing, then invalid, then failed).
EXIT_PRECEDENCE = (4, 3, 2, 6, 5, 75, 1)

_NEAR = 8
"""So many near names are compared once more: of those that are equally near, the one that begins alike is meant."""
_WORD = 4
"""A word of so many letters is still known after a slip."""
_WORDS = re.compile(r"[a-z]+|[^a-z]+")


@dataclass(frozen=True, slots=True)
class Location:
    """A place in something the user wrote; lines and columns count from 1, `pointer` is a JSON Pointer (RFC 6901)."""

    file: str | None = None
    line: int | None = None
    column: int | None = None
    pointer: str | None = None

    def __str__(self) -> str:
        """Return `file:line:column`, as far as known; nothing if no file is, of which the pointer would be a part."""
        parts = [self.file or "", *(str(n) for n in (self.line, self.column) if n is not None)]
        return ":".join(p for p in parts if p)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem: printed, put into `--json` and events, fed back to a model, and cited by code.

    `fix` is what mends it, where that is known exactly; it changes the file of the location.
    """

    code: str
    message: str
    location: Location = Location()
    hint: str | None = None
    severity: Severity = "error"
    fix: Fix = field(default=(), compare=False)

    @property
    def exit_code(self) -> int:
        """Exit code of a command that ends with this diagnostic; 0 for warnings and notes."""
        return CODES[self.code].exit_code if self.severity == "error" else 0

    def to_json(self) -> dict[str, Any]:
        """Return the form that `--json` has: code, severity, message, file, line, column, pointer, hint, any fix."""
        words = {"code": self.code, "severity": self.severity, "message": self.message}
        found = {**words, **asdict(self.location), "hint": self.hint}
        return {**found, "fix": [dict(each) for each in self.fix]} if self.fix else found

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Diagnostic:
        """Return the diagnostic that `to_json` wrote."""
        at = Location(data.get("file"), data.get("line"), data.get("column"), data.get("pointer"))
        fix = tuple(data.get("fix", ()))
        return cls(data["code"], data["message"], at, data.get("hint"), data.get("severity", "error"), fix)

    def __str__(self) -> str:
        """Return one line: place, code and message."""
        place = str(self.location)
        return f"{place}: {self.code} {self.message}" if place else f"{self.code} {self.message}"


class OsirisError(Exception):
    """Carries the diagnostics that explain it; the subclass says what the caller should do."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        super().__init__("\n".join(str(d) for d in self.diagnostics))

    @property
    def exit_code(self) -> int:
        """Exit code of the gravest diagnostic."""
        return exit_code(self.diagnostics) or 1


class InvalidInput(OsirisError):
    """What was given cannot be accepted; mend it and try again."""


class StepFailed(OsirisError):
    """A run, a step or a check failed."""


class Unavailable(OsirisError):
    """A connection or a secret is missing or out of reach; the same call may work later."""


class IntegrityError(OsirisError):
    """Something is not what it claims to be; nothing was run."""


class Bug(OsirisError):
    """A mistake of ours."""


_CLASSES: dict[int, type[OsirisError]] = {
    1: StepFailed,
    2: InvalidInput,
    3: Unavailable,
    4: IntegrityError,
    70: Bug,
    75: Unavailable,
}


def diagnostic(
    code: str, *, at: Location | None = None, hint: str | None = None, fix: Fix = (), **params: object
) -> Diagnostic:
    """Return the diagnostic of `code`, its words taken from the table and filled with `params`."""
    row = CODES[code]
    chosen = hint if hint is not None else row.hint
    return Diagnostic(
        code,
        row.message.format(**params),
        at or Location(),
        chosen.format(**params) if chosen is row.hint and chosen else chosen,
        row.severity,
        fix,
    )


def fail(
    code: str, *, at: Location | None = None, hint: str | None = None, fix: Fix = (), **params: object
) -> NoReturn:
    """Raise the exception class that belongs to `code`, carrying its diagnostic."""
    raise_all([diagnostic(code, at=at, hint=hint, fix=fix, **params)])


def raise_all(diagnostics: Iterable[Diagnostic]) -> NoReturn:
    """Raise all diagnostics at once, sorted by place, as the class of the gravest."""
    found = sort_diagnostics(diagnostics)
    raise _CLASSES.get(exit_code(found), StepFailed)(found)


def exit_code(diagnostics: Iterable[Diagnostic]) -> int:
    """Return the exit code for a set of diagnostics; 0 if none is an error."""
    codes = {d.exit_code for d in diagnostics}
    return next((code for code in EXIT_PRECEDENCE if code in codes), max(codes, default=0))


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Tell whether any diagnostic is an error."""
    return any(d.severity == "error" for d in diagnostics)


def sort_diagnostics(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return the diagnostics by file, line, column and code, without repetitions."""

    def place(d: Diagnostic) -> tuple[str, int, int, str, str]:
        return (d.location.file or "", d.location.line or 0, d.location.column or 0, d.code, d.message)

    return sorted(dict.fromkeys(diagnostics), key=place)


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that is most like `name`, for hints; None if nothing is as near as `cutoff`, of 1."""

    def likeness(other: str) -> tuple[float, bool]:
        return difflib.SequenceMatcher(None, other, name).ratio(), other[:1] == name[:1]

    names = list(known)
    same = [other for other in names if _squeezed(other) == _squeezed(name)]
    if len(same) == 1:
        return same[0]
    return max(difflib.get_close_matches(name, names, n=_NEAR, cutoff=cutoff), key=likeness, default=None)


def certain(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` surely is, for fixes; None where two could be meant, or where it is a guess.

    It is the same but for its style of writing, or for one slip of the hand in one word of four letters or more.
    """
    names = dict.fromkeys(known)
    same = [other for other in names if _squeezed(other) == _squeezed(name)]
    slips = same or [other for other in names if _is_slip(name, other)]
    return slips[0] if len(slips) == 1 else None


def _is_slip(name: str, other: str) -> bool:
    """Tell whether two names differ in one letter of one word: left out, typed besides, or swapped with the next."""
    one, two = (_WORDS.findall(each) for each in (name.casefold(), other.casefold()))
    different = [pair for pair in zip(one, two, strict=False) if pair[0] != pair[1]]
    if len(one) != len(two) or len(different) != 1:
        return False
    before, after = different[0]
    return before.isalpha() and after.isalpha() and max(len(before), len(after)) >= _WORD and _one_edit(before, after)


def _one_edit(one: str, two: str) -> bool:
    short, long = sorted((one, two), key=len)
    alike = (one == two for one, two in zip(short, long, strict=False))
    start = next((at for at, is_same in enumerate(alike) if not is_same), len(short))
    short, long = short[start:], long[start:]
    if len(short) < len(long):
        return short == long[1:]
    return short[1::-1] == long[:2] and short[2:] == long[2:]


def _squeezed(name: str) -> str:
    """Return a name without what styles of writing differ in: `writeMode`, `write-mode` and `write_mode` are one."""
    return name.replace("-", "").replace("_", "").casefold()


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return a hint with the nearest known name, or with all of them where none is near and they are few."""
    names = sorted(known)
    near = nearest(name, names)
    if near:
        return f"did you mean '{near}'?"
    if names and len(names) <= 12:
        return "available: " + ", ".join(names)
    return None
