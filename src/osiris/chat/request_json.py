"""A request, or the relations that matter, as JSON: the closed schema, and what is read from an answer or a call.

The schema of an answer keeps to what the strict modes of services share: every property is required and nothing else
allowed; only type, enum, anyOf, items and properties; no recursion. Services take few unions, so a text or a list that
says nothing is empty rather than null, and only numbers, enumerations and objects can be null. What is null or left out
says nothing as well, in an answer and in a call; the schema of a call is without all that.

Beside a request, or {"tables": [relation id…]}, an answer has "question", {"about": key, "text": …, "choices": [text…]}
or null, and "cannot" (why nothing can be proposed): with either of them the rest is not read.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, fields, replace
from functools import cache
from itertools import islice
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeGuard, TypeVar, get_args, get_origin, get_type_hints

from osiris.chat.choices import one_line
from osiris.chat.provider_api import LONGEST_SAID, Interest, Question, Refusal
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
"""Characters of any text in a request."""

T = TypeVar("T")

_MOST_ITEMS = 1_000
_MOST_ASSUMED = 10
_MOST_PROBLEMS = 20
_ENUMERATED = 250
"""Of more relations than these the schema lists none, for services limit it; `read_request` knows them all the same."""

_Hint = Any
"""The type of a field."""

_origin: Callable[[_Hint], _Hint] = get_origin


class _Form(NamedTuple):
    """How a schema is written. `closed` has the texts that are possible, by class and field; of none at all any text
    is. `strict`: all is required, and may be null.
    """

    closed: Mapping[tuple[str, str], Sequence[str]]
    strict: bool


_SIMPLE: dict[_Hint, str] = {int: "integer", bool: "boolean"}
_TEXT: JsonValue = {"type": "string"}
_NULL: JsonValue = {"type": "null"}


def answer_schema(kind: type[Request | Interest], choices: Choices) -> dict[str, JsonValue]:
    """Return the JSON Schema of a request or of the relations that matter, or of a question or a reason why there is
    none; choices are enumerations.
    """
    form = _Form(_closed(choices), strict=True)
    question = {"anyOf": [_of_class(Question, form), _NULL]}
    return _object({**_of_class(kind, form)["properties"], "question": question, "cannot": _TEXT})


def call_schema(choices: Choices) -> dict[str, JsonValue]:
    """Return the JSON Schema of a request alone, in which all that says nothing may be left out."""
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
    """Return what an answer says; fails with CHT001 for each of the first problems in it, with its pointer."""
    said = said_in(value)
    if said:
        return said
    plain = {k: v for k, v in value.items() if k not in ("question", "cannot")} if isinstance(value, dict) else value
    return chosen(shaped(plain), choices)


def read_interest(value: JsonValue, choices: Choices) -> Interest | Question | Refusal:
    """Return the relations that matter as `read_request` does; what else there is in the answer is not read."""
    said = said_in(value)
    if said:
        return said
    plain = {"tables": value.get("tables")} if isinstance(value, dict) else value
    tables = tuple(dict.fromkeys(_read(Interest, plain).tables))
    known = [each.id for each in choices.relations]
    _refuse(
        _problem(f"/tables/{number}", "is not among the choices", did_you_mean(name[:100], known))
        for number, name in enumerate(tables)
        if name not in known
    )
    return Interest(tables)


def shaped(value: JsonValue) -> Request:
    """Return a request of that shape, whatever it names; fails as `read_request`."""
    return _read(Request, value)


def _read(kind: type[T], value: JsonValue) -> T:
    reader = _Reader([])
    made: T = reader.object(kind, value, "")
    _refuse(reader.problems)
    return made


def chosen(request: Request, choices: Choices) -> Request:
    """Return a request that can be carried out with these choices; fails as `read_request`."""
    request = _settled(request, choices)
    _refuse(_problem(at, why, hint) for at, why, hint in problems_of(request, choices))
    return request


def to_json(request: Request) -> dict[str, JsonValue]:
    """Return a request as `read_request` takes it, and as its schema has it."""
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
    made = {name: _of_hint(hint, form, form.closed.get((kind.__name__, name))) for name, hint in hints.items()}
    needed = [each.name for each in fields(kind) if each.default is dataclasses.MISSING]
    return _object(made, None if form.strict else needed)


def _of_hint(hint: _Hint, form: _Form, names: Sequence[str] | None = None) -> JsonValue:
    inner, is_optional = _optional(hint)
    if _origin(inner) is tuple:
        return {"type": "array", "items": _of_hint(get_args(inner)[0], form, names)}
    if inner is str and names is None:
        return _TEXT
    made: JsonValue
    if inner is str:
        made = {"type": "string", "enum": list(names)} if names else _TEXT
    elif _origin(inner) is Literal:
        made = {"type": "string", "enum": list(get_args(inner))}
    else:
        made = {"type": _SIMPLE[inner]} if inner in _SIMPLE else _of_class(inner, form)
    return {"anyOf": [made, _NULL]} if is_optional and form.strict else made


@cache
def _hints(kind: type) -> dict[str, _Hint]:
    return get_type_hints(kind)


def _optional(hint: _Hint) -> tuple[_Hint, bool]:
    """Return what a hint is beside None, and whether it may be that."""
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
    if found := list(islice(problems, _MOST_PROBLEMS)):
        raise_all(found)


@dataclass(slots=True)
class _Reader:
    """Reads JSON as the classes of a request, and notes what does not fit."""

    problems: list[Diagnostic]

    def object(self, kind: type, value: JsonValue, pointer: str) -> Any:  # noqa: ANN401 (one of that class)
        if not isinstance(value, dict):
            self._wrong(pointer, "must be an object")
            return None
        hints = _hints(kind)
        for name in value:
            if name not in hints:
                hint = did_you_mean(name[:100], hints) or "known: " + ", ".join(hints)
                self._wrong(f"{pointer}/{escape(name[:100])}", "is no property of it", hint)
        made = {}
        for each in fields(kind):
            at = f"{pointer}/{each.name}"
            given = value.get(each.name)
            if given is None or given == "":
                made[each.name] = self._missing(each, at)
            else:
                made[each.name] = self.value(hints[each.name], given, at)
        return None if self.problems else kind(**made)

    def _missing(self, field: dataclasses.Field[Any], at: str) -> Any:  # noqa: ANN401 (its default)
        if field.default is dataclasses.MISSING:
            self._wrong(at, "is missing")
        return None if field.default is dataclasses.MISSING else field.default

    def value(self, hint: _Hint, value: JsonValue, at: str) -> Any:  # noqa: ANN401 (one of that type)
        inner, is_optional = _optional(hint)
        if _origin(inner) is tuple:
            made = self._items(get_args(inner)[0], value, at)
            return None if is_optional and not made else made
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

    def _one_of(self, known: Sequence[str], value: JsonValue, at: str) -> JsonValue:
        if value not in known:
            hint = did_you_mean(value[:100], known) if isinstance(value, str) else None
            self._wrong(at, "is not among the choices", hint or ", ".join(known))
        return value

    def _wrong(self, pointer: str, problem: str, hint: str | None = None) -> None:
        self.problems.append(_problem(pointer, problem, hint))


def _settled(request: Request, choices: Choices) -> Request:
    """Return a request whose steps name sources as steps do, even if they were named by the id of the relation."""
    names = {source.relation: source_name(source, choices) for source in request.sources}
    known = {*names.values(), *(step.name for step in request.steps)}

    def settled(name: str) -> str:
        return name if name in known else names.get(name, name)

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
    said = tuple(one_line(each, LONGEST_SAID) for each in request.assumptions[:_MOST_ASSUMED])
    return replace(request, steps=steps, outputs=outputs, assumptions=said)


LONGEST_CHOICE = 120
"""Characters of a choice: who picks it by its number must have read it, for it counts as the person's words."""

MOST_SAID = 10


def said_in(value: JsonValue) -> Question | Refusal | None:
    """Return the question or the refusal of an answer; None if it has none that can be read."""
    if not isinstance(value, dict):
        return None
    asked, cannot = value.get("question"), value.get("cannot")
    if _is_said(cannot):
        return Refusal(one_line(cannot, LONGEST_SAID))
    if not isinstance(asked, dict) or not _is_said(asked.get("text")):
        return None
    offered = asked.get("choices")
    texts = list(filter(_is_said, offered)) if isinstance(offered, list) else []
    choices = tuple(one_line(each, LONGEST_CHOICE) for each in texts[:MOST_SAID])
    about = str(asked.get("about") or "question")
    return Question(one_line(about, 60), one_line(asked["text"], LONGEST_SAID), choices)


def _is_said(value: JsonValue) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())
