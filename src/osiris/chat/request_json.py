"""A request, or the relevant relations, as JSON: the closed schema, and the parser of answers and calls.

The schema of an answer uses only what the strict modes of services support: every property is required and no others
allowed; only type, enum, anyOf, items and properties; no recursion. Services allow few unions, so absent text and lists
are empty rather than null, and only numbers, enumerations and objects can be null. Null or missing properties mean the
default, in an answer and in a call; the schema of a call has none of these restrictions.

Besides a request, or {"tables": [relation id…]}, an answer has "question", {"about": key, "text": …, "choices":
[text…]} or null, and "cannot" (why nothing can be proposed): if either is set, the rest is ignored.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, fields, replace
from functools import cache
from itertools import islice
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeGuard, TypeVar, get_args, get_origin, get_type_hints

from osiris.chat.choices import one_line
from osiris.chat.provider_api import LONGEST_SENTENCE, Interest, Question, Refusal
from osiris.chat.render import problems_of, source_name
from osiris.chat.request import Request
from osiris.document import escape
from osiris.errors import Location, diagnostic, did_you_mean, raise_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from osiris.chat.choices import Choices
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue

LONGEST_TEXT = 20_000
"""Most characters of any text in a request."""

T = TypeVar("T")

_MOST_ITEMS = 1_000
_MOST_ASSUMED = 10
_MOST_PROBLEMS = 20
_ENUMERATED = 250
"""With more relations, the schema does not list them, since services limit its size; `read_request` still validates
them.
"""

_Hint = Any
"""Type hint of a field."""

_origin: Callable[[_Hint], _Hint] = get_origin


class _Form(NamedTuple):
    """Schema options. `closed`: allowed texts by class and field (empty: any); `strict`: all required and nullable."""

    closed: Mapping[tuple[str, str], Sequence[str]]
    strict: bool


_SIMPLE: dict[_Hint, str] = {int: "integer", bool: "boolean"}
_TEXT: JsonValue = {"type": "string"}
_NULL: JsonValue = {"type": "null"}


def answer_schema(kind: type[Request | Interest], choices: Choices) -> dict[str, JsonValue]:
    """Return the JSON Schema of an answer: a request or relevant relations, a question or a refusal."""
    form = _Form(_closed(choices), strict=True)
    question = {"anyOf": [_of_class(Question, form), _NULL]}
    return _object({**_of_class(kind, form)["properties"], "question": question, "cannot": _TEXT})


def call_schema(choices: Choices) -> dict[str, JsonValue]:
    """Return the JSON Schema of a request alone, in which defaults may be omitted."""
    return _of_class(Request, _Form(_closed(choices), strict=False))


def _closed(choices: Choices) -> dict[tuple[str, str], Sequence[str]]:
    ids = [each.id for each in choices.relations]
    relations = ids if len(ids) <= _ENUMERATED else ()
    return {
        ("Source", "relation"): relations,
        ("Interest", "tables"): relations,
        ("Output", "component"): [writer.component for writer in choices.writers],
        ("Output", "connection"): sorted({name for writer in choices.writers for name in writer.connections}),
    }


def read_request(value: JsonValue, choices: Choices) -> Request | Question | Refusal:
    """Return the reply in an answer; fails with CHT001 for each of the first problems, with its pointer."""
    reply = question_or_refusal(value)
    if reply:
        return reply
    plain = {k: v for k, v in value.items() if k not in ("question", "cannot")} if isinstance(value, dict) else value
    return chosen(shaped(plain), choices)


def read_interest(value: JsonValue, choices: Choices) -> Interest | Question | Refusal:
    """Return the relevant relations as `read_request` does; the rest of the answer is ignored."""
    reply = question_or_refusal(value)
    if reply:
        return reply
    plain = {"tables": value.get("tables")} if isinstance(value, dict) else value
    tables = tuple(dict.fromkeys(_read(Interest, plain).tables))
    ids = [each.id for each in choices.relations]
    _refuse(
        _problem(f"/tables/{number}", "is not among the choices", did_you_mean(name[:100], ids))
        for number, name in enumerate(tables)
        if name not in ids
    )
    return Interest(tables)


def shaped(value: JsonValue) -> Request:
    """Return a request of valid shape, whatever it names; fails as `read_request`."""
    return _read(Request, value)


def _read(kind: type[T], value: JsonValue) -> T:
    reader = _Reader([])
    parsed: T = reader.object(kind, value, "")
    _refuse(reader.problems)
    return parsed


def chosen(request: Request, choices: Choices) -> Request:
    """Return a request that is valid for these choices; fails as `read_request`."""
    request = _with_source_names(request, choices)
    _refuse(_problem(at, why, hint) for at, why, hint in problems_of(request, choices))
    return request


def to_json(request: Request) -> dict[str, JsonValue]:
    """Return a request as JSON that `read_request` accepts."""
    return {**_json(request), "question": None, "cannot": ""}


def _object(properties: Mapping[str, JsonValue], required: Sequence[str] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties if required is None else required),
        "additionalProperties": False,
    }


def _of_class(kind: Any, form: _Form) -> dict[str, Any]:  # noqa: ANN401 (any class of a request)
    hints = _hints(kind)
    properties = {name: _of_hint(hint, form, form.closed.get((kind.__name__, name))) for name, hint in hints.items()}
    needed = [each.name for each in fields(kind) if each.default is dataclasses.MISSING]
    return _object(properties, None if form.strict else needed)


def _of_hint(hint: _Hint, form: _Form, names: Sequence[str] | None = None) -> JsonValue:
    inner, is_optional = _optional(hint)
    if _origin(inner) is tuple:
        return {"type": "array", "items": _of_hint(get_args(inner)[0], form, names)}
    if inner is str and names is None:
        return _TEXT
    schema: JsonValue
    if inner is str:
        schema = {"type": "string", "enum": list(names)} if names else _TEXT
    elif _origin(inner) is Literal:
        schema = {"type": "string", "enum": list(get_args(inner))}
    else:
        schema = {"type": _SIMPLE[inner]} if inner in _SIMPLE else _of_class(inner, form)
    return {"anyOf": [schema, _NULL]} if is_optional and form.strict else schema


@cache
def _hints(kind: type) -> dict[str, _Hint]:
    return get_type_hints(kind)


def _optional(hint: _Hint) -> tuple[_Hint, bool]:
    """Return a hint without None, and whether None is allowed."""
    parts = [part for part in get_args(hint) if part is not NoneType]
    return (parts[0], True) if NoneType in get_args(hint) else (hint, False)


def _json(value: Any) -> JsonValue:  # noqa: ANN401 (any value of any class of a request)
    if isinstance(value, tuple):
        return [_json(each) for each in value]
    if not dataclasses.is_dataclass(value):
        return value
    hints = _hints(type(value))  # type: ignore[arg-type]
    return {each.name: _filled(getattr(value, each.name), hints[each.name], each.name) for each in fields(value)}


def _filled(value: Any, hint: _Hint, name: str) -> JsonValue:  # noqa: ANN401
    inner, _ = _optional(hint)
    if value is None and name != "connection":
        return {str: "", tuple: []}.get(_origin(inner) or inner)
    return _json(value)


def _problem(pointer: str, problem: str, hint: str | None = None) -> Diagnostic:
    return diagnostic("CHT001", at=Location(pointer=pointer), problem=f"'{pointer}' {problem}", hint=hint)


def _refuse(problems: Iterator[Diagnostic] | Sequence[Diagnostic]) -> None:
    if diagnostics := list(islice(problems, _MOST_PROBLEMS)):
        raise_all(diagnostics)


@dataclass(slots=True)
class _Reader:
    """Reads JSON as the classes of a request, and records problems."""

    problems: list[Diagnostic]

    def object(self, kind: type, value: JsonValue, pointer: str) -> Any:  # noqa: ANN401 (one of that class)
        if not isinstance(value, dict):
            self._wrong(pointer, "must be an object")
            return None
        hints = _hints(kind)
        for name in value:
            if name not in hints:
                hint = did_you_mean(name[:100], hints) or "available: " + ", ".join(hints)
                self._wrong(f"{pointer}/{escape(name[:100])}", "is no property of it", hint)
        values = {}
        for each in fields(kind):
            at = f"{pointer}/{each.name}"
            item = value.get(each.name)
            if item is None or item == "":
                values[each.name] = self._missing(each, at)
            else:
                values[each.name] = self.value(hints[each.name], item, at)
        return None if self.problems else kind(**values)

    def _missing(self, field: dataclasses.Field[Any], at: str) -> Any:  # noqa: ANN401 (its default)
        if field.default is dataclasses.MISSING:
            self._wrong(at, "is missing")
        return None if field.default is dataclasses.MISSING else field.default

    def value(self, hint: _Hint, value: JsonValue, at: str) -> Any:  # noqa: ANN401 (one of that type)
        inner, is_optional = _optional(hint)
        if _origin(inner) is tuple:
            items = self._items(get_args(inner)[0], value, at)
            return None if is_optional and not items else items
        if _origin(inner) is Literal:
            return self._one_of(get_args(inner), value, at)
        if dataclasses.is_dataclass(inner):
            return self.object(inner, value, at)  # type: ignore[arg-type]
        if type(value) is not inner:
            self._wrong(
                at, {str: "must be a text", int: "must be a whole number", bool: "must be true or false"}[inner]
            )
        elif isinstance(value, str) and len(value) > LONGEST_TEXT:
            self._wrong(at, f"is longer than {LONGEST_TEXT:,} characters")
        return value

    def _items(self, hint: _Hint, value: JsonValue, at: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > _MOST_ITEMS:
            self._wrong(at, f"must be a list of at most {_MOST_ITEMS}")
            return ()
        return tuple(self.value(hint, item, f"{at}/{number}") for number, item in enumerate(value))

    def _one_of(self, allowed: Sequence[str], value: JsonValue, at: str) -> JsonValue:
        if value not in allowed:
            hint = did_you_mean(value[:100], allowed) if isinstance(value, str) else None
            self._wrong(at, "is not among the choices", hint or ", ".join(allowed))
        return value

    def _wrong(self, pointer: str, problem: str, hint: str | None = None) -> None:
        self.problems.append(_problem(pointer, problem, hint))


def _with_source_names(request: Request, choices: Choices) -> Request:
    """Return a request whose steps refer to sources by step name, even if they used the relation's id."""
    names = {source.relation: source_name(source, choices) for source in request.sources}
    defined = {*names.values(), *(step.name for step in request.steps)}

    def settled(name: str) -> str:
        return name if name in defined else names.get(name, name)

    steps = tuple(
        replace(
            step,
            input=step.input and settled(step.input),
            joins=tuple(replace(join, input=settled(join.input)) for join in step.joins),
            inputs=tuple(map(settled, step.inputs)),
        )
        for step in request.steps
    )
    outputs = tuple(replace(output, input=settled(output.input)) for output in request.outputs)
    assumptions = tuple(one_line(each, LONGEST_SENTENCE) for each in request.assumptions[:_MOST_ASSUMED])
    return replace(request, steps=steps, outputs=outputs, assumptions=assumptions)


LONGEST_CHOICE = 120
"""Most characters of a choice: it counts as the person's words, so they must have read it."""

MOST_CHOICES = 10


def question_or_refusal(value: JsonValue) -> Question | Refusal | None:
    """Return the question or the refusal of an answer; None if it has no valid one."""
    if not isinstance(value, dict):
        return None
    question, cannot = value.get("question"), value.get("cannot")
    if _is_text(cannot):
        return Refusal(one_line(cannot, LONGEST_SENTENCE))
    if not isinstance(question, dict) or not _is_text(question.get("text")):
        return None
    offered = question.get("choices")
    texts = list(filter(_is_text, offered)) if isinstance(offered, list) else []
    choices = tuple(one_line(each, LONGEST_CHOICE) for each in texts[:MOST_CHOICES])
    about = str(question.get("about") or "question")
    return Question(one_line(about, 60), one_line(question["text"], LONGEST_SENTENCE), choices)


def _is_text(value: JsonValue) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())
