"""Flags in the guide: typed instead of choosing, and the equivalent command.

A line has parts of a step, and optionally its target. The flags are those of `osiris new`; a value needs no quotes, as
it ends where the next flag begins. A line that is not fully understood is rejected as a whole.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.chat.expressions import Misfit, measure_name
from osiris.chat.flags import (
    MEASURES,
    SIGNS,
    STEP,
    add_flags,
    name_of,
    output_of,
    reject_misfits,
    request_of,
)
from osiris.chat.guide.draft import UNNAMED, Show, with_output
from osiris.chat.request import Step
from osiris.errors import OsirisError, fail

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from osiris.chat.choices import Choices
    from osiris.chat.flags import Flags
    from osiris.chat.guide.draft import Draft, Flow
    from osiris.chat.request import Computed, Filter, Group, Join, Measure, Request

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
"""Maps each flag to its part of a step, in the order in which a step applies them."""

_LATER = ("columns", "sort", "limit")
"""Parts that use the columns of groups."""

_TARGET = ("to", "mode", "key", "partition-by", "name")
_ONCE = ("latest", "first", "top", "limit", "to", "mode", "name", "count")
_PIECE = re.compile(r'"(?:[^"]|"")*"|(?<!\S)--([A-Za-z][\w-]*)(?:=|(?=\s)|$)|(--[A-Za-z]|")')
"""Text in double quotes, a flag (group 1 is its name), or what neither can be (group 2)."""


def add_line(draft: Draft, line: str) -> Flow[bool]:
    """Apply a line of flags to a draft; tell whether it includes the target."""
    previous = draft.request
    try:
        draft.request, notes, is_whole = _added(draft, line)
    except OsirisError as error:  # the screen rejects such lines; a recorded one may be of an earlier version
        draft.request, notes, is_whole = previous, [_words(error)], False
    for each in notes:
        yield Show(each)
    return is_whole


def problem_of_line(draft: Draft, line: str) -> str | None:
    """Return why a line of flags is invalid; None if it is valid."""
    try:
        _added(replace(draft), line)
    except OsirisError as error:
        return _words(error)
    return None


def _words(error: OsirisError) -> str:
    diagnostic = error.diagnostics[0]
    return f"{diagnostic.message}{f'; {diagnostic.hint}' if diagnostic.hint else ''}"


def _added(draft: Draft, line: str) -> tuple[Request, list[str], bool]:
    """Return the request with a line applied, notes, and whether it is complete; fails with CHT042."""
    flags = _flags(line)
    name, notes = draft.request.name, tuple[str, ...]()
    if any(each in _PARTS for each in flags):
        base, point = _base(draft, flags)
        step, notes = add_flags(base, list(draft.fields(base, point)), flags, draft.choices)
        draft.put(step)
    if "to" in flags:
        output = output_of(draft.last(), flags, draft.choices)
        (name,) = flags.get("name", (name_of(output) if name == UNNAMED else name,))
        draft.request = replace(draft.request, name=name, outputs=(output,))
    reject_misfits(with_output(draft.request, draft.choices), draft.choices)
    return draft.request, [f"Taken: {each}." for each in notes], "to" in flags


def _flags(line: str) -> Flags:
    """Return the values of each flag of a line; fails with CHT042 for anything but known flags with values."""
    flags: dict[str, tuple[str, ...]] = {}
    for name, text in _pieces(line):
        value = _unquoted(name, text)
        if wrong := _wrong_flag(name, value, flags):
            fail("CHT042", flag=f"--{name}", problem=wrong[0], hint=wrong[1])
        flags[name] = (*flags.get(name, ()), value)
    alone = [name for name in flags if name in _TARGET] if "to" not in flags else []
    if alone:
        fail("CHT042", flag=f"--{alone[0]}", problem="has no effect without --to", hint="write both on one line")
    return flags


def _pieces(line: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each flag of a line, and the text after it."""
    matches = [piece for piece in _PIECE.finditer(line) if piece.lastindex]
    starts = [piece.start() for piece in matches]
    odd = [piece.start() for piece in matches if piece[1] is None]
    if odd or line[: min(starts, default=None)].strip() or not matches:
        fragment = line[min(odd, default=0) :][:40]
        fail("CHT042", flag=fragment, problem="is not understood", hint="a line is --FLAG VALUE --FLAG VALUE …")
    for piece, end in zip(matches, [*starts[1:], len(line)], strict=True):
        yield piece[1], line[piece.end() : end].strip()


