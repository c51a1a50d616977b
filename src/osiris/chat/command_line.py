"""The command line of a request: the flags of `osiris new` that ask for the same."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from osiris.chat.expressions import measure_name
from osiris.chat.flags import MEASURES, SIGNS, STEP, Wrong, name_of, request_of
from osiris.chat.request import Step
from osiris.errors import OsirisError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from osiris.chat.choices import Choices
    from osiris.chat.flags import Flags
    from osiris.chat.request import Computed, Filter, Group, Join, Measure, Pick, Request

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
