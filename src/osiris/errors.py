"""Diagnostics, their codes, and the exceptions that carry them.

A raise site gives a code and parameters. Messages are in `codes/codes.txt`, from which the reference is generated.

    OsirisError
      InvalidInput      the input is invalid; fix it and try again
      StepFailed        a run or a check failed
      Unavailable       a connection or a secret is missing or unavailable; may work later
      IntegrityError    something was modified or does not match; nothing was run
      Bug               an internal error
"""

from __future__ import annotations

import difflib
import heapq
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from osiris.codes import CODES, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

Fix: TypeAlias = tuple[Mapping[str, Any], ...]
"""The fix of a text, in order: operations of RFC 6902 on the document, or edits of its text.

An edit is `{"op": "text", "line", "column", "old", "value"}`: replace `old` by `value` at that position.
"""

# With several problems, the most severe decides the exit code (integrity, unavailable, invalid, failed).
EXIT_PRECEDENCE = (4, 3, 2, 6, 5, 75, 1)

OUT_OF_REACH = 3
"""Exit code of problems that may be gone later: a server or a secret is not available."""

_NEAR = 8
"""Number of similar names compared again; of equally similar ones, one with the same first letter is preferred."""
_ROUGH = 32
"""Of more names, only so many with the most letters in common are compared: hundreds of tables have similar names."""
_WORD = 4
"""Minimum length of a word in which a typo is corrected."""
_WORDS = re.compile(r"[a-z]+|[^a-z]+")


@dataclass(frozen=True, slots=True)
class Location:
    """A location in user input; lines and columns count from 1, `pointer` is a JSON Pointer (RFC 6901)."""

    file: str | None = None
    line: int | None = None
    column: int | None = None
    pointer: str | None = None

    def __str__(self) -> str:
        """Return `file:line:column` as far as known; empty without a file."""
        parts = [self.file or "", *(str(n) for n in (self.line, self.column) if n is not None)]
        return ":".join(p for p in parts if p)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem, as printed, in `--json`, in events, and sent to a model.

    `fix` is the exact fix where it is known; it applies to the file of the location.
    """

    code: str
    message: str
    location: Location = Location()
    hint: str | None = None
    severity: Severity = "error"
    fix: Fix = field(default=(), compare=False)

    @property
    def exit_code(self) -> int:
        """Exit code for this diagnostic; 0 for warnings and notes."""
        return CODES[self.code].exit_code if self.severity == "error" else 0

    def to_json(self) -> dict[str, Any]:
        """Return the fields as in `--json`: code, severity, message, file, line, column, pointer, hint, maybe fix."""
        words = {"code": self.code, "severity": self.severity, "message": self.message}
        fields = {**words, **asdict(self.location), "hint": self.hint}
        return {**fields, "fix": [dict(each) for each in self.fix]} if self.fix else fields

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Diagnostic:
        """Return the diagnostic that `to_json` wrote."""
        at = Location(data.get("file"), data.get("line"), data.get("column"), data.get("pointer"))
        fix = tuple(data.get("fix", ()))
        return cls(data["code"], data["message"], at, data.get("hint"), data.get("severity", "error"), fix)

    def __str__(self) -> str:
        """Return one line: location, code and message."""
        place = str(self.location)
        return f"{place}: {self.code} {self.message}" if place else f"{self.code} {self.message}"


class OsirisError(Exception):
    """Base of exceptions that carry diagnostics; the subclass says what the caller can do."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        super().__init__("\n".join(str(d) for d in self.diagnostics))

    def __reduce__(self) -> tuple[type[OsirisError], tuple[tuple[Diagnostic, ...]]]:
        """Return how the error is made again in another process."""
        return type(self), (self.diagnostics,)

    @property
    def exit_code(self) -> int:
        """Exit code of the most severe diagnostic."""
        return exit_code(self.diagnostics) or 1


class InvalidInput(OsirisError):
    """The input is invalid; fix it and try again."""


class StepFailed(OsirisError):
    """A run, a step or a check failed."""


class Unavailable(OsirisError):
    """A connection or a secret is missing or unavailable; the same call may work later."""


class IntegrityError(OsirisError):
    """Something was modified or does not match; nothing was run."""


class Bug(OsirisError):
    """An internal error of Osiris."""


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
    """Return the diagnostic of a code, with message and hint from the table filled with `params`."""
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
    """Raise the diagnostic of a code, as the exception class for its exit code."""
    raise_all([diagnostic(code, at=at, hint=hint, fix=fix, **params)])


def raise_all(diagnostics: Iterable[Diagnostic]) -> NoReturn:
    """Raise all diagnostics at once, sorted by location, as the class of the most severe."""
    ordered = sort_diagnostics(diagnostics)
    raise _CLASSES.get(exit_code(ordered), StepFailed)(ordered)


def exit_code(diagnostics: Iterable[Diagnostic]) -> int:
    """Return the exit code for a set of diagnostics; 0 if none is an error."""
    codes = {d.exit_code for d in diagnostics}
    return next((code for code in EXIT_PRECEDENCE if code in codes), max(codes, default=0))


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Return whether any diagnostic is an error."""
    return any(d.severity == "error" for d in diagnostics)


def sort_diagnostics(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return the diagnostics sorted by file, line, column and code, without duplicates."""

    def place(d: Diagnostic) -> tuple[str, int, int, str, str]:
        return (d.location.file or "", d.location.line or 0, d.location.column or 0, d.code, d.message)

    return sorted(dict.fromkeys(diagnostics), key=place)


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the name of `known` most similar to `name`, for hints; None if no similarity reaches `cutoff` (0 to 1)."""

    def likeness(other: str) -> tuple[float, bool]:
        return difflib.SequenceMatcher(None, other, name).ratio(), other[:1] == name[:1]

    names, plain = list(known), _normalized(name)
    same = [other for other in names if _normalized(other) == plain]
    if len(same) == 1:
        return same[0]
    if len(names) > _ROUGH:
        rough = difflib.SequenceMatcher(None, "", name)

        def may_be(other: str) -> float:
            rough.set_seq1(other)
            return rough.quick_ratio()

        names = heapq.nlargest(_ROUGH, names, key=may_be)
    return max(difflib.get_close_matches(name, names, n=_NEAR, cutoff=cutoff), key=likeness, default=None)


def certain(name: str, known: Iterable[str]) -> str | None:
    """Return the name of `known` that `name` certainly means, for fixes; None if ambiguous or uncertain.

    It differs only in style (case, hyphens, underscores), or by one typo in one word of at least four letters.
    """
    names = dict.fromkeys(known)
    same = [other for other in names if _normalized(other) == _normalized(name)]
    slips = same or [other for other in names if _is_slip(name, other)]
    return slips[0] if len(slips) == 1 else None


def _is_slip(name: str, other: str) -> bool:
    """Return whether two names differ by one edit in one word: a letter missing, added, or swapped with the next."""
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


def _normalized(name: str) -> str:
    """Return a name independent of style: `writeMode`, `write-mode` and `write_mode` are the same."""
    return name.replace("-", "").replace("_", "").casefold()


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return a hint with the most similar name of `known`, or with all of them if none is similar and they are few."""
    names = sorted(known)
    near = nearest(name, names)
    if near:
        return f"did you mean '{near}'?"
    if names and len(names) <= 12:
        return "available: " + ", ".join(names)
    return None