def _wrong_flag(name: str, value: str, flags: Flags) -> tuple[str, str | None] | None:
    """Return the problem of one more flag, and a hint; None if it is valid."""
    if name not in (*_PARTS, *_TARGET):
        return "is no flag that is taken here", _HINT
    if bool(value) is (name == "count"):
        return ("takes no value", "--count-of counts values") if value else ("has no value", None)
    return ("is there twice", "leave one out") if name in _ONCE and name in flags else None


_HINT = f"tables are joined by 'Join another table'; flags are {', '.join(f'--{name}' for name in (*_PARTS, *_TARGET))}"


def _unquoted(name: str, value: str) -> str:
    """Return a value without shell quotes; fails with CHT042 if they do not match."""
    if not value.startswith("'"):
        return value
    try:
        words = shlex.split(value)
    except ValueError:  # unclosed quotation mark
        words = []
    if len(words) != 1 or value not in (f"'{words[0]}'", shlex.quote(words[0])):
        fail("CHT042", flag=f"--{name} {value}", problem="has unbalanced quotes", hint="write it without quotes")
    return words[0]


def _base(draft: Draft, flags: Flags) -> tuple[Step, str]:
    """Return the step that flags apply to, the last one or a new one, and the point at which they read its columns."""
    steps, names = draft.request.steps, flags.keys()
    if steps and _is_open(draft, steps[-1]) and names <= {*_MEASURES, *_LATER, *_TARGET}:
        return steps[-1], "columns" if names.isdisjoint(_MEASURES) else "input"
    part = next(part for name, part in _PARTS.items() if name in flags)
    return draft.step_for(part), "columns" if part in _LATER else "input"


def _is_open(draft: Draft, step: Step) -> bool:
    """Tell whether a step accepts more measures: it groups, and has no later part."""
    is_closed = step.pivot or step.columns or step.sort or step.limit or _is_distinct(draft, step)
    return bool(step.group or step.measures) and not is_closed


def _is_distinct(draft: Draft, step: Step) -> bool:
    """Tell whether a step only removes duplicates: it groups by all columns without measures."""
    groups = [each.column for each in step.group if not each.unit]
    return bool(groups) and not step.measures and groups == list(draft.fields(step, "input"))


_WRITTEN_SIGNS = {function: sign for sign, function in SIGNS.items()}
_PLAIN = re.compile(r"[^\W\d][\w.]*")


def command_line(request: Request, choices: Choices) -> str | None:
    """Return the equivalent command; None if flags cannot express the request."""
    try:
        flags = dict(_flags_of(request, choices))
    except Misfit:
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


