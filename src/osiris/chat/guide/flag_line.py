"""Flags that are typed instead of choosing: several parts of a step, and where its rows go, in one line.

The flags are those of `osiris new`; a value needs no quotes around it, as it ends where the next flag begins. What is
not wholly understood is refused as a whole.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.chat.flags import MEASURES, add_flags, name_of, output_of, refuse_misfits
from osiris.chat.guide.draft import UNNAMED, with_output
from osiris.chat.guide.questions import Tell
from osiris.errors import OsirisError, fail

if TYPE_CHECKING:
    from osiris.chat.flags import Flags
    from osiris.chat.guide.draft import Draft
    from osiris.chat.guide.questions import Flow
    from osiris.chat.request import Request, Step

_MEASURES = (*MEASURES, "count", "share", "ratio")
_PARTS = {
    "compute": "compute",
    "where": "filters",
    "group": "group",
    **dict.fromkeys(_MEASURES, "group"),
    **dict.fromkeys(("latest", "first", "top"), "pick"),
    "columns": "columns",
    "sort": "sort",
    "limit": "limit",
}
"""By flag the part of a step that it adds to, in the order in which a step does them."""

_LATER = ("columns", "sort", "limit")
"""Parts that read the columns of groups."""

_TARGET = ("to", "mode", "key", "partition-by", "name")
_ONCE = ("latest", "first", "top", "limit", "to", "mode", "name", "count")
_PIECE = re.compile(r'"(?:[^"]|"")*"|(?<!\S)--([A-Za-z][\w-]*)(?:=|(?=\s)|$)|--[A-Za-z]|"')
"""A text in double quotes, a flag, or what stands where neither can."""


def add_line(draft: Draft, line: str) -> Flow[bool]:
    """Add to a draft what a line of flags says; tell whether that says where the rows go."""
    before = draft.request
    try:
        draft.request, told, is_whole = _added(draft, line)
    except OsirisError as error:  # the screen refuses such lines; one on record may be of an earlier version
        draft.request, told, is_whole = before, [_words(error)], False
    for each in told:
        yield Tell(each)
    return is_whole


def problem_of_line(draft: Draft, line: str) -> str | None:
    """Return why a line of flags cannot be carried out; None if it can."""
    try:
        _added(replace(draft), line)
    except OsirisError as error:
        return _words(error)
    return None


def _words(error: OsirisError) -> str:
    found = error.diagnostics[0]
    return f"{found.message}{f'; {found.hint}' if found.hint else ''}"


def _added(draft: Draft, line: str) -> tuple[Request, list[str], bool]:
    """Return the request with what a line says, what is to be told, and whether it is whole; fails with CHT042."""
    flags = _flags(line)
    name, told = draft.request.name, tuple[str, ...]()
    if any(each in _PARTS for each in flags):
        base, point = _base(draft, flags)
        step, told = add_flags(base, list(draft.fields(base, point)), flags, draft.choices)
        draft.put(step)
    if "to" in flags:
        output = output_of(draft.last(), flags, draft.choices)
        (name,) = flags.get("name", (name_of(output) if name == UNNAMED else name,))
        draft.request = replace(draft.request, name=name, outputs=(output,))
    refuse_misfits(with_output(draft.request, draft.choices), draft.choices)
    return draft.request, [f"Taken: {each}." for each in told], "to" in flags


def _flags(line: str) -> Flags:
    """Return the values of each flag of a line; fails with CHT042 for what is not one of these flags with its value."""
    found = [piece for piece in _PIECE.finditer(line) if not piece[0].startswith('"') or piece[0] == '"']
    odd = next((piece for piece in found if piece[1] is None), None)
    if odd or not found or line[: found[0].start()].strip():
        what = line[odd.start() if odd else 0 :][:40]
        fail("CHT042", flag=what, problem="is not understood", hint="a line is --FLAG VALUE --FLAG VALUE …")
    flags: dict[str, tuple[str, ...]] = {}
    for piece, end in zip(found, [*(each.start() for each in found[1:]), len(line)], strict=True):
        name, value = piece[1], _unquoted(piece[1], line[piece.end() : end].strip())
        if name not in (*_PARTS, *_TARGET):
            fail("CHT042", flag=f"--{name}", problem="is no flag that is taken here", hint=_HINT)
        if bool(value) is (name == "count"):
            problem = "takes no value" if value else "has no value"
            fail("CHT042", flag=f"--{name}", problem=problem, hint="--count-of counts values" if value else None)
        if name in _ONCE and name in flags:
            fail("CHT042", flag=f"--{name}", problem="is there twice", hint="leave one out")
        flags[name] = (*flags.get(name, ()), value)
    alone = [name for name in flags if name in _TARGET] if "to" not in flags else []
    if alone:
        fail("CHT042", flag=f"--{alone[0]}", problem="says nothing without --to", hint="write both in one line")
    return flags


_HINT = f"tables are joined by 'Join another table'; flags are {', '.join(f'--{name}' for name in (*_PARTS, *_TARGET))}"


def _unquoted(name: str, value: str) -> str:
    """Return a value without the quotes that a shell would need around it; fails with CHT042 if they do not fit."""
    if not value.startswith("'"):
        return value
    try:
        words = shlex.split(value)
    except ValueError:  # a quotation mark that is not closed
        words = []
    if len(words) != 1 or value not in (f"'{words[0]}'", shlex.quote(words[0])):
        fail("CHT042", flag=f"--{name} {value}", problem="has quotes that do not fit", hint="write it without quotes")
    return words[0]


def _base(draft: Draft, flags: Flags) -> tuple[Step, str]:
    """Return the step that flags add to, the last one or a new one, and the point at which they read its columns."""
    last = draft.request.steps[-1] if draft.request.steps else None
    is_closed = last is None or last.pivot or last.columns or last.sort or last.limit or _is_distinct(draft, last)
    is_open = not is_closed and last and (last.group or last.measures)
    if last and is_open and all(name in (*_MEASURES, *_LATER, *_TARGET) for name in flags):
        return last, "input" if any(name in _MEASURES for name in flags) else "columns"
    part = next(part for name, part in _PARTS.items() if name in flags)
    return draft.step_for(part), "columns" if part in _LATER else "input"


def _is_distinct(draft: Draft, step: Step) -> bool:
    """Tell whether a step keeps each different row once: it groups by all columns, and measures nothing."""
    groups = [each.column for each in step.group if not each.unit]
    return bool(groups) and not step.measures and groups == list(draft.fields(step, "input"))
