"""Flags in the guide: typed instead of choosing, and the command that asks for what was chosen.

A line has several parts of a step, and where its rows go. The flags are those of `osiris new`; a value needs no quotes
around it, as it ends where the next flag begins. What is not wholly understood is refused as a whole.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.chat.expressions import measure_name
from osiris.chat.flags import MEASURES, SIGNS, STEP, Wrong, add_flags, name_of, output_of, refuse_misfits, request_of
from osiris.chat.guide.draft import UNNAMED, with_output
from osiris.chat.guide.questions import Tell
from osiris.chat.request import Step
from osiris.errors import OsirisError, fail

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from osiris.chat.choices import Choices
    from osiris.chat.flags import Flags
    from osiris.chat.guide.draft import Draft
    from osiris.chat.guide.questions import Flow
    from osiris.chat.request import Computed, Filter, Group, Join, Measure, Pick, Request


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


_WRITTEN_SIGNS = {function: sign for sign, function in SIGNS.items()}
_PLAIN = re.compile(r"[^\W\d][\w.]*")


def command_line(request: Request, choices: Choices) -> str | None:
    """Return the command that asks for the same; None if flags cannot say it."""
    try:
        flags = dict(_written(request, choices))
    except Wrong:
        return None
    if _request(flags, choices) != request:
        return None
    words = [
        word
        for name, values in flags.items()
        for value in values
        for word in ((f"--{name}",) if name == "count" else (f"--{name}", value))
    ]
    return shlex.join(["osiris", "new", *words])


def _request(flags: Flags, choices: Choices) -> Request | None:
    try:
        return request_of(flags, choices).request
    except OsirisError:
        return None


def _written(request: Request, choices: Choices) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the flags of a request; whether they say all of it is seen by reading them."""
    if len(request.outputs) != 1 or len(request.steps) > 1 or request.parameters:
        raise Wrong("has more than flags say")
    step = request.steps[0] if request.steps else Step(STEP)
    output = request.outputs[0]
    ids = {relation.name: relation.id for relation in choices.relations}
    yield "from", (request.sources[0].relation,)
    for kind, flag in (("drop", "join"), ("keep", "left-join")):
        yield flag, tuple(_join_text(each, ids) for each in step.joins if each.unmatched == kind)
    yield "compute", tuple(map(_computed_text, step.compute))
    yield "where", tuple(map(_filter_text, step.filters))
    yield "group", tuple(_group_text(each) for each in step.group)
    yield from _measure_flags(step.measures)
    chosen = (_quoted(each.column) + (f" as {_quoted(each.name)}" if each.name else "") for each in step.columns)
    yield "columns", _listed(chosen)
    yield "sort", tuple(_quoted(each.column) + (" desc" if each.descending else "") for each in step.sort)
    source = request.sources[0]
    yield "dtype", tuple(f"{_quoted(each.column)} = {each.type}" for each in source.dtype)
    yield "key", _listed(map(_quoted, output.key))
    yield "partition-by", _listed(map(_quoted, output.partition_by))
    yield "count", ("",) if any(each.function == "count" and not each.column for each in step.measures) else ()
    yield from _pick_flag(step.pick)
    yield "limit", (str(step.limit),) if step.limit is not None else ()
    yield "encoding", (source.encoding,) if source.encoding else ()
    yield "on-reject", (source.on_reject,) if source.on_reject else ()
    yield "to", (output.path or f"{output.connection}/{output.table}",)
    yield "mode", (output.mode,) if output.mode else ()
    yield "name", (request.name,) if request.name != name_of(output) else ()


def _listed(parts: Iterable[str]) -> tuple[str, ...]:
    text = ", ".join(parts)
    return (text,) if text else ()


def _quoted(name: str | None) -> str:
    return name if name and _PLAIN.fullmatch(name) else '"' + (name or "").replace('"', '""') + '"'


def _value(text: str) -> str:
    """Return a value that reads as itself among others."""
    is_plain = re.fullmatch(r"[\w.%+:/-]+", text) and not text.startswith("col:") and text.lower() != "null"
    return text if is_plain else '"' + text.replace('"', '""') + '"'


def _join_text(join: Join, ids: Mapping[str, str]) -> str:
    keys = " and ".join(f"{_quoted(each.left)} = {_quoted(each.right)}" for each in join.on)
    return f"{ids.get(join.input, join.input)} on {keys}"


def _computed_text(given: Computed) -> str:
    name = _quoted(given.name)
    if given.function in _WRITTEN_SIGNS:
        other = given.value if given.value is not None else _quoted(given.other)
        return f"{name} = {_quoted(given.column)} {_WRITTEN_SIGNS[given.function]} {other}"
    parts = [
        *([_quoted(given.column)] if given.column else ()),
        *([f"col:{_quoted(given.other)}"] if given.other else ()),
    ]
    parts += [_value(value) for value in (given.value, given.new) if value is not None]
    return f"{name} = {given.function.replace(' ', '-')}({', '.join(parts)})"


def _filter_text(given: Filter) -> str:
    start = f"{_quoted(given.column)} {given.operator}"
    if given.parameter or given.either is not None:
        raise Wrong("has more than flags say")
    if given.other is not None:
        return f"{start} col:{_quoted(given.other)}"
    joined_by = " and " if given.operator == "between" else ", "
    return f"{start} {joined_by.join(map(_value, given.values))}".rstrip()


def _group_text(given: Group) -> str:
    what = f"{given.unit}({_quoted(given.column)})" if given.unit else _quoted(given.column)
    return f"{what} as {_quoted(given.name)}" if given.name else what


def _measure_flags(measures: Sequence[Measure]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for flag, function in MEASURES.items():
        found = (each for each in measures if each.function == function and each.column)
        names = ((each, measure_name(function, each.column)) for each in found)
        yield flag, tuple(_with_name(_quoted(each.column), each.name, name) for each, name in names)
    shares = (each for each in measures if each.function == "share of total")
    yield "share", tuple(_with_name(_quoted(each.of), each.name, f"share_{each.of}") for each in shares)
    ratios = (each for each in measures if each.function == "ratio")
    texts = ((f"{_quoted(each.of)} / {_quoted(each.over)}", each) for each in ratios)
    yield "ratio", tuple(_with_name(text, each.name, f"{each.of}_per_{each.over}") for text, each in texts)


def _with_name(text: str, name: str, default: str) -> str:
    return text if name == default else f"{text} as {_quoted(name)}"


def _pick_flag(pick: Pick | None) -> Iterator[tuple[str, tuple[str, ...]]]:
    if pick is None:
        return
    text = f"{_quoted(pick.order[0].column)} per {', '.join(map(_quoted, pick.per))}"
    if not pick.order[0].descending:
        yield "first", (text,)
    elif pick.rows == 1:
        yield "latest", (text,)
    else:
        yield "top", (f"{pick.rows} {text}",)