def _flags_of(request: Request, choices: Choices) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the flags of a request; the caller parses them to verify that they are complete."""
    if len(request.outputs) != 1 or len(request.steps) > 1 or request.parameters:
        raise Misfit("", "has more than flags say")
    step = request.steps[0] if request.steps else Step(STEP)
    source, output = request.sources[0], request.outputs[0]
    yield "from", (source.relation,)
    yield from _part_flags(step, {relation.name: relation.id for relation in choices.relations})
    yield "dtype", tuple(f"{_quoted(each.column)} = {each.type}" for each in source.dtype)
    yield "key", _listed(map(_quoted, output.key))
    yield "partition-by", _listed(map(_quoted, output.partition_by))
    yield from _row_flags(step)
    for flag, value in (("limit", step.limit), ("encoding", source.encoding), ("on-reject", source.on_reject)):
        yield flag, _optional(value)
    yield "to", (output.path or f"{output.connection}/{output.table}",)
    yield "mode", _optional(output.mode)
    yield "name", _optional(None if request.name == name_of(output) else request.name)


def _part_flags(step: Step, ids: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for kind, flag in (("drop", "join"), ("keep", "left-join")):
        yield flag, tuple(_join_text(each, ids) for each in step.joins if each.unmatched == kind)
    yield "compute", tuple(map(_computed_text, step.compute))
    yield "where", tuple(map(_filter_text, step.filters))
    yield "group", tuple(map(_group_text, step.group))
    yield from _measure_flags(step.measures)
    yield "columns", _listed(_with_name(_quoted(each.column), each.name) for each in step.columns)
    yield "sort", tuple(_quoted(each.column) + (" desc" if each.descending else "") for each in step.sort)


def _optional(value: object) -> tuple[str, ...]:
    return (str(value),) if value else ()


def _listed(parts: Iterable[str]) -> tuple[str, ...]:
    text = ", ".join(parts)
    return (text,) if text else ()


def _quoted(name: str | None) -> str:
    return name if name and _PLAIN.fullmatch(name) else '"' + (name or "").replace('"', '""') + '"'


def _value(text: str) -> str:
    """Return a value, quoted if it would not parse as itself."""
    is_plain = re.fullmatch(r"[\w.%+:/-]+", text) and not text.startswith("col:") and text.lower() != "null"
    return text if is_plain else '"' + text.replace('"', '""') + '"'


def _join_text(join: Join, ids: Mapping[str, str]) -> str:
    keys = " and ".join(f"{_quoted(each.left)} = {_quoted(each.right)}" for each in join.on)
    return f"{ids.get(join.input, join.input)} on {keys}"


def _computed_text(spec: Computed) -> str:
    name = _quoted(spec.name)
    if spec.function in _WRITTEN_SIGNS:
        operand = spec.value if spec.value is not None else _quoted(spec.other)
        return f"{name} = {_quoted(spec.column)} {_WRITTEN_SIGNS[spec.function]} {operand}"
    columns = [f"{mark}{_quoted(each)}" for mark, each in (("", spec.column), ("col:", spec.other)) if each]
    values = [_value(each) for each in (spec.value, spec.new) if each is not None]
    return f"{name} = {spec.function.replace(' ', '-')}({', '.join([*columns, *values])})"


def _filter_text(spec: Filter) -> str:
    start = f"{_quoted(spec.column)} {spec.operator}"
    if spec.parameter or spec.either is not None:
        raise Misfit("", "has more than flags say")
    if spec.other is not None:
        return f"{start} col:{_quoted(spec.other)}"
    joined_by = " and " if spec.operator == "between" else ", "
    return f"{start} {joined_by.join(map(_value, spec.values))}".rstrip()


def _group_text(spec: Group) -> str:
    text = f"{spec.unit}({_quoted(spec.column)})" if spec.unit else _quoted(spec.column)
    return _with_name(text, spec.name)


def _measure_flags(measures: Sequence[Measure]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for flag, function in (*MEASURES.items(), ("share", "share of total")):
        measured = [(each, each.column or each.of) for each in measures if each.function == function]
        yield (
            flag,
            tuple(_with_name(_quoted(of), each.name, measure_name(function, of)) for each, of in measured if of),
        )
    ratios = [(f"{_quoted(each.of)} / {_quoted(each.over)}", each) for each in measures if each.function == "ratio"]
    yield "ratio", tuple(_with_name(text, each.name, f"{each.of}_per_{each.over}") for text, each in ratios)


def _with_name(text: str, name: str | None, default: str | None = None) -> str:
    return text if not name or name == default else f"{text} as {_quoted(name)}"


def _row_flags(step: Step) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the flag that counts rows, and the one for a pick."""
    yield "count", ("",) if any(each.function == "count" and not each.column for each in step.measures) else ()
    pick = step.pick
    if pick is None:
        return
    text = f"{_quoted(pick.order[0].column)} per {', '.join(map(_quoted, pick.per))}"
    if not pick.order[0].descending:
        yield "first", (text,)
    elif pick.rows == 1:
        yield "latest", (text,)
    else:
        yield "top", (f"{pick.rows} {text}",)
