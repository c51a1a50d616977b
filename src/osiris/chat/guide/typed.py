"""Flags that are typed instead of choosing: several parts of a step, and where its rows go, in one line.

The flags are those of `osiris new`; a value needs no quotes around it, as it ends where the next flag begins.
"""

from __future__ import annotations

import re
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
    from osiris.chat.request import Step

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
_FLAG = re.compile(r"(?:^|\s+)--([a-z][a-z-]*)(?=\s|$)")


def typed(draft: Draft, line: str) -> Flow[bool]:
    """Add to a draft what a line of flags says; tell whether that says where the rows go.

    What cannot be carried out is told, and nothing of the line is kept.
    """
    before = draft.request
    try:
        flags = _flags(line)
        told: tuple[str, ...] = ()
        if any(name in _PARTS for name in flags):
            base, point = _base(draft, flags)
            step, told = add_flags(base, list(draft.fields(base, point)), flags, draft.choices)
            draft.put(step)
        if "to" in flags:
            output = output_of(draft.last(), flags, draft.choices)
            named = flags.get("name", (name_of(output) if before.name == UNNAMED else before.name,))
            draft.request = replace(draft.request, name=named[0], outputs=(output,))
        refuse_misfits(with_output(draft.request, draft.choices), draft.choices)
    except OsirisError as error:
        draft.request = before
        found = error.diagnostics[0]
        yield Tell(f"{found.message}{f'; {found.hint}' if found.hint else ''}")
        return False
    for each in told:
        yield Tell(f"Taken: {each}.")
    return "to" in flags


def _flags(line: str) -> Flags:
    _, *parts = _FLAG.split(line)
    flags: dict[str, tuple[str, ...]] = {}
    for name, value in zip(parts[::2], parts[1::2], strict=True):
        if name not in (*_PARTS, *_TARGET):
            fail("CHT042", flag=f"--{name}", problem="is no flag that is taken here", hint=_HINT)
        flags[name] = (*flags.get(name, ()), _unquoted(value.strip()))
    alone = [name for name in flags if name in _TARGET] if "to" not in flags else []
    if alone:
        fail("CHT042", flag=f"--{alone[0]}", problem="says nothing without --to", hint="write both in one line")
    return flags


_HINT = f"tables are joined by 'Join another table'; flags are {', '.join(f'--{name}' for name in (*_PARTS, *_TARGET))}"


def _unquoted(value: str) -> str:
    """Return a value without the quotes that a shell would need around it."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == "'" else value


def _base(draft: Draft, flags: Flags) -> tuple[Step, str]:
    """Return the step that flags add to, the last one or a new one, and the point at which they read its columns."""
    last = draft.request.steps[-1] if draft.request.steps else None
    is_open = last and (last.group or last.measures) and not (last.columns or last.sort or last.limit)
    if last and is_open and all(name in (*_MEASURES, *_LATER, *_TARGET) for name in flags):
        return last, "input" if any(name in _MEASURES for name in flags) else "columns"
    part = next(part for name, part in _PARTS.items() if name in flags)
    return draft.step_for(part), "columns" if part in _LATER else "input"
