"""What the guide works on: a request that grows, and what is asked for, as values; and what typed text means.

A flow (`flow.pipeline`) is a generator that yields questions for the person and figures of the data, and is sent what
they give; it does nothing else. A `Draft` knows which part goes into which step, and which columns there are where.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from osiris.chat.choices import read_names
from osiris.chat.expressions import kind_of, unused
from osiris.chat.request import Output, Request, Source, Step
from osiris.errors import OsirisError, certain

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from osiris.chat.choices import Choices, Column, Relation
    from osiris.chat.expressions import Kind
    from osiris.model import JsonValue

    Fields = dict[str, str | None]
    """Columns at a point of a request, with their types; None for what no step can read."""


UNNAMED = "unnamed"
EMPTY = Request(name=UNNAMED, sources=(), steps=(), outputs=())
STEP = "result"
_KEPT = "output/looked_at.parquet"

_STAGE = {
    "joins": 0,
    "compute": 1,
    "filters": 1,
    **dict.fromkeys(("group", "pick", "pivot"), 2),
    "columns": 3,
    "sort": 4,
    "limit": 5,
}
"""When a step does which of its parts: what comes earlier than a part that is there needs another step."""


@dataclass(slots=True)
class Draft:
    """The request so far, and what is known of what it reads; `tables` are those of `Look`, by id of relation.

    `find_writers` gives what can be written, as `names` of `environment` has it: only when something is read already.
    """

    request: Request
    find_writers: Callable[[], JsonValue]
    tables: dict[str, tuple[str, Mapping[str, JsonValue]]]

    @property
    def choices(self) -> Choices:
        """Return the relations that were looked at, as choices; names of steps are unique among them."""
        sources = [
            {"target": source, "connection": source if source.startswith("@") else None, "tables": [table]}
            for source, table in self.tables.values()
        ]
        return read_names({"sources": sources, "writers": self.find_writers(), "silent": {}})

    def relation(self, name: str) -> Relation:
        """Return a relation that was looked at."""
        return next(each for each in self.choices.relations if each.id == name)

    def last(self) -> str:
        """Return the name of what is written: of the last step, or of the only source."""
        steps, source = self.request.steps, self.request.sources[0]
        return steps[-1].name if steps else source.name or self.relation(source.relation).name

    def read(self, relation: str) -> None:
        """Read one more relation, unless it is read."""
        if all(each.relation != relation for each in self.request.sources):
            self.request = replace(self.request, sources=(*self.request.sources, Source(relation)))

    def step_for(self, part: str) -> Step:
        """Return the step that takes a part: the last one, or a new one where that has gone on to a later part."""
        steps = self.request.steps
        if steps and not _is_past(steps[-1], part):
            return steps[-1]
        taken = [*(each.name for each in self.request.steps), *(each.name for each in self.choices.relations)]
        return Step(unused(STEP, taken), input=self.last())

    def put(self, step: Step) -> None:
        """Keep a step, the last one or a new one."""
        self.request = self.with_step(step)

    def with_step(self, step: Step) -> Request:
        """Return the request as it would be with a step."""
        others = tuple(each for each in self.request.steps if each.name != step.name)
        return replace(self.request, steps=(*others, step))

    def fields(self, step: Step, point: str) -> Fields:
        """Return the columns that there are at a point of a step, with their types."""
        cut = replace(step, columns=(), sort=(), limit=None)
        if point == "input":
            cut = replace(cut, filters=(), group=(), measures=(), pick=None, pivot=None)
        elif point == "sort":
            cut = replace(cut, columns=step.columns)
        is_whole = cut == Step(cut.name, input=cut.input)
        name = str(cut.input) if is_whole else cut.name
        return self._fields(self.request if is_whole else self.with_step(cut), name)

    def result(self) -> Fields:
        """Return the columns of what is written, with their types."""
        return self._fields(self.request, self.last())

    def _fields(self, request: Request, name: str) -> Fields:
        from osiris.chat.render import fields_of

        return {each.name: each.type for each in fields_of(request, self.choices, name)}

    def problem(self) -> str | None:
        """Return why the request cannot be carried out; None if it can."""
        try:
            as_text(self.request, self.choices)
        except OsirisError as error:
            return error.diagnostics[0].message
        return None

    def reading(self, relation: str) -> tuple[Source, ...]:
        """Return the source for a relation that is to be read, or is."""
        known = tuple(each for each in self.request.sources if each.relation == relation)
        return known or (Source(relation),)

    def column(self, name: str) -> Column | None:
        """Return what is known of a column: of the only relation that has one of that name, else of the first."""
        plain = name.rpartition(".")[2]
        for source in self.request.sources:
            for column in self.relation(source.relation).columns or ():
                if column.name in (name, plain):
                    return column
        return None


def as_text(request: Request, choices: Choices) -> str:
    """Return the OML of a request; one without an output gets one that nobody writes."""
    from osiris.chat.render import render_request

    return render_request(with_output(request, choices), choices)


def with_output(request: Request, choices: Choices) -> Request:
    """Return the request; one without an output gets one that is never written."""
    if request.outputs:
        return request
    relations = {each.id: each.name for each in choices.relations}
    last = request.steps[-1].name if request.steps else relations[request.sources[0].relation]
    return replace(request, outputs=(Output(last, "filesystem.parquet_writer", path=_KEPT),))


def _is_past(step: Step, part: str) -> bool:
    """Tell whether a step has a part that it does after this one, or instead of it."""
    if step.sql is not None:
        return True
    stage = _STAGE[part]
    filled = [_STAGE[name] for name in _STAGE if getattr(step, name) not in ((), None)]
    grouped = stage == _STAGE["group"] and stage in filled
    return grouped or any(each > stage for each in filled)


def plain(parts: Iterable[str]) -> str:
    """Return a name made of words: lower case letters, digits and underscores."""
    joined = re.sub(r"[^a-z0-9]+", "_", "_".join(parts).lower()).strip("_")[:60].rstrip("_")
    return joined if joined[:1].isalpha() else f"pipeline_{joined}".rstrip("_")


def default_name(draft: Draft) -> str:
    """Return a name for a pipeline: of what it reads, and by what it groups."""
    request = draft.request
    groups = [each.name or each.column for step in request.steps for each in step.group]
    orders = [step.pick.order[0] for step in request.steps if step.pick]
    picks = ["latest" if orders[-1].descending else "first"] if orders else []
    base = draft.relation(request.sources[0].relation).name
    return plain([*picks, base, *(["by", *groups] if groups else [])])


_TYPED: dict[Kind, Typed] = {
    "number": "number",
    "date": "date",
    "timestamp": "timestamp",
    "time": "time",
    "bool": "truth",
    "uuid": "uuid",
}


def typed_as(type_: str | None) -> Typed:
    """Return what may be typed for a value of a type."""
    name = type_ or "utf8"
    if name.startswith(("int", "uint")):
        return "whole number"
    if name.startswith("timestamp") and "," in name:
        return "timestamp with zone"
    return _TYPED.get(value_kind(type_), "text")


def value_kind(type_: str | None) -> Kind:
    """Return what can be done with values of a type; one that is not known is a text."""
    return kind_of(type_ or "utf8")


def columns_of(draft: Draft, fields: Fields, kinds: tuple[Kind, ...] = ()) -> tuple[Option, ...]:
    """Return an option for each column, of some kinds or of all; its remark has the type and some values."""
    return tuple(
        Option(name, name, _note(draft, name, type_))
        for name, type_ in fields.items()
        if not kinds or value_kind(type_) in kinds
    )


def _note(draft: Draft, name: str, type_: str | None) -> str:
    column = draft.column(name)
    profile = column.profile if column else {}
    values = [str(each["value"]) for each in profile.get("values", ())[:3]]
    ends = [str(profile[end]) for end in ("min", "max") if profile.get(end) is not None]
    shown = ", ".join(values) if values else " … ".join(ends)
    return remark(type_ or "", shown)


def remark(*parts: str) -> str:
    """Return the remark of an option, of the parts that say something."""
    return ", ".join(filter(None, parts))


def known_texts(known: Column | None) -> list[str]:
    """Return the values of a column that are known: frequent ones, the least and the greatest."""
    profile = known.profile if known else {}
    values = [str(each["value"]) for each in profile.get("values", ())]
    return [text for text in (*values, *(str(profile.get(end) or "") for end in ("min", "max"))) if text.strip()]


Typed = Literal[
    "text",
    "name",
    "whole number",
    "number",
    "date",
    "timestamp",
    "timestamp with zone",
    "time",
    "truth",
    "uuid",
    "path",
    "table",
    "flags",
]
"""What may be typed where no choice fits."""
RELATIONS = "relations"
"""Options of a question that come from sources while it is asked."""


@dataclass(frozen=True, slots=True)
class Option:
    """A choice: what is recorded of it, what is shown of it and compared with typed text, and a remark."""

    key: str
    label: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question for the person; gives an `Answer`.

    With `several` any number of options may be chosen; `typed` is what may be typed instead of choosing; `default` are
    the keys that skipping gives, None if it cannot be skipped. `source` is RELATIONS if the options are the tables and
    files that are found meanwhile, or `tables:@family.alias`, those of one connection. `head` are lines above it, and
    `endings` those of paths that may be typed.
    """

    about: str
    text: str
    options: tuple[Option, ...] = ()
    several: bool = False
    typed: Typed | None = None
    default: tuple[str, ...] | None = None
    source: str | None = None
    head: tuple[str, ...] = ()
    endings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The keys that were chosen, or the text that was typed."""

    keys: tuple[str, ...] = ()
    text: str | None = None

    def recorded(self) -> str:
        """Return it as it is recorded, in JSON."""
        return json.dumps({"keys": list(self.keys), "text": self.text}, ensure_ascii=False)

    @classmethod
    def of(cls, value: JsonValue) -> Answer:
        """Return what was recorded, read from JSON."""
        return cls(tuple(value["keys"]), value["text"])


@dataclass(frozen=True, slots=True)
class Look:
    """Columns, keys and frequent values of a relation; gives its TABLE (see `environment`), or a diagnostic as JSON."""

    relation: str
    source: str
    table: str


@dataclass(frozen=True, slots=True)
class Compare:
    """Figures: the only row of the last step of a request, as a list; gives None if it cannot be had."""

    request: Request
    about: str


@dataclass(frozen=True, slots=True)
class Propose:
    """The plan of a whole request, which is shown; gives what `check` of `environment` does, and `confirm`.

    `confirm` has a sentence for each thing that is to be confirmed by itself.
    """

    request: Request


@dataclass(frozen=True, slots=True)
class Show:
    """Something to be shown; gives None."""

    text: str


Effect: TypeAlias = Ask | Look | Compare | Propose | Show
"""What a flow can ask for."""

if TYPE_CHECKING:
    T = TypeVar("T")
    Flow: TypeAlias = Generator[Effect, JsonValue, T]


@dataclass(frozen=True, slots=True)
class Meant:
    """The options that text means; without any, those that it `may` mean."""

    options: tuple[Option, ...] = ()
    may: tuple[Option, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.options or self.may)


def meant(text: str, options: Sequence[Option], *, several: bool, shown: Callable[[str], str]) -> Meant:
    """Return what text means among options: one, or with `several` any number, separated by commas (numbers: blanks).

    Options count from 1. `shown` is how a label looks on the terminal, which may be typed as well.
    """
    whole, parts = _exact(text, options, shown), _parts(text)
    if whole or not several or len(parts) == 1:
        return whole or _near(text, options)
    return _each_of([_exact(part, options, shown) or _near(part, options) for part in parts])


def _each_of(found: Sequence[Meant]) -> Meant:
    """Return what several parts of a text mean, unless one of them is unclear, or two mean the same."""
    unclear = next((each for each in found if not each.options), None)
    if unclear is not None:
        return Meant(may=unclear.may)
    chosen = [each.options[0] for each in found]
    doubled = tuple(each for n, each in enumerate(chosen) if each in chosen[:n])
    return Meant(may=doubled) if doubled else Meant(tuple(chosen))


def _parts(text: str) -> list[str]:
    """Return what commas separate, and of whole numbers blanks."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    is_numbers = len(parts) == 1 and all(word.isdecimal() for word in text.split())
    return text.split() if is_numbers else parts


def _exact(text: str, options: Sequence[Option], shown: Callable[[str], str]) -> Meant:
    rules: tuple[Callable[[str], bool], ...] = (
        lambda label: label == text,
        lambda label: shown(label) == text,
        lambda label: label.casefold() == text.casefold(),
    )
    for rule in rules:
        found = tuple(each for each in options if rule(each.label))
        if found:
            return Meant(found) if len(found) == 1 else Meant(may=found)
    number = text.removeprefix("#")
    is_place = number.isdecimal() and 1 <= int(number) <= len(options)
    return Meant((options[int(number) - 1],)) if is_place else Meant()


def _near(text: str, options: Sequence[Option]) -> Meant:
    """Return the only option that a slip makes of text; else those that have all of its words, to choose from."""
    near = certain(text, [each.label for each in options])
    found = tuple(each for each in options if each.label == near)
    return Meant(found) if len(found) == 1 else Meant(may=tuple(narrowed(text, options)))


def narrowed(text: str, options: Sequence[Option]) -> list[Option]:
    """Return the options that have all typed words, in any order and case."""
    words = text.casefold().split()
    return [each for each in options if all(word in each.label.casefold() for word in words)] if words else []
